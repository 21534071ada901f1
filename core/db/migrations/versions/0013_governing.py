"""Switches, limits, alerts, broadcasts; owners get roles."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0009"
branch_labels = None
depends_on = None

TEXT, BIG, INT = sa.Text(), sa.BigInteger(), sa.Integer()


def _required(name: str, kind: sa.types.TypeEngine[Any], **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **more)


def upgrade() -> None:
    """Adds the tables, and what an owner may do."""
    op.add_column("owner", _required("role", TEXT, server_default="owner"))
    op.create_table(
        "switch",
        _required("what", TEXT),
        _required("sentence", TEXT),
        _required("since", BIG),
        _required("by", TEXT),
        sa.PrimaryKeyConstraint("what", name="pk_switch"),
    )
    op.create_table(
        "allowance",
        _required("subject", TEXT),
        sa.Column("per_minute", INT),
        sa.Column("at_once", INT),
        sa.Column("per_day", BIG),
        sa.Column("blocked_at", BIG),
        _required("reason", TEXT),
        _required("by", TEXT),
        _required("at", BIG),
        sa.PrimaryKeyConstraint("subject", name="pk_allowance"),
    )
    op.create_table(
        "alert",
        _required("id", TEXT),
        _required("told_at", BIG),
        _required("muted_until", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_alert"),
    )
    op.create_table(
        "broadcast",
        _required("id", TEXT),
        _required("text", TEXT),
        _required("by", TEXT),
        _required("created_at", BIG),
        _required("state", TEXT),
        _required("reached", TEXT),
        _required("total", INT),
        _required("sent", INT),
        _required("failed", INT),
        sa.PrimaryKeyConstraint("id", name="pk_broadcast"),
    )
    sending = sa.text("state = 'sending'")
    op.create_index(
        "uq_broadcast_sending",
        "broadcast",
        ["state"],
        unique=True,
        sqlite_where=sending,
        postgresql_where=sending,
    )
