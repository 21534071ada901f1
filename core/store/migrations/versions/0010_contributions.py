"""Contributions: their terms; and of each answer's charge the part that was paid for or earned."""

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
    """Adds the table of contributions and a column of usage."""
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
