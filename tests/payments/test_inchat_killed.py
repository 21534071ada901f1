"""SIGKILL while payments that platforms show are credited, and two processes at once: whatever was
heard, or only stands in the platform's list, each counts once."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from core.money import Stars, parse_usd
from payments.gateways.base import Gateway
from payments.gateways.discord_store import build_entitlement_message
from payments.gateways.telegram_stars import StarPaymentUpdate
from tests.payments import inchat, inchat_child
from tests.payments.conftest import Shop
from tests.payments.fork_context import FORK_CONTEXT
from tests.payments.inchat import Counter
from tests.peers.discord import FakeDiscord
from tests.peers.telegram import FakeTelegram
from tests.support.size import size

_PATIENCE_S = 120.0
PRICES = ("10", "90", "800")


@dataclass
class Market:
    """A shop on one platform, and what its people paid."""

    shop: Shop
    platform: Any
    url: str
    #: What each SKU costs; none for Stars.
    packs: dict[str, str]
    counter: Counter
    expected: dict[str, int] = field(default_factory=dict)

    async def sells(self, number: int, times: int, *, told: float = 0.7) -> None:
        """Somebody buys so often; a part of it is heard of, twice."""
        user = self.platform.user(number)
        name = "discord" if self.packs else "telegram"
        person = (await self.counter.people.get_or_create(name, str(number), language="en")).id
        for time_ in range(times):
            cash = PRICES[(number + time_) % 3]
            order = await self.counter.buys(person, cash, f"{name}:{number}:")
            given = self.shop.offer.compute_entitlement(parse_usd(cash)).total.units
            self.expected[person] = self.expected.get(person, 0) + given
            if self.packs:
                sku = next(sku for sku, costs in self.packs.items() if costs == cash)
                bought = self.platform.store.entitle(user, int(sku))
                messages = [
                    build_entitlement_message(str(bought), what) for what in ("created", "noticed")
                ]
            else:
                assert isinstance(order.amount, Stars)
                stars = order.amount.units
                charge = self.platform.stars.receives(user, order.id, stars)
                paid = StarPaymentUpdate(charge, str(number), "XTR", stars, order.id)
                messages = [paid.to_webhook_message()] * 2
            for message in messages if time_ / times < told else ():
                await self.counter.inbox.store(self.counter.gateway.name, message)

    async def child(self, database: str, dies_at: int) -> int:
        """Works through inbox and list in a process of its own; its exit code."""
        packs = {sku: parse_usd(cash).units for sku, cash in self.packs.items()}
        told = (database, self.url, packs, self.shop.clock.now_ms(), dies_at)
        process = FORK_CONTEXT.Process(target=inchat_child.work, args=told)
        await asyncio.to_thread(process.start)
        await asyncio.to_thread(process.join, _PATIENCE_S)
        assert process.exitcode is not None
        return process.exitcode

    async def exact(self) -> None:
        for person, credits_ in self.expected.items():
            assert sum((await self.shop.has(person)).values()) == credits_
        await self.shop.audited()


@pytest_asyncio.fixture(params=["stars", "skus"])
async def market(request: pytest.FixtureRequest, shop: Shop) -> AsyncIterator[Market]:
    shop.clock.at_ms = int(time.time() * 1000)
    packs: dict[str, str] = {}
    platform: FakeTelegram | FakeDiscord
    gateway: Gateway
    if request.param == "stars":
        platform = FakeTelegram()
        url = await platform.start()
        gateway = inchat.stars(url, shop.clock)
    else:
        platform = FakeDiscord()
        await platform.start()
        url = platform.api_url
        packs = {str(platform.store.sku(f"Pack {cash}")): cash for cash in PRICES}
        prices = {sku: parse_usd(cash) for sku, cash in packs.items()}
        gateway = inchat.skus(url, shop.clock, prices)
    counter = await inchat.counter(gateway, shop.store, shop.ledger, shop.clock)
    yield Market(shop, platform, url, packs, counter)
    await gateway.close()
    await platform.stop()


@pytest.mark.timeout(900)
async def test_killed_at_any_point_each_counts_once(market: Market, database_url: str) -> None:
    chance = random.Random(17)
    died = 0
    for number in range(1, size(small=2, full=20) + 1):
        await market.sells(number, 3)
        code = await market.child(database_url, chance.randint(1, 40))
        assert code in {-signal.SIGKILL, 0}
        died += code != 0
        market.shop.clock.advance(seconds=120)
    assert died
    assert await market.child(database_url, 0) == 0
    await market.exact()
    if market.packs:
        left = market.platform.store.entitlements.values()
        assert all(one["consumed"] for one in left)


@pytest.mark.timeout(900)
async def test_two_processes_credit_once(market: Market, database_url: str) -> None:
    for number in range(1, size(small=1, full=8) + 1):
        await market.sells(number, 8)
    codes = await asyncio.gather(*(market.child(database_url, 0) for _ in range(2)))
    assert codes == [0, 0]
    # What one had in hand while the other read the list is tried again.
    market.shop.clock.advance(seconds=120)
    assert await market.child(database_url, 0) == 0
    await market.exact()
