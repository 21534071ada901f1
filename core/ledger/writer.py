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

from core.db import connections
from core.ledger import batch
from core.ledger.book_day import BookClock, BookDay
from core.ledger.prepare import PreparedSubmission
from core.ledger.session import LedgerSession
from core.ledger.sqlite import SqliteSession
from core.ledger.types import Balance, LedgerUnavailable

#: After so many seconds without work the writer lets the session tidy up.
_IDLE_S = 0.05


class BalanceRead:
    """A read of balances waits in the writer's queue."""

    __slots__ = ("codes", "future")

    def __init__(self, future: asyncio.Future[dict[str, Balance]], codes: Sequence[str]) -> None:
        self.future, self.codes = future, codes


class DayCorrection:
    """A correction of the books' day waits in the writer's queue."""

    __slots__ = ("day", "future")

    def __init__(self, future: asyncio.Future[int], day: BookDay) -> None:
        self.future, self.day = future, day


WorkItem = PreparedSubmission | BalanceRead | DayCorrection
_Result = tuple[asyncio.Future[Any], Any]


class Writer:
    """The writer owns a session and its thread. `enqueue` is for the event loop's thread alone."""

    def __init__(
        self,
        session: LedgerSession,
        clock: BookClock,
        batch_max: int,
        on_answered: Callable[[Sequence[object]], None],
        on_phase: batch.PhaseHook,
    ) -> None:
        """`on_answered` is called, on the loop, with what was just answered, an item each."""
        self._session, self._clock, self._batch_max = session, clock, batch_max
        self._on_answered, self._on_phase = on_answered, on_phase
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[WorkItem | None] = queue.SimpleQueue()
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def enqueue(self, item: WorkItem) -> None:
        """Queues an item; its future will be resolved."""
        self._queue.put(item)

    async def stop(self) -> None:
        """Writes all that is queued, then ends the thread and the connection."""
        self._queue.put(None)
        await asyncio.shield(self._stopped)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (items := self._take_items()) is not None:
                self._process(items)
        finally:
            self._session.close()
            self._call_on_loop(self._stopped.set_result, None)

    def _take_items(self) -> list[WorkItem] | None:
        """The items that wait, at most a batch; None when it is time to end."""
        try:
            first = self._queue.get(timeout=_IDLE_S)
        except queue.Empty:
            self._tidy_up()
            first = self._queue.get()
        if first is None:
            return None
        items = [first]
        while len(items) < self._batch_max:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                # Nothing is put after the end; it is met again once this batch is done.
                self._queue.put(None)
                break
            items.append(item)
        return items

    def _process(self, items: list[WorkItem]) -> None:
        prepared_batch = [work for work in items if isinstance(work, PreparedSubmission)]
        reads = [work for work in items if isinstance(work, BalanceRead)]
        corrections = [work for work in items if isinstance(work, DayCorrection)]
        results: list[_Result] = []
        if prepared_batch:
            results += zip(
                [prepared.future for prepared in prepared_batch],
                self._write_batch(prepared_batch),
                strict=True,
            )
        if reads:
            results += zip([read.future for read in reads], self._read_balances(reads), strict=True)
        results += [(work.future, self._correct_day(work.day)) for work in corrections]
        self._call_on_loop(self._resolve_futures, results)

    def _write_batch(self, prepared_batch: list[PreparedSubmission]) -> Sequence[Any]:
        try:
            return batch.run_batch(self._session, self._clock, prepared_batch, self._on_phase)
        except Exception as bug:  # noqa: BLE001 - it is raised to the callers, not on this thread
            self._session.rollback()
            self._session.close()
            return [bug] * len(prepared_batch)

    def _read_balances(self, reads: list[BalanceRead]) -> Sequence[Any]:
        # Elsewhere the database's readers read them (`Ledger.read_balances`).
        assert isinstance(self._session, SqliteSession)
        try:
            return self._session.read_balances([read.codes for read in reads])
        except connections.get_unavailable_errors():
            self._session.close()
            return [LedgerUnavailable() for _ in reads]

    def _correct_day(self, day: BookDay) -> int | LedgerUnavailable:
        try:
            return self._session.correct_day(day)
        except connections.get_unavailable_errors():
            self._session.rollback()
            self._session.close()
            return LedgerUnavailable()

    def _tidy_up(self) -> None:
        try:
            self._session.tidy_up()
        except connections.get_driver_errors():
            self._session.close()

    def _call_on_loop(self, callback: Callable[[Any], object], value: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, value)
        except RuntimeError:
            # The loop was closed: nobody waits any more.
            return

    def _resolve_futures(self, results: list[_Result]) -> None:
        self._on_answered([result for _, result in results])
        for future, result in results:
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
