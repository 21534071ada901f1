"""Fixtures that every test may use."""

from __future__ import annotations

from tests.databases import (
    clock,
    database_url,
    ledger,
    postgres,
    postgres_template,
    postgres_url,
    sqlite_template,
    sqlite_url,
    store,
)

__all__ = [
    "clock",
    "database_url",
    "ledger",
    "postgres",
    "postgres_template",
    "postgres_url",
    "sqlite_template",
    "sqlite_url",
    "store",
]
