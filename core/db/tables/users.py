"""The tables of `core.users`: people, their identities on the platforms, roles, links, referrals,
limits.
"""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, partial_index, required_column

person = sa.Table(
    "person",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("created_at", sa.BigInteger),
    required_column("language", sa.Text),
    required_column("zone", sa.Text),
    #: The current model's id; empty until chosen.
    required_column("model", sa.Text),
    required_column("footer", sa.Boolean),
    #: Served only by keys of the operator's own.
    required_column("own_keys_only", sa.Boolean),
    #: The Credits that they let themselves spend in a UTC day; NULL: as many as they have.
    sa.Column("daily_limit", sa.BigInteger),
    #: Whether contributed keys may be used for their pictures and files; NULL: never asked.
    sa.Column("shares_files", sa.Boolean),
    #: The Credits above which a question with files is offered first; NULL: everybody's threshold.
    sa.Column("offer_from", sa.BigInteger),
    #: The person's data key, wrapped by a master key: seals their questions and answers.
    sa.Column("data_key", sa.LargeBinary),
    #: The person that this one became a part of by `/link`, and when.
    sa.Column("merged_into", sa.Text, index=True),
    sa.Column("merged_at", sa.BigInteger),
    #: When everything about them but amounts was erased.
    sa.Column("erased_at", sa.BigInteger),
    partial_index("ix_person_erased", "erased_at", "erased_at IS NOT NULL"),
)

#: Identities that were erased, by a keyed fingerprint: who comes back gets no second welcome.
erased = sa.Table(
    "erased",
    metadata,
    sa.Column("fingerprint", sa.LargeBinary, primary_key=True),
    required_column("at", sa.BigInteger),
)

identity = sa.Table(
    "identity",
    metadata,
    sa.Column("platform", sa.Text, primary_key=True),
    sa.Column("external_id", sa.Text, primary_key=True),
    required_column("person", sa.Text, index=True),
    required_column("created_at", sa.BigInteger),
)

#: Two people who may become one: a code, shown to one side and typed on the other; both agree.
link = sa.Table(
    "link",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("code_digest", sa.Text, unique=True),
    required_column("issuer", sa.Text, index=True),
    #: Who typed the code; the first one keeps it.
    sa.Column("joiner", sa.Text, index=True),
    required_column("expires_at", sa.BigInteger),
    sa.Column("issuer_agreed_at", sa.BigInteger),
    sa.Column("joiner_agreed_at", sa.BigInteger),
    #: When the two became one, or the link was cancelled.
    sa.Column("done_at", sa.BigInteger),
)

#: Who may use the operator's commands, beside the admins of the settings: an owner opened a
#: one-time link, others were named by an owner.
owner = sa.Table(
    "owner",
    metadata,
    sa.Column("platform", sa.Text, primary_key=True),
    sa.Column("external_id", sa.Text, primary_key=True),
    required_column("since", sa.BigInteger),
    #: owner, admin or support.
    required_column("role", sa.Text, server_default="owner"),
)

#: One-time links, by the digest of their code.
owner_code = sa.Table(
    "owner_code",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    required_column("expires_at", sa.BigInteger),
    sa.Column("used_at", sa.BigInteger),
)

#: A person's code for friends; no secret.
invitation = sa.Table(
    "invitation",
    metadata,
    sa.Column("person", sa.Text, primary_key=True),
    required_column("code", sa.Text, unique=True),
    required_column("created_at", sa.BigInteger),
)

#: By whom a person was invited, once and for good.
referral = sa.Table(
    "referral",
    metadata,
    sa.Column("person", sa.Text, primary_key=True),
    required_column("inviter", sa.Text, index=True),
    required_column("bound_at", sa.BigInteger),
    #: Credits that the inviter has for what this person bought, as it stands.
    required_column("earned", sa.BigInteger),
    #: When a link made the two one; what was earned was taken back then.
    sa.Column("undone_at", sa.BigInteger),
)

#: What is paused now: asks, topups, contributions or payouts. No row: it runs.
switch = sa.Table(
    "switch",
    metadata,
    sa.Column("what", sa.Text, primary_key=True),
    #: What people read meanwhile; empty: the product's own sentence.
    required_column("sentence", sa.Text),
    required_column("since", sa.BigInteger),
    required_column("by", sa.Text),
)

#: Limits that differ from everyone's, of a person or a group; null: as everyone.
allowance = sa.Table(
    "allowance",
    metadata,
    #: `usr_…`, or `<platform>:<chat>` of a group.
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("per_minute", sa.Integer),
    sa.Column("at_once", sa.Integer),
    #: Credits a UTC day.
    sa.Column("per_day", sa.BigInteger),
    #: When it was blocked; null: it isn't.
    sa.Column("blocked_at", sa.BigInteger),
    required_column("reason", sa.Text),
    required_column("by", sa.Text),
    required_column("at", sa.BigInteger),
)
