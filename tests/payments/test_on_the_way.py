"""Money on its way: it says so until its gateway says that it failed, is found without a message
for as long as it can come, and takes no place among what one person may have open."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from core.db import schema
from core.money import parse_usd
from core.pool.vault import Vault
from payments.fulfillment import ARRIVED_NOT, ON_ITS_WAY, PAID
from payments.orders import OPEN_ORDERS_MAX
from payments.types import Order, TooManyOrders
from tests.payments.conftest import Counter, Shop
from tests.payments.gateway_clients import gateway_of
from tests.peers.btcpay import FakeBtcPay
from tests.peers.paypal import FakePayPal
from tests.peers.stripe import FakeStripe

HOUR = 3_600


@dataclass
class Slow:
    """A counter at whose gateway money takes days."""

    counter: Counter
    peer: Any

    def begins(self, order: Order) -> None:
        """The payer has done all that is theirs to do."""
        if isinstance(self.peer, FakeStripe):
            intent = {"id": "pi_slow", "object": "payment_intent", "status": "processing"}
            self.peer.intents["pi_slow"] = {**intent, "latest_charge": None}
            self.peer.sessions[order.external_id] |= {
                "status": "complete",
                "payment_intent": "pi_slow",
            }
        elif isinstance(self.peer, FakePayPal):
            self.peer.approve(order.external_id)
            self.peer.take(order.external_id, status="PENDING")
        else:
            self.peer.pay(order.external_id, settled=False)

    def arrives(self, order: Order) -> None:
        if isinstance(self.peer, FakeStripe):
            self.peer.pay(order.external_id)
        elif isinstance(self.peer, FakePayPal):
            next(iter(self.peer.captures.values()))["status"] = "COMPLETED"
        else:
            (payment,) = self.peer.payments[order.external_id]
            self.peer.confirm(order.external_id, payment["id"])

    def fails(self, order: Order) -> None:
        if isinstance(self.peer, FakeStripe):
            self.peer.intents["pi_slow"]["status"] = "requires_payment_method"
        elif isinstance(self.peer, FakePayPal):
            next(iter(self.peer.captures.values()))["status"] = "DECLINED"
        else:
            (payment,) = self.peer.payments[order.external_id]
            self.peer.confirm(order.external_id, payment["id"], "Invalid")
            self.peer.invoices[order.external_id]["status"] = "Invalid"

    async def passes(self, hours: float) -> None:
        """Time passes, and the job runs, every five minutes of it for an hour and then seldom."""
        pause = 300.0
        while hours > 0:
            self.counter.shop.clock.advance(seconds=min(pause, hours * HOUR))
            hours -= pause / HOUR
            pause = min(pause * 1.3, 6 * HOUR)
            await self.counter.reconciliation.reconcile_orders()


@pytest_asyncio.fixture(params=["stripe", "paypal", "btcpay"])
async def slow(shop: Shop, request: pytest.FixtureRequest) -> AsyncIterator[Slow]:
    shop.clock.at_ms = int(time.time() * 1000)
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    peers = {"stripe": FakeStripe, "paypal": FakePayPal, "btcpay": FakeBtcPay}
    async with peers[request.param]() as peer:
        if isinstance(peer, FakeStripe):
            peer.now = lambda: shop.clock.now_ms() / 1_000
        gateway = gateway_of(request.param, peer.url, clock=shop.clock)
        yield Slow(Counter(shop, gateway, vault), peer)
        await gateway.close()


async def test_it_is_on_its_way_until_it_arrives(slow: Slow) -> None:
    shop, counter = slow.counter.shop, slow.counter
    person = await shop.person()
    order = await counter.buys(person, "10")
    slow.begins(order)
    await slow.passes(5)
    assert (await counter.again(order)).state == "processing"
    await slow.passes(4 * 24)
    assert (await counter.again(order)).state == "processing"
    assert await shop.has(person) == {}
    slow.arrives(order)
    await slow.passes(24)
    assert (await counter.again(order)).state == "credited"
    assert await shop.has(person) == {"bought": 1_000}
    assert [kind for kind, _ in await shop.told(person)] == [ON_ITS_WAY, PAID]
    await shop.audited()


async def test_it_failed_when_the_gateway_says_so(slow: Slow) -> None:
    shop, counter = slow.counter.shop, slow.counter
    person = await shop.person()
    order = await counter.buys(person, "10")
    slow.begins(order)
    await slow.passes(30)
    slow.fails(order)
    await slow.passes(24)
    assert (await counter.again(order)).state == "failed"
    assert await shop.has(person) == {}
    assert [kind for kind, _ in await shop.told(person)] == [ON_ITS_WAY, ARRIVED_NOT]


async def test_what_nobody_pays_expires_and_is_asked_about_seldom(slow: Slow) -> None:
    shop, counter = slow.counter.shop, slow.counter
    person = await shop.person()
    order = await counter.buys(person, "10")
    slow.peer.calls.clear()
    await slow.passes(20 * 24)
    assert (await counter.again(order)).state == "expired"
    assert await shop.told(person) == []
    (row,) = await shop.store.fetch(schema.order.select())
    assert row.check_at is None, "nothing can come any more"
    about = [path for _, path, _ in slow.peer.calls if order.external_id in path]
    assert len(about) < 80


async def test_an_expired_order_that_is_paid_is_credited_without_a_message(slow: Slow) -> None:
    shop, counter = slow.counter.shop, slow.counter
    person = await shop.person()
    order = await counter.buys(person, "10")
    await slow.passes(8)
    assert (await counter.again(order)).state == "expired"
    slow.begins(order)
    slow.arrives(order)
    await slow.passes(3 * 24)
    assert (await counter.again(order)).state == "credited"
    assert await shop.has(person) == {"bought": 1_000}
    await shop.audited()


async def test_it_takes_no_place_among_open_orders(slow: Slow) -> None:
    shop, counter = slow.counter.shop, slow.counter
    person = await shop.person()
    order = await counter.buys(person, "10")
    slow.begins(order)
    await slow.passes(0.2)
    assert (await counter.again(order)).state == "processing"
    for _ in range(OPEN_ORDERS_MAX):
        await counter.buys(person, "10")
    with pytest.raises(TooManyOrders):
        await counter.buys(person, "10")


async def test_many_that_wait_hide_nobody(shop: Shop) -> None:
    """Whoever has waited longest is asked about first, however many there are."""
    shop.clock.at_ms = int(time.time() * 1000)
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    async with FakeStripe() as peer:
        gateway = gateway_of("stripe", peer.url)
        counter = Counter(shop, gateway, vault)
        person = await shop.person()
        first = await counter.buys(person, "10")
        peer.pay(first.external_id)
        for number in range(220):
            shop.clock.advance(seconds=0.01)
            await shop.order(f"usr_{number}", parse_usd("10"), gateway="stripe")
        shop.clock.advance(seconds=120)
        await counter.reconciliation.reconcile_orders()
        assert await shop.has(person) == {"bought": 1_000}
        await gateway.close()
