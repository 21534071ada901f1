"""Companions: rows of other rooms that must be true at the same instant as a ledger submission.

A room declares what shall become of its own tables; the ledger's writer alone carries it out, with
the transfers or for itself (`Ledger.record`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Insert:
    """A row that must not be there yet; with `ignore`, one that is there already is left alone."""

    table: sa.Table
    row: Mapping[str, Any]
    ignore: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """Change the one row with this primary `key`, only while it still is as `expect` says."""

    table: sa.Table
    key: Mapping[str, Any]
    change: Mapping[str, Any]
    expect: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the rows that match `where`, if any; never a table of the ledger."""

    table: sa.Table
    where: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UpdateAll:
    """Change all rows that match `where`, if any; never a table of the ledger."""

    table: sa.Table
    where: Mapping[str, Any]
    change: Mapping[str, Any]


Companion = Insert | Update | UpdateAll | Delete
