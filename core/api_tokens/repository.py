"""Tokens as rows: how they are read, and what others write of them in submissions of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from core.api_tokens.types import PAUSE_HOURS, ApiToken
from core.db import schema
from core.db.database import Database
from core.db.prepared import PreparedSelect
from core.db.writes import Companion, Delete, Insert, Update, UpdateAll
from core.money import Credits

#: What was spent on a day is read on that day alone. It is kept some more, for whoever asks why a
#: token was refused.
DAYS_KEPT: Final = 30
_OLD_DAYS_AT_ONCE: Final = 1_000

_SELECT_BY_DIGEST: Final = PreparedSelect(
    sa.select(schema.api_token).where(
        schema.api_token.c.digest == sa.bindparam("digest"),
        schema.api_token.c.revoked_at.is_(None),
    )
)
_SELECT_BY_ID: Final = PreparedSelect(
    sa.select(schema.api_token).where(schema.api_token.c.id == sa.bindparam("token"))
)
_SELECT_SPENDING: Final = PreparedSelect(
    sa.select(schema.api_spending.c.credits).where(
        schema.api_spending.c.token == sa.bindparam("token"),
        schema.api_spending.c.day == sa.bindparam("day"),
    )
)


@dataclass(frozen=True, slots=True)
class TokenUses:
    """What is known of a token's uses, to be told when there is a new one."""

    token: ApiToken
    is_revoked: bool
    #: Keyed digests of networks, the latest last.
    seen_networks: tuple[str, ...]


class TokenRepository:
    """The repository of tokens reads their rows."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def find_by_digest(self, digest: bytes) -> ApiToken | None:
        """The token of a secret's digest, unless it was revoked; it may have expired."""
        rows = await self._db.fetch(_SELECT_BY_DIGEST, {"digest": digest})
        return _build_token(rows[0]) if rows else None

    async def list_live(self, person: str, now_ms: int) -> list[ApiToken]:
        """A person's tokens that are neither revoked nor expired, the oldest first."""
        table = schema.api_token
        rows = await self._db.fetch(
            sa.select(table)
            .where(
                table.c.person == person, table.c.revoked_at.is_(None), table.c.expires_at > now_ms
            )
            .order_by(table.c.id)
        )
        return [_build_token(row) for row in rows]

    async def list_all(self, person_ids: Sequence[str]) -> list[tuple[ApiToken, int | None]]:
        """All tokens that people ever made, each with when it was revoked."""
        table = schema.api_token
        rows = await self._db.fetch(
            sa.select(table).where(table.c.person.in_(person_ids)).order_by(table.c.id)
        )
        return [(_build_token(row), row.revoked_at) for row in rows]

    async def find_uses(self, token: str) -> TokenUses | None:
        """What is known of a token's uses."""
        rows = await self._db.fetch(_SELECT_BY_ID, {"token": token})
        if not rows:
            return None
        (row,) = rows
        seen = tuple(row.seen_networks.split())
        return TokenUses(_build_token(row), row.revoked_at is not None, seen)

    async def get_pause(self, person: str) -> int:
        """Until when nobody makes a token for a person; 0: none was ever paused."""
        table = schema.api_pause
        rows = await self._db.fetch(sa.select(table.c.until).where(table.c.person == person))
        return int(rows[0].until) if rows else 0

    async def measure_spending(self, token: str, day: int) -> Credits:
        """What a token's asks of a UTC day (its number since 1970) were charged, and hold."""
        rows = await self._db.fetch(_SELECT_SPENDING, {"token": token, "day": day})
        return Credits(rows[0].credits if rows else 0)

    async def plan_old_days_deletion(self, today: int) -> list[Delete]:
        """Rows that delete what tokens spent on days long before `today` (its number since 1970),
        some at a time. Tokens with an open ask keep theirs: its settlement gives back to the day on
        which it was held, however long ago that was."""
        table, ask = schema.api_spending, schema.ask
        busy = sa.select(ask.c.api_token).where(ask.c.state == "open", ask.c.api_token.is_not(None))
        rows = await self._db.fetch(
            sa.select(table.c.token, table.c.day)
            .where(table.c.day < today - DAYS_KEPT, table.c.token.not_in(busy))
            .limit(_OLD_DAYS_AT_ONCE)
        )
        return [Delete(table, {"token": row.token, "day": row.day}) for row in rows]


def plan_token_revocation(now_ms: int, *person_ids: str) -> list[Companion]:
    """Rows for whoever links or parts people: their tokens end, and none is made for a while."""
    until = now_ms + PAUSE_HOURS * 3_600_000
    rows: list[Companion] = [
        UpdateAll(
            schema.api_token, {"person": person_ids, "revoked_at": None}, {"revoked_at": now_ms}
        )
    ]
    for person in person_ids:
        rows += (
            Insert(schema.api_pause, {"person": person, "until": until}, ignore=True),
            Update(schema.api_pause, {"person": person}, {"until": until}),
        )
    return rows


def build_token_erasure(person_ids: tuple[str, ...], now_ms: int) -> list[Companion]:
    """Rows for an erasure: tokens end and lose their names, and nothing else is kept of what
    programs were answered."""
    nameless = {"name": "", "label": "", "models": "", "networks": "", "seen_networks": ""}
    return [
        UpdateAll(
            schema.api_token, {"person": person_ids, "revoked_at": None}, {"revoked_at": now_ms}
        ),
        UpdateAll(schema.api_token, {"person": person_ids}, nameless),
        Delete(schema.api_pause, {"person": person_ids}),
        Delete(schema.api_reply, {"person": person_ids}),
    ]


def _build_token(row: sa.Row[Any]) -> ApiToken:
    return ApiToken(
        id=row.id,
        person=row.person,
        name=row.name,
        label=row.label,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        per_day=Credits(row.per_day),
        models=tuple(row.models.split()),
        networks=tuple(row.networks.split()),
    )
