"""Replies to requests that came with an idempotency key: kept for a day, so that a request that is
sent again is answered again and asks nothing.

A reply's row is written with its ask, under the digest of what was asked; its answer comes when the
ask has ended, sealed by the person's data key by whoever has it (`build_answer_context`).
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from core.clock import DAY_MS
from core.db import schema
from core.db.prepared import PreparedSelect
from core.db.writes import Delete, Insert, UpdateAll
from core.ledger.ledger import Ledger

#: A reply is kept so long from its request on.
KEPT_MS: Final = DAY_MS
_EXPIRED_AT_ONCE: Final = 500

_SELECT_REPLY: Final = PreparedSelect(
    sa.select(schema.api_reply).where(
        schema.api_reply.c.ask == sa.bindparam("ask"),
        schema.api_reply.c.expires_at > sa.bindparam("now"),
    )
)


def build_answer_context(ask: str) -> str:
    """The context in which a reply's answer is sealed."""
    return f"api/{ask}/answer"


def plan_reply(ask: str, person: str, digest: bytes, now_ms: int) -> Insert:
    """The row that is written with the ask; refused where there is one."""
    row = {"ask": ask, "person": person, "digest": digest, "expires_at": now_ms + KEPT_MS}
    return Insert(schema.api_reply, row)


def plan_answer(ask: str, sealed: bytes) -> UpdateAll:
    """The answer, written with the ask's settlement; a settlement is never refused because the row
    is gone."""
    return UpdateAll(schema.api_reply, {"ask": ask}, {"answer": sealed})


class ApiReplies:
    """The repository of replies to programs that may ask again for the same."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock

    async def find(self, ask: str) -> sa.Row[Any] | None:
        """The row of an ask that is still kept; its answer is None until the ask has ended."""
        rows = await self._db.fetch(_SELECT_REPLY, {"ask": ask, "now": self._clock.now_ms()})
        return rows[0] if rows else None

    async def delete_expired(self) -> None:
        """A job: deletes replies whose time is over."""
        table = schema.api_reply
        rows = await self._db.fetch(
            sa.select(table.c.ask)
            .where(table.c.expires_at <= self._clock.now_ms())
            .limit(_EXPIRED_AT_ONCE)
        )
        if rows:
            await self._ledger.record(Delete(table, {"ask": tuple(row.ask for row in rows)}))
