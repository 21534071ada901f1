"""Notices (`core.notice`) are told: a chore has front ends do it."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import sqlalchemy as sa

from core.clock import Clock
from core.ledger import CompanionRefused, Ledger
from core.notice import Facts
from core.store import Store, Update, schema
from core.trace import cause

_log = logging.getLogger(__name__)

#: Somebody who tells a notice has this long before another may.
_LEASE_MS = 120_000
#: Times that a notice is tried; the pause doubles from the first on.
TRIES_MAX = 8
_PAUSE_MS = 30_000
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell."""

    id: str
    person: str
    kind: str
    facts: Facts


class Notices:
    """The chore. `tell` shows one and raises when it couldn't."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        clock: Clock,
        tell: Callable[[Notice], Awaitable[None]],
    ) -> None:
        self._store, self._ledger, self._clock, self._tell = store, ledger, clock, tell

    async def work(self) -> None:
        """Tells what is due."""
        table, now = schema.notice, self._clock.now_ms()
        due = await self._store.fetch(
            sa.select(table).where(table.c.due_at <= now).order_by(table.c.due_at).limit(_AT_ONCE)
        )
        for row in due:
            claim = {"due_at": now + _LEASE_MS, "tries": row.tries + 1}
            try:
                await self._ledger.record(
                    Update(table, {"id": row.id}, claim, {"due_at": row.due_at})
                )
            except CompanionRefused:  # another process tells it
                continue
            told = Notice(row.id, row.person, row.kind, json.loads(row.data))
            await self._ledger.record(
                Update(table, {"id": row.id}, {"due_at": await self._told(told, row.tries)})
            )

    async def _told(self, one: Notice, tries: int) -> int | None:
        """When to try again; None when it was told, or never will be."""
        try:
            await self._tell(one)
        except Exception as failure:  # noqa: BLE001 - a chat may refuse for any reason
            _log.warning("notice %s could not be told: %s", one.id, cause(failure))
            if tries + 1 < TRIES_MAX:
                return self._clock.now_ms() + _PAUSE_MS * (1 << tries)
        return None
