"""SIGKILL while payments are credited: each payment is there once, whenever the process died, and
two processes that work through the same inbox credit it once."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio
from pydantic import SecretStr

from bots.sandbox import SandboxCheckout
from core.pool import Vault
from core.units import usd
from payments import Cashier, Inbox
from payments.gateways.sandbox import SIGNATURE, Sandbox, signed
from tests.payments.conftest import Shop
from tests.size import size

SECRET = "a-secret-of-the-sandbox"


@dataclass
class Till:
    """A shop, its checkout, and messages that nobody has looked at."""

    shop: Shop
    url: str
    cashier: Cashier
    inbox: Inbox
    paid: int = 0
    expected: int = 0

    async def sell(self, person: str, times: int) -> None:
        """Orders that are paid, told of several times each."""
        async with aiohttp.ClientSession() as browser:
            for number in range(times):
                cash = usd(("10", "90", "100", "5")[number % 4])
                self.paid += 1
                order = await self.cashier.buy(
                    cause=f"btn_{self.paid}",
                    at_ms=self.shop.clock.now_ms(),
                    person=person,
                    place="telegram:1:",
                    message="5",
                    gateway="sandbox",
                    value=cash,
                    what="Credits",
                    language="en",
                )
                async with browser.post(f"{order.url}/pay", allow_redirects=False) as done:
                    assert done.status == 303
                self.expected += self.shop.offer.given(cash).total.units
                for copy in range(2):
                    await self.hear(f"evt_{order.id}_{copy}", order.external)

    async def hear(self, id_: str, checkout: str) -> None:
        body = json.dumps({"id": id_, "checkout": checkout}).encode()
        header = {SIGNATURE: signed(SECRET, body, int(time.time()))}
        await self.inbox.receive("sandbox", header, body)

    async def child(self, url: str, dies_at: int) -> int:
        """Works through the inbox in a process of its own; its exit code."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.payments.killed_child"),
            *(url, self.url, SECRET, str(self.shop.clock.now_ms()), str(dies_at)),
        )
        async with asyncio.timeout(120):
            return await process.wait()


@pytest_asyncio.fixture
async def till(shop: Shop) -> AsyncIterator[Till]:
    checkout = SandboxCheckout(SECRET)
    url = await checkout.start()
    gateway = Sandbox(url=url, secret=SecretStr(SECRET))
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    gateways = {"sandbox": gateway}
    yield Till(
        shop,
        url,
        Cashier(
            gateways=gateways,
            orders=shop.orders,
            crediting=shop.crediting,
            store=shop.store,
            clock=shop.clock,
        ),
        Inbox(
            gateways=gateways,
            crediting=shop.crediting,
            store=shop.store,
            ledger=shop.ledger,
            vault=vault,
            clock=shop.clock,
        ),
    )
    await gateway.close()
    await checkout.stop()


@pytest.mark.timeout(900)
async def test_killed_at_any_point_each_payment_counts_once(till: Till, database_url: str) -> None:
    chance = random.Random(7)
    people = [await till.shop.person() for _ in range(size(small=3, full=20))]
    for person in people:
        await till.sell(person, 3)
        # Vault and inbox, claims and credits: a batch has three points, a payment three batches.
        assert await till.child(database_url, chance.randint(1, 30)) in {-signal.SIGKILL, 0}
        till.shop.clock.advance(seconds=120)
    assert await till.child(database_url, 0) == 0
    has = [sum((await till.shop.has(person)).values()) for person in people]
    assert sum(has) == till.expected
    await till.shop.audited()


@pytest.mark.timeout(900)
async def test_two_processes_at_the_same_inbox_credit_once(till: Till, database_url: str) -> None:
    people = [await till.shop.person() for _ in range(size(small=1, full=8))]
    for person in people:
        await till.sell(person, 8)
    codes = await asyncio.gather(*(till.child(database_url, 0) for _ in range(2)))
    assert codes == [0, 0]
    has = [sum((await till.shop.has(person)).values()) for person in people]
    assert sum(has) == till.expected
    await till.shop.audited()
