"""The cashier: what people and admins do with orders, over whichever gateways there are."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from core.clock import Clock
from core.errors import Refusal
from core.store import Store, schema
from core.trace import cause as cause_of
from core.units import NanoUsd
from payments.crediting import Crediting
from payments.gateways import Gateway
from payments.orders import Orders
from payments.types import UNITS, Cash, GatewayUnavailable, Order, PaymentRefused, UnknownOrder

_log = logging.getLogger(__name__)

#: An order is given up so long after its checkout closed: what was paid at the last moment is told
#: by then.
_GRACE_MS = 15 * 60_000
#: And so long when the gateway doesn't answer.
_PATIENCE_MS = 86_400_000
#: Younger orders are left to the webhooks.
_YOUNG_MS = 60_000
_AT_ONCE = 200


class NothingToRefund(Refusal):
    """That much of the order isn't there to be given back."""

    code = "nothing_to_refund"

    def __init__(self, order: str, left: Cash) -> None:
        self.order, self.left = order, left


class Cashier:
    """Buys, refunds, and looks after what no webhook told."""

    def __init__(
        self,
        *,
        gateways: Mapping[str, Gateway],
        orders: Orders,
        crediting: Crediting,
        store: Store,
        clock: Clock,
    ) -> None:
        self.gateways, self.orders, self._crediting = gateways, orders, crediting
        self._store, self._clock = store, clock

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
        is the card that shows it. Raises `BadAmount`, `TooManyOrders`, `CardsStopped`,
        `GatewayUnavailable`."""
        at = self.gateways.get(gateway)
        if at is None:
            raise GatewayUnavailable(gateway)
        order = await self.orders.create(
            cause=cause,
            at_ms=at_ms,
            person=person,
            place=place,
            message=message,
            gateway=gateway,
            value=value,
            amount=value,
            seconds=at.open_seconds,
        )
        if order.state != "created":
            return order
        checkout = await at.begin(order, what, language)
        return await self.orders.begun(order, external=checkout.external, url=checkout.url)

    async def refund(self, order: Order, amount: Cash, *, cause: str) -> Order:
        """Gives a payer money back, once a cause, newest payment first. Raises `NothingToRefund`,
        `GatewayUnavailable`."""
        at = self.gateways.get(order.gateway)
        if at is None:
            raise GatewayUnavailable(order.gateway)
        left = type(order.paid)(order.paid.units - order.refunded.units)
        if amount.units > left.units or amount.units <= 0:
            raise NothingToRefund(order.id, left)
        rest = amount.units
        for payment, there in await self._refundable(order):
            part = min(rest, there)
            if part <= 0:
                continue
            given = type(order.paid)(part)
            for news in await at.refund(order, payment, given, f"{cause}/{payment}"):
                await self._crediting.tell(news)
            rest -= part
            if not rest:
                break
        return await self.orders.get(order.id)

    async def reconcile(self) -> int:
        """A chore: asks the gateways about orders that wait and for what came late, and gives up
        what is too old. Gives how many orders changed."""
        changed = 0
        for name, gateway in self.gateways.items():
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

    async def receipts(self, order: str) -> Sequence[tuple[str, Cash, int]]:
        """Of each payment: our receipt id, the amount, when (ms UTC)."""
        table = schema.payment
        rows = await self._store.fetch(
            sa.select(table).where(table.c.order == order).order_by(table.c.at)
        )
        return [(row.id, UNITS[row.unit](row.amount), row.at) for row in rows]

    async def _refundable(self, order: Order) -> list[tuple[str, int]]:
        """The gateway's ids of the order's payments, the newest first, and what of each is left."""
        paid, back = schema.payment, schema.refund
        rows = await self._store.fetch(
            sa.select(paid.c.external, paid.c.amount)
            .where(paid.c.order == order.id)
            .order_by(paid.c.at.desc())
        )
        given = await self._store.fetch(
            sa.select(back.c.amount).where(back.c.order == order.id, back.c.failed_at.is_(None))
        )
        gone = sum(row.amount for row in given)
        left = []
        for row in rows:
            used = min(gone, row.amount)
            gone -= used
            left.append((row.external, row.amount - used))
        return left
