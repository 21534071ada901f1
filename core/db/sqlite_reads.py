"""Prepared reads of an SQLite database, over a few connections of aiosqlite.

A read goes to a connection that is free, and is one step on its thread: no transaction is begun
for it, since a single statement is a snapshot of its own. SQLite itself is `pysqlite3`'s (see
`core.db.connections`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiosqlite
import pysqlite3.dbapi2 as sqlite
import sqlalchemy as sa

from core.db import connections
from core.db.connections import DatabaseAddress
from core.db.errors import DatabaseUnavailable
from core.db.prepared import PreparedSelect

CONNECTIONS = 4
#: Rows that aiosqlite would fetch at once for who reads them one by one; here all are.
_ROWS_AT_ONCE = 64
#: Reads that may wait for a connection before another is used: two threads that take turns cost
#: more than a read that waits for a few others, of some 20 µs each.
_WAITING_MAX = 4


class _Connection:
    """A connection, with how many reads wait for it."""

    __slots__ = ("opening", "raw", "waiting")

    def __init__(self, address: DatabaseAddress) -> None:
        self.raw = aiosqlite.Connection(
            lambda: connections.open_sqlite(address, write=False), _ROWS_AT_ONCE
        )
        # A process that fails before it closes its database must end all the same.
        self.raw._thread.daemon = True  # noqa: SLF001 - the library has no public way to say it
        self.opening: asyncio.Task[Any] | None = asyncio.create_task(self._open())
        self.waiting = 0

    async def _open(self) -> None:
        await self.raw


class SqliteReads:
    """Connections are opened when they are first needed, so that a command opens one."""

    def __init__(self, address: DatabaseAddress) -> None:
        self._address = address
        self._connections: list[_Connection] = []
        self._is_closed = False

    async def fetch(
        self, statement: PreparedSelect, values: Mapping[str, object]
    ) -> Sequence[sa.Row[Any]]:
        """All rows of a statement, as of now. Raises DatabaseUnavailable."""
        if self._is_closed:
            raise RuntimeError("the database is closed")
        prepared = statement.sqlite
        parameters = prepared.bind(values)
        connection = self._choose_connection()
        connection.waiting += 1
        try:
            if (opening := connection.opening) is not None:
                await self._wait_until_open(connection, opening)
            found = await connection.raw.execute_fetchall(prepared.text, parameters)
        except (sqlite.OperationalError, sqlite.InterfaceError) as error:
            raise DatabaseUnavailable(self._address.display_name) from error
        finally:
            connection.waiting -= 1
        return prepared.to_rows(found)

    async def close(self) -> None:
        """Waits for the reads that run, and closes every connection."""
        self._is_closed = True
        for connection in self._connections:
            if connection.opening is not None:
                await asyncio.gather(connection.opening, return_exceptions=True)
            await connection.raw.close()
        self._connections.clear()

    def _choose_connection(self) -> _Connection:
        for connection in self._connections:
            if connection.waiting < _WAITING_MAX:
                return connection
        if len(self._connections) < CONNECTIONS:
            self._connections.append(_Connection(self._address))
            return self._connections[-1]
        return min(self._connections, key=lambda one: one.waiting)

    async def _wait_until_open(self, connection: _Connection, opening: asyncio.Task[Any]) -> None:
        try:
            await asyncio.shield(opening)
        except BaseException:
            if opening.done() and connection in self._connections:
                self._connections.remove(connection)  # the next read opens another
            raise
        connection.opening = None
