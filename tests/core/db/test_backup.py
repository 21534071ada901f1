"""Backups: exact, whole or not there, private, taken while the service works."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pysqlite3.dbapi2 as sqlite
import pytest

from core.db.backup import back_up_database, restore_database
from core.db.database import Database
from core.db.errors import DatabaseExists, DatabaseUnavailable, ForeignDatabase, OnlySqlite
from core.ledger.audit import check_ledger
from core.ledger.ledger import Ledger
from tests.core.ledger.accounts import give
from tests.support.databases import TestClock


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_a_copy_taken_while_the_service_works_is_sound(
    sqlite_url: str, clock: TestClock, tmp_path: Path
) -> None:
    store = await Database.open(sqlite_url, kind="live", clock=clock)
    ledger = Ledger(store, clock)
    await ledger.start()
    await ledger.submit(give("before", 1))
    copy = tmp_path / "copy.db"
    working = asyncio.gather(*[ledger.submit(give(f"g{n:04}", 1)) for n in range(500)])
    await back_up_database(sqlite_url, copy)
    await working
    await ledger.stop()
    await store.close()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert names(tmp_path) == ["copy.db", "test.db"]
    url = f"sqlite:///{tmp_path}/again.db"
    await restore_database(url, copy)
    again = await Database.open(url, kind="live", clock=clock)
    found = await check_ledger(again)
    await again.close()
    assert found.findings == ()
    assert 1 <= found.transfers <= 501


async def test_nothing_is_overwritten(sqlite_url: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("mine")
    with pytest.raises(DatabaseExists):
        await back_up_database(sqlite_url, copy)
    assert copy.read_text() == "mine"
    await back_up_database(sqlite_url, tmp_path / "other.db")
    with pytest.raises(DatabaseExists):
        await restore_database(sqlite_url, tmp_path / "other.db")


@pytest.mark.integration
async def test_only_a_backup_is_restored(tmp_path: Path) -> None:
    notes, other = tmp_path / "notes.txt", tmp_path / "other.db"
    notes.write_bytes(b"remember the milk " * 500)
    db = sqlite.connect(str(other))
    db.execute("CREATE TABLE precious (x)")
    db.commit()
    db.close()
    url = f"sqlite:///{tmp_path}/new.db"
    for file in (notes, other):
        with pytest.raises(ForeignDatabase):
            await restore_database(url, file)
    with pytest.raises(DatabaseUnavailable):
        await restore_database(url, tmp_path / "absent.db")
    assert not (tmp_path / "new.db").exists()


async def test_postgresql_has_its_own_tools(tmp_path: Path) -> None:
    with pytest.raises(OnlySqlite):
        await back_up_database("postgresql://someone:hunter2@127.0.0.1:1/db", tmp_path / "copy.db")


async def test_a_place_that_can_not_be_written_is_told(sqlite_url: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        await back_up_database(sqlite_url, "/nowhere/at/all/copy.db")
