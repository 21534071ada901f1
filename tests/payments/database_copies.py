"""Copies of a test's database, and a database that is what it was when one was taken, under
processes that share it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pysqlite3.dbapi2 as sqlite

from core.db.database import Database
from core.ledger.ledger import Ledger
from payments.gateways.base import Gateway
from tests.payments.conftest import Shop
from tests.support.databases import EMPTIED, TestClock


class RestorableWorld:
    """Processes with gateways of their own, and the database that they share."""

    def __init__(self, url: str, clock: TestClock) -> None:
        self.url, self.clock = url, clock
        self.shop: Shop

    async def open(self) -> None:
        """The database is there; who adds processes starts them then."""
        store = await Database.open(self.url, kind="live", clock=self.clock)
        ledger = Ledger(store, self.clock)
        await ledger.start()
        self.shop = Shop(store, ledger, self.clock)

    def list_gateways(self) -> Sequence[Gateway]:
        """Those of all processes."""
        raise NotImplementedError

    async def close(self) -> None:
        for gateway in self.list_gateways():
            await gateway.close()
        await self.shop.ledger.stop()
        await self.shop.store.close()

    async def restore(self, copy: Copy) -> None:
        """The database is what it was before."""
        await self.close()
        await asyncio.to_thread(restore_database, self.url, copy)
        await self.open()


@dataclass(frozen=True, slots=True)
class Copy:
    """All that stood in a database: a file of SQLite's, or what is in each of PostgreSQL's
    tables."""

    file: Path | None
    tables: dict[str, bytes]


def copy_database(url: str, folder: Path) -> Copy:
    """What stands in it now; others may go on reading and writing."""
    if url.startswith("sqlite"):
        target = folder / "copy.db"
        target.unlink(missing_ok=True)
        with (
            closing(sqlite.connect(_file_of(url))) as here,
            closing(sqlite.connect(target)) as to,
        ):
            here.backup(to)
        return Copy(target, {})
    tables = {}
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for table in EMPTIED:
            with connection.cursor().copy(f'COPY "{table}" TO STDOUT') as rows:  # type: ignore[arg-type]
                tables[table] = b"".join(map(bytes, rows))
    return Copy(None, tables)


def restore_database(url: str, copy: Copy) -> None:
    """It is again what it was; nobody has it open."""
    if copy.file is not None:
        for suffix in ("-wal", "-shm"):
            Path(f"{_file_of(url)}{suffix}").unlink(missing_ok=True)
        shutil.copyfile(copy.file, _file_of(url))
        return
    with psycopg.connect(url) as connection:
        # Whoever wears this role is not stopped by the guards of history.
        connection.execute("SET session_replication_role = replica")
        for table in EMPTIED:
            connection.execute(f'DELETE FROM "{table}"')  # type: ignore[arg-type]
        for table, rows in copy.tables.items():
            with connection.cursor().copy(f'COPY "{table}" FROM STDIN') as to:  # type: ignore[arg-type]
                to.write(rows)


def _file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))
