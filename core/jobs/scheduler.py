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
from typing import Any, Final

import sqlalchemy as sa

from core.clock import Clock
from core.db import schema
from core.db.database import Database
from core.db.writes import Companion, Delete, Insert, Update, UpdateAll
from core.errors import describe_failure
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused

log = logging.getLogger(__name__)

#: The row of the probe: the same of all processes.
_PROBE_NAME: Final = "write probe"
#: A job that takes longer is cut off; the next turn tries again.
JOB_SECONDS_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Job:
    """A function that is to be run every so many seconds."""

    name: str
    interval_seconds: float
    run: Callable[[], Awaitable[object]]
    #: On every process, without a lease.
    on_every_process: bool = False
    #: Also before its first pause.
    runs_at_start: bool = False


class Scheduler:
    """Runs jobs, one task for each, until it is stopped."""

    def __init__(self, *, ledger: Ledger, process_id: str, jobs: Sequence[Job]) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._process_id, self._jobs = process_id, tuple(jobs)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Starts one task for each job."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._run_forever(chore), name=f"chore {chore.name}")
            for chore in self._jobs
        ]

    async def stop(self) -> None:
        """Cancels the tasks of all jobs and awaits their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def run_job_once(self, job: Job) -> bool:
        """Runs a job now; False when another process has its lease or ran it just now."""
        if not job.on_every_process and not await self._acquire_lease(job):
            return False
        async with asyncio.timeout(JOB_SECONDS_MAX):
            await job.run()
        return True

    async def _run_forever(self, job: Job) -> None:
        pause = not job.runs_at_start
        while True:
            if pause:
                await asyncio.sleep(job.interval_seconds * random.uniform(0.8, 1.2))  # noqa: S311
            pause = True
            try:
                await self.run_job_once(job)
            except Exception as failure:  # noqa: BLE001 - the next turn tries again
                log.error("chore %s failed: %s", job.name, describe_failure(failure))

    async def _acquire_lease(self, job: Job) -> bool:
        """Takes the job's lease by compare-and-set; False when another process has it."""
        table, now = schema.chore, self._clock.now_ms()
        until = now + round(job.interval_seconds * 700)
        rows: Sequence[sa.Row[Any]] = await self._db.fetch(
            sa.select(table).where(table.c.name == job.name)
        )
        lease = {"owner": self._process_id, "lease_until": until, "done_at": now}
        try:
            if not rows:
                await self._ledger.record(Insert(table, {"name": job.name, **lease}))
                return True
            if rows[0].lease_until > now:
                return False
            expected = {"lease_until": rows[0].lease_until}
            await self._ledger.record(Update(table, {"name": job.name}, lease, expected))
        except CompanionRefused:
            return False
        return True


_REGISTRATION_PREFIX = "open with "
_REGISTRATION_SECONDS = 15.0
#: A process that renewed its registration no more for so long has ended.
_SILENCE_MAX_MS = 45_000


def create_registration_job(master_keys: Sequence[str]) -> Job:
    """The job by which processes register their master keys: it does nothing but take its lease,
    whose row says that a process with these keys runs."""

    async def do_nothing() -> None:
        """Does nothing: the lease is all that counts."""

    return Job(_REGISTRATION_PREFIX + ",".join(master_keys), _REGISTRATION_SECONDS, do_nothing)


async def unregister_process(ledger: Ledger, job: Job) -> None:
    """Removes the registration of a process that ends; others with the same keys renew theirs."""
    await ledger.record(Delete(schema.chore, {"name": job.name}))


async def is_key_on_every_process(db: Database, clock: Clock, master_key: str) -> bool:
    """Whether every running process has this master key."""
    table = schema.chore
    rows = await db.fetch(
        sa.select(table.c.name).where(
            table.c.name.startswith(_REGISTRATION_PREFIX, autoescape=True),
            table.c.done_at > clock.now_ms() - _SILENCE_MAX_MS,
        )
    )
    return all(master_key in row.name.removeprefix(_REGISTRATION_PREFIX).split(",") for row in rows)


def build_write_probe(now_ms: int) -> tuple[Companion, ...]:
    """A row as of a job that was just done, written anew: it shows that the database can be written
    to."""
    row = {"name": _PROBE_NAME, "owner": "", "lease_until": 0, "done_at": 0}
    return (
        Insert(schema.chore, row, ignore=True),
        UpdateAll(schema.chore, {"name": _PROBE_NAME}, {"done_at": now_ms}),
    )
