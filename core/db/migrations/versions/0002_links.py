"""People of two platforms become one: links, and what a merged person became a part of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT, BIG = sa.Text(), sa.BigInteger()


def upgrade() -> None:
    """Adds the table of links and two columns of a person."""
    op.add_column("person", sa.Column("merged_into", TEXT))
    op.add_column("person", sa.Column("merged_at", BIG))
    op.create_index("ix_person_merged_into", "person", ["merged_into"])
    op.create_table(
        "link",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("code_digest", TEXT, nullable=False),
        sa.Column("issuer", TEXT, nullable=False),
        sa.Column("joiner", TEXT),
        sa.Column("expires_at", BIG, nullable=False),
        sa.Column("issuer_agreed_at", BIG),
        sa.Column("joiner_agreed_at", BIG),
        sa.Column("done_at", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_link"),
        sa.UniqueConstraint("code_digest", name="uq_link_code_digest"),
    )
    op.create_index("ix_link_issuer", "link", ["issuer"])
    op.create_index("ix_link_joiner", "link", ["joiner"])
