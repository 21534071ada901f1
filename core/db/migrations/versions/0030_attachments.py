"""The texts of files, apart from the questions that they came with."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

TEXT, BIG, BYTES = sa.Text(), sa.BigInteger(), sa.LargeBinary()


def _required(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    """Adds the table, and which of its rows an ask's marks stand for: none so far, since what was
    asked before has its files' text in its question."""
    op.create_table(
        "attachment",
        _required("id", TEXT),
        _required("person", TEXT),
        _required("ask", TEXT),
        _required("conversation", TEXT),
        _required("kind", TEXT),
        _required("name", BYTES),
        _required("content", BYTES),
        _required("tokens", BIG),
        _required("created_at", BIG),
        _required("expires_at", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_attachment"),
    )
    op.create_index("ix_attachment_ask", "attachment", ["ask", "id"])
    op.create_index("ix_attachment_person", "attachment", ["person"])
    op.create_index("ix_attachment_expires_at", "attachment", ["expires_at"])
    op.add_column("conversation", sa.Column("files_left_out_at", BIG))
    op.add_column("ask", sa.Column("files_of", TEXT))
    op.add_column("ask", sa.Column("file_tokens", BIG))
