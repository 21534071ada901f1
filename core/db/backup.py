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
from core.db.connections import Address
from core.db.errors import DatabaseExists, DatabaseUnavailable, ForeignDatabase, OnlySqlite

#: Pages that are copied in one step: between steps the service's writer gets its turn.
_STEP_PAGES = 2_000


async def backup(url: str, file: str | Path) -> None:
    """Copies the SQLite database at `url` to the new `file`, as it is at one moment.

    Raises OnlySqlite, DatabaseExists when `file` is there already, DatabaseUnavailable.
    """
    source = _sqlite(url)
    if not source.file.exists():
        raise DatabaseUnavailable(source.shown)
    await asyncio.to_thread(_copy, source, _named(file))


async def restore(url: str, file: str | Path) -> None:
    """Makes the SQLite database at `url`, which may not be there yet, from the backup `file`.

    Raises OnlySqlite, DatabaseExists, ForeignDatabase when `file` is something else, NewerDatabase,
    DatabaseUnavailable.
    """
    source = _named(file)
    if not source.file.exists():
        raise DatabaseUnavailable(source.shown)
    await asyncio.to_thread(_restore, source, _sqlite(url))


def _restore(source: Address, target: Address) -> None:
    engine = connections.engine(source, write=False, size=1)
    try:
        migrate.inspect(engine, source, None)
    finally:
        engine.dispose()
    _copy(source, target)


def _sqlite(url: str) -> Address:
    address = connections.parse(url)
    if address.dialect != "sqlite":
        raise OnlySqlite(address.shown)
    return address


def _named(file: str | Path) -> Address:
    return Address("sqlite", str(file), file=Path(file))


def _copy(source: Address, target: Address) -> None:
    if target.file.exists():
        raise DatabaseExists(target.shown)
    part = Address("sqlite", target.shown, file=target.file.with_name(target.file.name + ".part"))
    _remove(part)
    try:
        with contextlib.closing(connections.open_sqlite(source, write=False)) as old:
            _fill(part, old, source)
        # Not a rename: a file that came to be there meanwhile must not be lost.
        os.link(part.file, target.file)
        _flush_folder(target.file.parent)
    except FileExistsError:
        raise DatabaseExists(target.shown) from None
    except (OSError, sqlite.OperationalError) as error:
        raise DatabaseUnavailable(target.shown) from error
    finally:
        _remove(part)


def _fill(part: Address, old: Any, source: Address) -> None:
    with contextlib.closing(connections.open_sqlite(part, write=True)) as new:
        old.backup(new, pages=_STEP_PAGES)
        # One file, nothing beside it: the copy may be moved anywhere.
        new.execute("PRAGMA journal_mode=DELETE").close()
        if new.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise ForeignDatabase(source.shown)
    descriptor = os.open(part.file, os.O_RDONLY)
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


def _remove(part: Address) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        part.file.with_name(part.file.name + ending).unlink(missing_ok=True)
