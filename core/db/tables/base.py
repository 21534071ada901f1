"""The metadata that all tables share, and what their columns and indexes are made with."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def required(name: str, kind: type[sa.types.TypeEngine] | sa.types.TypeEngine, **more: object):  # type: ignore[no-untyped-def, type-arg]
    """A column that is never NULL."""
    return sa.Column(name, kind, nullable=False, **more)  # type: ignore[arg-type]


def some(name: str, column: str, where: str, *, unique: bool = False) -> sa.Index:
    """A partial index: of the rows alone that match `where`."""
    rows = sa.text(where)
    return sa.Index(name, column, unique=unique, sqlite_where=rows, postgresql_where=rows)


#: What this database is: its kind (`live` or `demo`), and what identifies it.
meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    required("value", sa.Text),
)
