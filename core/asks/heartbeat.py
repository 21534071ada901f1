"""The heartbeat: each running ask's lease and delivered tokens are recorded every two seconds, and
other processes' Stop flags are read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import sqlalchemy as sa

from core.asks.admission import LEASE_SECONDS
from core.asks.run import AskRun
from core.db import schema
from core.db.writes import Update
from core.errors import describe_failure
from core.ledger.ledger import Ledger
from core.ledger.types import LedgerRefusal
from core.pricing.token_counter import count_tokens

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2.0


class Heartbeat:
    """Renews the leases of all running asks of this process, in one task."""

    def __init__(self, *, ledger: Ledger, process_id: str) -> None:
        self._db, self._ledger, self._clock, self._process_id = (
            ledger.db,
            ledger,
            ledger.clock,
            process_id,
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self, runs: Mapping[str, AskRun]) -> None:
        """Starts the task, which records whatever `runs` holds every two seconds."""
        self._task = asyncio.get_running_loop().create_task(
            self._record_forever(runs), name="beating"
        )

    async def stop(self) -> None:
        """Cancels the task and awaits its end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _record_forever(self, runs: Mapping[str, AskRun]) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            now = asyncio.get_running_loop().time()
            due = [run for run in runs.values() if now - run.started_at >= HEARTBEAT_SECONDS]
            if due:
                await self.record(due)

    async def record(self, runs: list[AskRun]) -> None:
        """Renews each lease and records its delivered tokens; a failure leaves the lease as it
        was."""
        outcomes = await asyncio.gather(*map(self._record_run, runs), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, LedgerRefusal):
                log.warning("a heartbeat could not be recorded: %s", outcome.code)
            elif isinstance(outcome, BaseException):
                log.error("a heartbeat failed: %s", describe_failure(outcome))
        await self._apply_stop_requests({run.id: run for run in runs})

    async def _record_run(self, run: AskRun) -> None:
        # What is written down is charged whole or not at all: nothing of it counts before its end.
        # Of what programs ask nothing is kept, and what breaks of it is free.
        is_counted = run.question.recording is None and run.feed is None
        text = run.text if is_counted else ""
        delivered_tokens = (await count_tokens(run.question.model, text)).units if text else 0
        change: dict[str, object] = {
            "lease_until": self._clock.now_ms() + LEASE_SECONDS * 1000,
            "shown_tokens": delivered_tokens,
        }
        if text:
            change["answer"] = run.data_key.seal(f"ask/{run.id}/answer", text.encode())
        expected = {"state": "open", "owner": self._process_id}
        is_written = await self._ledger.try_record(
            Update(schema.ask, {"id": run.id}, change, expected)
        )
        if not (is_written or run.result.done() or await self._is_still_ours(run.id)):
            run.is_lost = True
            run.stop()

    async def _is_still_ours(self, ask: str) -> bool:
        rows = await self._db.fetch(sa.select(schema.ask.c.owner).where(schema.ask.c.id == ask))
        return bool(rows) and rows[0].owner == self._process_id

    async def _apply_stop_requests(self, runs: Mapping[str, AskRun]) -> None:
        table = schema.ask
        rows = await self._db.fetch(
            sa.select(table.c.id).where(
                table.c.state == "open", table.c.owner == self._process_id, table.c.stop_requested
            )
        )
        for row in rows:
            if row.id in runs:
                runs[row.id].stop()
