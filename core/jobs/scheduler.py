"""Jobs: plain functions run again and again, safe to run twice.

A job that concerns the whole service runs on one process at a time, under a lease in the
database; one that refreshes a process's own memory runs everywhere. Which master keys the processes
that run open with is known by rows of the same table, one for each set of master keys by their
short ids: so nothing is wrapped by a key that some of them don't have.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Delete, Insert, Update
from core.errors import cause
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused

log = logging.getLogger(__name__)

#: A job that takes longer is cut off; the next turn tries again.
CHORE_SECONDS_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Chore:
    """A function that is to be run every so many seconds."""

    name: str
    every_seconds: float
    run: Callable[[], Awaitable[object]]
    #: On every process, without a lease.
    everywhere: bool = False
    #: Also before its first pause.
    at_start: bool = False


class Chores:
    """Runs jobs, one task for each, until it is stopped."""

    def __init__(
        self, *, store: Store, ledger: Ledger, clock: Clock, owner: str, chores: Sequence[Chore]
    ) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock
        self._owner, self._chores = owner, tuple(chores)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Starts one task for each job."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._keep(chore), name=f"chore {chore.name}")
            for chore in self._chores
        ]

    async def stop(self) -> None:
        """Cancels the tasks of all jobs and awaits their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def run_once(self, chore: Chore) -> bool:
        """Runs a job now; False when another process has its lease or ran it just now."""
        if not chore.everywhere and not await self._lease(chore):
            return False
        async with asyncio.timeout(CHORE_SECONDS_MAX):
            await chore.run()
        return True

    async def _keep(self, chore: Chore) -> None:
        pause = not chore.at_start
        while True:
            if pause:
                await asyncio.sleep(chore.every_seconds * random.uniform(0.8, 1.2))  # noqa: S311
            pause = True
            try:
                await self.run_once(chore)
            except Exception as failure:  # noqa: BLE001 - the next turn tries again
                log.error("chore %s failed: %s", chore.name, cause(failure))

    async def _lease(self, chore: Chore) -> bool:
        """Takes the job's lease by compare-and-set; False when another process has it."""
        table, now = schema.chore, self._clock.now_ms()
        until = now + round(chore.every_seconds * 700)
        rows: Sequence[sa.Row[Any]] = await self._store.fetch(
            sa.select(table).where(table.c.name == chore.name)
        )
        mine = {"owner": self._owner, "lease_until": until, "done_at": now}
        try:
            if not rows:
                await self._ledger.record(Insert(table, {"name": chore.name, **mine}))
                return True
            if rows[0].lease_until > now:
                return False
            expected = {"lease_until": rows[0].lease_until}
            await self._ledger.record(Update(table, {"name": chore.name}, mine, expected))
        except CompanionRefused:
            return False
        return True


_NAME = "open with "
_EVERY_SECONDS = 15.0
#: A process that renewed its registration no more for so long has ended.
_SILENT_MS = 45_000


def opening(keys: Sequence[str]) -> Chore:
    """The job by which processes register their master keys: it does nothing but take its lease,
    whose row says that a process with these keys runs."""

    async def nothing() -> None:
        """Does nothing: the lease is all that counts."""

    return Chore(_NAME + ",".join(keys), _EVERY_SECONDS, nothing)


async def closed(ledger: Ledger, chore: Chore) -> None:
    """Removes the registration of a process that ends; others with the same keys renew theirs."""
    await ledger.record(Delete(schema.chore, {"name": chore.name}))


async def all_open_with(store: Store, clock: Clock, key: str) -> bool:
    """Whether every running process has this master key."""
    table = schema.chore
    rows = await store.fetch(
        sa.select(table.c.name).where(
            table.c.name.startswith(_NAME, autoescape=True),
            table.c.done_at > clock.now_ms() - _SILENT_MS,
        )
    )
    return all(key in row.name.removeprefix(_NAME).split(",") for row in rows)
