"""What tests of paypal share."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest_asyncio

from core.pool.vault import Vault
from payments.types import Order
from tests.payments import conftest
from tests.payments.conftest import Shop
from tests.payments.gateway_clients import gateway_of
from tests.peers.paypal import FakePayPal
from tests.peers.paypal_webhooks import event, headers


class Counter(conftest.Counter):
    """A shop with a PayPal account."""

    paypal: FakePayPal

    async def hears(self, kind: str, about: Mapping[str, Any]) -> None:
        body = event(kind, dict(about))
        await self.receives(body, headers(body))

    def at_paypal(self, order: Order) -> dict[str, Any]:
        return self.paypal.orders[order.external_id]

    async def sells(self, person: str, cash: str) -> tuple[Order, dict[str, Any]]:
        """An order, agreed, taken and credited; and its capture."""
        order = await self.buys(person, cash)
        self.paypal.approve(order.external_id)
        await self.hears("CHECKOUT.ORDER.APPROVED", self.at_paypal(order))
        await self.works()
        taken = self.at_paypal(order)["purchase_units"][0]["payments"]["captures"]
        return await self.again(order), taken[0]


@pytest_asyncio.fixture
async def counter(shop: Shop) -> AsyncIterator[Counter]:
    # A proof has a time, so this shop looks at the wall's clock.
    shop.clock.at_ms = int(time.time() * 1000)
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    async with FakePayPal() as paypal:
        counter = Counter(shop, gateway_of("paypal", paypal.url), vault)
        counter.paypal = paypal
        yield counter
        await counter.gateway.close()
