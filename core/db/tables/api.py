"""The tables of `core.api_tokens`: tokens by which programs ask in a person's name, what they spent
on a day, and answers that are kept for a repeated request.
"""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, required_column

#: A token: of its secret only a keyed digest is kept.
api_token = sa.Table(
    "api_token",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("person", sa.Text, index=True),
    required_column("name", sa.Text),
    required_column("digest", sa.LargeBinary, unique=True),
    #: Its first and last characters, by which people know it.
    required_column("label", sa.Text),
    required_column("created_at", sa.BigInteger),
    required_column("expires_at", sa.BigInteger),
    sa.Column("revoked_at", sa.BigInteger),
    #: Credits that it may spend in a UTC day.
    required_column("per_day", sa.BigInteger),
    #: Ids of the models and networks that it is for, with spaces between; empty: all.
    required_column("models", sa.Text),
    required_column("networks", sa.Text),
    sa.Column("last_used_at", sa.BigInteger),
    #: Keyed digests of the networks that it was used from, the latest last, with spaces between.
    required_column("seen_networks", sa.Text),
)

#: Until when nobody makes a token for a person: their chats have just been linked or parted.
api_pause = sa.Table(
    "api_pause",
    metadata,
    sa.Column("person", sa.Text, primary_key=True),
    required_column("until", sa.BigInteger),
)

#: What a token's asks of one UTC day (its number since 1970) were charged, and hold.
api_spending = sa.Table(
    "api_spending",
    metadata,
    sa.Column("token", sa.Text, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True),
    required_column("credits", sa.BigInteger),
)

#: An ask that came with an idempotency key: what was asked, by its digest, and what was answered,
#: sealed by the person's data key; for a day.
api_reply = sa.Table(
    "api_reply",
    metadata,
    sa.Column("ask", sa.Text, primary_key=True),
    required_column("person", sa.Text, index=True),
    required_column("digest", sa.LargeBinary),
    sa.Column("answer", sa.LargeBinary),
    required_column("expires_at", sa.BigInteger, index=True),
)
