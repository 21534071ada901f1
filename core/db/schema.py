"""Every table, on one page; those of payments are in `selling`, of contributions in `earning`, of
invitations in `inviting`, of what the operator allows in `governing`, of offers in `offering`, of
what suppliers take in `costing`, of upkeep in `keeping`.

Times are milliseconds UTC; amounts whole units; secrets sealed.

The ledger's own tables come first; nothing but `core.ledger` writes them. The other tables are
written as companions of submissions or through `Ledger.record`, by the room named above each.
"""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables import base, earnings, jobs, limits, payments, promotions, referrals, repricing

metadata, Big, _required = base.metadata, base.Big, base.required

order, order_event, payment = payments.order, payments.order_event, payments.payment
refund, webhook, listing = payments.refund, payments.webhook, payments.listing
dispute, code = payments.dispute, payments.code

invitation, referral = referrals.invitation, referrals.referral

contribution, matured = earnings.contribution, earnings.matured
payout, payout_method = earnings.payout, earnings.payout_method
switch, allowance, broadcast = limits.switch, limits.allowance, limits.broadcast
alert = limits.alert

tier, tier_given, promotion = promotions.tier, promotions.tier_given, promotions.promotion
promotion_use, promotion_holder = promotions.promotion_use, promotions.promotion_holder
supplier_cost, supplier_change = repricing.supplier_cost, repricing.supplier_change
supplier_override, demand = repricing.supplier_override, repricing.demand
price_bound = repricing.price_bound

button, prompt, notice = jobs.button, jobs.prompt, jobs.notice
chore, admin_log = jobs.chore, jobs.admin_log


#: What this database is: its kind (`live` or `demo`), and what identifies it.
meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _required("value", sa.Text),
)

# --- core.ledger -------------------------------------------------------------------------------

account = sa.Table(
    "account",
    metadata,
    sa.Column("id", Big, primary_key=True),
    _required("code", sa.Text, unique=True),
    _required("unit", sa.Text),
    _required("limit_kind", sa.Text),
    _required("debits_pending", sa.BigInteger),
    _required("debits_posted", sa.BigInteger),
    _required("credits_pending", sa.BigInteger),
    _required("credits_posted", sa.BigInteger),
    #: The account's newest transfer: the head of its chain.
    _required("head", sa.BigInteger),
    #: The UTC day (days since 1970) that its newest transfer counts to; never goes back.
    _required("day", sa.BigInteger),
    #: Of code, unit and limit, so that the audit sees them altered.
    _required("seal", sa.LargeBinary),
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
    sa.Column("seq", Big, primary_key=True, autoincrement=False),
    _required("id", sa.Text, unique=True),
    #: Of the entries as submitted, to tell a retry from a conflict.
    _required("digest", sa.LargeBinary),
    _required("at", sa.BigInteger),
    #: Its transfers: `transfers` of them, from `first` on without a gap.
    _required("first", sa.BigInteger),
    _required("transfers", sa.Integer),
    #: Of the id, digest, time and its transfers' names, so that the audit sees them altered.
    _required("seal", sa.LargeBinary),
)

#: PostgreSQL only: each batch draws one number under its locks and has the block that follows.
BLOCK = 1 << 20
block = sa.Sequence("block", start=BLOCK, increment=BLOCK, metadata=metadata)

transfer = sa.Table(
    "transfer",
    metadata,
    sa.Column("seq", Big, primary_key=True, autoincrement=False),
    _required("submission", sa.BigInteger),
    _required("entry", sa.Text),
    _required("n", sa.Integer),
    _required("kind", sa.Integer),
    _required("debit", sa.BigInteger),
    _required("credit", sa.BigInteger),
    _required("amount", sa.BigInteger),
    #: For a post or a void: the pending transfer that it resolves.
    sa.Column("pending", sa.BigInteger),
    #: The chain: the previous transfer of either account, 0 at its start.
    _required("debit_previous", sa.BigInteger),
    _required("credit_previous", sa.BigInteger),
    sa.CheckConstraint("amount > 0 AND debit <> credit", name="transfer_amount"),
)

#: Open holds only: derived, small, checked by the audit.
hold = sa.Table(
    "hold",
    metadata,
    sa.Column("seq", Big, primary_key=True, autoincrement=False),
    #: `<submission id>/<entry name>`
    _required("name", sa.Text, index=True),
    _required("debit", sa.BigInteger),
    _required("credit", sa.BigInteger),
    _required("amount", sa.BigInteger),
)

