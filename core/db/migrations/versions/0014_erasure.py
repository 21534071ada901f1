"""People may be erased; their names are known again by a fingerprint only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds what says so."""
    op.add_column("person", sa.Column("erased_at", sa.BigInteger()))
    erased = sa.text("erased_at IS NOT NULL")
    op.create_index(
        "ix_person_erased",
        "person",
        ["erased_at"],
        sqlite_where=erased,
        postgresql_where=erased,
    )
    op.create_table(
        "erased",
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_erased"),
    )
