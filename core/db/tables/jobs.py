"""The tables of `core.jobs`, and of what every room has written by `core.notification` and
`core.admin_log`: jobs (`chore`), notifications (`notice`), the admin log.
"""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, partial_index, required_column

#: Notifications: what a person is told without having asked. Each is delivered at least once.
notice = sa.Table(
    "notice",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("person", sa.Text),
    required_column("kind", sa.Text),
    #: JSON of what its words are made of.
    required_column("data", sa.Text),
    required_column("created_at", sa.BigInteger),
    required_column("tries", sa.Integer),
    #: When it is delivered (next); null once it was, or was given up.
    sa.Column("due_at", sa.BigInteger),
    partial_index("ix_notice_due", "due_at", "due_at IS NOT NULL"),
)

chore = sa.Table(
    "chore",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    required_column("owner", sa.Text),
    required_column("lease_until", sa.BigInteger),
    required_column("done_at", sa.BigInteger),
)

#: Append-only: who did what, with what was before and after.
admin_log = sa.Table(
    "admin_log",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("at", sa.BigInteger),
    required_column("actor", sa.Text),
    required_column("act", sa.Text),
    required_column("before", sa.Text),
    required_column("after", sa.Text),
)
