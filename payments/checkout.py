"""The cashier: what people and admins do with orders, over whichever gateways there are."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Database
from core.errors import describe_failure as cause_of
from core.money import NanoUsd
from payments.fulfillment import Fulfillment
from payments.gateways.base import Gateway, SupportsDisputeAcceptance, SupportsTransactionList
from payments.orders import Orders
from payments.reconciliation import TransactionListing
from payments.refunds import Refunds
from payments.types import (
    Cash,
    Dispute,
    GatewayUnavailable,
    NoOpenDispute,
    Order,
    PaymentMismatch,
    UnknownOrder,
)

_log = logging.getLogger(__name__)

#: An order is given up so long after its checkout closed: what was paid at the last moment is
#: reported by then.
_GRACE_MS = 15 * 60_000
#: And so long when the gateway doesn't answer.
_UNREACHABLE_GRACE_MS = DAY_MS
#: Younger orders are left to the webhooks.
_MIN_AGE_MS = 60_000
_BATCH_SIZE = 200


@dataclass(frozen=True, slots=True)
class CashReceipt:
    """A receipt records cash that came in, or that was given back (`is_refund`)."""

    #: As people read it: `pay_…`, `rfd_…`.
    id: str
    order: str
    #: The gateway's id of it.
    external_id: str
    amount: Cash
    #: When, in milliseconds UTC.
    at_ms: int
    is_refund: bool
    #: It didn't reach the payer after all.
    has_failed: bool


class Cashier:
    """The cashier places, refunds and finds orders, and reconciles them with what no webhook
    said."""

    def __init__(
        self,
        *,
        gateways: Mapping[str, Gateway],
        orders: Orders,
        fulfillment: Fulfillment,
        db: Database,
        clock: Clock,
        transaction_listing: TransactionListing | None = None,
    ) -> None:
        """`transaction_listing` reads the lists of gateways that have one."""
        self.gateways, self.orders, self._fulfillment = gateways, orders, fulfillment
        self._db, self._clock, self._transaction_listing = db, clock, transaction_listing
        self._refunds = Refunds(
            gateways=gateways, orders=orders, fulfillment=fulfillment, db=db, clock=clock
        )

    async def place_order(
        self,
        *,
        cause: str,
        at_ms: int,
        person: str,
        place: str,
        message: str,
        gateway: str,
        value: NanoUsd,
        description: str,
        language: str,
    ) -> Order:
        """An order that waits to be paid at its `url`; the same cause gives the same one. `message`
        is the card that shows it. Raises `BadAmount`, `TooManyOrders`, `CardPaymentsPaused`,
        `GatewayUnavailable`."""
        provider = self.gateways.get(gateway)
        amount = None if provider is None else provider.quote_amount(value)
        if provider is None or amount is None:
            raise GatewayUnavailable(gateway)
        order = await self.orders.create_order(
            cause=cause,
            at_ms=at_ms,
            person=person,
            place=place,
            message=message,
            gateway=gateway,
            value=value,
            amount=amount,
            lifetime_seconds=provider.checkout_seconds,
        )
        if order.state != "created":
            return order
        checkout = await provider.create_checkout(order, description, language)
        return await self.orders.mark_pending(
            order, external_id=checkout.external_id, url=checkout.url
        )

    async def refund_order(self, order: Order, amount: Cash, *, cause: str) -> Order:
        """Gives an order's payer money back, once a cause; raises what `Refunds.refund_order`
        raises."""
        return await self._refunds.refund_order(order, amount, cause=cause)

    async def reconcile_orders(self) -> int:
        """A job: asks the gateways about orders that wait, or for their lists, and for what came
        late, and gives up what is too old. Gives how many orders changed."""
        changed = 0
        for name, gateway in self.gateways.items():
            if self._transaction_listing is not None and isinstance(
                gateway, SupportsTransactionList
            ):
                changed += await self._transaction_listing.read_new_transactions(gateway)
            for order in await self.orders.list_open(name, _BATCH_SIZE):
                changed += await self._reconcile_order(gateway, order)
            changed += await self._reconcile_late_payments(gateway)
        return changed

    async def _reconcile_order(self, gateway: Gateway, order: Order) -> bool:
        now = self._clock.now_ms()
        if now - order.created_at < _MIN_AGE_MS:
            return False
        grace = _GRACE_MS
        try:
            for event in await gateway.fetch_order(order):
                await self._fulfillment.handle(event)
        except (GatewayUnavailable, PaymentMismatch, UnknownOrder) as refused:
            _log.warning("%s could not be reconciled: %s", order.id, cause_of(refused))
            grace = _UNREACHABLE_GRACE_MS
        updated = await self.orders.get(order.id)
        if updated.is_open and now > order.expires_at + grace:
            await self.orders.end_unpaid(updated, "expired")
            return True
        return updated != order

    async def _reconcile_late_payments(self, gateway: Gateway) -> int:
        changed = 0
        try:
            for id_, paid in (await gateway.list_late_payments()).items():
                changed += await self._catch_up_order(gateway, id_, paid)
        except GatewayUnavailable as refused:
            _log.warning("%s could not tell what came late: %s", gateway.name, cause_of(refused))
        return changed

    async def _catch_up_order(self, gateway: Gateway, id_: str, paid: Cash) -> bool:
        try:
            order = await self.orders.get(id_)
            if order.gateway != gateway.name or order.paid.units >= paid.units:
                return False
            for event in await gateway.fetch_order(order):
                await self._fulfillment.handle(event)
        except (PaymentMismatch, UnknownOrder) as refused:
            _log.warning("%s is not counted: %s", id_, cause_of(refused))
            return False
        return await self.orders.get(id_) != order

    async def accept_dispute(self, gateway: str, dispute_id: str) -> Order:
        """Gives up an open dispute for good; raises `NoOpenDispute`, `GatewayUnavailable`."""
        dispute = await self.get_dispute(gateway, dispute_id)
        provider = self._find_dispute_accepter(gateway)
        if dispute.state != "open" or provider is None:
            raise NoOpenDispute(dispute_id)
        order = await self.orders.get_by_payment(gateway, dispute.payment)
        for event in await provider.accept_dispute(order, dispute):
            await self._fulfillment.handle(event)
        return await self.orders.get(order.id)

    def can_accept_disputes(self, gateway: str) -> bool:
        """Whether disputes can be given up at this gateway."""
        return self._find_dispute_accepter(gateway) is not None

    def _find_dispute_accepter(self, gateway: str) -> SupportsDisputeAcceptance | None:
        provider: object = self.gateways.get(gateway)
        return provider if isinstance(provider, SupportsDisputeAcceptance) else None

    async def get_dispute(self, gateway: str, dispute_id: str) -> Dispute:
        """A dispute as it stands; raises `NoOpenDispute`."""
        table = schema.dispute
        rows = await self._db.fetch(
            sa.select(table).where(table.c.gateway == gateway, table.c.external == dispute_id)
        )
        if not rows:
            raise NoOpenDispute(dispute_id)
        return _dispute_from_row(rows[0])

    async def list_disputes(self, order_id: str) -> list[Dispute]:
        """All of an order, the oldest first."""
        table = schema.dispute
        rows = await self._db.fetch(
            sa.select(table)
            .where(table.c.order == order_id)
            .order_by(table.c.opened_at, table.c.id)
        )
        return [_dispute_from_row(row) for row in rows]

    async def find_order(self, id_: str) -> Order:
        """By the order's id, a receipt of a payment or a refund, a dispute's id, or what its
        gateway calls any of them; raises `UnknownOrder`."""
        order = schema.order.c
        selects = [sa.select(order.id).where(sa.or_(order.id == id_, order.external == id_))]
        for columns in (schema.payment.c, schema.refund.c, schema.dispute.c):
            is_named = sa.or_(columns.id == id_, columns.external == id_)
            selects.append(sa.select(columns.order).where(is_named))
        rows = await self._db.fetch(sa.select(sa.union(*selects).subquery()).limit(1))
        if not id_ or not rows:
            raise UnknownOrder(id_)
        return await self.orders.get(rows[0][0])

    async def list_receipts(self, orders: Sequence[Order]) -> list[CashReceipt]:
        """Every movement of these orders' cash, the oldest first."""
        units = {order.id: type(order.paid) for order in orders}
        found = []
        for table, is_refund in ((schema.payment, False), (schema.refund, True)):
            rows = await self._db.fetch(sa.select(table).where(table.c.order.in_(units)))
            found += [
                CashReceipt(
                    row.id,
                    row.order,
                    row.external,
                    units[row.order](row.amount),
                    row.at,
                    is_refund=is_refund,
                    has_failed=is_refund and row.failed_at is not None,
                )
                for row in rows
            ]
        return sorted(found, key=lambda receipt: (receipt.at_ms, receipt.id))


def _dispute_from_row(row: sa.Row[Any]) -> Dispute:
    return Dispute(
        row.gateway,
        row.external,
        row.payment,
        NanoUsd(row.amount),
        row.state,
        reason=row.reason,
        due_at=row.due_at,
    )
