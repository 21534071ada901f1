"""Why a database can't be used. Addresses are shown without their password, always."""

from __future__ import annotations

from typing import ClassVar

from core.errors import Refusal


class StoreRefusal(Refusal):
    """The database at `database` can't be used as asked; nothing in it was changed."""

    def __init__(self, database: str) -> None:
        self.database = database


class ForeignDatabase(StoreRefusal):
    """Something else lives there: it isn't this product's database."""

    code: ClassVar[str] = "foreign_database"


class NewerDatabase(StoreRefusal):
    """A newer version of the product wrote it."""

    code: ClassVar[str] = "newer_database"


class NeedsMigration(StoreRefusal):
    """It is empty or of an older version, and this command may not change that."""

    code: ClassVar[str] = "needs_migration"


class DatabaseUnavailable(StoreRefusal):
    """It can't be reached, opened or read now."""

    code: ClassVar[str] = "database_unavailable"


class DatabaseExists(StoreRefusal):
    """A file that would be overwritten is there already."""

    code: ClassVar[str] = "database_exists"


class OnlySqlite(StoreRefusal):
    """The command is for SQLite files; PostgreSQL has its own tools for it."""

    code: ClassVar[str] = "only_sqlite"


class WrongKind(Refusal):
    """A live database was to be used as a demo's, or a demo's as a live one."""

    code: ClassVar[str] = "wrong_kind"

    def __init__(self, found: str, wanted: str) -> None:
        self.found, self.wanted = found, wanted
