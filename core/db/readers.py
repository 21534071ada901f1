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

READERS = 4
#: As many reads share a transaction at most; the others go to the next thread.
_SHARED_MAX = 32

T = TypeVar("T")
Work = Callable[[sa.Connection], Any]


class _Read:
    """A read waits in the queue with the future that its caller awaits."""

    __slots__ = ("again", "future", "shares", "work")

    def __init__(self, work: Work, future: asyncio.Future[Any], shares: bool, again: bool) -> None:
        self.work, self.future = work, future
        self.shares, self.again = shares, again


class Readers:
    """A pool of threads reads the database. `run` is for event loops, `close` for a thread that may
    block."""

    def __init__(self, engine: sa.Engine, shown: str) -> None:
        """`engine` only reads; `display_name` is its database's name in errors."""
        self._engine, self._shown = engine, shown
        self._postgres = engine.dialect.name == "postgresql"
        self._queue: queue.SimpleQueue[_Read | None] = queue.SimpleQueue()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"store-reader-{number}", daemon=True)
            for number in range(READERS)
        ]
        for thread in self._threads:
            thread.start()

    async def read(
        self, work: Callable[[sa.Connection], T], *, shares: bool = False, again: bool = False
    ) -> T:
        """What `work` returns for one consistent snapshot, begun after this was called.

        `batchable` work may share a transaction with other work, and is run once more by itself if
        that fails. With `retry` it is also run once more when its connection turns out to have
        died. Raises DatabaseUnavailable.
        """
        if self._closed:
            raise RuntimeError("the store is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put(_Read(work, future, shares, again))
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
        while (reads := self._take()) is not None:
            self._do(reads)

    def _take(self) -> list[_Read] | None:
        """The next read, with the others that wait if they are batchable; None when it is time to
        end."""
        first = self._queue.get()
        if first is None:
            self._queue.put(None)  # for the other threads
            return None
        reads = [first]
        while reads[-1].shares and len(reads) < _SHARED_MAX:
            try:
                read = self._queue.get_nowait()
            except queue.Empty:
                break
            if read is None:
                self._queue.put(None)
                break
            reads.append(read)
        return reads

    def _do(self, reads: list[_Read]) -> None:
        sharing = [read for read in reads if read.shares]
        if len(sharing) > 1:
            try:
                found = self._once(lambda connection: [one.work(connection) for one in sharing])
            except Exception:  # noqa: BLE001 - which read failed shows when each runs alone
                sharing = []
            else:
                _tell(sharing, found)
                reads = reads[len(sharing) :]
        for read in reads:
            _tell([read], [self._alone(read)])

    def _alone(self, read: _Read) -> Any:
        try:
            try:
                return self._once(read.work)
            except sa.exc.DBAPIError as error:
                if not (read.again and error.connection_invalidated):
                    raise
                return self._once(read.work)
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
            unavailable = DatabaseUnavailable(self._shown)
            unavailable.__cause__ = error
            return unavailable
        except Exception as error:  # noqa: BLE001 - it is raised to the caller, not on this thread
            return error

    def _once(self, work: Work) -> Any:
        with self._engine.connect() as connection:
            if self._postgres:
                connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                return work(connection)


def _tell(reads: Sequence[_Read], found: Sequence[Any]) -> None:
    """Resolves the reads' futures on their event loop; reads of one batch come from one loop."""
    try:
        reads[0].future.get_loop().call_soon_threadsafe(_answer, reads, found)
    except RuntimeError:
        # The loop was closed: nobody waits any more.
        return


def _answer(reads: Sequence[_Read], found: Sequence[Any]) -> None:
    for read, answer in zip(reads, found, strict=True):
        if read.future.done():
            continue
        if isinstance(answer, Exception):
            read.future.set_exception(answer)
        else:
            read.future.set_result(answer)
