"""The tables of `core.repricing`: suppliers' costs as last seen, their changes, overrides, demand,
and how far prices may move by themselves.
"""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, partial_index, required_column

#: What a supplier takes for a model, as it was last seen.
supplier_cost = sa.Table(
    "supplier_cost",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, primary_key=True),
    #: JSON, see `core.pricing.supplier_rates`.
    required_column("level", sa.Text),
    #: Since when its list says so.
    required_column("at", sa.BigInteger),
)

#: A change of what a supplier takes, which waits for a decision.
supplier_change = sa.Table(
    "supplier_change",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("model", sa.Text),
    required_column("provider", sa.Text),
    #: list: its price list or an override changed; drift: calls cost something else than the list
    #: says; again: an absorbed change whose time or cap was reached.
    required_column("why", sa.Text),
    #: The rates that the price was made for, and those that hold now (JSON of `SupplierRate`).
    required_column("old", sa.Text),
    required_column("new", sa.Text),
    #: Goes up when `new` changes while it waits.
    required_column("version", sa.Integer),
    required_column("raised_at", sa.BigInteger),
    #: open; passed, shared, kept; absorbed until it is over; gone: the supplier undid it, or
    #: another change replaced it.
    required_column("state", sa.Text),
    sa.Column("decided_at", sa.BigInteger),
    required_column("decided_by", sa.Text),
    #: The price that came of it; empty for none.
    required_column("price", sa.Text),
    #: Absorbed until then, or until so many nano-dollars are lost; null: no such end.
    sa.Column("until", sa.BigInteger),
    sa.Column("cap", sa.BigInteger),
    #: Nano-dollars lost so far, by the answers up to a time.
    required_column("lost", sa.BigInteger),
    sa.Column("counted_to", sa.BigInteger),
    partial_index("ix_supplier_change_state", "state", "state IN ('open', 'absorbed')"),
)

#: What an admin says that a supplier takes, in place of its list.
supplier_override = sa.Table(
    "supplier_override",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    #: The supplier's own id of the model.
    sa.Column("model", sa.Text, primary_key=True),
    #: JSON of pico-dollars per token or second.
    required_column("rates", sa.Text),
    required_column("by", sa.Text),
    required_column("at", sa.BigInteger),
)

#: How much a model is wanted, and how scarce its keys are.
demand = sa.Table(
    "demand",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    #: The smoothed measure in hundredths of a per cent, and the factor in per cent.
    required_column("smoothed", sa.Integer),
    required_column("factor", sa.Integer),
    required_column("at", sa.BigInteger),
)

#: How far a price may move by itself; no row: it doesn't.
price_bound = sa.Table(
    "price_bound",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    #: From the last price that a person set, in per cent.
    required_column("percent", sa.Integer),
    required_column("by", sa.Text),
    required_column("at", sa.BigInteger),
)
