"""Vouchers, sold elsewhere, as a gateway: their cash is the operator's already, nobody is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

from core.money import NanoUsd
from payments.gateways.base import Message
from payments.types import (
    Cash,
    Checkout,
    Forged,
    GatewayUnavailable,
    News,
    Order,
    Payment,
    Refunded,
)

CODE = "code"


def payment_of(order: Order) -> Payment:
    """The voucher itself as the payment of its order: it can't count twice."""
    return Payment(CODE, order.external, order.id, order.amount, type(order.amount)(0))


@final
class Code:
    """The gateway of vouchers: an order of a voucher is paid by the voucher itself."""

    name = CODE
    platform = ""
    open_seconds = 3_600

    def amount(self, value: NanoUsd) -> None:
        """See `Gateway`; nothing is bought by a voucher that isn't there."""
        del value

    async def probe(self) -> None:
        """See `Gateway`."""

    async def begin(self, order: Order, what: str, language: str) -> Checkout:
        """See `Gateway`; nothing is bought by a voucher that isn't there."""
        del order, what, language
        raise GatewayUnavailable(self.name)

    async def verify(self, headers: Mapping[str, str], body: bytes) -> Message:
        """See `Gateway`; nobody sends any."""
        del headers, body
        raise Forged(self.name, "route")

    async def news(self, body: bytes) -> Sequence[News]:
        """See `Gateway`."""
        del body
        return ()

    async def look(self, order: Order) -> Sequence[News]:
        """See `Gateway`: an order of a voucher is as good as paid."""
        return (payment_of(order),)

    async def late(self) -> Mapping[str, Cash]:
        """See `Gateway`."""
        return {}

    async def refund(self, order: Order, payment: str, amount: Cash, cause: str) -> Sequence[News]:
        """See `Gateway`; the money goes back where the voucher was sold, by the operator."""
        del order
        return (Refunded(self.name, cause, payment, amount),)

    async def close(self) -> None:
        """See `Gateway`."""
