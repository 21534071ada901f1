"""Connections as this product needs them: durable, bounded in time, private; and a database's
address, taken from its URL and shown without its password.

SQLite goes through `pysqlite3` alone: SQLite before 3.51.3 can corrupt a WAL that several
connections checkpoint, and two copies of SQLite in one process drop each other's file locks.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pysqlite3.dbapi2 as sqlite
import sqlalchemy as sa
from sqlalchemy import pool

from core.db.errors import DatabaseRefusal, DatabaseUnavailable, ForeignDatabase

if TYPE_CHECKING:
    import psycopg

BUSY_TIMEOUT_MS = 10_000
#: 4 MB of WAL between checkpoints. Written over and over it stays in place on the disk; a commit
#: to one that still grows takes half as long again, for the file system writes its own journal too.
AUTOCHECKPOINT_PAGES = 1_000
WAL_FILE_MAX_BYTES = 128 * 1024 * 1024

_COMMON = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA foreign_keys=ON",
)
_WRITER = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    # What is deleted is overwritten: an erased key leaves no trace in the file.
    "PRAGMA secure_delete=ON",
    f"PRAGMA wal_autocheckpoint={AUTOCHECKPOINT_PAGES}",
    f"PRAGMA journal_size_limit={WAL_FILE_MAX_BYTES}",
)


def get_driver_errors() -> tuple[type[Exception], ...]:
    """What a driver raises when the database, not the statement, is at fault or at odds. What isn't
    loaded raises nothing: PostgreSQL's driver is, once such a database is opened."""
    postgres = sys.modules.get("psycopg")
    return (sqlite.Error,) if postgres is None else (sqlite.Error, postgres.Error)


def get_unavailable_errors() -> tuple[type[Exception], ...]:
    """The same, and what opening a connection raises."""
    return (*get_driver_errors(), DatabaseRefusal)


def open_sqlite(address: DatabaseAddress, *, write: bool, create: bool = False) -> Any:
    """A connection in autocommit mode: `BEGIN` is a statement. For one thread at a time. A file
    that isn't there is made if `create` says so: whoever had one and lost it gets no empty one."""
    if write:
        _make_private(address, create=create)
    connection = None
    try:
        connection = sqlite.connect(
            f"file:{_escape_path(address)}?mode={_choose_mode(address)}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        for pragma in _COMMON + (_WRITER if write else ("PRAGMA query_only=ON",)):
            connection.execute(pragma).close()
    except sqlite.Error as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite.DatabaseError) and "not a database" in str(error):
            raise ForeignDatabase(address.display_name) from None
        raise DatabaseUnavailable(address.display_name) from error
    return connection


def _choose_mode(address: DatabaseAddress) -> str:
    """Not `ro`: a reader too may have to make the WAL, and takes it away again; `query_only` keeps
    it honest. But whoever leaves the files alone must not be the last who closes a WAL that a crash
    left: that writes it into the database."""
    wal = address.file.with_name(address.file.name + "-wal")
    return "ro" if address.leaves_alone and wal.exists() else "rw"


def open_postgres(address: DatabaseAddress) -> psycopg.Connection[Any]:
    """A connection in autocommit mode: `BEGIN` is a statement. The driver is loaded here, for
    whoever has such a database."""
    import psycopg

    from core.db.postgres_connection import open_connection

    try:
        return open_connection(address.conninfo)
    except psycopg.Error:
        # libpq's text can repeat the connection text, password included.
        raise DatabaseUnavailable(address.display_name) from None


def create_engine(address: DatabaseAddress, *, write: bool, size: int) -> sa.Engine:
    """A SQLAlchemy engine of at most `size` connections; a transaction begins by `begin` alone."""
    options: dict[str, Any] = {
        "poolclass": pool.QueuePool,
        "pool_size": size,
        "max_overflow": 0,
        "pool_reset_on_return": "rollback",
        "hide_parameters": True,
    }
    if address.dialect == "sqlite":
        new_engine = sa.create_engine(
            "sqlite://",
            module=sqlite,
            creator=lambda: open_sqlite(address, write=write, create=write),
            **options,
        )
        mode = "BEGIN IMMEDIATE" if write else "BEGIN"
        sa.event.listen(new_engine, "begin", lambda conn: conn.exec_driver_sql(mode))
        return new_engine
    return sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: _open_postgres_for_engine(address, write=write),
        **options,
    )


def _open_postgres_for_engine(address: DatabaseAddress, *, write: bool) -> psycopg.Connection[Any]:
    """Whoever only reads has a snapshot that stands still in each transaction: set here once, it
    goes along with each `BEGIN`."""
    import psycopg

    connection = open_postgres(address)
    connection.autocommit = False
    if not write:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
    return connection


def _make_private(address: DatabaseAddress, *, create: bool) -> None:
    """Gives the file mode 0600, and makes it so where it is new; SQLite gives its WAL the same
    mode."""
    try:
        if create:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(address.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        if address.file.stat().st_mode & 0o077:
            address.file.chmod(0o600)
    except OSError as error:
        raise DatabaseUnavailable(address.display_name) from error


def _escape_path(address: DatabaseAddress) -> str:
    text = str(address.file)
    return text.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


Dialect = Literal["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """A database's address is a file for SQLite, and a connection text for PostgreSQL."""

    dialect: Dialect
    #: For people and logs: never with a password.
    display_name: str
    #: The file of an SQLite database.
    file: Path = Path()
    #: What libpq connects with; may hold a password.
    conninfo: str = field(default="", repr=False)
    #: Whether not a byte of the files may change, the WAL's index aside.
    leaves_alone: bool = False


def parse_url(url: str) -> DatabaseAddress:
    """The address in `url`: `sqlite:///x.db`, `sqlite:////abs.db` or `postgresql://…`.

    Raises DatabaseUnavailable for anything else.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise DatabaseUnavailable("unreadable address") from None
    kind = parsed.get_backend_name()
    if kind == "sqlite" and parsed.database and parsed.database != ":memory:":
        file = Path(parsed.database)
        return DatabaseAddress("sqlite", f"sqlite:///{file}", file=file)
    if kind == "postgresql":
        normalized = parsed.set(drivername="postgresql")
        display_name = sa.URL.create(
            "postgresql", parsed.username, None, parsed.host, parsed.port, parsed.database
        ).render_as_string()
        return DatabaseAddress(
            "postgresql", display_name, conninfo=normalized.render_as_string(hide_password=False)
        )
    raise DatabaseUnavailable(f"{kind}: not a database that is supported")
