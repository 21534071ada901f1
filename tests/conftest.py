"""Fixtures that every test may use."""

from __future__ import annotations

import pytest

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Backwards: tests of the whole system are the longest, and a long one that begins last is
    waited for while other processors have nothing to do."""
    items.sort(key=lambda item: item.path, reverse=True)
