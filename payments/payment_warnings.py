"""Warnings: a gateway says that a payment which was credited may be none.

Nothing is moved by a warning: whoever has the card may err, and an invoice may be settled after
all. Operators are told once, and decide: a payment that is fraud is given back before it becomes a
dispute, which costs a fee on top.
"""

from __future__ import annotations

from contextlib import suppress

from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.notification import OPERATORS, notification_row
from payments.orders import Orders, order_event_row
from payments.types import Order, PaymentMismatch, PaymentWarning

#: The kind of notification to operators about a payment that may be none.
PAYMENT_WARNED = "payment_warned"


class PaymentWarnings:
    """The service that passes gateways' warnings on to operators."""

    def __init__(self, *, orders: Orders, ledger: Ledger) -> None:
        self._orders, self._ledger, self._clock = orders, ledger, ledger.clock

    async def pass_on(self, warning: PaymentWarning) -> None:
        """Tells operators of it, once however often it is told; nothing where nothing was credited.
        Raises `UnknownOrder`, `PaymentMismatch`."""
        order = await self._find_order(warning)
        if order.gateway != warning.gateway:
            raise PaymentMismatch(order.id, "gateway")
        if order.state != "credited":
            return
        facts = {
            "gateway": warning.gateway,
            "warning": warning.kind,
            "reason": warning.reason,
        }
        paid: dict[str, str | int] = {"unit": order.paid.NAME, "paid": order.paid.units}
        notification = notification_row(
            self._clock,
            # A payment may be warned of for each reason, and by each of its warnings.
            cause_id=f"warning/{warning.gateway}/{warning.kind}/{warning.id}",
            person=OPERATORS,
            kind=PAYMENT_WARNED,
            facts={"order": order.id, **paid, **facts},
            once=True,
        )
        with suppress(CompanionRefused):  # told before
            await self._ledger.record(
                notification, order_event_row(self._clock, order.id, "warning", **facts)
            )

    async def _find_order(self, warning: PaymentWarning) -> Order:
        """By the order that it names, else by the payment."""
        if warning.order:
            return await self._orders.get(warning.order)
        return await self._orders.get_by_payment(warning.gateway, warning.payment)
