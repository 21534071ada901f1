"""SIGKILL while payments are credited: each payment is there once, whenever the process died, and
two processes that work through the same inbox credit it once. Whatever the gateway."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from core.money import parse_usd
from core.pool.vault import Vault
from tests.payments.conftest import Counter, Shop
from tests.payments.fork_server import ForkServer
from tests.payments.gateway_clients import gateway_of
from tests.payments.peers import Peer, peer_of
from tests.support.size import size

GATEWAYS = ["btcpay", "paypal", "sandbox", "stripe"][: size(small=3, full=4)]


@dataclass
class Till:
    """A counter, the service behind it, and messages that nobody has looked at."""

    counter: Counter
    peer: Peer
    fork_server: ForkServer
    expected: int = 0

    async def sell(self, person: str, times: int) -> None:
        """Orders that are paid, told of several times each."""
        for number in range(times):
            cash = ("10", "90", "100", "5")[number % 4]
            order = await self.counter.buys(person, cash)
            await self.peer.pays(order)
            self.expected += self.counter.shop.offer.compute_entitlement(
                parse_usd(cash)
            ).total.units
            for _ in range(2):
                await self.counter.receives(*self.peer.tells(order))

    async def child(self, url: str, dies_at: int) -> int:
        """Works through the inbox in a process of its own; its exit code."""
        at_ms = self.counter.shop.clock.now_ms()
        told = (url, self.peer.name, self.peer.url, at_ms, dies_at)
        return await self.fork_server.run("tests.payments.killed_child", *told)


@pytest_asyncio.fixture(params=GATEWAYS)
async def till(
    shop: Shop, fork_server: ForkServer, request: pytest.FixtureRequest
) -> AsyncIterator[Till]:
    # Gateways look at the wall's clock, so this shop does too.
    shop.clock.at_ms = int(time.time() * 1000)
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    async with peer_of(request.param) as peer:
        gateway = gateway_of(peer.name, peer.url)
        yield Till(Counter(shop, gateway, vault), peer, fork_server)
        await gateway.close()


@pytest.mark.timeout(900)
async def test_killed_at_any_point_each_payment_counts_once(till: Till, database_url: str) -> None:
    chance = random.Random(7)
    shop = till.counter.shop
    people = [await shop.person() for _ in range(size(small=1, full=20))]
    for person in people:
        await till.sell(person, 3)
        # Vault and inbox, claims and credits: a batch has three points, a payment three batches.
        assert await till.child(database_url, chance.randint(1, 30)) == -signal.SIGKILL
        shop.clock.advance(seconds=120)
    assert await till.child(database_url, 0) == 0
    has = [sum((await shop.has(person)).values()) for person in people]
    assert sum(has) == till.expected
    await shop.audited()


@pytest.mark.timeout(900)
async def test_two_processes_at_the_same_inbox_credit_once(till: Till, database_url: str) -> None:
    shop = till.counter.shop
    people = [await shop.person() for _ in range(size(small=1, full=8))]
    for person in people:
        await till.sell(person, 8)
    codes = await asyncio.gather(*(till.child(database_url, 0) for _ in range(2)))
    assert codes == [0, 0]
    has = [sum((await shop.has(person)).values()) for person in people]
    assert sum(has) == till.expected
    await shop.audited()
