"""Contributions and payouts; and of each answer's charge the part that was paid for or earned."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXT, BIG = sa.Text(), sa.BigInteger()


def _required(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    """Adds the tables of contributions and payouts, and a column of usage."""
    op.create_table(
        "contribution",
        _required("key", TEXT),
        _required("person", TEXT),
        _required("state", TEXT),
        _required("quota", BIG),
        _required("credited", BIG),
        _required("fee", BIG),
        _required("advance", BIG),
        sa.Column("inviter", TEXT),
        _required("inviting", BIG),
        _required("verified", sa.Boolean()),
        _required("requests", BIG),
        sa.Column("organisation", sa.LargeBinary()),
        sa.Column("raises", TEXT),
        _required("consent", TEXT),
        _required("reason", TEXT),
        _required("returned_quota", BIG),
        _required("returned_credits", BIG),
        _required("created_at", BIG),
        sa.Column("opened_at", BIG),
        sa.Column("ended_at", BIG),
        sa.PrimaryKeyConstraint("key", name="pk_contribution"),
    )
    op.create_index("ix_contribution_person", "contribution", ["person"])
    op.create_index("ix_contribution_raises", "contribution", ["raises"])
    lives = sa.text("state IN ('offered', 'open', 'closing')")
    for name, column, unique in (
        ("ix_contribution_open", "state", False),
        ("uq_contribution_organisation", "organisation", True),
    ):
        op.create_index(
            name,
            "contribution",
            [column],
            unique=unique,
            sqlite_where=lives,
            postgresql_where=lives,
        )
    op.add_column("usage", sa.Column("paid", BIG, nullable=False, server_default="0"))
    op.create_index("ix_usage_key_at", "usage", ["key", "at"])
    _payouts()


def _payouts() -> None:
    op.create_table(
        "payout_method",
        _required("id", TEXT),
        _required("sealed", sa.LargeBinary()),
        _required("hint", TEXT),
        _required("changed_at", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_payout_method"),
    )
    op.create_table(
        "payout",
        _required("id", TEXT),
        _required("person", TEXT),
        _required("credits", BIG),
        _required("cash", BIG),
        _required("method", TEXT),
        sa.Column("sealed", sa.LargeBinary()),
        _required("hint", TEXT),
        _required("state", TEXT),
        _required("created_at", BIG),
        _required("state_at", BIG),
        _required("decided_by", TEXT),
        _required("reason", TEXT),
        sa.Column("external", TEXT),
        _required("tries", sa.Integer()),
        sa.Column("due_at", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_payout"),
    )
    op.create_index("ix_payout_person_id", "payout", ["person", "id"])
    waits = sa.text("state IN ('requested', 'approved', 'sent')")
    op.create_index(
        "ix_payout_open", "payout", ["state"], sqlite_where=waits, postgresql_where=waits
    )
    op.create_table(
        "matured",
        _required("id", TEXT),
        _required("person", TEXT),
        _required("credits", BIG),
        _required("at", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_matured"),
    )
    op.create_index("ix_matured_person", "matured", ["person"])
