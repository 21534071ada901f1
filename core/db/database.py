"""The database as the rest of the program reads it.

Reads run on a few threads, in transactions that end with them. Writes are not here: every row is
written by `core.ledger`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from core.clock import Clock
from core.db import connections, migrate as migrations
from core.db.connections import Address, Dialect
from core.db.errors import NeedsMigration
from core.db.migrate import Kind
from core.db.readers import READERS, Readers

T = TypeVar("T")


class Store:
    """A `Database` is open, at this version, and read from. Its `kind` never changes: `live` or
    `demo`."""

    def __init__(self, address: Address, kind: str, engine: sa.Engine) -> None:
        """Called by `open`, which has checked the database first."""
        self.address = address
        self.dialect: Dialect = address.dialect
        self.kind = kind
        self._readers = Readers(engine, address.shown)

    @classmethod
    async def open(
        cls, url: str, *, kind: Kind | None, clock: Clock, migrate: bool | None = None
    ) -> Store:
        """Opens the database at `url`.

        A new one is made of `kind`; with None either kind is taken and nothing is ever made or
        changed. `migrate` brings it to this version first; by default on SQLite only. Raises
        ForeignDatabase, NewerDatabase, WrongDatabaseKind, NeedsMigration or DatabaseUnavailable.
        """
        address = connections.parse(url)
        wanted = address.dialect == "sqlite" if migrate is None else migrate
        return await asyncio.to_thread(cls._open, address, kind, clock, wanted)

    @classmethod
    def _open(cls, address: Address, kind: Kind | None, clock: Clock, wanted: bool) -> Store:
        if address.dialect == "sqlite" and not address.file.exists() and not (wanted and kind):
            raise NeedsMigration(address.shown)
        if wanted and kind is not None:
            migrations.bring_up(address, kind, clock)
        engine = connections.engine(address, write=False, size=READERS)
        try:
            found = migrations.inspect(engine, address, kind)
        except BaseException:
            engine.dispose()
            raise
        return cls(address, found, engine)

    async def fetch(
        self, statement: sa.Select[Any], values: Mapping[str, object] | None = None
    ) -> Sequence[sa.Row[Any]]:
        """All rows of `statement`, as of now; `values` fill its bound parameters, so that the
        statement need be built only once. Raises DatabaseUnavailable when it can't be read."""
        return await self._readers.read(
            lambda connection: connection.execute(statement, values).all(), shares=True, again=True
        )

    async def read(self, work: Callable[[sa.Connection], T], *, again: bool = False) -> T:
        """What `work` returns for one consistent snapshot; it runs on a reader's thread.

        With `retry` it may run a second time, when the connection turns out to have died since it
        was used last. An open snapshot keeps the database from cleaning up old rows: be quick, or
        be rare. Raises DatabaseUnavailable.
        """
        return await self._readers.read(work, again=again)

    async def close(self) -> None:
        """Waits for the reads that run, and closes every connection."""
        await asyncio.to_thread(self._readers.close)
