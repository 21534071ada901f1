"""A question as its person edited it since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column, empty: it was not edited."""
    op.add_column("ask", sa.Column("edited", sa.LargeBinary()))
