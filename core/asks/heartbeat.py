"""The heartbeat: each running ask's lease and delivered tokens are recorded every two seconds, and
other processes' Stop flags are read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import sqlalchemy as sa

from core.asks.admission import LEASE_SECONDS
from core.asks.run import Run
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Update
from core.errors import cause
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, LedgerRefusal
from core.pricing.token_counter import count

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0


class Beating:
    """Renews the leases of all running asks of this process, in one task."""

    def __init__(self, *, store: Store, ledger: Ledger, clock: Clock, owner: str) -> None:
        self._store, self._ledger, self._clock, self._owner = store, ledger, clock, owner
        self._task: asyncio.Task[None] | None = None

    async def start(self, runs: Mapping[str, Run]) -> None:
        """Starts the task, which records whatever `runs` holds every two seconds."""
        self._task = asyncio.get_running_loop().create_task(self._beat_on(runs), name="beating")

    async def stop(self) -> None:
        """Cancels the task and awaits its end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _beat_on(self, runs: Mapping[str, Run]) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            now = asyncio.get_running_loop().time()
            due = [run for run in runs.values() if now - run.began >= BEAT_SECONDS]
            if due:
                await self.beat(due)

    async def beat(self, runs: list[Run]) -> None:
        """Renews each lease and records its delivered tokens; a failure leaves the lease as it
        was."""
        outcomes = await asyncio.gather(*map(self._record, runs), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, LedgerRefusal):
                log.warning("a heartbeat could not be recorded: %s", outcome.code)
            elif isinstance(outcome, BaseException):
                log.error("a heartbeat failed: %s", cause(outcome))
        await self._heed_stops({run.id: run for run in runs})

    async def _record(self, run: Run) -> None:
        # What is written down is charged whole or not at all: nothing of it counts before its end.
        text = run.text if run.question.recording is None else ""
        shown = (await count(run.question.model, text)).units if text else 0
        change: dict[str, object] = {
            "lease_until": self._clock.now_ms() + LEASE_SECONDS * 1000,
            "shown_tokens": shown,
        }
        if text:
            change["answer"] = run.data_key.seal(f"ask/{run.id}/answer", text.encode())
        try:
            await self._ledger.record(
                Update(
                    schema.ask,
                    {"id": run.id},
                    change,
                    {"state": "open", "owner": self._owner},
                )
            )
        except CompanionRefused:
            if not run.result.done() and not await self._still_ours(run.id):
                run.lost = True
                run.stop()

    async def _still_ours(self, ask: str) -> bool:
        rows = await self._store.fetch(sa.select(schema.ask.c.owner).where(schema.ask.c.id == ask))
        return bool(rows) and rows[0].owner == self._owner

    async def _heed_stops(self, runs: Mapping[str, Run]) -> None:
        table = schema.ask
        rows = await self._store.fetch(
            sa.select(table.c.id).where(
                table.c.state == "open", table.c.owner == self._owner, table.c.stop_requested
            )
        )
        for row in rows:
            if row.id in runs:
                runs[row.id].stop()
