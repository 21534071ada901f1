"""Companions: writes to other tables that are committed together with a ledger submission.

A package declares what shall become of its own tables; the ledger's writer alone carries it out,
together with transfers or without any (`Ledger.record`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Insert:
    """Inserts a row that must not be there yet; with `ignore`, a row that is there stays as it
    is."""

    table: sa.Table
    row: Mapping[str, Any]
    ignore: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """Changes the one row with this primary `key`, only while it still is as `expect` says."""

    table: sa.Table
    key: Mapping[str, Any]
    change: Mapping[str, Any]
    expect: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Add:
    """Adds an amount, which may be below zero, to a number of the one row with this primary `key`;
    with `at_most`, only while the sum isn't above that."""

    table: sa.Table
    key: Mapping[str, Any]
    column: str
    amount: int
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Removes the rows that match `where`, if any; never from a table of the ledger."""

    table: sa.Table
    where: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UpdateAll:
    """Changes all rows that match `where`, if any; never in a table of the ledger."""

    table: sa.Table
    where: Mapping[str, Any]
    change: Mapping[str, Any]


Companion = Insert | Update | UpdateAll | Add | Delete
