"""The first schema, spelled out, with what keeps history as it was written."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT, INT, BIG = sa.Text(), sa.Integer(), sa.BigInteger()
BOOL, BYTES = sa.Boolean(), sa.LargeBinary()
#: A key that is SQLite's own row number.
ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes every table, then what keeps history as it was written."""
    _ledger()
    _people()
    _asking()
    _pool()
    _upkeep()
    _immutable()


def _required(name: str, kind: sa.types.TypeEngine[Any], **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **more)


def _ledger() -> None:
    op.create_table(
        "meta",
        _required("name", TEXT),
        _required("value", TEXT),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )
    op.create_table(
        "account",
        _required("id", ROW),
        _required("code", TEXT),
        _required("unit", TEXT),
        _required("limit_kind", TEXT),
        _required("debits_pending", BIG),
        _required("debits_posted", BIG),
        _required("credits_pending", BIG),
        _required("credits_posted", BIG),
        _required("head", BIG),
        _required("day", BIG),
        _required("seal", BYTES),
        sa.CheckConstraint(
            "(limit_kind <> 'debits' OR debits_posted + debits_pending <= credits_posted)"
            " AND (limit_kind <> 'credits' OR credits_posted + credits_pending <= debits_posted)",
            name="account_floor",
        ),
        sa.CheckConstraint(
            "debits_pending >= 0 AND debits_posted >= 0 AND credits_pending >= 0"
            " AND credits_posted >= 0",
            name="account_sums",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("code", name="uq_account_code"),
    )
    op.create_table(
        "submission",
        _required("seq", ROW, autoincrement=False),
        _required("id", TEXT),
        _required("digest", BYTES),
        _required("at", BIG),
        _required("first", BIG),
        _required("transfers", INT),
        _required("seal", BYTES),
        sa.PrimaryKeyConstraint("seq", name="pk_submission"),
        sa.UniqueConstraint("id", name="uq_submission_id"),
    )
    op.create_table(
        "transfer",
        _required("seq", ROW, autoincrement=False),
        _required("submission", BIG),
        _required("entry", TEXT),
        _required("n", INT),
        _required("kind", INT),
        _required("debit", BIG),
        _required("credit", BIG),
        _required("amount", BIG),
        sa.Column("pending", BIG),
        _required("debit_previous", BIG),
        _required("credit_previous", BIG),
        sa.CheckConstraint("amount > 0 AND debit <> credit", name="transfer_amount"),
        sa.PrimaryKeyConstraint("seq", name="pk_transfer"),
    )
    op.create_table(
        "hold",
        _required("seq", ROW, autoincrement=False),
        _required("name", TEXT),
        _required("debit", BIG),
        _required("credit", BIG),
        _required("amount", BIG),
        sa.PrimaryKeyConstraint("seq", name="pk_hold"),
    )
    op.create_index("ix_hold_name", "hold", ["name"])
    op.create_table(
        "closing",
        _required("account", BIG, autoincrement=False),
        _required("day", TEXT),
        _required("debits_posted", BIG),
        _required("credits_posted", BIG),
        _required("head", BIG),
        sa.PrimaryKeyConstraint("account", "day", name="pk_closing"),
    )


def _people() -> None:
    op.create_table(
        "person",
        _required("id", TEXT),
        _required("created_at", BIG),
        _required("language", TEXT),
        _required("zone", TEXT),
        _required("model", TEXT),
        _required("footer", BOOL),
        _required("own_keys_only", BOOL),
        sa.Column("data_key", BYTES),
        sa.PrimaryKeyConstraint("id", name="pk_person"),
    )
    op.create_table(
        "owner",
        _required("platform", TEXT),
        _required("external_id", TEXT),
        _required("since", BIG),
        sa.PrimaryKeyConstraint("platform", "external_id", name="pk_owner"),
    )
    op.create_table(
        "owner_code",
        _required("digest", TEXT),
        _required("expires_at", BIG),
        sa.Column("used_at", BIG),
        sa.PrimaryKeyConstraint("digest", name="pk_owner_code"),
    )
    op.create_table(
        "identity",
        _required("platform", TEXT),
        _required("external_id", TEXT),
        _required("person", TEXT),
        _required("created_at", BIG),
        sa.PrimaryKeyConstraint("platform", "external_id", name="pk_identity"),
    )
    op.create_index("ix_identity_person", "identity", ["person"])


def _asking() -> None:
    op.create_table(
        "conversation",
        _required("id", TEXT),
        _required("person", TEXT),
        _required("place", TEXT),
        _required("created_at", BIG),
        sa.Column("ended_at", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_conversation"),
    )
    op.create_index("ix_conversation_place_person", "conversation", ["place", "person", "id"])
    op.create_table(
        "ask",
        _required("id", TEXT),
        _required("person", TEXT),
        _required("conversation", TEXT),
        _required("place", TEXT),
        _required("asked_in", TEXT),
        _required("shown_in", TEXT),
        _required("created_at", BIG),
        _required("model", TEXT),
        _required("price", TEXT),
        _required("prompt_tokens", BIG),
        _required("history_tokens", BIG),
        _required("answer_limit", BIG),
        _required("held", BIG),
        _required("state", TEXT),
        _required("owner", TEXT),
        _required("lease_until", BIG),
        _required("stop_requested", BOOL),
        _required("tries", INT),
        _required("key", TEXT),
        _required("key_held", BIG),
        _required("shown_tokens", BIG),
        _required("outcome", TEXT),
        sa.Column("ended_at", BIG),
        sa.Column("landed_at", BIG),
        sa.Column("question", BYTES),
        sa.Column("answer", BYTES),
        sa.Column("follows", TEXT),
        sa.PrimaryKeyConstraint("id", name="pk_ask"),
    )
    op.create_index("ix_ask_conversation_id", "ask", ["conversation", "id"])
    op.create_index(
        "ix_ask_open",
        "ask",
        ["lease_until"],
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index("ix_ask_person_id", "ask", ["person", "id"])
    op.create_index(
        "ix_ask_unlanded",
        "ask",
        ["ended_at"],
        sqlite_where=sa.text("state = 'settled' AND landed_at IS NULL"),
        postgresql_where=sa.text("state = 'settled' AND landed_at IS NULL"),
    )
    op.create_table(
        "usage",
        _required("ask", TEXT),
        _required("person", TEXT),
        _required("at", BIG),
        _required("model", TEXT),
        _required("price", TEXT),
        _required("provider", TEXT),
        _required("key", TEXT),
        _required("input_tokens", BIG),
        _required("cached_tokens", BIG),
        _required("output_tokens", BIG),
        _required("estimated", BOOL),
        _required("charge", BIG),
        _required("cost", BIG),
        sa.PrimaryKeyConstraint("ask", name="pk_usage"),
    )
    op.create_index("ix_usage_at", "usage", ["at"])
    op.create_index("ix_usage_person_at", "usage", ["person", "at"])


def _pool() -> None:
    op.create_table(
        "key",
        _required("id", TEXT),
        _required("provider", TEXT),
        _required("base_url", TEXT),
        _required("tail", TEXT),
        _required("fingerprint", BYTES),
        sa.Column("sealed", BYTES),
        sa.Column("owner", TEXT),
        _required("state", TEXT),
        _required("reason", TEXT),
        _required("created_at", BIG),
        _required("state_at", BIG),
        sa.Column("cooling_until", BIG),
        sa.Column("models", TEXT),
        sa.Column("models_at", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_key"),
        sa.UniqueConstraint("fingerprint", name="uq_key_fingerprint"),
    )
    op.create_table(
        "vault_secret",
        _required("name", TEXT),
        _required("sealed", BYTES),
        sa.PrimaryKeyConstraint("name", name="pk_vault_secret"),
    )
    op.create_table(
        "price",
        _required("id", TEXT),
        _required("model", TEXT),
        _required("per", TEXT),
        _required("input_rate", BIG),
        _required("output_rate", BIG),
        _required("effective_at", BIG),
        _required("set_by", TEXT),
        _required("note", TEXT),
        sa.PrimaryKeyConstraint("id", name="pk_price"),
    )
    op.create_index("ix_price_model_effective", "price", ["model", "effective_at"])


def _upkeep() -> None:
    op.create_table(
        "button",
        _required("id", TEXT),
        _required("person", TEXT),
        _required("place", TEXT),
        _required("action", TEXT),
        _required("data", TEXT),
        _required("expires_at", BIG),
        _required("once", BOOL),
        sa.Column("used_at", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_button"),
    )
    op.create_index("ix_button_expires_at", "button", ["expires_at"])
    op.create_table(
        "chore",
        _required("name", TEXT),
        _required("owner", TEXT),
        _required("lease_until", BIG),
        _required("done_at", BIG),
        sa.PrimaryKeyConstraint("name", name="pk_chore"),
    )
    op.create_table(
        "admin_log",
        _required("id", TEXT),
        _required("at", BIG),
        _required("actor", TEXT),
        _required("act", TEXT),
        _required("before", TEXT),
        _required("after", TEXT),
        sa.PrimaryKeyConstraint("id", name="pk_admin_log"),
    )


_SQLITE_GUARD = """
CREATE TRIGGER {table}_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is written once'); END
"""
_POSTGRES_FUNCTION = """
CREATE FUNCTION written_once() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is written once', TG_TABLE_NAME; END $$
"""
_POSTGRES_GUARD = """
CREATE TRIGGER {table}_{verb} BEFORE {verb} ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION written_once()
"""


def _immutable() -> None:
    if op.get_bind().dialect.name == "sqlite":
        guard, verbs = _SQLITE_GUARD, ["update", "delete"]
    else:
        op.execute("CREATE SEQUENCE block START WITH 1048576 INCREMENT BY 1048576")
        op.execute(_POSTGRES_FUNCTION)
        guard, verbs = _POSTGRES_GUARD, ["update", "delete", "truncate"]
    for table in ("transfer", "submission"):
        for verb in verbs:
            op.execute(guard.format(table=table, verb=verb))
