"""Refunds say of which payment they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column, empty in older rows: those are taken for the newest payments'."""
    op.add_column("refund", sa.Column("payment", sa.Text()))
