"""Audio is written down: an ask and its usage know its seconds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a column to both."""
    op.add_column("ask", sa.Column("seconds", sa.BigInteger()))
    op.add_column("usage", sa.Column("seconds", sa.BigInteger()))
