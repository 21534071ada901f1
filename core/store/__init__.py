"""The store: schema, migrations, connections, reads, backups. Only `core.ledger` writes rows."""

from __future__ import annotations

from core.store.companions import Companion, Delete, Insert, Update, UpdateAll
from core.store.copies import backup, restore
from core.store.errors import (
    DatabaseExists,
    DatabaseUnavailable,
    ForeignDatabase,
    NeedsMigration,
    NewerDatabase,
    OnlySqlite,
    StoreRefusal,
    WrongKind,
)
from core.store.migrating import Kind, migrate
from core.store.store import Store

__all__ = [
    "Companion",
    "DatabaseExists",
    "DatabaseUnavailable",
    "Delete",
    "ForeignDatabase",
    "Insert",
    "Kind",
    "NeedsMigration",
    "NewerDatabase",
    "OnlySqlite",
    "Store",
    "StoreRefusal",
    "Update",
    "UpdateAll",
    "WrongKind",
    "backup",
    "migrate",
    "restore",
]
