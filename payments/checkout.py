"""The cashier: what people and admins do with orders, over whichever gateways there are."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Store
from core.errors import cause as cause_of
from core.money import NanoUsd
from payments.fulfillment import Crediting
from payments.gateways.base import Accepts, Gateway, Listed
from payments.orders import Orders
from payments.reconciliation import Listing
from payments.refunds import Refunds
from payments.types import (
    Cash,
    Dispute,
    GatewayUnavailable,
    NoDispute,
    Order,
    PaymentRefused,
    UnknownOrder,
)

_log = logging.getLogger(__name__)

#: An order is given up so long after its checkout closed: what was paid at the last moment is
#: reported by then.
_GRACE_MS = 15 * 60_000
#: And so long when the gateway doesn't answer.
_PATIENCE_MS = DAY_MS
#: Younger orders are left to the webhooks.
_YOUNG_MS = 60_000
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt records cash that came in, or that was given back (`is_refund`)."""

    #: As people read it: `pay_…`, `rfd_…`.
    id: str
    order: str
    #: The gateway's id of it.
    external: str
    amount: Cash
    #: When, in milliseconds UTC.
    at: int
    back: bool
    #: It didn't reach the payer after all.
    failed: bool


class Cashier:
    """The cashier places, refunds and finds orders, and reconciles them with what no webhook
    said."""

    def __init__(
        self,
        *,
        gateways: Mapping[str, Gateway],
        orders: Orders,
        crediting: Crediting,
        store: Store,
        clock: Clock,
        listing: Listing | None = None,
    ) -> None:
        """`transaction_listing` reads the lists of gateways that have one."""
        self.gateways, self.orders, self._crediting = gateways, orders, crediting
        self._store, self._clock, self._listing = store, clock, listing
        self._refunds = Refunds(
            gateways=gateways, orders=orders, crediting=crediting, store=store, clock=clock
        )

    async def buy(
        self,
        *,
        cause: str,
        at_ms: int,
        person: str,
        place: str,
        message: str,
        gateway: str,
        value: NanoUsd,
        what: str,
        language: str,
    ) -> Order:
        """An order that waits to be paid at its `url`; the same cause gives the same one. `message`
        is the card that shows it. Raises `BadAmount`, `TooManyOrders`, `CardPaymentsPaused`,
        `GatewayUnavailable`."""
        at = self.gateways.get(gateway)
        amount = None if at is None else at.amount(value)
        if at is None or amount is None:
            raise GatewayUnavailable(gateway)
        order = await self.orders.create(
            cause=cause,
            at_ms=at_ms,
            person=person,
            place=place,
            message=message,
            gateway=gateway,
            value=value,
            amount=amount,
            seconds=at.open_seconds,
        )
        if order.state != "created":
            return order
        checkout = await at.begin(order, what, language)
        return await self.orders.begun(order, external=checkout.external, url=checkout.url)

    async def refund(self, order: Order, amount: Cash, *, cause: str) -> Order:
        """Gives an order's payer money back, once a cause; raises what `Refunds.refund_order`
        raises."""
        return await self._refunds.refund(order, amount, cause=cause)

    async def reconcile(self) -> int:
        """A job: asks the gateways about orders that wait, or for their lists, and for what came
        late, and gives up what is too old. Gives how many orders changed."""
        changed = 0
        for name, gateway in self.gateways.items():
            if self._listing is not None and isinstance(gateway, Listed):
                changed += await self._listing.read(gateway)
            for order in await self.orders.open(name, _AT_ONCE):
                changed += await self._reconciled(gateway, order)
            changed += await self._late(gateway)
        return changed

    async def _reconciled(self, gateway: Gateway, order: Order) -> bool:
        now = self._clock.now_ms()
        if now - order.created_at < _YOUNG_MS:
            return False
        grace = _GRACE_MS
        try:
            for news in await gateway.look(order):
                await self._crediting.tell(news)
        except (GatewayUnavailable, PaymentRefused, UnknownOrder) as refused:
            _log.warning("%s could not be reconciled: %s", order.id, cause_of(refused))
            grace = _PATIENCE_MS
        after = await self.orders.get(order.id)
        if after.open and now > order.expires_at + grace:
            await self.orders.ended(after, "expired")
            return True
        return after != order

    async def _late(self, gateway: Gateway) -> int:
        changed = 0
        try:
            for id_, paid in (await gateway.late()).items():
                changed += await self._caught_up(gateway, id_, paid)
        except GatewayUnavailable as refused:
            _log.warning("%s could not tell what came late: %s", gateway.name, cause_of(refused))
        return changed

    async def _caught_up(self, gateway: Gateway, id_: str, paid: Cash) -> bool:
        try:
            order = await self.orders.get(id_)
            if order.gateway != gateway.name or order.paid.units >= paid.units:
                return False
            for news in await gateway.look(order):
                await self._crediting.tell(news)
        except (PaymentRefused, UnknownOrder) as refused:
            _log.warning("%s is not counted: %s", id_, cause_of(refused))
            return False
        return await self.orders.get(id_) != order

    async def accept(self, gateway: str, dispute: str) -> Order:
        """Gives up an open dispute for good; raises `NoOpenDispute`, `GatewayUnavailable`."""
        told = await self.dispute(gateway, dispute)
        at = self._accepting(gateway)
        if told.state != "open" or at is None:
            raise NoDispute(dispute)
        order = await self.orders.by_payment(gateway, told.payment)
        for news in await at.accept(order, told):
            await self._crediting.tell(news)
        return await self.orders.get(order.id)

    def accepts(self, gateway: str) -> bool:
        """Whether disputes can be given up at this gateway."""
        return self._accepting(gateway) is not None

    def _accepting(self, gateway: str) -> Accepts | None:
        at: object = self.gateways.get(gateway)
        return at if isinstance(at, Accepts) else None

    async def dispute(self, gateway: str, external: str) -> Dispute:
        """A dispute as it stands; raises `NoOpenDispute`."""
        table = schema.dispute
        rows = await self._store.fetch(
            sa.select(table).where(table.c.gateway == gateway, table.c.external == external)
        )
        if not rows:
            raise NoDispute(external)
        return _dispute(rows[0])

    async def disputes(self, order: str) -> list[Dispute]:
        """All of an order, the oldest first."""
        table = schema.dispute
        rows = await self._store.fetch(
            sa.select(table).where(table.c.order == order).order_by(table.c.opened_at, table.c.id)
        )
        return [_dispute(row) for row in rows]

    async def find(self, id_: str) -> Order:
        """By the order's id, a receipt of a payment or a refund, a dispute's id, or what its
        gateway calls any of them; raises `UnknownOrder`."""
        order = schema.order.c
        chosen = [sa.select(order.id).where(sa.or_(order.id == id_, order.external == id_))]
        for known in (schema.payment.c, schema.refund.c, schema.dispute.c):
            named = sa.or_(known.id == id_, known.external == id_)
            chosen.append(sa.select(known.order).where(named))
        rows = await self._store.fetch(sa.select(sa.union(*chosen).subquery()).limit(1))
        if not id_ or not rows:
            raise UnknownOrder(id_)
        return await self.orders.get(rows[0][0])

    async def receipts(self, orders: Sequence[Order]) -> list[Receipt]:
        """Every movement of these orders' cash, the oldest first."""
        units = {order.id: type(order.paid) for order in orders}
        found = []
        for table, back in ((schema.payment, False), (schema.refund, True)):
            rows = await self._store.fetch(sa.select(table).where(table.c.order.in_(units)))
            found += [
                Receipt(
                    row.id,
                    row.order,
                    row.external,
                    units[row.order](row.amount),
                    row.at,
                    back=back,
                    failed=back and row.failed_at is not None,
                )
                for row in rows
            ]
        return sorted(found, key=lambda receipt: (receipt.at, receipt.id))


def _dispute(row: sa.Row[Any]) -> Dispute:
    return Dispute(
        row.gateway,
        row.external,
        row.payment,
        NanoUsd(row.amount),
        row.state,
        reason=row.reason,
        due_at=row.due_at,
    )
