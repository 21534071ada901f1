"""The tables of `core.earnings`: contributions, payout methods, payouts."""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, required, some

#: A key that somebody contributed, and on which terms; the key's own row holds its state.
contribution = sa.Table(
    "contribution",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    #: Who contributed it; the key's own row says whose it is now.
    required("person", sa.Text, index=True),
    #: offered, open, closing, closed; dropped when it was never opened.
    required("state", sa.Text),
    #: Nano-dollars and Credits, as they were when it began; they never change.
    required("quota", sa.BigInteger),
    required("credited", sa.BigInteger),
    required("fee", sa.BigInteger),
    #: What may be spent of it before it vests.
    required("advance", sa.BigInteger),
    #: Who invited the contributor, and the Credits that it brings to them in the end.
    sa.Column("inviter", sa.Text),
    required("inviting", sa.BigInteger),
    #: Whether the supplier reported the quota.
    required("verified", sa.Boolean),
    #: Requests that it was valued at.
    required("requests", sa.BigInteger),
    #: The supplier's organisation behind it, by a keyed fingerprint; null where it is not known.
    sa.Column("organisation", sa.LargeBinary),
    #: An earlier contribution with the same key.
    sa.Column("raises", sa.Text, index=True),
    #: The version of the text that the contributor agreed to; empty until then.
    required("consent", sa.Text),
    #: Why it ended: withdrawn, dead, exhausted, reported; empty until then.
    required("reason", sa.Text),
    #: What was taken back of it: by a lower budget, and at its end.
    required("returned_quota", sa.BigInteger),
    required("returned_credits", sa.BigInteger),
    required("created_at", sa.BigInteger),
    sa.Column("opened_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
    some("ix_contribution_open", "state", "state IN ('offered', 'open', 'closing')"),
    some(
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
    required("sealed", sa.LargeBinary),
    #: What of it may be shown.
    required("hint", sa.Text),
    #: When it replaced another address; 0 when it is the first.
    required("changed_at", sa.BigInteger),
)

#: Earned Credits on their way to becoming money.
payout = sa.Table(
    "payout",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required("person", sa.Text),
    required("credits", sa.BigInteger),
    #: Nano-dollars, whole cents.
    required("cash", sa.BigInteger),
    required("method", sa.Text),
    #: The address that it goes to, as it was when the payout was requested.
    sa.Column("sealed", sa.LargeBinary),
    required("hint", sa.Text),
    #: requested, approved, sent, paid, rejected, returned, cancelled
    required("state", sa.Text),
    required("created_at", sa.BigInteger),
    required("state_at", sa.BigInteger),
    #: Who decided, and why where it was rejected or didn't arrive.
    required("decided_by", sa.Text),
    required("reason", sa.Text),
    #: The gateway's own id of it.
    sa.Column("external", sa.Text),
    #: How often its gateway was asked, and when it is asked next; null when it is over.
    required("tries", sa.Integer),
    sa.Column("due_at", sa.BigInteger),
    sa.Index("ix_payout_person_id", "person", "id"),
    some("ix_payout_open", "state", "state IN ('requested', 'approved', 'sent')"),
)

#: Earned Credits whose hold period had already run when they came in: back from a payout, or from
#: an account that was joined.
matured = sa.Table(
    "matured",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required("person", sa.Text, index=True),
    required("credits", sa.BigInteger),
    required("at", sa.BigInteger),
)
