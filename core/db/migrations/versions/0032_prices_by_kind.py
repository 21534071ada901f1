"""Prices by kind: what tokens of a cache and of pictures cost beside a prompt's other tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()


def upgrade() -> None:
    """Adds columns that are empty so far: prices of before ask the same for every kind."""
    op.add_column("price", sa.Column("cached_percent", BIG))
    op.add_column("price", sa.Column("picture_percent", BIG))
    op.add_column("usage", sa.Column("picture_tokens", BIG))
