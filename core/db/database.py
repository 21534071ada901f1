"""The database as the rest of the program reads it.

Reads run on a few threads, in transactions that end with them; prepared ones have connections of
their own. Writes are not here: every row is written by `core.ledger`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from core.clock import Clock
from core.db import connections, migrate as migrations
from core.db.connections import DatabaseAddress, Dialect
from core.db.errors import NeedsMigration
from core.db.migrate import DatabaseKind
from core.db.prepared import PreparedSelect
from core.db.readers import READER_THREADS, ReaderPool
from core.db.sqlite_reads import SqliteReads

if TYPE_CHECKING:
    from core.db.postgres_reads import PostgresReads

T = TypeVar("T")


class Database:
    """A `Database` is open, at this version, and read from. Its `kind` never changes: `live` or
    `demo`."""

    def __init__(self, address: DatabaseAddress, kind: str, engine: sa.Engine) -> None:
        """Called by `open`, which has checked the database first."""
        self.address = address
        self.dialect: Dialect = address.dialect
        self.kind = kind
        self._reader_pool = ReaderPool(engine, address.display_name)
        self._prepared_reads = _create_prepared_reads(address)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        kind: DatabaseKind | None,
        clock: Clock,
        migrate: bool | None = None,
        leaves_alone: bool = False,
    ) -> Database:
        """Opens the database at `url`.

        A new one is made of `kind`; with None either kind is taken and nothing is ever made or
        changed. `migrate` brings it to this version first; by default on SQLite only. Whoever only
        looks `leaves_alone` even what a crash left to be done. Raises ForeignDatabase,
        NewerDatabase, WrongDatabaseKind, NeedsMigration or DatabaseUnavailable.
        """
        address = replace(connections.parse_url(url), leaves_alone=leaves_alone)
        may_migrate = address.dialect == "sqlite" if migrate is None else migrate
        return await asyncio.to_thread(cls._open, address, kind, clock, may_migrate)

    @classmethod
    def _open(
        cls, address: DatabaseAddress, kind: DatabaseKind | None, clock: Clock, may_migrate: bool
    ) -> Database:
        if address.dialect == "sqlite" and not address.file.exists() and not (may_migrate and kind):
            raise NeedsMigration(address.display_name)
        if may_migrate and kind is not None:
            migrations.upgrade_database(address, kind, clock)
        engine = connections.create_engine(address, write=False, size=READER_THREADS)
        try:
            found_kind = migrations.check_database(engine, address, kind)
        except BaseException:
            engine.dispose()
            raise
        return cls(address, found_kind, engine)

    async def fetch(
        self,
        statement: sa.Select[Any] | PreparedSelect,
        values: Mapping[str, object] | None = None,
    ) -> Sequence[sa.Row[Any]]:
        """All rows of `statement`, as of now; `values` fill its bound parameters. Raises
        DatabaseUnavailable when it can't be read."""
        if isinstance(statement, PreparedSelect):
            return await self._prepared_reads.fetch(statement, values or {})
        return await self._reader_pool.run(
            lambda connection: connection.execute(statement, values).all(),
            batchable=True,
            retry=True,
        )

    async def read_snapshot(self, work: Callable[[sa.Connection], T], *, retry: bool = False) -> T:
        """What `work` returns for one consistent snapshot; it runs on a reader's thread.

        With `retry` it may run a second time, when the connection turns out to have died since it
        was used last. An open snapshot keeps the database from cleaning up old rows: be quick, or
        be rare. Raises DatabaseUnavailable.
        """
        return await self._reader_pool.run(work, retry=retry)

    async def close(self) -> None:
        """Waits for the reads that run, and closes every connection."""
        await self._prepared_reads.close()
        await asyncio.to_thread(self._reader_pool.close)


def _create_prepared_reads(address: DatabaseAddress) -> SqliteReads | PostgresReads:
    if address.dialect == "sqlite":
        return SqliteReads(address)
    # It loads PostgreSQL's driver, for whoever has such a database.
    from core.db.postgres_reads import PostgresReads

    return PostgresReads(address)
