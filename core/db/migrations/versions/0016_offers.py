"""Tiers, promotions and who used them; asks keep what they were offered."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0014"
branch_labels = None
depends_on = None

TEXT, BIG, INT, YES = sa.Text(), sa.BigInteger(), sa.Integer(), sa.Boolean()


def _required(name: str, kind: sa.types.TypeEngine[Any], **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **more)


def upgrade() -> None:
    """Adds the tables, and columns that are empty in every older row."""
    for name, kind in (("input_rate", BIG), ("output_rate", BIG), ("tier", TEXT)):
        op.add_column("ask", sa.Column(name, kind))
    op.add_column("ask", sa.Column("promotion", TEXT))
    cheaper = sa.text("promotion IS NOT NULL")
    op.create_index(
        "ix_ask_promotion", "ask", ["promotion"], sqlite_where=cheaper, postgresql_where=cheaper
    )
    op.add_column("code", sa.Column("promotion", TEXT))
    op.create_index("ix_code_promotion", "code", ["promotion"])
    _tiers()
    _promotions()


def _tiers() -> None:
    op.create_table(
        "tier",
        _required("name", TEXT),
        _required("by", TEXT),
        _required("least", BIG),
        _required("days", INT),
        _required("discount", INT),
        _required("bonus", INT),
        sa.Column("per_minute", INT),
        sa.Column("at_once", INT),
        sa.Column("per_day", BIG),
        _required("made_at", BIG),
        sa.PrimaryKeyConstraint("name", name="pk_tier"),
    )
    op.create_table(
        "tier_given",
        _required("person", TEXT),
        _required("tier", TEXT),
        _required("by", TEXT),
        _required("at", BIG),
        sa.PrimaryKeyConstraint("person", name="pk_tier_given"),
    )


def _promotions() -> None:
    op.create_table(
        "promotion",
        _required("id", TEXT),
        _required("kind", TEXT),
        _required("percent", INT),
        _required("credits", BIG),
        _required("models", TEXT),
        _required("coded", YES),
        _required("starts_at", BIG),
        sa.Column("ends_at", BIG),
        sa.Column("total", INT),
        sa.Column("per_person", INT),
        _required("made_by", TEXT),
        _required("made_at", BIG),
        sa.Column("ended_at", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_promotion"),
    )
    op.create_index("ix_promotion_ended_at", "promotion", ["ended_at"])
    op.create_table(
        "promotion_use",
        _required("promotion", TEXT),
        _required("cause", TEXT),
        _required("person", TEXT),
        sa.Column("place", INT),
        sa.Column("own_place", INT),
        _required("at", BIG),
        sa.PrimaryKeyConstraint("promotion", "cause", name="pk_promotion_use"),
        sa.UniqueConstraint("promotion", "place", name="uq_promotion_use_place"),
        sa.UniqueConstraint("promotion", "person", "own_place", name="uq_promotion_use_own_place"),
    )
    op.create_index("ix_promotion_use_cause", "promotion_use", ["cause"])
    op.create_table(
        "promotion_holder",
        _required("person", TEXT),
        _required("promotion", TEXT),
        _required("at", BIG),
        sa.PrimaryKeyConstraint("person", "promotion", name="pk_promotion_holder"),
    )
