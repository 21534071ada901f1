"""The tables of `bots.chat`: buttons, what platforms sent, forms (`prompt`)."""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, required_column

button = sa.Table(
    "button",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("person", sa.Text),
    required_column("place", sa.Text),
    required_column("action", sa.Text),
    #: JSON of the action's arguments.
    required_column("data", sa.Text),
    required_column("expires_at", sa.BigInteger, index=True),
    required_column("once", sa.Boolean),
    sa.Column("used_at", sa.BigInteger),
    #: The press that used it up, by its platform's id, until what it does is done.
    sa.Column("used_by", sa.Text),
)

#: What a chat platform sent for the bot, from before it is acknowledged until it is worked.
chat_update = sa.Table(
    "chat_update",
    metadata,
    #: `<platform>/…`: the platform's ids of the message or the press.
    sa.Column("id", sa.Text, primary_key=True),
    required_column("platform", sa.Text),
    #: Whose it is, as `<platform>:<id there>`.
    required_column("sender", sa.Text),
    required_column("received_at", sa.BigInteger),
    #: The update as it came, sealed by a master key.
    required_column("sealed", sa.LargeBinary),
    #: The process that works it, and until when others leave it alone.
    required_column("owner", sa.Text),
    required_column("lease_until", sa.BigInteger, index=True),
    #: How often it was taken over from a process that was gone.
    required_column("tries", sa.Integer),
)

#: Forms: what somebody is asked for in private; the newest one of each place. What they fill in is
#: never kept.
prompt = sa.Table(
    "prompt",
    metadata,
    sa.Column("place", sa.Text, primary_key=True),
    required_column("id", sa.Text),
    required_column("action", sa.Text),
    #: JSON of the action's arguments, and of the form in its reader's language.
    required_column("data", sa.Text),
    required_column("form", sa.Text),
    required_column("expires_at", sa.BigInteger, index=True),
    #: The message that filled it in, or what else closed it; empty while it waits.
    required_column("closed_by", sa.Text),
)
