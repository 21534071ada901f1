"""Work that nobody paid for, by the ask that caused it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the table, empty: what was given before counts to nobody's day."""
    op.create_table(
        "unpaid_work",
        sa.Column("ask", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ask", name="pk_unpaid_work"),
    )
    op.create_index("ix_unpaid_work_person_at", "unpaid_work", ["person", "at"])
