"""Prepared reads of a PostgreSQL database, over a few connections that the event loop watches.

A statement is prepared once on a connection; from then on its parameters alone are sent, at once,
whatever is still to be answered (libpq's pipeline mode). No thread is woken for a read, and no
transaction is begun: a single statement is a transaction, and a snapshot, of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, abc as pq

from core.db import connections, postgres_connection
from core.db.connections import DatabaseAddress
from core.db.errors import DatabaseUnavailable
from core.db.prepared import PreparedSelect

CONNECTIONS = 4
#: Reads that may wait for a connection before another is used. Each is answered in its turn.
_WAITING_MAX = 4
#: A statement that is prepared no longer, or was for columns of other types, is prepared anew.
_STALE_STATES = frozenset({"0A000", "26000"})

_Rows = list[tuple[Any, ...]]


class _ConnectionLost(psycopg.OperationalError):
    """The connection died; whether the statement was run isn't known, nor does it matter."""


class _PendingRead:
    """A read was sent, and is answered after those before it."""

    __slots__ = ("failure", "future", "name", "result", "text")

    def __init__(self, future: asyncio.Future[_Rows], text: str, name: bytes) -> None:
        self.future, self.text, self.name = future, text, name
        self.result: pq.PGresult | None = None
        self.failure: psycopg.Error | None = None


