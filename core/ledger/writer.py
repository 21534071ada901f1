"""The writer: the one thread of a process that writes to the database.

It takes whatever waits, commits it in one transaction, resolves the futures, and takes what came
meanwhile: a batch is as large as the load makes it, without a timer. While nothing waits it sleeps.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

from core.clock import Clock
from core.db import connections
from core.ledger import batch
from core.ledger.prepare import Job
from core.ledger.session import Session
from core.ledger.types import Balance, LedgerUnavailable

#: After so many seconds without work the writer lets the session tidy up.
_IDLE_S = 0.05


class Read:
    """A read of balances waits in the writer's queue."""

    __slots__ = ("codes", "future")

    def __init__(self, future: asyncio.Future[dict[str, Balance]], codes: Sequence[str]) -> None:
        self.future, self.codes = future, codes


Work = Job | Read
_Answered = tuple[asyncio.Future[Any], Any]


class Writer:
    """The writer owns a session and its thread. `enqueue` is for the event loop's thread alone."""

    def __init__(
        self,
        session: Session,
        clock: Clock,
        batch_max: int,
        answered: Callable[[int], None],
        phase: batch.Phase,
    ) -> None:
        """`on_answered` is called, on the loop, with how many items were just answered."""
        self._session, self._clock, self._batch_max = session, clock, batch_max
        self._answered, self._phase = answered, phase
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def put(self, work: Work) -> None:
        """Queues an item; its future will be resolved."""
        self._queue.put(work)

    async def stop(self) -> None:
        """Writes all that is queued, then ends the thread and the connection."""
        self._queue.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (works := self._take()) is not None:
                self._do(works)
        finally:
            self._session.close()
            self._tell(self._ended.set_result, None)

    def _take(self) -> list[Work] | None:
        """The items that wait, at most a batch; None when it is time to end."""
        try:
            first = self._queue.get(timeout=_IDLE_S)
        except queue.Empty:
            self._tidy()
            first = self._queue.get()
        if first is None:
            return None
        works = [first]
        while len(works) < self._batch_max:
            try:
                work = self._queue.get_nowait()
            except queue.Empty:
                break
            if work is None:
                # Nothing is put after the end; it is met again once this batch is done.
                self._queue.put(None)
                break
            works.append(work)
        return works

    def _do(self, works: list[Work]) -> None:
        jobs = [work for work in works if isinstance(work, Job)]
        reads = [work for work in works if isinstance(work, Read)]
        answers: list[_Answered] = []
        if jobs:
            answers += zip([job.future for job in jobs], self._write(jobs), strict=True)
        if reads:
            answers += zip([read.future for read in reads], self._read(reads), strict=True)
        self._tell(self._answer, answers)

    def _write(self, jobs: list[Job]) -> Sequence[Any]:
        try:
            return batch.run(self._session, self._clock, jobs, self._phase)
        except Exception as bug:  # noqa: BLE001 - it is raised to the callers, not on this thread
            self._session.rollback()
            self._session.close()
            return [bug] * len(jobs)

    def _read(self, reads: list[Read]) -> Sequence[Any]:
        try:
            return self._session.balances([read.codes for read in reads])
        except connections.UNAVAILABLE:
            self._session.close()
            return [LedgerUnavailable() for _ in reads]

    def _tidy(self) -> None:
        try:
            self._session.idle()
        except connections.DRIVER_ERRORS:
            self._session.close()

    def _tell(self, what: Callable[[Any], object], value: object) -> None:
        try:
            self._loop.call_soon_threadsafe(what, value)
        except RuntimeError:
            # The loop was closed: nobody waits any more.
            return

    def _answer(self, answers: list[_Answered]) -> None:
        self._answered(len(answers))
        for future, answer in answers:
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
