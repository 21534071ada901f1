"""The tables of `core.admin`: alerts and broadcasts."""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, partial_index, required_column

#: When operators were last alerted to something, and until when they don't want to be.
alert = sa.Table(
    "alert",
    metadata,
    #: `<what>/<of which model, supplier or the like>`
    sa.Column("id", sa.Text, primary_key=True),
    required_column("told_at", sa.BigInteger),
    required_column("muted_until", sa.BigInteger),
)

#: Broadcasts: what the operator tells everybody, and how far the delivery is.
broadcast = sa.Table(
    "broadcast",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("text", sa.Text),
    required_column("by", sa.Text),
    required_column("created_at", sa.BigInteger),
    #: sending, done, stopped
    required_column("state", sa.Text),
    #: The last person it was queued for; people follow in the order of their ids.
    required_column("reached", sa.Text),
    #: People there were when it began, for how many it was queued, how many it didn't reach.
    required_column("total", sa.Integer),
    required_column("sent", sa.Integer),
    required_column("failed", sa.Integer),
    #: The card that tells how far it is: the chat and the message; empty: that isn't known.
    required_column("place", sa.Text, server_default=""),
    required_column("shown_in", sa.Text, server_default=""),
    #: One at a time.
    partial_index("uq_broadcast_sending", "state", "state = 'sending'", unique=True),
)
