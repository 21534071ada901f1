"""Brings a database to this version by Alembic, and checks what a database is before it is used."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from core.clock import Clock
from core.db import connections, schema
from core.db.connections import Address
from core.db.errors import (
    DatabaseUnavailable,
    ForeignDatabase,
    NeedsMigration,
    NewerDatabase,
    WrongKind,
)

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

Kind = Literal["live", "demo"]

_DRIVER_ERRORS: tuple[type[Exception], ...] = (
    *connections.DRIVER_ERRORS,
    sa.exc.DBAPIError,
)
_PRODUCT = "creditbot"
#: Every revision of the schema, the newest last. Named here so that a start on a database that is
#: up to date costs none of Alembic's 11 MB; a test compares this list with the scripts.
REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0010",
    "0011",
    "0009",
    "0013",
    "0014",
    "0016",
    "0015",
)
#: Any number will do, as long as every version of the product uses this one.
_POSTGRES_LOCK = 0x6372_6564_6974


@dataclass(frozen=True, slots=True)
class _Found:
    """A database has a revision (None when it is empty) and a kind (None when it has none yet)."""

    revision: str | None
    kind: str | None


async def migrate(url: str, kind: Kind, clock: Clock) -> None:
    """Brings the database at `url` to this version, and gives it `kind` where it is new.

    Raises ForeignDatabase, NewerDatabase, WrongDatabaseKind or DatabaseUnavailable; then nothing
    changed.
    """
    await asyncio.to_thread(bring_up, connections.parse(url), kind, clock)


def bring_up(address: Address, kind: Kind, clock: Clock) -> None:
    """`migrate`, on the caller's thread: all steps in one transaction, one process at a time."""
    if address.dialect == "sqlite" and address.file.exists():
        # A connection that may write changes the file's mode and format: check without it first.
        _check(_looked(address), kind, address)
    engine = connections.engine(address, write=True, size=1)
    try:
        with engine.begin() as connection:
            if address.dialect == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_LOCK)))
            found = _look(connection, address)
            _check(found, kind, address)
            if found.revision != REVISIONS[-1]:
                upgrade(connection)
            if found.kind is None:
                born = {"product": _PRODUCT, "kind": kind, "born_at": str(clock.now_ms())}
                rows = [{"name": name, "value": value} for name, value in born.items()]
                connection.execute(schema.meta.insert(), rows)
    except _DRIVER_ERRORS as error:
        raise _blame(error, address) from None
    finally:
        engine.dispose()


def inspect(engine: sa.Engine, address: Address, kind: Kind | None) -> str:
    """The kind of a database that is ready for use.

    Raises ForeignDatabase, NewerDatabase, WrongDatabaseKind, NeedsMigration or DatabaseUnavailable.
    """
    try:
        with engine.begin() as connection:
            found = _look(connection, address)
    except _DRIVER_ERRORS as error:
        raise _blame(error, address) from None
    _check(found, kind, address)
    if found.kind is None or found.revision != REVISIONS[-1]:
        raise NeedsMigration(address.shown)
    return found.kind


def _looked(address: Address) -> _Found:
    engine = connections.engine(address, write=False, size=1)
    try:
        with engine.begin() as connection:
            return _look(connection, address)
    except _DRIVER_ERRORS as error:
        raise _blame(error, address) from None
    finally:
        engine.dispose()


def _look(connection: sa.Connection, address: Address) -> _Found:
    tables = set(sa.inspect(connection).get_table_names())
    if not tables:
        return _Found(None, None)
    if not {"meta", "alembic_version"} <= tables:
        raise ForeignDatabase(address.shown)
    try:
        revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        rows = connection.execute(sa.select(schema.meta.c.name, schema.meta.c.value))
        meta = {row.name: row.value for row in rows}
    except (sa.exc.OperationalError, sa.exc.ProgrammingError):
        raise ForeignDatabase(address.shown) from None
    if meta.get("product") != _PRODUCT:
        raise ForeignDatabase(address.shown)
    return _Found(revision, meta.get("kind"))


def _check(found: _Found, kind: Kind | None, address: Address) -> None:
    if found.revision is not None and found.revision not in REVISIONS:
        raise NewerDatabase(address.shown)
    if kind is not None and found.kind not in {None, kind}:
        raise WrongKind(found=str(found.kind), wanted=kind)


def _blame(error: Exception, address: Address) -> Exception:
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig else error
    if "not a database" in str(cause):
        return ForeignDatabase(address.shown)
    return DatabaseUnavailable(address.shown)


def scripts() -> ScriptDirectory:
    """The migrations, as Alembic knows them. Alembic is imported here, when it is needed at all:
    databases are seldom old."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(__file__).parent / "migrations"))


def upgrade(connection: sa.Connection, to: str = "") -> None:
    """Runs every migration from the database's revision to another, the newest by default."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    directory = scripts()
    head = to or REVISIONS[-1]

    def steps(revision: object, _context: object) -> object:
        return directory._upgrade_revs(head, revision)  # type: ignore[arg-type] # noqa: SLF001

    with EnvironmentContext(Config(), directory, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()
