"""The tables of prices: the price book, tiers, promotions, and who used them."""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, required_column

#: The price book: append-only; the newest row not after a time is the price at that time.
price = sa.Table(
    "price",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("model", sa.Text),
    #: token or second
    required_column("per", sa.Text),
    #: Micro-Credits per token (or second); equal for a blended price.
    required_column("input_rate", sa.BigInteger),
    required_column("output_rate", sa.BigInteger),
    #: What a token of a prompt costs that its supplier read from a cache, and one of a picture, in
    #: per cent of `input_rate`; null: 100.
    sa.Column("cached_percent", sa.BigInteger),
    sa.Column("picture_percent", sa.BigInteger),
    required_column("effective_at", sa.BigInteger),
    #: An admin's person id, or `formula`.
    required_column("set_by", sa.Text),
    required_column("note", sa.Text),
    sa.Index("ix_price_model_effective", "model", "effective_at"),
)

#: Tiers: what regular customers get; who has which follows from their top-ups or asks.
tier = sa.Table(
    "tier",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    #: topups or spending; so many Credits of it within so many days.
    required_column("by", sa.Text),
    required_column("least", sa.BigInteger),
    required_column("days", sa.Integer),
    #: Per cent off every price; per cent of what was bought on top of it.
    required_column("discount", sa.Integer),
    required_column("bonus", sa.Integer),
    #: Limits of asks in place of everyone's; null: as everyone.
    sa.Column("per_minute", sa.Integer),
    sa.Column("at_once", sa.Integer),
    sa.Column("per_day", sa.BigInteger),
    required_column("made_at", sa.BigInteger),
)

#: Tiers that an admin gave to somebody; an empty name: none, whatever they buy.
tier_given = sa.Table(
    "tier_given",
    metadata,
    sa.Column("person", sa.Text, primary_key=True),
    required_column("tier", sa.Text),
    required_column("by", sa.Text),
    required_column("at", sa.BigInteger),
)

#: Promotions: what is cheaper, or brings more, for a while.
promotion = sa.Table(
    "promotion",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    #: discount: per cent off prices; bonus: per cent on top-ups; credits: a gift.
    required_column("kind", sa.Text),
    required_column("percent", sa.Integer),
    required_column("credits", sa.BigInteger),
    #: Ids of the models that are cheaper, as JSON; empty: all.
    required_column("models", sa.Text),
    #: Only for whoever redeemed a voucher of it.
    required_column("coded", sa.Boolean),
    required_column("starts_at", sa.BigInteger),
    sa.Column("ends_at", sa.BigInteger),
    #: How often it may be used by all, and by each; null: as often as they like.
    sa.Column("total", sa.Integer),
    sa.Column("per_person", sa.Integer),
    required_column("made_by", sa.Text),
    required_column("made_at", sa.BigInteger),
    #: When an admin ended it early.
    sa.Column("ended_at", sa.BigInteger, index=True),
)

#: One row for each use of a limited promotion, by what used it: an ask, an order, a voucher and its
#: person. No two have the same place among all uses, nor among one person's: so a limit holds,
#: whoever is faster.
promotion_use = sa.Table(
    "promotion_use",
    metadata,
    sa.Column("promotion", sa.Text, primary_key=True),
    sa.Column("cause", sa.Text, primary_key=True),
    required_column("person", sa.Text),
    sa.Column("place", sa.Integer),
    sa.Column("own_place", sa.Integer),
    required_column("at", sa.BigInteger),
    sa.UniqueConstraint("promotion", "place", name="uq_promotion_use_place"),
    sa.UniqueConstraint("promotion", "person", "own_place", name="uq_promotion_use_own_place"),
    sa.Index("ix_promotion_use_cause", "cause"),
)

#: Who redeemed a voucher of a promotion that is only for those who did.
promotion_holder = sa.Table(
    "promotion_holder",
    metadata,
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("promotion", sa.Text, primary_key=True),
    required_column("at", sa.BigInteger),
)
