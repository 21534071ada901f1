"""The cashier: what people and admins do with orders, over whichever gateways there are."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from core.clock import Clock
from core.errors import Refusal
from core.store import Store, schema
from core.trace import cause as cause_of
from core.units import NanoUsd, Stars
from payments.crediting import Crediting
from payments.gateways import Gateway, Listed
from payments.listing import Listing
from payments.orders import Orders
from payments.types import (
    UNITS,
    Cash,
    GatewayUnavailable,
    Order,
    PaymentRefused,
    RefundRefused,
    UnknownOrder,
)

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
        listing: Listing | None = None,
    ) -> None:
        """`listing` reads the lists of gateways that have one."""
        self.gateways, self.orders, self._crediting = gateways, orders, crediting
        self._store, self._clock, self._listing = store, clock, listing

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
        """Gives a payer money back, once a cause, newest payment first. Raises `NothingToRefund`,
        `RefundRefused`, `GatewayUnavailable`."""
        at = self.gateways.get(order.gateway)
        if at is None:
            raise GatewayUnavailable(order.gateway)
        left = type(order.paid)(order.paid.units - order.refunded.units)
        if amount.units > left.units or amount.units <= 0:
            raise NothingToRefund(order.id, left)
        for payment, part in await self._parts(order, amount):
            for news in await at.refund(order, payment, part, f"{cause}/{payment}"):
                await self._crediting.tell(news)
        return await self.orders.get(order.id)

    async def reconcile(self) -> int:
        """A chore: asks the gateways about orders that wait, or for their lists, and gives up what
        is too old. Gives how many orders changed."""
        changed = 0
        for name, gateway in self.gateways.items():
            if self._listing is not None and isinstance(gateway, Listed):
                changed += await self._listing.read(gateway)
            for order in await self.orders.open(name, _AT_ONCE):
                changed += await self._reconciled(gateway, order)
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

    async def receipts(self, order: str) -> Sequence[tuple[str, Cash, int]]:
        """Of each payment: our receipt id, the amount, when (ms UTC)."""
        table = schema.payment
        rows = await self._store.fetch(
            sa.select(table).where(table.c.order == order).order_by(table.c.at)
        )
        return [(row.id, UNITS[row.unit](row.amount), row.at) for row in rows]

    async def _parts(self, order: Order, amount: Cash) -> list[tuple[str, Cash]]:
        """How much goes back of which payment. Raises `RefundRefused`: Stars go back payment by
        payment, each as a whole."""
        rest, parts = amount.units, []
        for payment, there in await self._refundable(order):
            part = min(rest, there)
            if part <= 0:
                continue
            if isinstance(amount, Stars) and part != there:
                raise RefundRefused(order.id, "whole")
            parts.append((payment, type(amount)(part)))
            rest -= part
        return parts

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
