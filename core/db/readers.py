"""A pool of reader threads, each of which takes the reads that wait and runs them in one
transaction.

Under load, reads share the cost of a transaction and of a change of threads; alone, a read waits
for nobody. Short statements are batched, long work has a transaction of its own.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from core.db.errors import DatabaseUnavailable

READER_THREADS = 4
#: As many reads share a transaction at most; the others go to the next thread.
_BATCH_MAX = 32

T = TypeVar("T")
Work = Callable[[sa.Connection], Any]


class _PendingRead:
    """A read waits in the queue with the future that its caller awaits."""

    __slots__ = ("future", "is_batchable", "retry", "work")

    def __init__(
        self, work: Work, future: asyncio.Future[Any], is_batchable: bool, retry: bool
    ) -> None:
        self.work, self.future = work, future
        self.is_batchable, self.retry = is_batchable, retry


class ReaderPool:
    """A pool of threads reads the database. `run` is for event loops, `close` for a thread that may
    block."""

    def __init__(self, engine: sa.Engine, display_name: str) -> None:
        """`engine` only reads; `display_name` is its database's name in errors."""
        self._engine, self._display_name = engine, display_name
        self._queue: queue.SimpleQueue[_PendingRead | None] = queue.SimpleQueue()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"store-reader-{number}", daemon=True)
            for number in range(READER_THREADS)
        ]
        for thread in self._threads:
            thread.start()

    async def run(
        self, work: Callable[[sa.Connection], T], *, batchable: bool = False, retry: bool = False
    ) -> T:
        """What `work` returns for one consistent snapshot, begun after this was called.

        `batchable` work may share a transaction with other work, and is run once more by itself if
        that fails. With `retry` it is also run once more when its connection turns out to have
        died. Raises DatabaseUnavailable.
        """
        if self._closed:
            raise RuntimeError("the store is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_PendingRead(work, future, batchable, retry))
        return await future

    def close(self) -> None:
        """Runs the reads that wait, then ends the threads and closes every connection."""
        self._closed = True
        self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._engine.dispose()

    # --- on a reader's thread --------------------------------------------------------------------

    def _run(self) -> None:
        while (reads := self._take_batch()) is not None:
            self._run_batch(reads)

    def _take_batch(self) -> list[_PendingRead] | None:
        """The next read, with the others that wait if they are batchable; None when it is time to
        end."""
        first = self._queue.get()
        if first is None:
            self._queue.put(None)  # for the other threads
            return None
        reads = [first]
        while reads[-1].is_batchable and len(reads) < _BATCH_MAX:
            try:
                read = self._queue.get_nowait()
            except queue.Empty:
                break
            if read is None:
                self._queue.put(None)
                break
            reads.append(read)
        return reads

    def _run_batch(self, reads: list[_PendingRead]) -> None:
        batchable = [read for read in reads if read.is_batchable]
        if len(batchable) > 1:
            try:
                results = self._run_in_transaction(
                    lambda connection: [pending.work(connection) for pending in batchable]
                )
            except Exception:  # noqa: BLE001 - which read failed shows when each runs alone
                batchable = []
            else:
                _post_results(batchable, results)
                reads = reads[len(batchable) :]
        for read in reads:
            _post_results([read], [self._run_alone(read)])

    def _run_alone(self, read: _PendingRead) -> Any:
        try:
            try:
                return self._run_in_transaction(read.work)
            except sa.exc.DBAPIError as error:
                if not (read.retry and error.connection_invalidated):
                    raise
                return self._run_in_transaction(read.work)
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
            unavailable = DatabaseUnavailable(self._display_name)
            unavailable.__cause__ = error
            return unavailable
        except Exception as error:  # noqa: BLE001 - it is raised to the caller, not on this thread
            return error

    def _run_in_transaction(self, work: Work) -> Any:
        with self._engine.connect() as connection, connection.begin():
            return work(connection)


def _post_results(reads: Sequence[_PendingRead], results: Sequence[Any]) -> None:
    """Resolves the reads' futures on their event loop; reads of one batch come from one loop."""
    try:
        reads[0].future.get_loop().call_soon_threadsafe(_resolve_futures, reads, results)
    except RuntimeError:
        # The loop was closed: nobody waits any more.
        return


def _resolve_futures(reads: Sequence[_PendingRead], results: Sequence[Any]) -> None:
    for read, result in zip(reads, results, strict=True):
        if read.future.done():
            continue
        if isinstance(result, Exception):
            read.future.set_exception(result)
        else:
            read.future.set_result(result)
