"""The tables of `payments`: orders, payments, refunds, disputes, vouchers, webhooks."""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, partial_index, required_column

#: An order: what a person wants to buy; written before the gateway is asked for a checkout.
order = sa.Table(
    "order",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("person", sa.Text),
    #: Where it was asked for, and the message there that shows it (empty until known).
    required_column("place", sa.Text),
    required_column("shown_in", sa.Text),
    required_column("gateway", sa.Text),
    #: The gateway's own id of the checkout; null until it is known.
    sa.Column("external", sa.Text),
    #: Where to pay; empty where the platform itself shows the payment.
    required_column("url", sa.Text),
    #: USD (nano-dollars) or STAR; what is to be paid, and what the offer counts, in nano-dollars.
    required_column("unit", sa.Text),
    required_column("amount", sa.BigInteger),
    required_column("value", sa.BigInteger),
    #: created, pending, processing (the money is on its way), credited, expired, failed
    required_column("state", sa.Text),
    #: All that was paid so far and all that was given back of it, in the unit.
    required_column("paid", sa.BigInteger),
    required_column("refunded", sa.BigInteger),
    #: What was lost of it by disputes.
    required_column("lost", sa.BigInteger),
    #: Credits given for it so far, refunds and disputes left out.
    required_column("bought", sa.BigInteger),
    required_column("bonus", sa.BigInteger),
    #: The offer that it was made under, as JSON; empty in orders from before it was kept.
    required_column("offer", sa.Text),
    #: The person of the `referral` that it counts to, and what their inviter has for it.
    sa.Column("referral", sa.Text),
    required_column("share", sa.BigInteger),
    #: The gateway's id of the newest dispute, and how it stands: open while any is, won, lost.
    sa.Column("dispute", sa.Text),
    required_column("dispute_state", sa.Text),
    required_column("created_at", sa.BigInteger),
    required_column("expires_at", sa.BigInteger),
    #: When its gateway is asked about it next; null: never again.
    sa.Column("check_at", sa.BigInteger),
    sa.UniqueConstraint("gateway", "external", name="uq_order_gateway_external"),
    sa.Index("ix_order_person_id", "person", "id"),
    partial_index("ix_order_open", "expires_at", "state IN ('created', 'pending')"),
    partial_index("ix_order_check", "check_at", "check_at IS NOT NULL"),
)

#: What happened to an order, append-only.
order_event = sa.Table(
    "order_event",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("order", sa.Text, index=True),
    required_column("at", sa.BigInteger),
    required_column("what", sa.Text),
    #: JSON of figures and ids; nothing of the payer's.
    required_column("facts", sa.Text),
)

#: Money that a gateway says arrived: each of its payments once.
payment = sa.Table(
    "payment",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    sa.Column("external", sa.Text, primary_key=True),
    #: Our receipt id, as people read it.
    required_column("id", sa.Text, unique=True),
    required_column("order", sa.Text, index=True),
    required_column("unit", sa.Text),
    required_column("amount", sa.BigInteger),
    #: What the gateway kept of it.
    required_column("fee", sa.BigInteger),
    required_column("at", sa.BigInteger),
)

#: Money that went back to a payer: each of a gateway's refunds once.
refund = sa.Table(
    "refund",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    sa.Column("external", sa.Text, primary_key=True),
    #: Our receipt id, as people read it.
    required_column("id", sa.Text, unique=True),
    required_column("order", sa.Text, index=True),
    required_column("amount", sa.BigInteger),
    required_column("at", sa.BigInteger),
    #: When the gateway said that it didn't reach the payer after all.
    sa.Column("failed_at", sa.BigInteger),
    #: The gateway's id of the payment that it went back of; null in rows of before that was kept.
    sa.Column("payment", sa.Text),
)

