"""The tables of the ledger; nothing but `core.ledger` writes them."""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import BigKey, metadata, required_column

account = sa.Table(
    "account",
    metadata,
    sa.Column("id", BigKey, primary_key=True),
    required_column("code", sa.Text, unique=True),
    required_column("unit", sa.Text),
    required_column("limit_kind", sa.Text),
    required_column("debits_pending", sa.BigInteger),
    required_column("debits_posted", sa.BigInteger),
    required_column("credits_pending", sa.BigInteger),
    required_column("credits_posted", sa.BigInteger),
    #: The account's newest transfer: the head of its chain.
    required_column("head", sa.BigInteger),
    #: The UTC day (days since 1970) that its newest transfer counts to; never goes back.
    required_column("day", sa.BigInteger),
    #: A hash of code, unit and limit, by which the audit sees that they were altered.
    required_column("seal", sa.LargeBinary),
    sa.CheckConstraint(
        "debits_pending >= 0 AND debits_posted >= 0 AND credits_pending >= 0"
        " AND credits_posted >= 0",
        name="account_sums",
    ),
    sa.CheckConstraint(
        "(limit_kind <> 'debits' OR debits_posted + debits_pending <= credits_posted)"
        " AND (limit_kind <> 'credits' OR credits_posted + credits_pending <= debits_posted)",
        name="account_floor",
    ),
)

submission = sa.Table(
    "submission",
    metadata,
    sa.Column("seq", BigKey, primary_key=True, autoincrement=False),
    required_column("id", sa.Text, unique=True),
    #: A hash of the entries as submitted, to tell a retry from a conflict.
    required_column("digest", sa.LargeBinary),
    required_column("at", sa.BigInteger),
    #: Its transfers: `transfers` of them, from `first` on without a gap.
    required_column("first", sa.BigInteger),
    required_column("transfers", sa.Integer),
    #: A hash of the id, digest, time and its transfers' names, by which the audit sees that they
    #: were altered.
    required_column("seal", sa.LargeBinary),
)

#: The day that the books count to, in one row: every earlier day is sealed. See
#: `core.ledger.book_day`.
book_day = sa.Table(
    "book_day",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    required_column("day", sa.BigInteger),
    required_column("at", sa.BigInteger),
    required_column("steady", sa.BigInteger),
)

#: Entries by which transfers that a wrong clock dated ahead count to an earlier day: those up to
#: `last` count to `day` at the latest.
day_correction = sa.Table(
    "day_correction",
    metadata,
    sa.Column("seq", BigKey, primary_key=True, autoincrement=False),
    required_column("last", sa.BigInteger),
    required_column("day", sa.BigInteger),
    #: The latest day that accounts counted to before.
    required_column("before", sa.BigInteger),
    required_column("at", sa.BigInteger),
)

#: PostgreSQL only: each batch draws one number under its locks and has the block that follows.
BLOCK = 1 << 20
block = sa.Sequence("block", start=BLOCK, increment=BLOCK, metadata=metadata)

transfer = sa.Table(
    "transfer",
    metadata,
    sa.Column("seq", BigKey, primary_key=True, autoincrement=False),
    required_column("submission", sa.BigInteger),
    required_column("entry", sa.Text),
    required_column("n", sa.Integer),
    required_column("kind", sa.Integer),
    required_column("debit", sa.BigInteger),
    required_column("credit", sa.BigInteger),
    required_column("amount", sa.BigInteger),
    #: For a post or a void: the pending transfer that it resolves.
    sa.Column("pending", sa.BigInteger),
    #: The chain: the previous transfer of either account, 0 at its start.
    required_column("debit_previous", sa.BigInteger),
    required_column("credit_previous", sa.BigInteger),
    sa.CheckConstraint("amount > 0 AND debit <> credit", name="transfer_amount"),
)

#: Open holds only: derived, small, checked by the audit.
hold = sa.Table(
    "hold",
    metadata,
    sa.Column("seq", BigKey, primary_key=True, autoincrement=False),
    #: `<submission id>/<entry name>`
    required_column("name", sa.Text, index=True),
    required_column("debit", sa.BigInteger),
    required_column("credit", sa.BigInteger),
    required_column("amount", sa.BigInteger),
)

#: The posted sums of every account that moved on a UTC day, as the day ended.
closing = sa.Table(
    "closing",
    metadata,
    sa.Column("account", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("day", sa.Text, primary_key=True),
    required_column("debits_posted", sa.BigInteger),
    required_column("credits_posted", sa.BigInteger),
    required_column("head", sa.BigInteger),
)
