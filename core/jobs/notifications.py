"""The queue of notifications (`core.notification`): a job has front ends deliver them.

One for the operators becomes one for each of them when it is due: who they are is known then.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core import ids
from core.db import schema
from core.db.writes import Insert, Update
from core.errors import describe_failure
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.notification import OPERATORS, Facts

_log = logging.getLogger(__name__)

#: A process that delivers a notification has this long before another may.
_LEASE_MS = 120_000
#: How often delivery is tried; the pause doubles each time.
ATTEMPTS_MAX = 8
_PAUSE_MS = 30_000
_BATCH_SIZE = 50


@dataclass(frozen=True, slots=True)
class Notification:
    """Something that a person is told without having asked."""

    id: str
    #: A person's id; of an operator the name by which they write: `telegram:123`.
    person: str
    kind: str
    facts: Facts


class NotificationQueue:
    """The job that delivers due notifications, each by one process at a time."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        deliver: Callable[[Notification], Awaitable[None]],
        list_operators: Callable[[], Sequence[str]],
    ) -> None:
        """`deliver` shows a notification and raises when it couldn't; `list_operators` gives the
        operators by the names by which they write."""
        self._db, self._ledger, self._clock, self._deliver = (
            ledger.db,
            ledger,
            ledger.clock,
            deliver,
        )
        self._list_operators = list_operators

    async def deliver_due(self) -> None:
        """Delivers the notifications that are due."""
        table, now = schema.notice, self._clock.now_ms()
        due = await self._db.fetch(
            sa.select(table)
            .where(table.c.due_at <= now)
            .order_by(table.c.due_at)
            .limit(_BATCH_SIZE)
        )
        for row in due:
            claim = {"due_at": now + _LEASE_MS, "tries": row.tries + 1}
            if not await self._ledger.try_record(
                Update(table, {"id": row.id}, claim, {"due_at": row.due_at})
            ):
                continue  # another process delivers it
            if row.person == OPERATORS and (operators := self._list_operators()):
                await self._fan_out(row, claim["due_at"], operators)
                continue
            notification = Notification(row.id, row.person, row.kind, json.loads(row.data))
            await self._ledger.record(
                Update(
                    table,
                    {"id": row.id},
                    {"due_at": await self._try_deliver(notification, row.tries)},
                )
            )

    async def _fan_out(
        self, row: sa.Row[Any], claimed_until: int, operators: Sequence[str]
    ) -> None:
        """Replaces this notification by one of its own for each operator."""
        rows = [
            {
                "id": ids.derive_id("ntc", row.created_at, row.id, operator),
                "person": operator,
                "kind": row.kind,
                "data": row.data,
                "created_at": row.created_at,
                "tries": 0,
                "due_at": self._clock.now_ms(),
            }
            for operator in operators
        ]
        with contextlib.suppress(CompanionRefused):  # it took so long that another process did it
            await self._ledger.record(
                Update(schema.notice, {"id": row.id}, {"due_at": None}, {"due_at": claimed_until}),
                *(Insert(schema.notice, copy) for copy in rows),
            )

    async def _try_deliver(self, notification: Notification, attempts: int) -> int | None:
        """When to try again (ms UTC); None when it was delivered, or never will be."""
        try:
            await self._deliver(notification)
        except Exception as failure:  # noqa: BLE001 - a chat may refuse for any reason
            _log.warning(
                "notice %s could not be told: %s", notification.id, describe_failure(failure)
            )
            if attempts + 1 < ATTEMPTS_MAX:
                return self._clock.now_ms() + _PAUSE_MS * (1 << attempts)
        return None
