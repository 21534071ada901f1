"""Why a database can't be used. Its address is always shown without the password."""

from __future__ import annotations

from typing import ClassVar

from core.errors import Refusal


class DatabaseRefusal(Refusal):
    """The database at `database` can't be used as asked; nothing in it was changed."""

    def __init__(self, database: str) -> None:
        self.database = database


class ForeignDatabase(DatabaseRefusal):
    """The address holds a database or a file that isn't this product's."""

    code: ClassVar[str] = "foreign_database"


class NewerDatabase(DatabaseRefusal):
    """The database was written by a newer version of the product."""

    code: ClassVar[str] = "newer_database"


class NeedsMigration(DatabaseRefusal):
    """The database is empty or of an older version, and this command may not change that."""

    code: ClassVar[str] = "needs_migration"


class DatabaseUnavailable(DatabaseRefusal):
    """The database can't be reached, opened or read now."""

    code: ClassVar[str] = "database_unavailable"


class DatabaseExists(DatabaseRefusal):
    """A file that would be overwritten is there already."""

    code: ClassVar[str] = "database_exists"


class OnlySqlite(DatabaseRefusal):
    """The command works on SQLite files only; PostgreSQL has its own tools for it."""

    code: ClassVar[str] = "only_sqlite"


class WrongDatabaseKind(Refusal):
    """A live database was to be used as a demo's, or a demo's as a live one."""

    code: ClassVar[str] = "wrong_kind"

    def __init__(self, found: str, wanted: str) -> None:
        self.found, self.wanted = found, wanted
