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
from core.db.writes import Companion, Delete, Insert, Update, UpdateAll

LEDGER_TABLES = frozenset({"meta", "account", "submission", "transfer", "hold", "closing"})
_INT_MAX = (1 << 63) - 1


class Prepared(NamedTuple):
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
    takes: tuple[frozenset[type[Any]], ...]
    #: The columns of the primary key.
    key: tuple[str, ...]


class Statements:
    """The companions' statements are prepared for one dialect; each shape is worked out once."""

    def __init__(self, dialect: Dialect) -> None:
        self._mark = "?" if dialect == "sqlite" else "%s"
        self._shapes: dict[tuple[Any, ...], _Shape] = {}

    def prepare(self, companions: Iterable[Companion]) -> tuple[Prepared, ...]:
        """The statements of `companions`, in order."""
        return tuple([_PREPARE[type(one)](self, one) for one in companions])

    def insert(self, one: Insert) -> Prepared:
        """The companion as an INSERT."""
        row, table = one.row, one.table
        known = (Insert, table.name, one.ignore, *row)
        shape = self._shapes.get(known)
        if shape is None:
            takes = _takes(table, row)
            missing = {c.name for c in table.columns if not c.nullable} - row.keys()
            if missing:
                raise ValueError(f"{table.name}: {sorted(missing)} must be given")
            marks = ", ".join([self._mark] * len(row))
            tail = " ON CONFLICT DO NOTHING" if one.ignore else ""
            text = f"INSERT INTO {_quoted(table.name)} ({_list(row)}) VALUES ({marks}){tail}"  # noqa: S608
            shape = self._shapes[known] = _Shape(text, takes, _key_of(table))
        values = tuple(row.values())
        _check(table, row, values, shape.takes)
        key = "\0".join([str(row[name]) for name in shape.key])
        return Prepared(table.name, key, shape.sql, values, False)

    def update(self, one: Update) -> Prepared:
        """The companion as an UPDATE of one row."""
        table = one.table
        expected, counts = _expectations(table, one.expect)
        known = (Update, table.name, *one.key, None, *one.change, None, *counts)
        shape = self._shapes.get(known)
        if shape is None:
            takes = _takes(table, (*one.change, *one.key, *one.expect))
            if one.key.keys() != set(_key_of(table)) or not one.change:
                raise ValueError(f"{table.name}: a change of one row by its primary key")
            sets = ", ".join([f"{_quoted(name)} = {self._mark}" for name in one.change])
            tests = [f"{_quoted(name)} = {self._mark}" for name in one.key]
            tests += [self._test(name, count) for name, count in counts]
            text = f"UPDATE {_quoted(table.name)} SET {sets} WHERE {' AND '.join(tests)}"  # noqa: S608
            shape = self._shapes[known] = _Shape(text, takes, _key_of(table))
        values = (*one.change.values(), *one.key.values())
        _check(table, (*one.change, *one.key), values, shape.takes)
        key = "\0".join([str(one.key[name]) for name in shape.key])
        return Prepared(table.name, key, shape.sql, values + expected, True)

    def update_all(self, one: UpdateAll) -> Prepared:
        """The companion as an UPDATE of all rows that match."""
        table = one.table
        expected, counts = _expectations(table, one.where)
        known = (UpdateAll, table.name, *one.change, None, *counts)
        shape = self._shapes.get(known)
        if shape is None:
            takes = _takes(table, (*one.change, *one.where))
            if not one.where or not one.change:
                raise ValueError(f"{table.name}: a change names its rows and columns")
            sets = ", ".join([f"{_quoted(name)} = {self._mark}" for name in one.change])
            tests = " AND ".join([self._test(name, count) for name, count in counts])
            text = f"UPDATE {_quoted(table.name)} SET {sets} WHERE {tests}"  # noqa: S608
            shape = self._shapes[known] = _Shape(text, takes, ())
        values = tuple(one.change.values())
        _check(table, one.change, values, shape.takes)
        return Prepared(table.name, "", shape.sql, values + expected, False)

    def delete(self, one: Delete) -> Prepared:
        """The companion as a DELETE of all rows that match."""
        table = one.table
        expected, counts = _expectations(table, one.where)
        known = (Delete, table.name, *counts)
        shape = self._shapes.get(known)
        if shape is None:
            takes = _takes(table, one.where)
            if not one.where:
                raise ValueError(f"{table.name}: a deletion names its rows")
            tests = " AND ".join([self._test(name, count) for name, count in counts])
            text = f"DELETE FROM {_quoted(table.name)} WHERE {tests}"  # noqa: S608
            shape = self._shapes[known] = _Shape(text, takes, ())
        return Prepared(table.name, "", shape.sql, expected, False)

    def _test(self, name: str, count: int) -> str:
        if count == 0:
            return f"{_quoted(name)} IS NULL"
        if count == 1:
            return f"{_quoted(name)} = {self._mark}"
        return f"{_quoted(name)} IN ({', '.join([self._mark] * count)})"


_PREPARE: dict[type[Companion], Any] = {
    Insert: Statements.insert,
    Update: Statements.update,
    UpdateAll: Statements.update_all,
    Delete: Statements.delete,
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
            _check(table, (name,), (option,), (_taken(table, name),))
        values.extend(options)
        counts.append((name, len(options)))
    return tuple(values), counts


_ACCEPTED: dict[type[Any], frozenset[type[Any]]] = {
    sa.Text: frozenset({str, type(None)}),
    sa.Integer: frozenset({int, type(None)}),
    sa.BigInteger: frozenset({int, type(None)}),
    sa.Boolean: frozenset({bool, type(None)}),
    sa.LargeBinary: frozenset({bytes, type(None)}),
}


@cache
def _taken(table: sa.Table, name: str) -> frozenset[type[Any]]:
    """The types that a column accepts; raises ValueError for a table of the ledger, or when there
    is no such column."""
    if table.name in LEDGER_TABLES:
        raise ValueError(f"{table.name} is written by the ledger alone")
    if name not in table.columns:
        raise ValueError(f"{table.name}: no column {name}")
    return _ACCEPTED[type(table.columns[name].type)]


def _takes(table: sa.Table, names: Iterable[str]) -> tuple[frozenset[type[Any]], ...]:
    return tuple([_taken(table, name) for name in names])


def _check(
    table: sa.Table,
    names: Iterable[str],
    values: tuple[Any, ...],
    takes: tuple[frozenset[type[Any]], ...],
) -> None:
    # `accepted` may be longer: an update's expectations were checked before.
    for name, value, taken in zip(names, values, takes, strict=False):
        kind = type(value)
        if kind not in taken:
            raise ValueError(f"{table.name}.{name}: no {kind.__name__} goes there")
        if kind is str:
            if "\0" in value:
                # PostgreSQL can't keep it, SQLite's own functions stop at it.
                raise ValueError(f"{table.name}.{name}: a text with a NUL character")
            if not value.isascii():
                value.encode()  # half a surrogate pair can't be written either
        elif kind is int and not -_INT_MAX <= value <= _INT_MAX:
            raise ValueError(f"{table.name}.{name}: past 64 bits")


def _key_of(table: sa.Table) -> tuple[str, ...]:
    return tuple([column.name for column in table.primary_key])


def _quoted(name: str) -> str:
    return f'"{name}"'


def _list(names: Iterable[str]) -> str:
    return ", ".join([_quoted(name) for name in names])
