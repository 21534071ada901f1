"""How much somebody lets themselves spend in a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column, empty: no limit."""
    op.add_column("person", sa.Column("daily_limit", sa.BigInteger()))
