"""Brings a database to this version by Alembic, and checks what a database is before it is used."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from core.clock import Clock
from core.db import connections, schema
from core.db.connections import DatabaseAddress
from core.db.errors import (
    DatabaseUnavailable,
    ForeignDatabase,
    NeedsMigration,
    NewerDatabase,
    WrongDatabaseKind,
)

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

DatabaseKind = Literal["live", "demo"]

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
    "0017",
    "0018",
    "0019",
    "0020",
    "0022",
    "0021",
    "0023",
    "0024",
    "0025",
    "0026",
    "0029",
    "0030",
    "0031",
    "0032",
    "0033",
    "0034",
)
#: Any number will do, as long as every version of the product uses this one.
_POSTGRES_LOCK = 0x6372_6564_6974


@dataclass(frozen=True, slots=True)
class _DatabaseVersion:
    """A database has a revision (None when it is empty) and a kind (None when it has none yet)."""

    revision: str | None
    kind: str | None


async def migrate(url: str, kind: DatabaseKind, clock: Clock) -> None:
    """Brings the database at `url` to this version, and gives it `kind` where it is new.

    Raises ForeignDatabase, NewerDatabase, WrongDatabaseKind or DatabaseUnavailable; then nothing
    changed.
    """
    await asyncio.to_thread(upgrade_database, connections.parse_url(url), kind, clock)


def upgrade_database(address: DatabaseAddress, kind: DatabaseKind, clock: Clock) -> None:
    """`migrate`, on the caller's thread: all steps in one transaction, one process at a time."""
    if address.dialect == "sqlite" and address.file.exists():
        # A connection that may write changes the file's mode and format: check without it first.
        _check_version(_inspect_read_only(address), kind, address)
    engine = connections.create_engine(address, write=True, size=1)
    try:
        with engine.begin() as connection:
            if address.dialect == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_LOCK)))
            found = _inspect(connection, address)
            _check_version(found, kind, address)
            if found.revision != REVISIONS[-1]:
                run_migrations(connection)
            if found.kind is None:
                born = {"product": _PRODUCT, "kind": kind, "born_at": str(clock.now_ms())}
                rows = [{"name": name, "value": value} for name, value in born.items()]
                connection.execute(schema.meta.insert(), rows)
    except _get_driver_errors() as error:
        raise _translate_error(error, address) from None
    finally:
        engine.dispose()


def check_database(engine: sa.Engine, address: DatabaseAddress, kind: DatabaseKind | None) -> str:
    """The kind of a database that is ready for use.

    Raises ForeignDatabase, NewerDatabase, WrongDatabaseKind, NeedsMigration or DatabaseUnavailable.
    """
    try:
        with engine.begin() as connection:
            found = _inspect(connection, address)
    except _get_driver_errors() as error:
        raise _translate_error(error, address) from None
    _check_version(found, kind, address)
    if found.kind is None or found.revision != REVISIONS[-1]:
        raise NeedsMigration(address.display_name)
    return found.kind


def _inspect_read_only(address: DatabaseAddress) -> _DatabaseVersion:
    engine = connections.create_engine(address, write=False, size=1)
    try:
        with engine.begin() as connection:
            return _inspect(connection, address)
    except _get_driver_errors() as error:
        raise _translate_error(error, address) from None
    finally:
        engine.dispose()


def _inspect(connection: sa.Connection, address: DatabaseAddress) -> _DatabaseVersion:
    tables = set(sa.inspect(connection).get_table_names())
    if not tables:
        return _DatabaseVersion(None, None)
    if not {"meta", "alembic_version"} <= tables:
        raise ForeignDatabase(address.display_name)
    try:
        revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        rows = connection.execute(sa.select(schema.meta.c.name, schema.meta.c.value))
        meta = {row.name: row.value for row in rows}
    except (sa.exc.OperationalError, sa.exc.ProgrammingError):
        raise ForeignDatabase(address.display_name) from None
    if meta.get("product") != _PRODUCT:
        raise ForeignDatabase(address.display_name)
    return _DatabaseVersion(revision, meta.get("kind"))


def _get_driver_errors() -> tuple[type[Exception], ...]:
    return (*connections.get_driver_errors(), sa.exc.DBAPIError)


def _check_version(
    found: _DatabaseVersion, kind: DatabaseKind | None, address: DatabaseAddress
) -> None:
    if found.revision is not None and found.revision not in REVISIONS:
        raise NewerDatabase(address.display_name)
    if kind is not None and found.kind not in {None, kind}:
        raise WrongDatabaseKind(found=str(found.kind), wanted=kind)


def _translate_error(error: Exception, address: DatabaseAddress) -> Exception:
    driver_error = error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig else error
    if "not a database" in str(driver_error):
        return ForeignDatabase(address.display_name)
    return DatabaseUnavailable(address.display_name)


def load_scripts() -> ScriptDirectory:
    """The migrations, as Alembic knows them. Alembic is imported here, when it is needed at all:
    databases are seldom old."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(__file__).parent / "migrations"))


def run_migrations(connection: sa.Connection, target_revision: str = "") -> None:
    """Runs every migration from the database's revision to another, the newest by default."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    directory = load_scripts()
    head = target_revision or REVISIONS[-1]

    def steps(revision: object, _context: object) -> object:
        return directory._upgrade_revs(head, revision)  # type: ignore[arg-type] # noqa: SLF001

    with EnvironmentContext(Config(), directory, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()
