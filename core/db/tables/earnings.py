"""The tables of `core.earnings`: contributions, payout methods, payouts."""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, partial_index, required_column

#: A key that somebody contributed, and on which terms; the key's own row holds its state.
contribution = sa.Table(
    "contribution",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    #: Who contributed it; the key's own row says whose it is now.
    required_column("person", sa.Text, index=True),
    #: offered, open, closing, closed; dropped when it was never opened.
    required_column("state", sa.Text),
    #: Nano-dollars and Credits, as they were when it began; they never change.
    required_column("quota", sa.BigInteger),
    required_column("credited", sa.BigInteger),
    required_column("fee", sa.BigInteger),
    #: What may be spent of it before it vests.
    required_column("advance", sa.BigInteger),
    #: Who invited the contributor, and the Credits that it brings to them in the end.
    sa.Column("inviter", sa.Text),
    required_column("inviting", sa.BigInteger),
    #: Whether the supplier reported the quota.
    required_column("verified", sa.Boolean),
    #: Requests that it was valued at.
    required_column("requests", sa.BigInteger),
    #: The supplier's organisation behind it, by a keyed fingerprint; null where it is not known.
    sa.Column("organisation", sa.LargeBinary),
    #: An earlier contribution with the same key.
    sa.Column("raises", sa.Text, index=True),
    #: The version of the text that the contributor agreed to; empty until then.
    required_column("consent", sa.Text),
    #: Whether other people's pictures and files may pass through the key.
    sa.Column("takes_files", sa.Boolean),
    #: Whether other people's programs may be served by it.
    sa.Column("takes_programs", sa.Boolean),
    #: Why it ended: withdrawn, dead, exhausted, reported; empty until then.
    required_column("reason", sa.Text),
    #: What was taken back of it: by a lower budget, and at its end.
    required_column("returned_quota", sa.BigInteger),
    required_column("returned_credits", sa.BigInteger),
    required_column("created_at", sa.BigInteger),
    sa.Column("opened_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
    partial_index("ix_contribution_open", "state", "state IN ('offered', 'open', 'closing')"),
    partial_index(
        "uq_contribution_organisation",
        "organisation",
        "state IN ('offered', 'open', 'closing')",
        unique=True,
    ),
)

#: Where a person is paid: one address for each method, sealed, as they gave it last.
payout_method = sa.Table(
    "payout_method",
    metadata,
    #: `<person>/<method>`
    sa.Column("id", sa.Text, primary_key=True),
    required_column("sealed", sa.LargeBinary),
    #: What of it may be shown.
    required_column("hint", sa.Text),
    #: When it replaced another address; 0 when it is the first.
    required_column("changed_at", sa.BigInteger),
)

#: Earned Credits on their way to becoming money.
payout = sa.Table(
    "payout",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("person", sa.Text),
    required_column("credits", sa.BigInteger),
    #: Nano-dollars, whole cents.
    required_column("cash", sa.BigInteger),
    required_column("method", sa.Text),
    #: The address that it goes to, as it was when the payout was requested.
    sa.Column("sealed", sa.LargeBinary),
    required_column("hint", sa.Text),
    #: requested, approved, sent, paid, rejected, returned, cancelled
    required_column("state", sa.Text),
    required_column("created_at", sa.BigInteger),
    required_column("state_at", sa.BigInteger),
    #: Who decided, and why where it was rejected or didn't arrive.
    required_column("decided_by", sa.Text),
    required_column("reason", sa.Text),
    #: The gateway's own id of it.
    sa.Column("external", sa.Text),
    #: How often its gateway was asked, and when it is asked next; null when it is over.
    required_column("tries", sa.Integer),
    sa.Column("due_at", sa.BigInteger),
    sa.Index("ix_payout_person_id", "person", "id"),
    partial_index("ix_payout_open", "state", "state IN ('requested', 'approved', 'sent')"),
)

#: Earned Credits whose hold period had already run when they came in: back from a payout, or from
#: an account that was joined.
matured = sa.Table(
    "matured",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("person", sa.Text, index=True),
    required_column("credits", sa.BigInteger),
    required_column("at", sa.BigInteger),
)
