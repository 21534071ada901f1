"""Pictures beside files' texts, and who lets whose keys see them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()


def upgrade() -> None:
    """Adds columns that are empty so far: nobody has been asked yet, no contribution takes files,
    and the offers' threshold is everybody's."""
    op.add_column("attachment", sa.Column("small", sa.LargeBinary()))
    op.add_column("person", sa.Column("shares_files", sa.Boolean()))
    op.add_column("person", sa.Column("offer_from", BIG))
    op.add_column("contribution", sa.Column("takes_files", sa.Boolean()))
