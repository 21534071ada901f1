"""Companions as SQL: checked against their table, with the statement's text made once per shape.

What can't be right (an unknown column, a value of another type) is the caller's bug and raises
ValueError before it queues; no message holds a value, for values may be private.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from core.db.connections import Dialect
from core.db.writes import Add, Companion, Delete, Insert, Update, UpdateAll

LEDGER_TABLES = frozenset({"meta", "account", "submission", "transfer", "hold", "closing"})
_INT_MAX = (1 << 63) - 1


class PreparedStatement(NamedTuple):
    """A prepared statement carries out one companion; the writer only runs it."""

    table: str
    #: The row's primary key as text, by which statements are sorted for a common order of locks.
    key: str
    sql: str
    values: tuple[Any, ...]
    #: Whether exactly one row must have changed.
    must_change: bool


class _Shape(NamedTuple):
    """Companions of one shape share a statement's text; their values have the same types."""

    sql: str
    #: For each value the set of its types, in the values' order.
    accepted: tuple[frozenset[type[Any]], ...]
    #: The columns of the primary key.
    key: tuple[str, ...]


class CompanionStatements:
    """The companions' statements are prepared for one dialect; each shape is worked out once."""

    def __init__(self, dialect: Dialect) -> None:
        self._placeholder = "?" if dialect == "sqlite" else "%s"
        self._shapes: dict[tuple[Any, ...], _Shape] = {}

    def prepare(self, companions: Iterable[Companion]) -> tuple[PreparedStatement, ...]:
        """The statements of `companions`, in order."""
        return tuple([_PREPARERS[type(companion)](self, companion) for companion in companions])

    def prepare_insert(self, companion: Insert) -> PreparedStatement:
        """The companion as an INSERT."""
        row, table = companion.row, companion.table
        shape_key = (Insert, table.name, companion.ignore, *row)
        shape = self._shapes.get(shape_key)
        if shape is None:
            accepted = _accepted_types_of_all(table, row)
            missing = {c.name for c in table.columns if not c.nullable} - row.keys()
            if missing:
                raise ValueError(f"{table.name}: {sorted(missing)} must be given")
            placeholders = ", ".join([self._placeholder] * len(row))
            tail = " ON CONFLICT DO NOTHING" if companion.ignore else ""
            text = (
                f"INSERT INTO {_quote(table.name)} ({_quote_all(row)})"  # noqa: S608
                f" VALUES ({placeholders}){tail}"
            )
            shape = self._shapes[shape_key] = _Shape(text, accepted, _primary_key(table))
        values = tuple(row.values())
        _check_values(table, row, values, shape.accepted)
        key = "\0".join([str(row[name]) for name in shape.key])
        return PreparedStatement(table.name, key, shape.sql, values, False)

    def prepare_update(self, companion: Update) -> PreparedStatement:
        """The companion as an UPDATE of one row."""
        table = companion.table
        expected, counts = _expectations(table, companion.expect)
        shape_key = (Update, table.name, *companion.key, None, *companion.change, None, *counts)
        shape = self._shapes.get(shape_key)
        if shape is None:
            accepted = _accepted_types_of_all(
                table, (*companion.change, *companion.key, *companion.expect)
            )
            if companion.key.keys() != set(_primary_key(table)) or not companion.change:
                raise ValueError(f"{table.name}: a change of one row by its primary key")
            assignments = ", ".join(
                [f"{_quote(name)} = {self._placeholder}" for name in companion.change]
            )
            conditions = [f"{_quote(name)} = {self._placeholder}" for name in companion.key]
            conditions += [self._condition(name, count) for name, count in counts]
            text = f"UPDATE {_quote(table.name)} SET {assignments} WHERE {' AND '.join(conditions)}"  # noqa: S608
            shape = self._shapes[shape_key] = _Shape(text, accepted, _primary_key(table))
        values = (*companion.change.values(), *companion.key.values())
        _check_values(table, (*companion.change, *companion.key), values, shape.accepted)
        key = "\0".join([str(companion.key[name]) for name in shape.key])
        return PreparedStatement(table.name, key, shape.sql, values + expected, True)

    def prepare_update_all(self, companion: UpdateAll) -> PreparedStatement:
        """The companion as an UPDATE of all rows that match."""
        table = companion.table
        expected, counts = _expectations(table, companion.where)
        shape_key = (UpdateAll, table.name, *companion.change, None, *counts)
        shape = self._shapes.get(shape_key)
        if shape is None:
            accepted = _accepted_types_of_all(table, (*companion.change, *companion.where))
            if not companion.where or not companion.change:
                raise ValueError(f"{table.name}: a change names its rows and columns")
            assignments = ", ".join(
                [f"{_quote(name)} = {self._placeholder}" for name in companion.change]
            )
            conditions = " AND ".join([self._condition(name, count) for name, count in counts])
            text = f"UPDATE {_quote(table.name)} SET {assignments} WHERE {conditions}"  # noqa: S608
            shape = self._shapes[shape_key] = _Shape(text, accepted, ())
        values = tuple(companion.change.values())
        _check_values(table, companion.change, values, shape.accepted)
        return PreparedStatement(table.name, "", shape.sql, values + expected, False)

    def prepare_add(self, companion: Add) -> PreparedStatement:
        """The companion as an UPDATE of one row's number."""
        table, column, key = companion.table, companion.column, companion.key
        is_bounded = companion.at_most is not None
        shape_key = (Add, table.name, column, is_bounded, *key)
        shape = self._shapes.get(shape_key)
        if shape is None:
            names = (column, *key, *((column, column) if is_bounded else ()))
            accepted = _accepted_types_of_all(table, names)
            if key.keys() != set(_primary_key(table)):
                raise ValueError(f"{table.name}: a change of one row by its primary key")
            number, value = _quote(column), self._placeholder
            conditions = [f"{_quote(name)} = {value}" for name in key]
            if is_bounded:
                conditions.append(f"{number} + {value} <= {value}")
            text = (
                f"UPDATE {_quote(table.name)} SET {number} = {number} + {value}"  # noqa: S608
                f" WHERE {' AND '.join(conditions)}"
            )
            shape = self._shapes[shape_key] = _Shape(text, accepted, _primary_key(table))
        bound = (companion.amount, companion.at_most) if is_bounded else ()
        values = (companion.amount, *key.values(), *bound)
        _check_values(table, (column, *key, column, column), values, shape.accepted)
        row = "\0".join([str(key[name]) for name in shape.key])
        return PreparedStatement(table.name, row, shape.sql, values, True)

    def prepare_delete(self, companion: Delete) -> PreparedStatement:
        """The companion as a DELETE of all rows that match."""
        table = companion.table
        expected, counts = _expectations(table, companion.where)
        shape_key = (Delete, table.name, *counts)
        shape = self._shapes.get(shape_key)
        if shape is None:
            accepted = _accepted_types_of_all(table, companion.where)
            if not companion.where:
                raise ValueError(f"{table.name}: a deletion names its rows")
            conditions = " AND ".join([self._condition(name, count) for name, count in counts])
            text = f"DELETE FROM {_quote(table.name)} WHERE {conditions}"  # noqa: S608
            shape = self._shapes[shape_key] = _Shape(text, accepted, ())
        return PreparedStatement(table.name, "", shape.sql, expected, False)

    def _condition(self, name: str, count: int) -> str:
        if count == 0:
            return f"{_quote(name)} IS NULL"
        if count == 1:
            return f"{_quote(name)} = {self._placeholder}"
        return f"{_quote(name)} IN ({', '.join([self._placeholder] * count)})"


