"""The tables of `payments`: orders, payments, refunds, disputes, vouchers, webhooks."""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, required, some

#: An order: what a person wants to buy; written before the gateway is asked for a checkout.
order = sa.Table(
    "order",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required("person", sa.Text),
    #: Where it was asked for, and the message there that shows it (empty until known).
    required("place", sa.Text),
    required("shown_in", sa.Text),
    required("gateway", sa.Text),
    #: The gateway's own id of the checkout; null until it is known.
    sa.Column("external", sa.Text),
    #: Where to pay; empty where the platform itself shows the payment.
    required("url", sa.Text),
    #: USD (nano-dollars) or STAR; what is to be paid, and what the offer counts, in nano-dollars.
    required("unit", sa.Text),
    required("amount", sa.BigInteger),
    required("value", sa.BigInteger),
    #: created, pending, credited, expired, failed
    required("state", sa.Text),
    #: All that was paid so far and all that was given back of it, in the unit.
    required("paid", sa.BigInteger),
    required("refunded", sa.BigInteger),
    #: What was lost of it by disputes.
    required("lost", sa.BigInteger),
    #: Credits given for it so far, refunds and disputes left out.
    required("bought", sa.BigInteger),
    required("bonus", sa.BigInteger),
    #: The offer that it was made under, as JSON; empty in orders from before it was kept.
    required("offer", sa.Text),
    #: The person of the `referral` that it counts to, and what their inviter has for it.
    sa.Column("referral", sa.Text),
    required("share", sa.BigInteger),
    #: The gateway's id of the newest dispute, and how it stands: open while any is, won, lost.
    sa.Column("dispute", sa.Text),
    required("dispute_state", sa.Text),
    required("created_at", sa.BigInteger),
    required("expires_at", sa.BigInteger),
    sa.UniqueConstraint("gateway", "external", name="uq_order_gateway_external"),
    sa.Index("ix_order_person_id", "person", "id"),
    some("ix_order_open", "expires_at", "state IN ('created', 'pending')"),
)

#: What happened to an order, append-only.
order_event = sa.Table(
    "order_event",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required("order", sa.Text, index=True),
    required("at", sa.BigInteger),
    required("what", sa.Text),
    #: JSON of figures and ids; nothing of the payer's.
    required("facts", sa.Text),
)

#: Money that a gateway says arrived: each of its payments once.
payment = sa.Table(
    "payment",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    sa.Column("external", sa.Text, primary_key=True),
    #: Our receipt id, as people read it.
    required("id", sa.Text, unique=True),
    required("order", sa.Text, index=True),
    required("unit", sa.Text),
    required("amount", sa.BigInteger),
    #: What the gateway kept of it.
    required("fee", sa.BigInteger),
    required("at", sa.BigInteger),
)

#: Money that went back to a payer: each of a gateway's refunds once.
refund = sa.Table(
    "refund",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    sa.Column("external", sa.Text, primary_key=True),
    #: Our receipt id, as people read it.
    required("id", sa.Text, unique=True),
    required("order", sa.Text, index=True),
    required("amount", sa.BigInteger),
    required("at", sa.BigInteger),
    #: When the gateway said that it didn't reach the payer after all.
    sa.Column("failed_at", sa.BigInteger),
)

#: Money that payers' banks took back until it was decided: each of a gateway's disputes once.
dispute = sa.Table(
    "dispute",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    sa.Column("external", sa.Text, primary_key=True),
    #: Our own id, as operators read it.
    required("id", sa.Text, unique=True),
    required("order", sa.Text, index=True),
    #: The gateway's id of the payment.
    required("payment", sa.Text),
    required("amount", sa.BigInteger),
    #: open, won, lost
    required("state", sa.Text),
    #: The bank's reason, as the gateway reports it; may be empty.
    required("reason", sa.Text),
    required("opened_at", sa.BigInteger),
    #: Until when the gateway takes evidence, if it says so.
    sa.Column("due_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
)

#: Vouchers: codes that are worth Credits, by the hash of what is typed.
code = sa.Table(
    "code",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required("digest", sa.Text, unique=True),
    #: Those that were made together.
    required("batch", sa.Text, index=True),
    #: sold: elsewhere, for its cash value, it becomes an order; promotion: gives what that gives.
    required("kind", sa.Text),
    #: What was paid for it, in nano-dollars; and what it gives beside what that buys.
    required("cash", sa.BigInteger),
    required("credits", sa.BigInteger),
    #: How often it was used, and may be.
    required("uses", sa.Integer),
    required("uses_max", sa.Integer),
    required("created_at", sa.BigInteger),
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
    required("gateway", sa.Text),
    required("received_at", sa.BigInteger, index=True),
    #: The body, sealed by a master key.
    sa.Column("sealed", sa.LargeBinary),
    required("tries", sa.Integer),
    #: When it is processed (next); null once it is done.
    sa.Column("due_at", sa.BigInteger),
    #: Why nothing came of it; empty while it waits or when all was well.
    required("verdict", sa.Text),
    some("ix_webhook_due", "due_at", "due_at IS NOT NULL"),
)

#: How far a gateway's own list was read.
listing = sa.Table(
    "listing",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    #: The gateway's own sign for it.
    required("mark", sa.Text),
)
