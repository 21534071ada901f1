"""Vouchers, sold elsewhere, as a gateway: their cash is the operator's already, nobody is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

from core.money import NanoUsd
from payments.gateways.base import WebhookMessage
from payments.types import (
    Cash,
    Checkout,
    GatewayEvent,
    GatewayUnavailable,
    InvalidSignature,
    Order,
    Payment,
    Refund,
)

VOUCHER_GATEWAY = "code"


def build_voucher_payment(order: Order) -> Payment:
    """The voucher itself as the payment of its order: it can't count twice."""
    return Payment(
        VOUCHER_GATEWAY, order.external_id, order.id, order.amount, type(order.amount)(0)
    )


@final
class VoucherGateway:
    """The gateway of vouchers: an order of a voucher is paid by the voucher itself."""

    name = VOUCHER_GATEWAY
    platform = ""
    checkout_seconds = 3_600

    def quote_amount(self, value: NanoUsd) -> None:
        """See `Gateway`; nothing is bought by a voucher that isn't there."""
        del value

    async def check_account(self) -> None:
        """See `Gateway`."""

    async def create_checkout(self, order: Order, description: str, language: str) -> Checkout:
        """See `Gateway`; nothing is bought by a voucher that isn't there."""
        del order, description, language
        raise GatewayUnavailable(self.name)

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookMessage:
        """See `Gateway`; nobody sends any."""
        del headers, body
        raise InvalidSignature(self.name, "route")

    async def parse_events(self, body: bytes) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        del body
        return ()

    async def fetch_order(self, order: Order) -> Sequence[GatewayEvent]:
        """See `Gateway`: an order of a voucher is as good as paid."""
        return (build_voucher_payment(order),)

    async def list_late_payments(self) -> Mapping[str, Cash]:
        """See `Gateway`."""
        return {}

    async def refund_payment(
        self, order: Order, payment: str, amount: Cash, cause: str
    ) -> Sequence[GatewayEvent]:
        """See `Gateway`; the money goes back where the voucher was sold, by the operator."""
        del order
        return (Refund(self.name, cause, payment, amount),)

    async def close(self) -> None:
        """See `Gateway`."""
