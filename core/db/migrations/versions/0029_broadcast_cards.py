"""Which card tells how far a broadcast is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns, empty: it isn't known."""
    for name in ("place", "shown_in"):
        op.add_column("broadcast", sa.Column(name, sa.Text(), nullable=False, server_default=""))
