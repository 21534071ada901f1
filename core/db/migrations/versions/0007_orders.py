"""Orders, payments, refunds, what gateways tell of them, and what people are told of it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TEXT, BIG = sa.Text(), sa.BigInteger()


def _required(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    """Adds the tables of payments."""
    op.create_table(
        "order",
        _required("id", TEXT),
        _required("person", TEXT),
        _required("place", TEXT),
        _required("shown_in", TEXT),
        _required("gateway", TEXT),
        sa.Column("external", TEXT),
        _required("url", TEXT),
        _required("unit", TEXT),
        _required("amount", BIG),
        _required("value", BIG),
        _required("state", TEXT),
        _required("paid", BIG),
        _required("refunded", BIG),
        _required("bought", BIG),
        _required("bonus", BIG),
        sa.Column("dispute", TEXT),
        _required("dispute_state", TEXT),
        _required("created_at", BIG),
        _required("expires_at", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_order"),
        sa.UniqueConstraint("gateway", "external", name="uq_order_gateway_external"),
    )
    op.create_index("ix_order_person_id", "order", ["person", "id"])
    is_open = sa.text("state IN ('created', 'pending')")
    op.create_index(
        "ix_order_open", "order", ["expires_at"], sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_table(
        "order_event",
        _required("id", TEXT),
        _required("order", TEXT),
        _required("at", BIG),
        _required("what", TEXT),
        _required("facts", TEXT),
        sa.PrimaryKeyConstraint("id", name="pk_order_event"),
    )
    op.create_index("ix_order_event_order", "order_event", ["order"])
    op.create_table(
        "payment",
        _required("gateway", TEXT),
        _required("external", TEXT),
        _required("id", TEXT),
        _required("order", TEXT),
        _required("unit", TEXT),
        _required("amount", BIG),
        _required("fee", BIG),
        _required("at", BIG),
        sa.PrimaryKeyConstraint("gateway", "external", name="pk_payment"),
        sa.UniqueConstraint("id", name="uq_payment_id"),
    )
    op.create_index("ix_payment_order", "payment", ["order"])
    op.create_table(
        "refund",
        _required("gateway", TEXT),
        _required("external", TEXT),
        _required("order", TEXT),
        _required("amount", BIG),
        _required("at", BIG),
        sa.Column("failed_at", BIG),
        sa.PrimaryKeyConstraint("gateway", "external", name="pk_refund"),
    )
    op.create_index("ix_refund_order", "refund", ["order"])
    op.create_table(
        "webhook",
        _required("id", TEXT),
        _required("gateway", TEXT),
        _required("received_at", BIG),
        sa.Column("sealed", sa.LargeBinary()),
        _required("tries", sa.Integer()),
        sa.Column("due_at", BIG),
        _required("verdict", TEXT),
        sa.PrimaryKeyConstraint("id", name="pk_webhook"),
    )
    op.create_index("ix_webhook_received_at", "webhook", ["received_at"])
    op.create_table(
        "notice",
        _required("id", TEXT),
        _required("person", TEXT),
        _required("kind", TEXT),
        _required("data", TEXT),
        _required("created_at", BIG),
        _required("tries", sa.Integer()),
        sa.Column("due_at", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_notice"),
    )
    is_due = sa.text("due_at IS NOT NULL")
    for table in ("webhook", "notice"):
        op.create_index(
            f"ix_{table}_due", table, ["due_at"], sqlite_where=is_due, postgresql_where=is_due
        )