class _Connection:
    """A connection, with the reads that wait for it. Everything runs on the event loop, but for
    what opens it."""

    def __init__(self, address: DatabaseAddress, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self.opening: asyncio.Task[None] | None = asyncio.create_task(self._open(address))
        #: Reads that wait for it, open or not.
        self.waiting = 0
        self._reads: deque[_PendingRead] = deque()
        #: When the server was heard last, or was to begin to answer, by the loop's clock.
        self._heard_at = 0.0
        #: Looks now and then whether the server still answers; None while nothing is asked.
        self._watch: asyncio.TimerHandle | None = None
        #: The names of prepared statements by their text.
        self._names: dict[str, bytes] = {}
        self._prepared_count = 0
        self._is_flushing = False
        self._raw: psycopg.Connection[Any] | None = None

    async def _open(self, address: DatabaseAddress) -> None:
        raw = await asyncio.to_thread(connections.open_postgres, address)
        raw.pgconn.enter_pipeline_mode()
        self._raw, self._transformer = raw, Transformer(raw)
        self._descriptor = raw.pgconn.socket
        self._loop.add_reader(self._descriptor, self._take_answers)
        self.opening = None

    async def read(self, text: str, parameters: Sequence[object]) -> _Rows:
        """All rows of a statement. Raises `_ConnectionLost`, or what the server says."""
        if self._raw is None:
            raise _ConnectionLost
        formats = [PyFormat.TEXT] * len(parameters)
        sent = self._transformer.dump_sequence(parameters, formats)
        pgconn = self._raw.pgconn
        name = self._names.get(text)
        try:
            if name is None:
                self._prepared_count += 1
                name = self._names[text] = b"%d" % self._prepared_count
                pgconn.send_prepare(name, text.encode())
            pgconn.send_query_prepared(name, sent)
            pgconn.pipeline_sync()
            pending = _PendingRead(self._loop.create_future(), text, name)
            if not self._reads:
                self._heard_at = self._loop.time()
            self._reads.append(pending)
            self._flush()
        except psycopg.OperationalError:
            self._lose()
            raise _ConnectionLost from None
        if self._watch is None:
            self._watch = self._loop.call_later(postgres_connection.SILENT_S, self._look)
        return await pending.future

    def _look(self) -> None:
        """Gives the connection up where nothing was heard for too long."""
        self._watch = None
        if not self._reads:
            return
        left = self._heard_at + postgres_connection.SILENT_S - self._loop.time()
        if left <= 0:
            self._lose()
        else:
            self._watch = self._loop.call_later(left, self._look)

    def close(self) -> None:
        """Ends it; what still waits for it is lost."""
        raw, self._raw = self._raw, None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if raw is None:
            return
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        raw.close()
        for pending in self._reads:
            if not pending.future.done():
                pending.future.set_exception(_ConnectionLost())
        self._reads.clear()

    def _flush(self) -> None:
        """Sends what is to be sent, now or when the server reads on."""
        assert self._raw is not None
        is_stuck = bool(self._raw.pgconn.flush())
        if is_stuck and not self._is_flushing:
            self._loop.add_writer(self._descriptor, self._flush_later)
        elif self._is_flushing and not is_stuck:
            self._loop.remove_writer(self._descriptor)
        self._is_flushing = is_stuck

    def _flush_later(self) -> None:
        try:
            self._flush()
        except psycopg.OperationalError:
            self._lose()

    def _take_answers(self) -> None:
        assert self._raw is not None
        pgconn, self._heard_at = self._raw.pgconn, self._loop.time()
        try:
            pgconn.consume_input()
            while self._reads and not pgconn.is_busy():
                result = pgconn.get_result()
                if result is not None:  # None stands between two statements
                    self._take_result(self._reads[0], result)
        except psycopg.OperationalError:
            self._lose()
            return
        if pgconn.status != ConnStatus.OK:
            self._lose()

    def _take_result(self, pending: _PendingRead, result: pq.PGresult) -> None:
        if result.status == ExecStatus.TUPLES_OK:
            pending.result = result
        elif result.status == ExecStatus.FATAL_ERROR:
            if result.error_field(DiagnosticField.SEVERITY_NONLOCALIZED) != b"ERROR":
                raise _ConnectionLost
            pending.failure = errors.error_from_result(result)
            if pending.failure.sqlstate in _STALE_STATES:
                self._forget(pending)
        elif result.status == ExecStatus.PIPELINE_SYNC:
            self._reads.popleft()
            self._answer(pending)

    def _forget(self, pending: _PendingRead) -> None:
        if self._names.get(pending.text) == pending.name:
            del self._names[pending.text]

    def _answer(self, pending: _PendingRead) -> None:
        future, result = pending.future, pending.result
        if future.done():  # nobody waits for it any more
            return
        if result is None:
            future.set_exception(pending.failure or psycopg.InterfaceError("no answer"))
            return
        self._transformer.set_pgresult(result)
        try:
            future.set_result(self._transformer.load_rows(0, result.ntuples, tuple))
        except psycopg.Error as error:
            future.set_exception(error)

    def _lose(self) -> None:
        self.close()
        self._on_lost()


class PostgresReads:
    """Connections are opened when they are first needed, so that a command opens one."""

    def __init__(self, address: DatabaseAddress) -> None:
        self._address = address
        self._connections: list[_Connection] = []
        self._is_closed = False
        self._running = 0
        #: Is resolved when the last read that runs has ended, for whoever closes it.
        self._ended: asyncio.Future[None] | None = None

    async def fetch(
        self, statement: PreparedSelect, values: Mapping[str, object]
    ) -> Sequence[sa.Row[Any]]:
        """All rows of a statement, as of now; it is read once more on a new connection when its own
        turns out to have died. Raises DatabaseUnavailable."""
        if self._is_closed:
            raise RuntimeError("the database is closed")
        prepared = statement.postgres
        parameters = prepared.bind(values)
        self._running += 1
        try:
            try:
                found = await self._read(prepared.text, parameters)
            except _ConnectionLost:
                found = await self._read(prepared.text, parameters)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise DatabaseUnavailable(self._address.display_name) from error
        finally:
            self._running -= 1
            if self._ended is not None and not self._running:
                self._ended.set_result(None)
        return prepared.to_rows(found)

    async def close(self) -> None:
        """Waits for the reads that run, and closes every connection."""
        self._is_closed = True
        if self._running:
            self._ended = asyncio.get_running_loop().create_future()
            await self._ended
        for connection in self._connections:
            if connection.opening is not None:
                await asyncio.gather(connection.opening, return_exceptions=True)
            connection.close()
        self._connections.clear()

    async def _read(self, text: str, parameters: Sequence[object]) -> _Rows:
        connection = self._choose_connection()
        connection.waiting += 1
        try:
            if connection.opening is not None:
                await asyncio.shield(connection.opening)
            return await connection.read(text, parameters)
        finally:
            connection.waiting -= 1

    def _choose_connection(self) -> _Connection:
        for connection in self._connections:
            if connection.waiting < _WAITING_MAX:
                return connection
        if len(self._connections) < CONNECTIONS:
            return self._open_connection()
        return min(self._connections, key=lambda one: one.waiting)

    def _open_connection(self) -> _Connection:
        connection = _Connection(self._address, self._drop_connections)
        self._connections.append(connection)

        def forget_failed(opening: asyncio.Task[None]) -> None:
            if opening.cancelled() or opening.exception() is not None:
                self._connections.remove(connection)  # the next read opens another

        assert connection.opening is not None
        connection.opening.add_done_callback(forget_failed)
        return connection

    def _drop_connections(self) -> None:
        """One died: the others that are as old may have too, and aren't asked to find out."""
        opened = [one for one in self._connections if one.opening is None]
        self._connections = [one for one in self._connections if one.opening is not None]
        for connection in opened:
            connection.close()
