"""What tests of btcpay share."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from core.pool.vault import Vault
from payments.gateways.btcpay.checkout import SIGNATURE_HEADER
from payments.types import Order
from tests.payments import conftest
from tests.payments.conftest import Shop
from tests.payments.gateway_clients import gateway_of
from tests.peers.btcpay import FakeBtcPay, signature


class Counter(conftest.Counter):
    """A shop with a store on a BTCPay Server."""

    btcpay: FakeBtcPay

    async def hears(self, kind: str, order: Order, **changes: Any) -> None:
        body = self.btcpay.event(f"Invoice{kind}", order.external_id, **changes)
        await self.receives(body, {SIGNATURE_HEADER: signature(body)})

    async def told(self, order: Order, kind: str = "PaymentSettled") -> Order:
        """As it stands once a message about it is worked through."""
        await self.hears(kind, order)
        await self.works()
        return await self.again(order)

    def invoice(self, order: Order) -> dict[str, Any]:
        return self.btcpay.invoices[order.external_id]


@pytest_asyncio.fixture
async def counter(shop: Shop) -> AsyncIterator[Counter]:
    # The server's list goes by the wall's clock, so this shop does too.
    shop.clock.at_ms = int(time.time() * 1000)
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    async with FakeBtcPay() as btcpay:
        counter = Counter(shop, gateway_of("btcpay", btcpay.url), vault)
        counter.btcpay = btcpay
        yield counter
        await counter.gateway.close()