_PREPARERS: dict[type[Companion], Any] = {
    Insert: CompanionStatements.prepare_insert,
    Update: CompanionStatements.prepare_update,
    Add: CompanionStatements.prepare_add,
    UpdateAll: CompanionStatements.prepare_update_all,
    Delete: CompanionStatements.prepare_delete,
}


def _expectations(
    table: sa.Table, expect: Mapping[str, Any]
) -> tuple[tuple[Any, ...], list[tuple[str, int]]]:
    """The values to compare with, and per column how many: none for NULL, several for any of."""
    values: list[Any] = []
    counts = []
    for name, value in expect.items():
        options = value if type(value) is tuple else () if value is None else (value,)
        if type(value) is tuple and (not value or None in value):
            raise ValueError(f"{table.name}.{name}: any of no values, or of NULL")
        for option in options:
            _check_values(table, (name,), (option,), (_accepted_types(table, name),))
        values.extend(options)
        counts.append((name, len(options)))
    return tuple(values), counts


_ACCEPTED_TYPES: dict[type[Any], frozenset[type[Any]]] = {
    sa.Text: frozenset({str, type(None)}),
    sa.Integer: frozenset({int, type(None)}),
    sa.BigInteger: frozenset({int, type(None)}),
    sa.Boolean: frozenset({bool, type(None)}),
    sa.LargeBinary: frozenset({bytes, type(None)}),
}


@cache
def _accepted_types(table: sa.Table, name: str) -> frozenset[type[Any]]:
    """The types that a column accepts; raises ValueError for a table of the ledger, or when there
    is no such column."""
    if table.name in LEDGER_TABLES:
        raise ValueError(f"{table.name} is written by the ledger alone")
    if name not in table.columns:
        raise ValueError(f"{table.name}: no column {name}")
    return _ACCEPTED_TYPES[type(table.columns[name].type)]


def _accepted_types_of_all(
    table: sa.Table, names: Iterable[str]
) -> tuple[frozenset[type[Any]], ...]:
    return tuple([_accepted_types(table, name) for name in names])


def _check_values(
    table: sa.Table,
    names: Iterable[str],
    values: tuple[Any, ...],
    accepted: tuple[frozenset[type[Any]], ...],
) -> None:
    # `accepted` may be longer: an update's expectations were checked before.
    for name, value, types in zip(names, values, accepted, strict=False):
        kind = type(value)
        if kind not in types:
            raise ValueError(f"{table.name}.{name}: no {kind.__name__} goes there")
        if kind is str:
            if "\0" in value:
                # PostgreSQL can't keep it, SQLite's own functions stop at it.
                raise ValueError(f"{table.name}.{name}: a text with a NUL character")
            if not value.isascii():
                value.encode()  # half a surrogate pair can't be written either
        elif kind is int and not -_INT_MAX <= value <= _INT_MAX:
            raise ValueError(f"{table.name}.{name}: past 64 bits")


def _primary_key(table: sa.Table) -> tuple[str, ...]:
    return tuple([column.name for column in table.primary_key])


def _quote(name: str) -> str:
    return f'"{name}"'


def _quote_all(names: Iterable[str]) -> str:
    return ", ".join([_quote(name) for name in names])
