"""Every two-step with an outside party: a process is killed before the party hears of it, or once
its answer is there. What was begun is ended by a job, once, and both sides say the same."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from core.money import parse_usd
from core.notification import OPERATORS
from core.pool.vault import Vault
from payments.gateways.base import Gateway, SupportsConsumption, SupportsDisputeAcceptance
from payments.payouts import PayoutProvider
from payments.refunds import REFUND_FINISHED
from payments.types import Order
from tests.payments.chat_shops import SkusShop, skus_shop
from tests.payments.conftest import Counter, Shop
from tests.payments.fork_server import ForkServer
from tests.payments.gateway_clients import MASTER, gateway_of
from tests.payments.intents_child import CALLS
from tests.payments.payout_desks import Desk, bank_of
from tests.payments.peers import Peer, peer_of
from tests.peers.discord_world import User as Member
from tests.peers.stripe import FakeStripe
from tests.support.size import size

__all__ = ["skus_shop"]

CHILD = "tests.payments.intents_child"
WHEN = ["before", "after"]
FOUR, TEN = parse_usd("4"), parse_usd("10")


@pytest.fixture(params=["sqlite_url", "postgres_url"][: size(small=1, full=2)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database; at full size there is one of each kind."""
    found: str = request.getfixturevalue(request.param)
    return found


def test_every_call_that_changes_something_outside_is_listed() -> None:
    """What a gateway is asked for is either a question, or one of these."""
    questions = ("fetch_", "list_", "check_", "parse_", "verify_", "quote_", "get_", "close")
    changing = {
        name
        for kind in (Gateway, SupportsConsumption, SupportsDisputeAcceptance, PayoutProvider)
        for name, value in vars(kind).items()
        if callable(value) and not name.startswith(("_", *questions))
    }
    # PayPal's capture is a step of `fetch_order`.
    assert changing | {"_capture"} == set(CALLS.values())


