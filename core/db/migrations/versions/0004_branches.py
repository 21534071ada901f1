"""Conversations branch: where one began, and which messages show an answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.Text()


def upgrade() -> None:
    """Adds a column of a conversation and the table of shown messages, with what is known of it:
    the last message of each answer."""
    op.add_column("conversation", sa.Column("branched_from", TEXT))
    op.create_table(
        "shown",
        sa.Column("place", TEXT, nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("ask", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("place", "message", name="pk_shown"),
    )
    op.execute(
        "INSERT INTO shown (place, message, ask) SELECT place, shown_in, max(id) FROM ask"
        " WHERE landed_at IS NOT NULL AND shown_in <> '' GROUP BY place, shown_in"
    )