#: Money that payers' banks took back until it was decided: each of a gateway's disputes once.
dispute = sa.Table(
    "dispute",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    sa.Column("external", sa.Text, primary_key=True),
    #: Our own id, as operators read it.
    required_column("id", sa.Text, unique=True),
    required_column("order", sa.Text, index=True),
    #: The gateway's id of the payment.
    required_column("payment", sa.Text),
    required_column("amount", sa.BigInteger),
    #: open, won, lost
    required_column("state", sa.Text),
    #: The bank's reason, as the gateway reports it; may be empty.
    required_column("reason", sa.Text),
    required_column("opened_at", sa.BigInteger),
    #: Until when the gateway takes evidence, if it says so.
    sa.Column("due_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
    #: How often it was taken up again after an end.
    required_column("turn", sa.Integer, server_default="0"),
    #: What the gateway took for it so far, in nano-dollars.
    required_column("fee", sa.BigInteger, server_default="0"),
    #: What its loss made bad debt, in nano-dollars, and the Credits that were spent by then.
    required_column("bad_debt", sa.BigInteger, server_default="0"),
    required_column("unrecovered_bought", sa.BigInteger, server_default="0"),
    required_column("unrecovered_bonus", sa.BigInteger, server_default="0"),
    #: Of the order's bought Credits, how many running asks held when it began; null in older rows.
    sa.Column("running", sa.BigInteger),
)

#: Purchases from which their buyers withdrew, within the days that there are for it.
cancellation = sa.Table(
    "cancellation",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("order", sa.Text, index=True),
    required_column("person", sa.Text, index=True),
    #: asked, waiting (for an operator), done, refused
    required_column("state", sa.Text),
    #: What goes back, in the order's unit.
    required_column("cash", sa.BigInteger),
    required_column("at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
)

#: Vouchers: codes that are worth Credits, by the hash of what is typed.
code = sa.Table(
    "code",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("digest", sa.Text, unique=True),
    #: Those that were made together.
    required_column("batch", sa.Text, index=True),
    #: sold: elsewhere, for its cash value, it becomes an order; promotion: gives what that gives.
    required_column("kind", sa.Text),
    #: What was paid for it, in nano-dollars; and what it gives beside what that buys.
    required_column("cash", sa.BigInteger),
    required_column("credits", sa.BigInteger),
    #: How often it was used, and may be.
    required_column("uses", sa.Integer),
    required_column("uses_max", sa.Integer),
    required_column("created_at", sa.BigInteger),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("voided_at", sa.BigInteger),
    #: The promotion that it is of.
    sa.Column("promotion", sa.Text, index=True),
)

#: A gateway's messages, each once; a row is written before the message is acknowledged.
webhook = sa.Table(
    "webhook",
    metadata,
    #: `<gateway>/<the gateway's id>`
    sa.Column("id", sa.Text, primary_key=True),
    required_column("gateway", sa.Text),
    required_column("received_at", sa.BigInteger, index=True),
    #: The body, sealed by a master key.
    sa.Column("sealed", sa.LargeBinary),
    required_column("tries", sa.Integer),
    #: When it is processed (next); null once it is done.
    sa.Column("due_at", sa.BigInteger),
    #: Why nothing came of it; empty while it waits or when all was well.
    required_column("verdict", sa.Text),
    partial_index("ix_webhook_due", "due_at", "due_at IS NOT NULL"),
)

#: How far a gateway's own list was read.
listing = sa.Table(
    "listing",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    #: The gateway's own sign for it.
    required_column("mark", sa.Text),
    #: When it was last read to its end.
    sa.Column("read_at", sa.BigInteger),
)

#: What gateways say that moved on the operator's accounts there, each movement once.
movement = sa.Table(
    "movement",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    #: payment, refund, dispute
    sa.Column("kind", sa.Text, primary_key=True),
    #: The gateway's own id of it, and of the payment that it is of.
    sa.Column("external", sa.Text, primary_key=True),
    required_column("payment", sa.Text),
    #: The order that the gateway names with it; null where it names none of ours.
    sa.Column("order", sa.Text),
    required_column("unit", sa.Text),
    #: What came in; below zero: what went out.
    required_column("amount", sa.BigInteger),
    required_column("at", sa.BigInteger, index=True),
    required_column("seen_at", sa.BigInteger),
)

#: Orders of which gateways' movements and the books say different sums.
difference = sa.Table(
    "difference",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    sa.Column("order", sa.Text, primary_key=True),
    required_column("unit", sa.Text),
    #: What came in and went out by the gateway's movements, and by the books.
    required_column("there", sa.BigInteger),
    required_column("booked", sa.BigInteger),
    required_column("found_at", sa.BigInteger),
)

#: Payments that fit no order, until an owner decides.
unmatched_payment = sa.Table(
    "unmatched_payment",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    sa.Column("external", sa.Text, primary_key=True),
    #: The order that it names; empty where a platform's own store sold it.
    required_column("order", sa.Text),
    #: Who paid, as `<platform>:<id there>`; empty where the gateway doesn't tell.
    required_column("payer", sa.Text),
    required_column("unit", sa.Text),
    required_column("amount", sa.BigInteger),
    required_column("fee", sa.BigInteger),
    #: When it was paid, as far as is known, and when it was found.
    required_column("at", sa.BigInteger),
    required_column("found_at", sa.BigInteger, index=True),
    #: open, credited, dismissed
    required_column("state", sa.Text),
)
