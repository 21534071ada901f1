"""The tables of invitations: whose code is which, and who came by whom."""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, required

#: A person's code for friends; no secret.
invitation = sa.Table(
    "invitation",
    metadata,
    sa.Column("person", sa.Text, primary_key=True),
    required("code", sa.Text, unique=True),
    required("created_at", sa.BigInteger),
)

#: Who was invited, once and for good, by whom.
referral = sa.Table(
    "referral",
    metadata,
    sa.Column("person", sa.Text, primary_key=True),
    required("inviter", sa.Text, index=True),
    required("bound_at", sa.BigInteger),
    #: Credits that the inviter has for what this person bought, as it stands.
    required("earned", sa.BigInteger),
    #: When a link made the two one; what was earned was taken back then.
    sa.Column("undone_at", sa.BigInteger),
)
