"""Exact copies of an SQLite database, taken while it is in use, and put back.

A copy is made beside its destination, checked, and only then given the destination's name: what
stands under that name is always whole. Copies have mode 0600, like the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2 as sqlite

from core.db import connections, migrate
from core.db.connections import DatabaseAddress
from core.db.errors import DatabaseExists, DatabaseUnavailable, ForeignDatabase, OnlySqlite

#: Pages that are copied in one step: between steps the service's writer gets its turn.
_STEP_PAGES = 2_000


async def back_up_database(url: str, file: str | Path) -> None:
    """Copies the SQLite database at `url` to the new `file`, as it is at one moment.

    Raises OnlySqlite, DatabaseExists when `file` is there already, DatabaseUnavailable.
    """
    source = _parse_sqlite_url(url)
    if not source.file.exists():
        raise DatabaseUnavailable(source.display_name)
    await asyncio.to_thread(_copy, source, _file_address(file))


async def restore_database(url: str, file: str | Path) -> None:
    """Makes the SQLite database at `url`, which may not be there yet, from the backup `file`.

    Raises OnlySqlite, DatabaseExists, ForeignDatabase when `file` is something else, NewerDatabase,
    DatabaseUnavailable.
    """
    source = _file_address(file)
    if not source.file.exists():
        raise DatabaseUnavailable(source.display_name)
    await asyncio.to_thread(_restore, source, _parse_sqlite_url(url))


def _restore(source: DatabaseAddress, target: DatabaseAddress) -> None:
    engine = connections.create_engine(source, write=False, size=1)
    try:
        migrate.check_database(engine, source, None)
    finally:
        engine.dispose()
    _copy(source, target)


def _parse_sqlite_url(url: str) -> DatabaseAddress:
    address = connections.parse_url(url)
    if address.dialect != "sqlite":
        raise OnlySqlite(address.display_name)
    return address


def _file_address(file: str | Path) -> DatabaseAddress:
    return DatabaseAddress("sqlite", str(file), file=Path(file))


def _copy(source: DatabaseAddress, target: DatabaseAddress) -> None:
    if target.file.exists():
        raise DatabaseExists(target.display_name)
    partial = DatabaseAddress(
        "sqlite", target.display_name, file=target.file.with_name(target.file.name + ".part")
    )
    _remove_files(partial)
    try:
        with contextlib.closing(connections.open_sqlite(source, write=False)) as source_connection:
            _copy_pages(partial, source_connection, source)
        # Not a rename: a file that came to be there meanwhile must not be lost.
        os.link(partial.file, target.file)
        _flush_folder(target.file.parent)
    except FileExistsError:
        raise DatabaseExists(target.display_name) from None
    except (OSError, sqlite.OperationalError) as error:
        raise DatabaseUnavailable(target.display_name) from error
    finally:
        _remove_files(partial)


def _copy_pages(partial: DatabaseAddress, source_connection: Any, source: DatabaseAddress) -> None:
    target = connections.open_sqlite(partial, write=True, create=True)
    with contextlib.closing(target) as target_connection:
        source_connection.backup(target_connection, pages=_STEP_PAGES)
        # One file, nothing beside it: the copy may be moved anywhere.
        target_connection.execute("PRAGMA journal_mode=DELETE").close()
        if target_connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise ForeignDatabase(source.display_name)
    descriptor = os.open(partial.file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_files(partial: DatabaseAddress) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        partial.file.with_name(partial.file.name + ending).unlink(missing_ok=True)