@dataclass
class Killed:
    """A counter beside which a process of its own does one thing, and dies."""

    counter: Counter
    peer: Peer
    fork_server: ForkServer

    @property
    def shop(self) -> Shop:
        return self.counter.shop

    async def dies(self, database: str, kind: str, when: str, subject: str) -> None:
        code = await self.fork_server.run(
            CHILD,
            database,
            self.peer.url,
            self.shop.clock.now_ms(),
            kind,
            self.peer.name,
            when,
            subject,
        )
        assert code == -signal.SIGKILL

    async def sells(self) -> Order:
        """An order of $10 that is paid and credited."""
        order = await self.counter.buys(await self.shop.person(), "10")
        await self.peer.pays(order)
        await self.counter.receives(*self.peer.tells(order))
        await self.counter.works()
        return await self.counter.again(order)

    async def jobs(self, minutes: int = 30) -> None:
        """The jobs of so many minutes; no message arrives."""
        for _ in range(minutes // 2):
            self.shop.clock.advance(seconds=120)
            await self.counter.reconciliation.reconcile_orders()


@pytest_asyncio.fixture
async def killed(
    shop: Shop, fork_server: ForkServer, request: pytest.FixtureRequest
) -> AsyncIterator[Killed]:
    shop.clock.at_ms = int(time.time() * 1000)
    vault = await Vault.open([MASTER], shop.store, shop.ledger)
    name = request.param
    async with peer_of(name) as peer:
        gateway = gateway_of(name, peer.url, clock=shop.clock)
        yield Killed(Counter(shop, gateway, vault), peer, fork_server)
        await gateway.close()


def by(*names: str) -> Callable[[Any], Any]:
    """Which gateways a test is about; fewer in small size."""
    shown = names[: size(small=2, full=len(names))]
    return pytest.mark.parametrize("killed", shown, indirect=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", WHEN)
@by("paypal", "sandbox", "btcpay", "stripe")
async def test_an_order(killed: Killed, database_url: str, when: str) -> None:
    """The same button goes on with it; nobody's press lets it expire."""
    shop, person = killed.shop, await killed.shop.person()
    at_ms = shop.clock.now_ms()
    await killed.dies(database_url, "order", when, person)
    pressed = {
        "cause": "btn_killed",
        "at_ms": at_ms,
        "person": person,
        "place": "telegram:1:",
        "message": "5",
        "gateway": killed.peer.name,
        "value": TEN,
        "description": "1,000 Credits",
        "language": "en",
    }
    order = await killed.counter.checkout.place_order(**pressed)
    assert order.state == "pending"
    await killed.peer.pays(order)
    await killed.jobs()
    assert (await killed.counter.again(order)).state == "credited"
    assert await shop.has(person) == {"bought": 1_000}
    await shop.audited()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", WHEN)
@by("paypal", "sandbox")
async def test_an_order_that_nobody_presses_again(
    killed: Killed, database_url: str, when: str
) -> None:
    person = await killed.shop.person()
    await killed.dies(database_url, "order", when, person)
    await killed.jobs(minutes=300)
    (order,) = await killed.shop.orders.list_for_people([person], 10)
    assert order.state == "expired"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", WHEN)
@by("paypal")
async def test_a_capture(killed: Killed, database_url: str, when: str) -> None:
    order = await killed.counter.buys(await killed.shop.person(), "10")
    await killed.peer.pays(order)
    killed.shop.clock.advance(seconds=120)
    await killed.dies(database_url, "capture", when, "")
    await killed.jobs()
    assert (await killed.counter.again(order)).state == "credited"
    await killed.shop.audited()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", WHEN)
@by("paypal", "btcpay", "sandbox", "stripe")
async def test_a_refund(killed: Killed, database_url: str, when: str) -> None:
    """Nobody presses again, and no message tells of it."""
    order = await killed.sells()
    await killed.dies(database_url, "refund", when, order.id)
    assert (await killed.counter.again(order)).refunded.is_zero
    await killed.jobs()
    assert (await killed.counter.again(order)).refunded == FOUR
    fresh = gateway_of(killed.peer.name, killed.peer.url)
    there = await fresh.fetch_order(order)
    await fresh.close()
    given = {one.id: one.amount.units for one in there if hasattr(one, "claim_url")}
    assert sum(given.values()) == FOUR.units
    assert await killed.shop.has(order.person) == {"bought": 600}
    assert await killed.counter.refunds.list_open_requests(order) == []
    kinds = [kind for kind, _ in await killed.shop.told(OPERATORS)]
    assert kinds == [REFUND_FINISHED]
    await killed.shop.audited()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("killed", ["stripe"], indirect=True)
async def test_an_acceptance(killed: Killed, database_url: str, when: str) -> None:
    order = await killed.sells()
    stripe = next(
        one.cell_contents
        for one in killed.peer.pays.__closure__ or ()  # type: ignore[attr-defined]
        if isinstance(one.cell_contents, FakeStripe)
    )
    dispute = stripe.dispute(list(stripe.intents)[-1])
    for event in await killed.counter.gateway.fetch_order(order):
        await killed.shop.crediting.handle(event)
    await killed.dies(database_url, "acceptance", when, dispute)
    assert (await killed.counter.again(order)).dispute_state == "open"
    await killed.jobs()
    assert (await killed.counter.again(order)).dispute_state == "lost"
    assert stripe.disputes[dispute]["status"] == "lost"
    assert await killed.shop.has(order.person) == {}
    await killed.shop.audited()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("method", ["paypal", "sandbox", "btcpay"][: size(small=1, full=3)])
async def test_a_payout(
    shop: Shop, fork_server: ForkServer, database_url: str, method: Any, when: str
) -> None:
    vault = await Vault.open([MASTER], shop.store, shop.ledger)
    async with bank_of(method) as bank:
        desk = Desk(shop, vault)
        one = await desk.approved(method)
        told = (database_url, bank.url, shop.clock.now_ms(), "payout", method)
        assert await fork_server.run(CHILD, *told, when, "") == -signal.SIGKILL
        for _ in range(3):
            shop.clock.advance(seconds=7_200)
            told = (database_url, bank.url, shop.clock.now_ms(), "payout", method)
            code = await fork_server.run(CHILD, *told, "never", "")
            assert code == 0
            if bank.has():
                bank.arrives(one)
        assert bank.has() == [one.id]
        assert (await desk.now(one)).state == "paid"
        await desk.audited()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", WHEN)
async def test_a_consumption(
    skus_shop: SkusShop, fork_server: ForkServer, database_url: str, when: str
) -> None:
    member = Member(70, "Ann")
    await skus_shop.buys(member, "Starter")
    bought = skus_shop.discord.store.buys(member, skus_shop.skus["Starter"], told=False)
    packs = ",".join(f"{sku}={cash.units}" for sku, cash in skus_shop.gateway._packs.items())
    clock = skus_shop.shop.clock
    told = (database_url, skus_shop.discord.api_url, clock.now_ms(), "consumption", "skus")
    assert await fork_server.run(CHILD, *told, when, packs) == -signal.SIGKILL
    assert await skus_shop.has(member) == {"bought": 1_000}
    clock.advance(seconds=120)
    await skus_shop.counter.services.reconciliation.reconcile_orders()
    assert skus_shop.consumed(bought)
    assert await skus_shop.has(member) == {"bought": 1_000}
    await skus_shop.shop.audited()
