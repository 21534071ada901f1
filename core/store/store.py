"""The store: one database, its readers, and the way in for the ledger's writer.

Reads run on a few threads, each read in a transaction of its own that ends with it. Writes are not
here: whatever must be true is written by `core.ledger`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sqlalchemy as sa

from core.clock import Clock
from core.store import address as addresses
from core.store import connections, migrating
from core.store.address import Address, Dialect
from core.store.errors import DatabaseUnavailable, NeedsMigration
from core.store.migrating import Kind

_READERS = 4

T = TypeVar("T")


class Store:
    """An open database. `kind` is what it was born as: `live` or `demo`."""

    def __init__(self, address: Address, kind: str, engine: sa.Engine) -> None:
        """For `open`, which has looked at the database first."""
        self.address = address
        self.dialect: Dialect = address.dialect
        self.kind = kind
        self._engine = engine
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")

    @classmethod
    async def open(
        cls, url: str, *, kind: Kind | None, clock: Clock, migrate: bool | None = None
    ) -> Store:
        """Opens the database at `url`.

        A new one is born of `kind`; with None either kind is taken and nothing is ever made or
        changed. `migrate` brings it to this version first: unless told, on SQLite only. Raises
        ForeignDatabase, NewerDatabase, WrongKind, NeedsMigration or DatabaseUnavailable.
        """
        address = addresses.parse(url)
        wanted = address.dialect == "sqlite" if migrate is None else migrate
        return await asyncio.to_thread(cls._open, address, kind, clock, wanted)

    @classmethod
    def _open(cls, address: Address, kind: Kind | None, clock: Clock, wanted: bool) -> Store:
        if address.dialect == "sqlite" and not address.file.exists() and not (wanted and kind):
            raise NeedsMigration(address.shown)
        if wanted and kind is not None:
            migrating.bring_up(address, kind, clock)
        engine = connections.engine(address, write=False, size=_READERS)
        try:
            found = migrating.inspect(engine, address, kind)
        except BaseException:
            engine.dispose()
            raise
        return cls(address, found, engine)

    async def fetch(
        self, statement: sa.Select[Any], values: Mapping[str, object] | None = None
    ) -> Sequence[sa.Row[Any]]:
        """All rows of `statement`, as of now; `values` are those of its bound parameters, for a
        statement that is made once. Raises DatabaseUnavailable when it can't be read."""
        return await self.read(
            lambda connection: connection.execute(statement, values).all(), again=True
        )

    async def read(self, work: Callable[[sa.Connection], T], *, again: bool = False) -> T:
        """What `work` makes of one consistent snapshot; it runs on a reader's thread.

        With `again` it may run a second time, when the connection turns out to have died since it
        was used last. A snapshot left open keeps the database from tidying up behind it: be quick,
        or be rare. Raises DatabaseUnavailable.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._read, work, again)

    def _read(self, work: Callable[[sa.Connection], T], again: bool) -> T:
        try:
            with self._engine.connect() as connection:
                if self.dialect == "postgresql":
                    connection.execution_options(
                        isolation_level="REPEATABLE READ", postgresql_readonly=True
                    )
                with connection.begin():
                    return work(connection)
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
            if again and isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
                return self._read(work, False)
            raise DatabaseUnavailable(self.address.shown) from error

    async def close(self) -> None:
        """Ends the reads that run, and closes every connection."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._engine.dispose()
