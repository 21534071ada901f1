"""The tables of `core.earning`: what people contribute, and what becomes of it."""

from __future__ import annotations

import sqlalchemy as sa

from core.store.columns import metadata, required, some

#: A key that somebody contributed, and on which terms; the key's own row says how it fares.
contribution = sa.Table(
    "contribution",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    #: Who contributed it; whose it is now says the key.
    required("person", sa.Text, index=True),
    #: offered, open, closing, closed; dropped when it was never opened.
    required("state", sa.Text),
    #: Nano-dollars and Credits, as they were when it began; they never change.
    required("quota", sa.BigInteger),
    required("credited", sa.BigInteger),
    required("fee", sa.BigInteger),
    #: What may be spent of it before it vests.
    required("advance", sa.BigInteger),
    #: Who invited its owner, and what it brings to them in the end.
    sa.Column("inviter", sa.Text),
    required("inviting", sa.BigInteger),
    #: Whether the supplier told the quota.
    required("verified", sa.Boolean),
    #: Requests that it was valued at.
    required("requests", sa.BigInteger),
    #: The supplier's organisation behind it, by a keyed fingerprint; null where none is told.
    sa.Column("organisation", sa.LargeBinary),
    #: An earlier contribution with the same key.
    sa.Column("raises", sa.Text, index=True),
    #: The version of the text that its owner agreed to; empty until then.
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