#: The posted sums of every account that moved on a UTC day, as the day ended.
closing = sa.Table(
    "closing",
    metadata,
    sa.Column("account", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("day", sa.Text, primary_key=True),
    _required("debits_posted", sa.BigInteger),
    _required("credits_posted", sa.BigInteger),
    _required("head", sa.BigInteger),
)

# --- core.users -------------------------------------------------------------------------------

person = sa.Table(
    "person",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _required("created_at", sa.BigInteger),
    _required("language", sa.Text),
    _required("zone", sa.Text),
    #: The current model's id; empty until chosen.
    _required("model", sa.Text),
    _required("footer", sa.Boolean),
    #: Served only by keys of the operator's own.
    _required("own_keys_only", sa.Boolean),
    #: The person's data key, wrapped by a master key: seals their questions and answers.
    sa.Column("data_key", sa.LargeBinary),
    #: The person that this one became a part of by `/link`, and when.
    sa.Column("merged_into", sa.Text, index=True),
    sa.Column("merged_at", sa.BigInteger),
    #: When everything about them but amounts was erased.
    sa.Column("erased_at", sa.BigInteger),
    base.some("ix_person_erased", "erased_at", "erased_at IS NOT NULL"),
)

#: Names that were erased, by a keyed fingerprint: who comes back gets no second welcome.
erased = sa.Table(
    "erased",
    metadata,
    sa.Column("fingerprint", sa.LargeBinary, primary_key=True),
    _required("at", sa.BigInteger),
)

identity = sa.Table(
    "identity",
    metadata,
    sa.Column("platform", sa.Text, primary_key=True),
    sa.Column("external_id", sa.Text, primary_key=True),
    _required("person", sa.Text, index=True),
    _required("created_at", sa.BigInteger),
)

#: Two people who may be one: a code, shown to one side and typed on the other; both agree.
link = sa.Table(
    "link",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _required("code_digest", sa.Text, unique=True),
    _required("issuer", sa.Text, index=True),
    #: Who typed the code; the first one keeps it.
    sa.Column("joiner", sa.Text, index=True),
    _required("expires_at", sa.BigInteger),
    sa.Column("issuer_agreed_at", sa.BigInteger),
    sa.Column("joiner_agreed_at", sa.BigInteger),
    #: When the two became one, or the link was cancelled.
    sa.Column("done_at", sa.BigInteger),
)

#: Who may use the operator's commands, beside the admins of the settings: owners opened a one-time
#: link, others were named by one.
owner = sa.Table(
    "owner",
    metadata,
    sa.Column("platform", sa.Text, primary_key=True),
    sa.Column("external_id", sa.Text, primary_key=True),
    _required("since", sa.BigInteger),
    #: owner, admin or support.
    _required("role", sa.Text, server_default="owner"),
)

#: One-time links, by the digest of their code.
owner_code = sa.Table(
    "owner_code",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    _required("expires_at", sa.BigInteger),
    sa.Column("used_at", sa.BigInteger),
)

# --- core.asks -------------------------------------------------------------------------------

conversation = sa.Table(
    "conversation",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _required("person", sa.Text),
    #: `<platform>:<chat>:<thread>`
    _required("place", sa.Text),
    _required("created_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
    #: The ask with whose answer its history begins: somebody replied to that older answer.
    sa.Column("branched_from", sa.Text),
    sa.Index("ix_conversation_place_person", "place", "person", "id"),
)

ask = sa.Table(
    "ask",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _required("person", sa.Text),
    _required("conversation", sa.Text),
    _required("place", sa.Text),
    #: The platform's message that asked; and the one that shows the answer, once known.
    _required("asked_in", sa.Text),
    _required("shown_in", sa.Text),
    _required("created_at", sa.BigInteger),
    _required("model", sa.Text),
    _required("price", sa.Text),
    _required("prompt_tokens", sa.BigInteger),
    _required("history_tokens", sa.BigInteger),
    _required("answer_limit", sa.BigInteger),
    #: Credits held.
    _required("held", sa.BigInteger),
    #: open → settled
    _required("state", sa.Text),
    #: Process that runs it, and until when it may be presumed alive.
    _required("owner", sa.Text),
    _required("lease_until", sa.BigInteger),
    _required("stop_requested", sa.Boolean),
    #: The try that runs: 1 is the first key; and that key with the dollars held on it.
    _required("tries", sa.Integer),
    _required("key", sa.Text),
    _required("key_held", sa.BigInteger),
    #: Tokens shown to the person so far.
    _required("shown_tokens", sa.BigInteger),
    #: done, length, stopped, refused, broken, timed_out, lost; empty while open
    _required("outcome", sa.Text),
    sa.Column("ended_at", sa.BigInteger),
    #: When the final text is known to be in the chat.
    sa.Column("landed_at", sa.BigInteger),
    #: Sealed by the person's data key.
    sa.Column("question", sa.LargeBinary),
    sa.Column("answer", sa.LargeBinary),
    #: How its platform can be answered besides by place and message, as it says; sealed likewise.
    sa.Column("way_back", sa.LargeBinary),
    #: Another ask that this one repeats (Again) or goes on from (Continue).
    sa.Column("follows", sa.Text),
    #: The longest that audio is billed as; null for a question.
    sa.Column("seconds", sa.BigInteger),
    #: What was offered: the rates it is billed at where they aren't the price's own, and why: the
    #: asker's tier, the promotion.
    sa.Column("input_rate", sa.BigInteger),
    sa.Column("output_rate", sa.BigInteger),
    sa.Column("tier", sa.Text),
    sa.Column("promotion", sa.Text),
    sa.Index("ix_ask_conversation_id", "conversation", "id"),
    sa.Index("ix_ask_person_id", "person", "id"),
    base.some("ix_ask_promotion", "promotion", "promotion IS NOT NULL"),
    base.some("ix_ask_open", "lease_until", "state = 'open'"),
    base.some("ix_ask_unlanded", "ended_at", "state = 'settled' AND landed_at IS NULL"),
)

#: Which messages of a place show an answer: a long one is several.
shown = sa.Table(
    "shown",
    metadata,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("message", sa.Text, primary_key=True),
    _required("ask", sa.Text),
)

#: One row a served ask: what it used, was charged and cost. Outlives erasure.
usage = sa.Table(
    "usage",
    metadata,
    sa.Column("ask", sa.Text, primary_key=True),
    _required("person", sa.Text),
    _required("at", sa.BigInteger),
    _required("model", sa.Text),
    _required("price", sa.Text),
    _required("provider", sa.Text),
    _required("key", sa.Text),
    _required("input_tokens", sa.BigInteger),
    _required("cached_tokens", sa.BigInteger),
    _required("output_tokens", sa.BigInteger),
    #: Of audio that was written down; null for a question.
    sa.Column("seconds", sa.BigInteger),
    #: The supplier told no usage: these are our own counts.
    _required("estimated", sa.Boolean),
    #: Credits charged, those of them that the asker had bought or earned, and the supplier's cost
    #: in nano-dollars.
    _required("charge", sa.BigInteger),
    _required("paid", sa.BigInteger, server_default="0"),
    _required("cost", sa.BigInteger),
    sa.Index("ix_usage_person_at", "person", "at"),
    sa.Index("ix_usage_at", "at"),
    sa.Index("ix_usage_key_at", "key", "at"),
)

# --- core.pool ---------------------------------------------------------------------------------

key = sa.Table(
    "key",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _required("provider", sa.Text),
    #: Empty for the supplier's built-in address.
    _required("base_url", sa.Text),
    #: The last four characters, all that is ever shown.
    _required("tail", sa.Text),
    _required("fingerprint", sa.LargeBinary, unique=True),
    #: The key under its own data key, and that wrapped by a master key; null once erased.
    sa.Column("sealed", sa.LargeBinary),
    #: The contributor; null for the operator's own.
    sa.Column("owner", sa.Text),
    #: submitted, validated, active, cooling, parked, exhausted, dead, withdrawn, paused
    _required("state", sa.Text),
    _required("reason", sa.Text),
    _required("created_at", sa.BigInteger),
    _required("state_at", sa.BigInteger),
    sa.Column("cooling_until", sa.BigInteger),
    #: Supplier model ids that it can serve, as JSON; null until listed.
    sa.Column("models", sa.Text),
    sa.Column("models_at", sa.BigInteger),
)

#: The vault's own secrets (the fingerprint key), sealed by a master key.
vault_secret = sa.Table(
    "vault_secret",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _required("sealed", sa.LargeBinary),
)

# --- core.pricing ------------------------------------------------------------------------------

#: The price book: append-only; the newest row not after a time is the price at that time.
price = sa.Table(
    "price",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _required("model", sa.Text),
    #: token or second
    _required("per", sa.Text),
    #: Micro-Credits per token (or second); equal for a blended price.
    _required("input_rate", sa.BigInteger),
    _required("output_rate", sa.BigInteger),
    _required("effective_at", sa.BigInteger),
    #: An admin's person id, or `formula`.
    _required("set_by", sa.Text),
    _required("note", sa.Text),
    sa.Index("ix_price_model_effective", "model", "effective_at"),
)
