"""An ask knows a way back to its chat that its platform gave for this once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column."""
    op.add_column("ask", sa.Column("way_back", sa.LargeBinary()))
