"""Statements that are built and compiled once, for the reads that every question needs.

SQLAlchemy takes longer to build a small statement than a database to answer it. A prepared one is
its text, the order of its parameters, and what its columns need to become Python's values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

_SQLITE = sqlite.dialect()


class PreparedSelect:
    """A prepared select is a module's constant; what changes in it are its bound parameters. Lists
    of a length that isn't known (`in_`) can't be bound."""

    def __init__(self, statement: sa.Select[*tuple[Any, ...]]) -> None:
        self.statement = statement

    @cached_property
    def sqlite(self) -> PreparedText:
        """The statement as SQLite reads it; compiled when it is first asked for."""
        return PreparedText(self.statement, _SQLITE)

    @cached_property
    def postgres(self) -> PreparedText:
        """The same as PostgreSQL reads it."""
        return PreparedText(self.statement, _get_postgres_dialect())


class PreparedText:
    """A statement's text for one kind of database, with how to bind its parameters and read its
    rows."""

    def __init__(self, statement: sa.Select[*tuple[Any, ...]], dialect: sa.Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        if compiled.post_compile_params:
            raise ValueError("a list of unknown length can't be bound in a prepared statement")
        self.text = str(compiled)
        self._constants = {
            name: bound.effective_value
            for bound, name in compiled.bind_names.items()
            if not bound.required
        }
        self._names: Sequence[str] = compiled.positiontup or ()
        columns = statement.selected_columns
        self._metadata = SimpleResultMetaData(list(columns.keys()))
        self._processors = [
            (at, processor)
            for at, column in enumerate(columns)
            if (processor := _find_processor(column.type, dialect)) is not None
        ]

    def bind(self, values: Mapping[str, object]) -> list[object]:
        """The parameters in their order; raises KeyError where one is missing."""
        filled = {**self._constants, **values}
        return [filled[name] for name in self._names]

    def to_rows(self, found: Iterable[Sequence[Any]]) -> Sequence[sa.Row[Any]]:
        """Rows whose columns have names and Python's types."""
        if self._processors:
            found = [self._process(row) for row in found]
        result: IteratorResult[Any] = IteratorResult(self._metadata, iter(found))
        return result.all()

    def _process(self, row: Sequence[Any]) -> tuple[Any, ...]:
        values = list(row)
        for at, processor in self._processors:
            values[at] = processor(values[at])
        return tuple(values)


def _find_processor(
    type_: sa.types.TypeEngine[Any], dialect: sa.Dialect
) -> Callable[[Any], Any] | None:
    return type_.dialect_impl(dialect).result_processor(dialect, None)


@cache
def _get_postgres_dialect() -> sa.Dialect:
    """With parameters as the server itself numbers them. Loaded for whoever has such a database."""
    make: Callable[..., sa.Dialect] = sa.make_url("postgresql+psycopg://").get_dialect()
    return make(paramstyle="numeric_dollar")
