"""Checkout: an order is placed, over whichever gateways there are, and waits to be paid."""

from __future__ import annotations

from collections.abc import Mapping

from core.money import NanoUsd
from payments.gateways.base import Gateway
from payments.gateways.voucher import VOUCHER_GATEWAY
from payments.orders import Orders
from payments.types import GatewayUnavailable, Order


class CheckoutService:
    """The service that places orders, each at the gateway that its buyer chose."""

    def __init__(self, *, gateways: Mapping[str, Gateway], orders: Orders) -> None:
        self.gateways, self._orders = gateways, orders

    @property
    def is_selling(self) -> bool:
        """Whether Credits are sold here by a gateway, not by vouchers alone."""
        return any(name != VOUCHER_GATEWAY for name in self.gateways)

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
        consent: str = "",
    ) -> Order:
        """An order that waits to be paid at its `url`; the same cause gives the same one. `message`
        is the card that shows it, `consent` what its buyer agreed to by it. Raises `BadAmount`,
        `TooManyOrders`, `CardPaymentsPaused`, `GatewayUnavailable`."""
        provider = self.gateways.get(gateway)
        amount = None if provider is None else provider.quote_amount(value)
        if provider is None or amount is None:
            raise GatewayUnavailable(gateway)
        order = await self._orders.create_order(
            cause=cause,
            at_ms=at_ms,
            person=person,
            place=place,
            message=message,
            gateway=gateway,
            value=value,
            amount=amount,
            lifetime_seconds=provider.checkout_seconds,
            consent=consent,
        )
        if order.state != "created":
            return order
        checkout = await provider.create_checkout(order, description, language)
        return await self._orders.mark_pending(
            order, external_id=checkout.external_id, url=checkout.url
        )
