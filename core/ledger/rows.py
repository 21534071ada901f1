"""Companions as SQL: checked against their table once, the statement's text made once per shape.

What can't be right (an unknown column, a value of another type) is the caller's bug and raises
ValueError before it queues; no message holds a value, for values may be private.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from core.store.address import Dialect
from core.store.companions import Companion, Delete, Insert, Update

LEDGER_TABLES = frozenset({"meta", "account", "submission", "transfer", "hold", "closing"})
_INT_MAX = (1 << 63) - 1


class Prepared(NamedTuple):
    """One statement for the writer."""

    table: str
    #: The row it touches, for a common order of locks.
    key: str
    sql: str
    values: tuple[Any, ...]
    #: Whether exactly one row must have changed.
    must_change: bool


class Statements:
    """Prepares companions for one dialect; the texts are kept per table and shape."""

    def __init__(self, dialect: Dialect) -> None:
        self._mark = "?" if dialect == "sqlite" else "%s"
        self._texts: dict[tuple[Any, ...], str] = {}

    def prepare(self, companions: Iterable[Companion]) -> tuple[Prepared, ...]:
        """The statements of `companions`, in order."""
        return tuple([_PREPARE[type(one)](self, one) for one in companions])

    def insert(self, one: Insert) -> Prepared:
        """`one` as an INSERT."""
        row, table = one.row, one.table
        shape = (Insert, table.name, one.ignore, *row)
        text = self._texts.get(shape)
        if text is None:
            _check_columns(table, row)
            missing = {c.name for c in table.columns if not c.nullable} - row.keys()
            if missing:
                raise ValueError(f"{table.name}: {sorted(missing)} must be given")
            marks = ", ".join([self._mark] * len(row))
            tail = " ON CONFLICT DO NOTHING" if one.ignore else ""
            text = f"INSERT INTO {_quoted(table.name)} ({_list(row)}) VALUES ({marks}){tail}"  # noqa: S608
            self._texts[shape] = text
        key = "\0".join([str(row[column.name]) for column in table.primary_key])
        return Prepared(table.name, key, text, _values(table, row), False)

    def update(self, one: Update) -> Prepared:
        """`one` as an UPDATE of one row."""
        table = one.table
        expected, shapes = _expectations(table, one.expect)
        shape = (Update, table.name, *one.key, None, *one.change, None, *shapes)
        text = self._texts.get(shape)
        if text is None:
            _check_columns(table, {**one.key, **one.change, **one.expect})
            if one.key.keys() != {column.name for column in table.primary_key} or not one.change:
                raise ValueError(f"{table.name}: a change of one row by its primary key")
            sets = ", ".join([f"{_quoted(name)} = {self._mark}" for name in one.change])
            tests = [f"{_quoted(name)} = {self._mark}" for name in one.key]
            tests += [self._test(name, count) for name, count in shapes]
            text = f"UPDATE {_quoted(table.name)} SET {sets} WHERE {' AND '.join(tests)}"  # noqa: S608
            self._texts[shape] = text
        values = _values(table, one.change) + _values(table, one.key) + expected
        key = "\0".join([str(one.key[column.name]) for column in table.primary_key])
        return Prepared(table.name, key, text, values, True)

    def delete(self, one: Delete) -> Prepared:
        """`one` as a DELETE."""
        table = one.table
        expected, shapes = _expectations(table, one.where)
        shape = (Delete, table.name, *shapes)
        text = self._texts.get(shape)
        if text is None:
            _check_columns(table, one.where)
            if not one.where:
                raise ValueError(f"{table.name}: a deletion names its rows")
            tests = " AND ".join([self._test(name, count) for name, count in shapes])
            text = f"DELETE FROM {_quoted(table.name)} WHERE {tests}"  # noqa: S608
            self._texts[shape] = text
        return Prepared(table.name, "", text, expected, False)

    def _test(self, name: str, count: int) -> str:
        if count == 0:
            return f"{_quoted(name)} IS NULL"
        if count == 1:
            return f"{_quoted(name)} = {self._mark}"
        return f"{_quoted(name)} IN ({', '.join([self._mark] * count)})"


_PREPARE: dict[type[Companion], Any] = {
    Insert: Statements.insert,
    Update: Statements.update,
    Delete: Statements.delete,
}


def _expectations(
    table: sa.Table, expect: Mapping[str, Any]
) -> tuple[tuple[Any, ...], list[tuple[str, int]]]:
    """The values to compare with, and per column how many: none for NULL, several for any of."""
    values: list[Any] = []
    shapes = []
    for name, value in expect.items():
        options = value if type(value) is tuple else () if value is None else (value,)
        if type(value) is tuple and (not value or None in value):
            raise ValueError(f"{table.name}.{name}: any of no values, or of NULL")
        values.extend(_value(table, name, option) for option in options)
        shapes.append((name, len(options)))
    return tuple(values), shapes


def _check_columns(table: sa.Table, row: Mapping[str, Any]) -> None:
    if table.name in LEDGER_TABLES:
        raise ValueError(f"{table.name} is written by the ledger alone")
    unknown = row.keys() - table.columns.keys()
    if unknown:
        raise ValueError(f"{table.name}: no columns {sorted(unknown)}")


def _values(table: sa.Table, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple([_value(table, name, value) for name, value in row.items()])


_ACCEPTED: dict[type[Any], frozenset[type[Any]]] = {
    sa.Text: frozenset({str, type(None)}),
    sa.Integer: frozenset({int, type(None)}),
    sa.BigInteger: frozenset({int, type(None)}),
    sa.Boolean: frozenset({bool, type(None)}),
    sa.LargeBinary: frozenset({bytes, type(None)}),
}


def _value(table: sa.Table, name: str, value: Any) -> Any:
    kind = type(value)
    column = table.columns.get(name)
    if column is None or kind not in _ACCEPTED[type(column.type)]:
        raise ValueError(f"{table.name}.{name}: no {kind.__name__} goes there")
    if kind is str and "\0" in value:
        # PostgreSQL can't keep it, SQLite's own functions stop at it.
        raise ValueError(f"{table.name}.{name}: a text with a NUL character")
    if kind is str and not value.isascii():
        value.encode()  # half a surrogate pair can't be written either
    if kind is int and not -_INT_MAX <= value <= _INT_MAX:
        raise ValueError(f"{table.name}.{name}: past 64 bits")
    return value


def _quoted(name: str) -> str:
    return f'"{name}"'


def _list(names: Iterable[str]) -> str:
    return ", ".join([_quoted(name) for name in names])
