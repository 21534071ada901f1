"""Gateways' movements beside the books, and orders that are asked about for as long as money can
come or go back.
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

#: Money of older orders neither comes nor goes back any more (180 days).
_CHECKED_MS = 180 * 86_400_000


def upgrade() -> None:
    """Adds the tables, and has every order of the last 180 days asked about. Lists are read from
    their beginning once more, for the movements in them."""
    op.add_column("order", sa.Column("check_at", sa.BigInteger()))
    order = sa.table("order", sa.column("check_at"), sa.column("created_at"))
    since = time.time_ns() // 1_000_000 - _CHECKED_MS
    op.execute(
        order.update().where(order.c.created_at >= since).values(check_at=order.c.created_at)
    )
    is_due = sa.text("check_at IS NOT NULL")
    op.create_index(
        "ix_order_check", "order", ["check_at"], sqlite_where=is_due, postgresql_where=is_due
    )
    op.add_column("listing", sa.Column("read_at", sa.BigInteger()))
    op.execute(sa.table("listing").delete())
    op.create_table(
        "movement",
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("external", sa.Text(), nullable=False),
        sa.Column("payment", sa.Text(), nullable=False),
        sa.Column("order", sa.Text()),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "kind", "external", name="pk_movement"),
    )
    op.create_index("ix_movement_at", "movement", ["at"])
    op.create_table(
        "difference",
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("order", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("there", sa.BigInteger(), nullable=False),
        sa.Column("booked", sa.BigInteger(), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "order", name="pk_difference"),
    )
    op.create_table(
        "unmatched_payment",
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("external", sa.Text(), nullable=False),
        sa.Column("order", sa.Text(), nullable=False),
        sa.Column("payer", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("gateway", "external", name="pk_unmatched_payment"),
    )
    op.create_index("ix_unmatched_payment_found_at", "unmatched_payment", ["found_at"])
