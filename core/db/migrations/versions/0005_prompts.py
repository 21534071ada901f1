"""What people are asked for in private and have yet to answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT, BIG = sa.Text(), sa.BigInteger()


def upgrade() -> None:
    """Adds the table of prompts."""
    op.create_table(
        "prompt",
        sa.Column("place", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("data", TEXT, nullable=False),
        sa.Column("form", TEXT, nullable=False),
        sa.Column("expires_at", BIG, nullable=False),
        sa.Column("closed_by", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("place", name="pk_prompt"),
    )
    op.create_index("ix_prompt_expires_at", "prompt", ["expires_at"])
