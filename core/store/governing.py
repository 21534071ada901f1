"""The tables of what the operator allows: switches, limits, what is told to everyone."""

from __future__ import annotations

import sqlalchemy as sa

from core.store.columns import metadata, required, some

#: What is paused now: asks, topups, contributions or payouts. No row: it runs.
switch = sa.Table(
    "switch",
    metadata,
    sa.Column("what", sa.Text, primary_key=True),
    #: What people read meanwhile; empty: a sentence of ours.
    required("sentence", sa.Text),
    required("since", sa.BigInteger),
    required("by", sa.Text),
)

#: Limits that differ from everyone's, of a person or a group; null: as everyone.
allowance = sa.Table(
    "allowance",
    metadata,
    #: `usr_…`, or `<platform>:<chat>` of a group.
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("per_minute", sa.Integer),
    sa.Column("at_once", sa.Integer),
    #: Credits a UTC day.
    sa.Column("per_day", sa.BigInteger),
    #: When it was blocked; null: it isn't.
    sa.Column("blocked_at", sa.BigInteger),
    required("reason", sa.Text),
    required("by", sa.Text),
    required("at", sa.BigInteger),
)

#: What the operator tells everybody, and how far that is.
broadcast = sa.Table(
    "broadcast",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required("text", sa.Text),
    required("by", sa.Text),
    required("created_at", sa.BigInteger),
    #: sending, done, stopped
    required("state", sa.Text),
    #: The last name that was written to, `<platform>:<id>`; names follow in their order.
    required("reached", sa.Text),
    required("total", sa.Integer),
    required("sent", sa.Integer),
    required("failed", sa.Integer),
    some("ix_broadcast_sending", "state", "state = 'sending'"),
)
