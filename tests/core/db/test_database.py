"""Opening, migrating and reading a database; what is refused, and that secrets stay out of it."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from pathlib import Path

import pysqlite3.dbapi2 as sqlite
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from core.db import schema
from core.db.connections import create_engine, parse_url
from core.db.database import Database
from core.db.errors import (
    DatabaseUnavailable,
    ForeignDatabase,
    NeedsMigration,
    NewerDatabase,
    WrongDatabaseKind,
)
from core.db.migrate import REVISIONS, load_scripts, migrate
from tests.support.databases import Postgres, TestClock


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


async def test_the_migrated_database_is_the_schema(store: Database) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, schema.metadata))

    assert await store.read_snapshot(differences) == []


@pytest.mark.integration
async def test_a_new_database_is_born_of_its_kind(tmp_path: Path, clock: TestClock) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    store = await Database.open(url, kind="demo", clock=clock)
    assert (store.kind, store.dialect) == ("demo", "sqlite")
    await store.close()
    again = await Database.open(url, kind=None, clock=clock)
    assert again.kind == "demo"
    await again.close()
    with pytest.raises(WrongDatabaseKind) as refused:
        await Database.open(url, kind="live", clock=clock)
    assert (refused.value.found, refused.value.wanted) == ("demo", "live")


@pytest.mark.integration
async def test_only_its_owner_can_read_a_new_file(tmp_path: Path, clock: TestClock) -> None:
    before = os.umask(0)
    try:
        store = await Database.open(f"sqlite:///{tmp_path}/new.db", kind="demo", clock=clock)
    finally:
        os.umask(before)
    await store.fetch(sa.select(schema.meta))
    modes = {stat.S_IMODE(file.stat().st_mode) for file in files(tmp_path)}
    await store.close()
    assert modes == {0o600}


async def test_opening_without_a_kind_makes_nothing(tmp_path: Path, clock: TestClock) -> None:
    with pytest.raises(NeedsMigration):
        await Database.open(f"sqlite:///{tmp_path}/absent.db", kind=None, clock=clock)
    assert files(tmp_path) == []


async def test_postgresql_is_migrated_only_when_told(postgres: Postgres, clock: TestClock) -> None:
    name = postgres.create()
    url = postgres.url(name)
    try:
        with pytest.raises(NeedsMigration):
            await Database.open(url, kind="live", clock=clock)
        # Two services that start at once: one migrates, the other finds it done.
        await asyncio.gather(migrate(url, "live", clock), migrate(url, "live", clock))
        store = await Database.open(url, kind="live", clock=clock)
        await store.close()
    finally:
        postgres.drop(name)


@pytest.mark.integration
async def test_another_product_is_left_alone(tmp_path: Path, clock: TestClock) -> None:
    file = tmp_path / "other.db"
    db = sqlite.connect(str(file))
    db.execute("CREATE TABLE precious (x)")
    db.commit()
    db.close()
    for kind in ("live", None):
        with pytest.raises(ForeignDatabase):
            await Database.open(f"sqlite:///{file}", kind=kind, clock=clock)
    db = sqlite.connect(str(file))
    assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("precious",)]
    db.close()


@pytest.mark.integration
async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, clock: TestClock) -> None:
    file = tmp_path / "notes.txt"
    text = b"remember the milk " * 500
    file.write_bytes(text)
    with pytest.raises(ForeignDatabase):
        await Database.open(f"sqlite:///{file}", kind="live", clock=clock)
    assert file.read_bytes() == text


async def test_a_newer_database_is_refused(database_url: str, clock: TestClock) -> None:
    opened = create_engine(parse_url(database_url), write=True, size=1)
    set_revision = "UPDATE alembic_version SET version_num = "
    with opened.begin() as connection:
        connection.exec_driver_sql(set_revision + "'9999'")
    with pytest.raises(NewerDatabase):
        await Database.open(database_url, kind="live", clock=clock)
    with pytest.raises(NewerDatabase):
        await migrate(database_url, "live", clock)
    with opened.begin() as connection:
        connection.exec_driver_sql(set_revision + f"'{REVISIONS[-1]}'")
    opened.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:hunter2@127.0.0.1:1/db",
        "mysql://someone:hunter2@127.0.0.1/db",
        "nonsense hunter2",
        "sqlite://",
        "sqlite:////nowhere/at/all/hunter3.db",
    ],
)
async def test_what_can_not_be_opened_is_told_without_its_password(
    url: str, clock: TestClock
) -> None:
    with pytest.raises(DatabaseUnavailable) as refused:
        await Database.open(url, kind="live", clock=clock)
    told = [str(refused.value), repr(refused.value), repr(vars(refused.value))]
    cause = refused.value.__cause__
    while cause is not None:
        told.append(f"{cause!r} {cause}")
        cause = cause.__cause__
    assert "hunter2" not in " ".join(told)
    assert "hunter2" not in repr(parse_url("postgresql://someone:hunter2@h/db"))


async def test_a_reader_can_not_write(store: Database) -> None:
    with pytest.raises((sa.exc.DBAPIError, DatabaseUnavailable)):
        await store.read_snapshot(lambda c: c.exec_driver_sql("DELETE FROM meta"))
    assert len(await store.fetch(sa.select(schema.meta))) == 3


async def test_a_snapshot_stands_still(store: Database, database_url: str) -> None:
    """What commits while a snapshot is open is not in it: the audit depends on that."""
    looked, written = threading.Event(), threading.Event()
    count = sa.select(sa.func.count()).select_from(schema.chore)

    def look_twice(connection: sa.Connection) -> tuple[int, int]:
        before = connection.execute(count).scalar_one()
        looked.set()
        assert written.wait(60)
        return before, connection.execute(count).scalar_one()

    reading = asyncio.create_task(store.read_snapshot(look_twice))
    assert await asyncio.to_thread(looked.wait, 60)
    opened = create_engine(parse_url(database_url), write=True, size=1)
    with opened.begin() as connection:
        connection.execute(
            schema.chore.insert().values(name="a", owner="", lease_until=0, done_at=0)
        )
    opened.dispose()
    written.set()
    assert await reading == (0, 0)
    assert (await store.fetch(count))[0][0] == 1


async def test_durability_is_what_was_promised(sqlite_url: str, postgres_url: str) -> None:
    from core.db.connections import open_postgres, open_sqlite

    file = open_sqlite(parse_url(sqlite_url), write=True)
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
    found = [file.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    file.close()
    assert found == ["wal", 2, 1, 1]
    assert sqlite.sqlite_version_info >= (3, 51, 3)
    server = open_postgres(parse_url(postgres_url))
    settings = ("synchronous_commit", "transaction_isolation", "statement_timeout")
    shown = [server.execute(f"SHOW {name}").fetchone()[0] for name in settings]  # type: ignore[call-overload,index]
    server.close()
    assert shown == ["on", "read committed", "30s"]


def test_the_revisions_that_are_named_are_the_scripts_that_there_are() -> None:
    found = [script.revision for script in load_scripts().walk_revisions()]
    assert list(REVISIONS) == found[::-1]
