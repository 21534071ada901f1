"""What the rest of the program may know of orders, payments, disputes and webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from core import ids
from core.db import schema
from core.db.database import Database
from core.db.writes import Companion, UpdateAll
from core.money import Credits, NanoUsd
from core.payment_records import ReceivedPayment, RecordLine
from payments.movements import audit_movements

_UNFINISHED = ("created", "pending", "processing")
_FINDINGS_MAX = 100
_order = schema.order.c


class PaymentReader:
    """The reader of payments' rows, by whom `PaymentRecords` of `core` is fulfilled."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def select_bought(self, people: sa.CompoundSelect[str], since_ms: int) -> sa.ScalarSelect[Any]:
        """See `PaymentRecords`."""
        return (
            sa.select(sa.func.coalesce(sa.func.sum(_order.bought), 0))
            .where(
                _order.person.in_(people),
                _order.id >= ids.min_id("ord", since_ms),
                _order.state == "credited",
            )
            .scalar_subquery()
        )

    def count_open_disputes(self, connection: sa.Connection) -> int:
        """See `PaymentRecords`."""
        dispute = schema.dispute
        statement = sa.select(sa.func.count()).select_from(dispute).where(dispute.c.state == "open")
        return int(connection.execute(statement).scalar_one())

    async def count_orders(self, people: Sequence[str]) -> int:
        """See `PaymentRecords`."""
        return await self._count(schema.order, _order.person.in_(people))

    async def has_unfinished_order(self, people: Sequence[str]) -> bool:
        """See `PaymentRecords`."""
        return await self._has_order(_order.person.in_(people), _order.state.in_(_UNFINISHED))

    async def has_open_dispute(self, people: Sequence[str]) -> bool:
        """See `PaymentRecords`."""
        return await self._has_order(_order.person.in_(people), _order.dispute_state == "open")

    async def count_disputed_orders(self, people: Sequence[str]) -> int:
        """See `PaymentRecords`."""
        return await self._count(
            schema.order, _order.person.in_(people), _order.dispute_state != ""
        )

    async def list_payments(self, people: Sequence[str]) -> list[ReceivedPayment]:
        """See `PaymentRecords`."""
        payment = schema.payment
        rows = await self._db.fetch(
            sa.select(payment.c.gateway, payment.c.at, _order.dispute_state)
            .select_from(payment.join(schema.order, _order.id == payment.c.order))
            .where(_order.person.in_(people))
        )
        return [ReceivedPayment(row.gateway, row.at, bool(row.dispute_state)) for row in rows]

    async def list_newest_orders(self, people: Sequence[str], limit: int) -> list[RecordLine]:
        """See `PaymentRecords`."""
        rows = await self._db.fetch(
            sa.select(_order.id, _order.state, _order.created_at, _order.bought)
            .where(_order.person.in_(people))
            .order_by(_order.id.desc())
            .limit(limit)
        )
        return [
            RecordLine(row.id, row.state, row.created_at, Credits(int(row.bought))) for row in rows
        ]

    async def find_buyers(self, order: str) -> list[str]:
        """See `PaymentRecords`."""
        rows = await self._db.fetch(sa.select(_order.person).where(_order.id == order))
        return [row.person for row in rows]

    async def count_waiting_webhooks(self) -> int:
        """See `PaymentRecords`."""
        return await self._count(schema.webhook, schema.webhook.c.due_at.is_not(None))

    def select_referral_shares(self) -> sa.Subquery:
        """See `PaymentRecords`."""
        return (
            sa.select(_order.referral, sa.func.sum(_order.share).label("sum"))
            .where(_order.referral.is_not(None))
            .group_by(_order.referral)
            .subquery()
        )

    async def audit_refunds(self) -> tuple[int, list[str]]:
        """See `PaymentRecords`."""
        refund = schema.refund.c
        given = (
            sa.select(refund.order, sa.func.sum(refund.amount).label("amount"))
            .where(refund.failed_at.is_(None))
            .group_by(refund.order)
            .subquery()
        )
        amount = sa.func.coalesce(given.c.amount, 0)
        rows = await self._db.fetch(
            sa.select(_order.id, _order.refunded, _order.paid, amount.label("given"))
            .select_from(schema.order.outerjoin(given, given.c.order == _order.id))
            .where(sa.or_(_order.refunded > _order.paid, _order.refunded != amount))
            .limit(_FINDINGS_MAX)
        )
        findings = [
            f"order {row.id} says {row.refunded} of {row.paid} given back, its refunds {row.given}"
            for row in rows
        ]
        return await self._count(schema.order, _order.refunded > 0), findings

    def build_erasure(self, people: Sequence[str]) -> Sequence[Companion]:
        """See `PaymentRecords`."""
        blank = {"place": "", "shown_in": "", "url": ""}
        return (UpdateAll(schema.order, {"person": tuple(people)}, blank),)

    async def _has_order(self, *where: sa.ColumnElement[bool]) -> bool:
        return bool(await self._db.fetch(sa.select(_order.id).where(*where).limit(1)))

    async def _count(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
        rows = await self._db.fetch(sa.select(sa.func.count()).select_from(table).where(*where))
        return int(rows[0][0])

    async def audit_movements(self) -> list[str]:
        """See `PaymentRecords`."""
        return await audit_movements(self._db)


async def read_gateway_fees(db: Database) -> Mapping[str, tuple[int, NanoUsd]]:
    """What gateways that take dollars kept of all payments so far, as parts of ten thousand."""
    table = schema.payment.c
    rows = await db.fetch(
        sa.select(
            table.gateway,
            sa.func.sum(table.amount).label("amount"),
            sa.func.sum(table.fee).label("fee"),
        )
        .where(table.unit == NanoUsd.NAME)
        .group_by(table.gateway)
    )
    return {
        row.gateway: (-(-int(row.fee) * 10_000 // int(row.amount)), NanoUsd(0))
        for row in rows
        if row.amount
    }
