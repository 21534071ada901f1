"""The tables of `core.pool`: suppliers' keys, and the vault's own secrets."""

from __future__ import annotations

import sqlalchemy as sa

from core.db.tables.base import metadata, required_column

key = sa.Table(
    "key",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    required_column("provider", sa.Text),
    #: Empty for the supplier's built-in address.
    required_column("base_url", sa.Text),
    #: The last four characters, all that is ever shown.
    required_column("tail", sa.Text),
    required_column("fingerprint", sa.LargeBinary, unique=True),
    #: The key under its own data key, and that wrapped by a master key; null once erased.
    sa.Column("sealed", sa.LargeBinary),
    #: The contributor; null for a key of the operator's own.
    sa.Column("owner", sa.Text),
    #: submitted, validated, active, cooling, parked, exhausted, dead, withdrawn, paused
    required_column("state", sa.Text),
    required_column("reason", sa.Text),
    required_column("created_at", sa.BigInteger),
    required_column("state_at", sa.BigInteger),
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
    required_column("sealed", sa.LargeBinary),
)
