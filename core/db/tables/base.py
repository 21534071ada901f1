"""The metadata that all tables share, and what their columns and indexes are made with."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BigKey = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def required_column(
    name: str, kind: type[sa.types.TypeEngine[Any]] | sa.types.TypeEngine[Any], **more: Any
) -> sa.Column[Any]:
    """A column that is never NULL."""
    return sa.Column(name, kind, nullable=False, **more)


def partial_index(name: str, column: str, where: str, *, unique: bool = False) -> sa.Index:
    """A partial index: of the rows alone that match `where`."""
    rows = sa.text(where)
    return sa.Index(name, column, unique=unique, sqlite_where=rows, postgresql_where=rows)


#: What this database is: its kind (`live` or `demo`), and what identifies it.
meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    required_column("value", sa.Text),
)
