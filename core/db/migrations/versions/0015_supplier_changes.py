"""What suppliers take, changes of it, overrides, demand, bounds of prices."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0016"
branch_labels = None
depends_on = None

TEXT, BIG, INT = sa.Text(), sa.BigInteger(), sa.Integer()


def _required(name: str, kind: sa.types.TypeEngine[Any], **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **more)


def upgrade() -> None:
    """Adds the tables."""
    op.create_table(
        "supplier_cost",
        _required("model", TEXT),
        _required("provider", TEXT),
        _required("level", TEXT),
        _required("at", BIG),
        sa.PrimaryKeyConstraint("model", "provider", name="pk_supplier_cost"),
    )
    op.create_table(
        "supplier_change",
        _required("id", TEXT),
        _required("model", TEXT),
        _required("provider", TEXT),
        _required("why", TEXT),
        _required("old", TEXT),
        _required("new", TEXT),
        _required("version", INT),
        _required("raised_at", BIG),
        _required("state", TEXT),
        sa.Column("decided_at", BIG),
        _required("decided_by", TEXT),
        _required("price", TEXT),
        sa.Column("until", BIG),
        sa.Column("cap", BIG),
        _required("lost", BIG),
        sa.Column("counted_to", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_supplier_change"),
    )
    waiting = sa.text("state IN ('open', 'absorbed')")
    op.create_index(
        "ix_supplier_change_state",
        "supplier_change",
        ["state"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_table(
        "supplier_override",
        _required("provider", TEXT),
        _required("model", TEXT),
        _required("rates", TEXT),
        _required("by", TEXT),
        _required("at", BIG),
        sa.PrimaryKeyConstraint("provider", "model", name="pk_supplier_override"),
    )
    op.create_table(
        "demand",
        _required("model", TEXT),
        _required("smoothed", INT),
        _required("factor", INT),
        _required("at", BIG),
        sa.PrimaryKeyConstraint("model", name="pk_demand"),
    )
    op.create_table(
        "price_bound",
        _required("model", TEXT),
        _required("percent", INT),
        _required("by", TEXT),
        _required("at", BIG),
        sa.PrimaryKeyConstraint("model", name="pk_price_bound"),
    )
