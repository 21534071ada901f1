"""What tests of stripe share."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest_asyncio
from pydantic import SecretStr

from core.pool.vault import Vault
from payments.gateways.stripe import StripeGateway
from payments.types import Order
from tests.payments import conftest
from tests.payments.conftest import Shop
from tests.peers import stripe as fake
from tests.peers.stripe import FakeStripe, signature


class Counter(conftest.Counter):
    """A shop with a Stripe account."""

    def __init__(
        self, shop: Shop, stripe: FakeStripe, gateway: StripeGateway, vault: Vault
    ) -> None:
        super().__init__(shop, gateway, vault)
        self.stripe = stripe

    async def hears(self, body: bytes, header: str = "") -> None:
        await self.receives(body, {"stripe-signature": header or signature(body)})

    def completed(self, order: Order, kind: str = "completed") -> bytes:
        about = self.stripe.sessions[order.external_id]
        return self.stripe.event(f"checkout.session.{kind}", about)


@pytest_asyncio.fixture
async def counter(shop: Shop) -> AsyncIterator[Counter]:
    # Stripe looks at the wall's clock, so this shop does too.
    shop.clock.at_ms = int(time.time() * 1000)
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    async with FakeStripe() as stripe:
        gateway = StripeGateway(
            api_key=SecretStr(fake.KEY),
            webhook_secret=SecretStr(fake.WEBHOOK_SECRET),
            return_url="https://bot.example/paid",
            api_url=stripe.url,
        )
        yield Counter(shop, stripe, gateway, vault)
        await gateway.close()
