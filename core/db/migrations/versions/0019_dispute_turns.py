"""Disputes may go on after their end: what each end took is kept, so that it can be undone."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

BIG = sa.BigInteger()
#: What one bought Credit brought, in nano-dollars.
_PAR = 10_000_000


def upgrade() -> None:
    """Adds the columns; what was bad debt of older losses is in their orders' history."""
    for name, kind in (
        ("turn", sa.Integer()),
        ("fee", BIG),
        ("bad_debt", BIG),
        ("unrecovered_bought", BIG),
        ("unrecovered_bonus", BIG),
    ):
        op.add_column("dispute", sa.Column(name, kind, nullable=False, server_default="0"))
    op.add_column("dispute", sa.Column("running", BIG))
    _fill_losses()


def _fill_losses() -> None:
    connection = op.get_bind()
    losses = connection.execute(
        sa.text(
            'SELECT d.gateway, d.external, d."order", d.amount, d.ended_at, o.refunded'
            ' FROM dispute d JOIN "order" o ON o.id = d."order" WHERE d.state = \'lost\''
        )
    ).all()
    for loss in losses:
        bad_debt = _find_bad_debt(connection, loss)
        # What else was given back of the order may be why nothing was left to take.
        unrecovered = 0 if loss.refunded else bad_debt // _PAR
        connection.execute(
            sa.text(
                "UPDATE dispute SET bad_debt = :bad_debt, unrecovered_bought = :unrecovered"
                " WHERE gateway = :gateway AND external = :external"
            ),
            {
                "bad_debt": bad_debt,
                "unrecovered": unrecovered,
                "gateway": loss.gateway,
                "external": loss.external,
            },
        )


def _find_bad_debt(connection: sa.Connection, loss: sa.Row[tuple[object, ...]]) -> int:
    """Of the line of the order's history that was written with this loss."""
    lines = connection.execute(
        sa.text(
            "SELECT at, facts FROM order_event WHERE \"order\" = :order AND what = 'dispute lost'"
        ),
        {"order": loss.order},
    ).all()
    found = [(abs(line.at - loss.ended_at), json.loads(line.facts)) for line in lines]
    fitting = [(apart, facts) for apart, facts in found if facts.get("amount") == loss.amount]
    if not fitting:
        return 0
    return int(min(fitting, key=lambda one: one[0])[1].get("bad_debt", 0))
