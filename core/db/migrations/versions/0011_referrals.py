"""Invitations and what they earn, codes, disputes each for itself, receipts of refunds."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from core import ids

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TEXT, BIG, INT = sa.Text(), sa.BigInteger(), sa.Integer()


def _required(name: str, kind: sa.types.TypeEngine[Any], **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **more)


def upgrade() -> None:
    """Adds the tables and columns; disputes and refunds that there are get rows and ids."""
    op.add_column("order", _required("lost", BIG, server_default="0"))
    op.add_column("order", _required("offer", TEXT, server_default=""))
    op.add_column("order", sa.Column("referral", TEXT))
    op.add_column("order", _required("share", BIG, server_default="0"))
    _invitations()
    _codes()
    _disputes()
    _receipts_of_refunds()


def _invitations() -> None:
    op.create_table(
        "invitation",
        _required("person", TEXT),
        _required("code", TEXT),
        _required("created_at", BIG),
        sa.PrimaryKeyConstraint("person", name="pk_invitation"),
        sa.UniqueConstraint("code", name="uq_invitation_code"),
    )
    op.create_table(
        "referral",
        _required("person", TEXT),
        _required("inviter", TEXT),
        _required("bound_at", BIG),
        _required("earned", BIG),
        sa.Column("undone_at", BIG),
        sa.PrimaryKeyConstraint("person", name="pk_referral"),
    )
    op.create_index("ix_referral_inviter", "referral", ["inviter"])


def _codes() -> None:
    op.create_table(
        "code",
        _required("id", TEXT),
        _required("digest", TEXT),
        _required("batch", TEXT),
        _required("kind", TEXT),
        _required("cash", BIG),
        _required("credits", BIG),
        _required("uses", INT),
        _required("uses_max", INT),
        _required("created_at", BIG),
        sa.Column("expires_at", BIG),
        sa.Column("voided_at", BIG),
        sa.PrimaryKeyConstraint("id", name="pk_code"),
        sa.UniqueConstraint("digest", name="uq_code_digest"),
    )
    op.create_index("ix_code_batch", "code", ["batch"])


def _disputes() -> None:
    made = op.create_table(
        "dispute",
        _required("gateway", TEXT),
        _required("external", TEXT),
        _required("id", TEXT),
        _required("order", TEXT),
        _required("payment", TEXT),
        _required("amount", BIG),
        _required("state", TEXT),
        _required("reason", TEXT),
        _required("opened_at", BIG),
        sa.Column("due_at", BIG),
        sa.Column("ended_at", BIG),
        sa.PrimaryKeyConstraint("gateway", "external", name="pk_dispute"),
        sa.UniqueConstraint("id", name="uq_dispute_id"),
    )
    op.create_index("ix_dispute_order", "dispute", ["order"])
    rows = op.get_bind().execute(
        sa.text(
            "SELECT o.id, o.gateway, o.dispute, o.dispute_state, o.paid, o.refunded, e.at, e.facts,"
            ' (SELECT max(p.external) FROM payment p WHERE p."order" = o.id) AS payment'
            ' FROM "order" o JOIN order_event e ON e."order" = o.id AND e.what = \'dispute open\''
            " WHERE o.dispute IS NOT NULL ORDER BY e.id"
        )
    )
    for row in {row.id: row for row in rows}.values():
        amount = json.loads(row.facts)["amount"]
        told = {
            "gateway": row.gateway,
            "external": row.dispute,
            "id": ids.derive_id("dsp", row.at, row.gateway, row.dispute),
            "order": row.id,
            "payment": row.payment or "",
            "amount": amount,
            "state": row.dispute_state,
            "reason": "",
            "opened_at": row.at,
            "due_at": None,
            "ended_at": None if row.dispute_state == "open" else row.at,
        }
        op.bulk_insert(made, [told])
        if row.dispute_state == "lost":
            # What was spent of it is bad debt: nothing of the order stands any more.
            op.get_bind().execute(
                sa.text('UPDATE "order" SET lost = :lost, bought = 0, bonus = 0 WHERE id = :id'),
                {"lost": min(amount, row.paid - row.refunded), "id": row.id},
            )


def _receipts_of_refunds() -> None:
    op.add_column("refund", sa.Column("id", TEXT))
    connection = op.get_bind()
    for row in connection.execute(sa.text("SELECT gateway, external, at FROM refund")).all():
        connection.execute(
            sa.text("UPDATE refund SET id = :id WHERE gateway = :gateway AND external = :external"),
            {
                "id": ids.derive_id("rfd", row.at, row.gateway, row.external),
                "gateway": row.gateway,
                "external": row.external,
            },
        )
    with op.batch_alter_table("refund") as refund:
        refund.alter_column("id", existing_type=TEXT, nullable=False)
        refund.create_unique_constraint("uq_refund_id", ["id"])
