"""What of an ask's prompt are pictures, for asks whose process dies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a column that is empty so far: asks of before cost the same for every kind."""
    op.add_column("ask", sa.Column("picture_tokens", sa.BigInteger()))
