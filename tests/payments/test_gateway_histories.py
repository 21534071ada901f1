"""Random histories of money at a gateway, told as badly as they can be: messages are lost, doubled,
late and in any order, two processes work at once and die anywhere, a third is killed by SIGKILL,
and a copy of the database from before is restored. In the end the books are what the gateway's
account is, to the cent.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
import time
from collections import Counter as Tally
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.db import schema
from core.errors import Refusal
from core.money import Credits, NanoUsd
from core.pool.vault import Vault
from payments.fulfillment import PAID
from payments.gateways.base import Gateway
from payments.gateways.btcpay import refunds
from payments.gateways.paypal import event_list
from payments.offer import from_cents, to_cents
from payments.services import order_tags
from payments.types import GatewayUnavailable, Order, UnknownOrder
from tests.payments.conftest import Counter, Shop
from tests.payments.database_copies import Copy, RestorableWorld, copy_database
from tests.payments.fork_server import ForkServer
from tests.payments.gateway_clients import gateway_of
from tests.payments.gateway_money import BtcPayMoney, Money, PayPalMoney, StripeMoney, Wire
from tests.peers.btcpay import FakeBtcPay
from tests.peers.paypal import FakePayPal
from tests.peers.stripe import FakeStripe
from tests.support.databases import TestClock
from tests.support.size import size

#: Prices at the free rate.
CENTS = (700, 1_300, 2_500)
STEPS = 25
#: The first one's seed; where there is one alone it has a restored copy and kills.
FIRST = size(small=49, full=0)
#: In one world, one after another.
HISTORIES = size(small=1, full=2)


class World(RestorableWorld):
    """Our two processes at one gateway, and the database that they share."""

    def __init__(
        self, url: str, clock: TestClock, name: str, peer_url: str, fork_server: ForkServer
    ) -> None:
        super().__init__(url, clock)
        self._name, self._peer_url, self._fork_server = name, peer_url, fork_server
        self._chance = random.Random(f"{name}/answers")
        self._spends: Iterator[int] = itertools.count()
        self.counters: list[Counter] = []
        #: How many processes were killed by SIGKILL.
        self.killed = 0

    async def open(self) -> None:
        """The processes start."""
        await super().open()
        setattr(self.shop, "_causes", self._spends)  # noqa: B010 - none comes twice
        self._vault = await Vault.open([bytes(32)], self.shop.store, self.shop.ledger)
        setattr(self.shop.orders, "_derive_tag", order_tags(self._vault))  # noqa: B010
        before = self.counters
        self.counters = [self._start_process() for _ in range(2)]
        for counter, earlier in zip(self.counters, before, strict=False):
            counter.presses = earlier.presses

    def list_gateways(self) -> list[Gateway]:
        return [counter.gateway for counter in self.counters]

    async def restart_process(self, number: int) -> None:
        """Another process takes the place of one that died, and knows nothing of it."""
        died = self.counters[number]
        await died.gateway.close()
        self.counters[number] = self._start_process()
        self.counters[number].presses = died.presses

    async def run_child(self, dies_at: int, fuse_us: int, wish: Mapping[str, object]) -> bool:
        """Another process does what there is to do, and `wish`, until a step or a time at which it
        is killed; whether it was."""
        told = (self.url, self._name, self._peer_url, self.clock.now_ms(), dies_at, fuse_us)
        code = await self._fork_server.run("tests.payments.history_child", *told, json.dumps(wish))
        assert code in {0, -signal.SIGKILL}
        return code != 0

    def _start_process(self) -> Counter:
        gateway = gateway_of(self._name, self._peer_url, clock=self.clock)
        _lose_answers(gateway, self._chance)
        counter = Counter(self.shop, gateway, self._vault)
        setattr(counter.unmatched, "_get_person_id", self._get_person)  # noqa: B010
        return counter

    async def _get_person(self, platform: str, id_: str) -> str:
        return f"{platform}_{id_}"


class History:
    """One history: what happens, what of it is told, and what our two processes make of it."""

    def __init__(self, seed: int, world: World, money: Money, folder: Path) -> None:
        self.chance, self.world, self.money = random.Random(seed), world, money
        self._folder = folder
        self.orders: list[str] = []
        #: Those that a restored copy lacks.
        self.lost: set[str] = set()
        self.spent = 0
        self.unsent: list[Wire] = []
        for number, counter in enumerate(world.counters):
            counter.presses = seed * 1_000 + number * 500

    @property
    def shop(self) -> Shop:
        return self.world.shop

    @property
    def counters(self) -> list[Counter]:
        return self.world.counters

    async def play(self) -> None:
        self.person = await self.shop.person()
        acts = (self._buy, self._pay, self._pay, self._act, self._act, self._act)
        acts += (self._give_back, self._spend, self._work, self._work, self._reconcile)
        acts += (self._die, self._be_killed)
        copied, restored = sorted(self.chance.sample(range(2 * STEPS), 2))
        for step in range(STEPS):
            if step == copied:
                copy = await asyncio.to_thread(copy_database, self.world.url, self._folder)
                spent = self.spent
            if step == restored:
                await self._restore(copy, spent)
            await self.chance.choice(acts)()
            self.shop.clock.advance(seconds=self.chance.choice((1, 60, 600, 7_200)))

    # --- what happens -------------------------------------------------------------------------

    async def _buy(self) -> None:
        counter = self.chance.choice(self.counters)
        cents = self.chance.choice(CENTS)
        with suppress(Refusal):  # too many, or a dispute stops cards
            order = await counter.buys(self.person, f"{cents / 100:.2f}")
            self.orders.append(order.id)

    async def _pay(self) -> None:
        if self.orders:
            order = await self.shop.orders.get(self.chance.choice(self.orders))
            if order.external_id:
                self._tell(self.money.pay(order.external_id))

    async def _act(self) -> None:
        self._tell(self.money.act(self.chance))

    def _tell(self, messages: list[Wire]) -> None:
        """Some are lost, some come twice, all of them whenever they will."""
        for message in messages:
            copies = self.chance.choice((0, 1, 1, 1, 2))
            self.unsent += [message] * copies
        self.chance.shuffle(self.unsent)

    async def _spend(self) -> None:
        has = (await self.shop.has(self.person)).get("bought", 0)
        amount = has * self.chance.choice((1, 30, 100)) // 100
        if amount:
            await self.shop.spend(self.person, Credits(amount))
            self.spent += amount

    async def _give_back(self) -> None:
        """An operator refunds; the answer may be lost."""
        if wanted := await self._choose_refund():
            order, amount, cause = wanted
            with suppress(Refusal):
                await self.chance.choice(self.counters).refunds.refund_order(
                    order, amount, cause=cause
                )

    async def _choose_refund(self) -> tuple[Order, NanoUsd, str] | None:
        """What an operator may want to give back, and the button by which they do."""
        if not self.orders:
            return None
        order = await self.shop.orders.get(self.chance.choice(self.orders))
        left = order.paid.units - order.refunded.units - order.lost.units
        if left <= 0 or order.dispute_state:
            return None
        cents = self.chance.randint(1, to_cents(NanoUsd(left)))
        return order, from_cents(cents), f"btn_refund_{self.chance.random()}"

    # --- what our processes do ------------------------------------------------------------------

    async def _work(self) -> None:
        """Some of what was told arrives, and is worked through, by both at once; one of them may be
        cut off anywhere."""
        for _ in range(min(len(self.unsent), self.chance.randint(0, 4))):
            body, prove = self.unsent.pop()
            await self.chance.choice(self.counters).receives(body, prove(body))
        works = [asyncio.create_task(counter.works()) for counter in self.counters]
        if self.chance.random() < 0.3:
            for _ in range(self.chance.randint(1, 60)):
                await asyncio.sleep(0)
            works[0].cancel()
        await asyncio.gather(*works, return_exceptions=True)

    async def _die(self) -> None:
        """A process is killed anywhere in what it does, and another one takes its place."""
        number = self.chance.randrange(len(self.counters))
        counter = self.counters[number]
        works: list[Coroutine[Any, Any, Any]] = [
            counter.works(),
            counter.reconciliation.reconcile_orders(),
            self._give_back(),
        ]
        tasks = [asyncio.create_task(work) for work in works]
        for _ in range(self.chance.randint(1, 200)):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.world.restart_process(number)

    async def _be_killed(self) -> None:
        """A third process is killed by SIGKILL while it buys or refunds, works through what came,
        and reconciles, beside one that goes on."""
        for _ in range(min(len(self.unsent), 2)):
            body, prove = self.unsent.pop()
            await self.chance.choice(self.counters).receives(body, prove(body))
        wish: dict[str, object] = {"cause": f"btn_killed_{self.chance.random()}"}
        wanted = await self._choose_refund()
        if wanted and self.chance.random() < 0.7:
            wish |= {"cause": wanted[2], "order": wanted[0].id, "units": wanted[1].units}
        else:
            cash = f"{self.chance.choice(CENTS) / 100:.2f}"
            wish |= {"person": self.person, "cash": cash}
        steps, fuse_us = self.chance.randint(1, 40), self.chance.randint(1_000, 150_000)
        ends = (steps, 0) if self.chance.random() < 0.7 else (0, fuse_us)
        child = self.world.run_child(*ends, wish)
        killed, *_ = await asyncio.gather(child, self.counters[0].works())
        self.world.killed += killed
        # What it wrote of this is all that is known of it.
        found = await self.shop.orders.list_for_people([self.person], limit=1_000)
        self.orders += [one.id for one in found if one.id not in self.orders]

    async def _restore(self, copy: Copy, spent: int) -> None:
        """The database is a copy of before: what was ordered since is only at the gateway."""
        await self.world.restore(copy)
        self.spent = spent
        rows = await self.shop.store.fetch(sa.select(schema.order.c.id))
        known = {row.id for row in rows}
        self.lost |= set(self.orders) - known
        self.orders = [id_ for id_ in self.orders if id_ in known]

    async def _reconcile(self) -> None:
        await self.chance.choice(self.counters).reconciliation.reconcile_orders()

    async def settle(self) -> None:
        """Everything is decided; what wasn't lost arrives; the jobs run for weeks."""
        self._tell(self.money.decide(self.chance))
        while self.unsent:
            await self._work()
        for _ in range(35):
            self.shop.clock.advance(days=1)
            for counter in self.counters:
                await counter.works()
                await counter.reconciliation.reconcile_orders()
            await self._decide()

    async def _decide(self) -> None:
        """An owner knows who paid what a restored copy lacks."""
        counter = self.chance.choice(self.counters)
        platform, _, user = self.person.partition("_")
        for one in await counter.unmatched.list_open():
            assert one.order in self.lost
            await counter.unmatched.credit(
                counter.gateway, one.id, one.gateway, payer=f"{platform}:{user}"
            )

    async def compare(self) -> None:
        """The books of its orders, with the gateway's account."""
        left = self.money.list_left()
        credited = self.money.list_credits()
        for id_ in self.lost:
            with suppress(UnknownOrder):
                await self.shop.orders.get(id_)
                self.orders += [id_] if id_ not in self.orders else []
            if id_ not in self.orders:  # nobody paid it, or all went back before it was found
                assert left.get(id_, 0) <= 0
            # Who paid a part of it has what that part buys.
            credited[id_] = max(0, left.get(id_, 0))
        for id_ in self.orders:
            order = await self.shop.orders.get(id_)
            booked = order.paid.units - order.refunded.units - order.lost.units
            assert booked == from_cents(left.get(id_, 0)).units, (id_, order, left.get(id_))
            assert (order.bought.units, order.bonus.units) == (credited.get(id_, 0), 0), id_
            assert order.dispute_state in {"", "won", "lost"}
        told = await self.shop.told(self.person)
        paid = Tally(str(facts["order"]) for kind, facts in told if kind == PAID)
        rows = await self.shop.store.fetch(sa.select(schema.payment.c.order))
        assert paid <= Tally(row.order for row in rows), "each payment is told once"


async def compare_people(shop: Shop, histories: list[History]) -> None:
    """What people have is what was given less what they used; what they used of money that went
    back in a lost dispute is bad debt, and theirs no more."""
    has = [await shop.has(history.person) for history in histories]
    balance = sum(one.get("bought", 0) - one.get("owed", 0) for one in has)
    orders = [await shop.orders.get(id_) for history in histories for id_ in history.orders]
    used = sum(history.spent for history in histories)
    given = sum(order.bought.units for order in orders)
    (bad_debt,) = await shop.stands("bad-debt")
    assert given - used <= balance <= given - used + to_cents(NanoUsd(bad_debt))


async def play_histories(
    url: str, clock: TestClock, folder: Path, name: str, seeds: range, fork_server: ForkServer
) -> None:
    clock.at_ms = int(time.time() * 1000)
    peers = {"stripe": FakeStripe, "paypal": FakePayPal, "btcpay": FakeBtcPay}
    async with peers[name]() as peer:
        if isinstance(peer, FakeStripe):
            peer.now = lambda: clock.now_ms() / 1_000
        world, money = World(url, clock, name, peer.url, fork_server), _model_of(peer)
        await world.open()
        histories: list[History] = []
        try:
            for seed in seeds:
                histories.append(History(seed, world, money, folder))
                try:
                    await histories[-1].play()
                    await histories[-1].settle()
                    for earlier in histories:
                        await earlier.compare()
                except BaseException as failure:
                    failure.add_note(f"seed {seed} at {name}")
                    raise
            for sums in await world.counters[0].reconciliation.compare_with_books():
                assert sums.differences == [], sums.differences
            assert not await world.shop.store.fetch(sa.select(schema.hold.c.name))
            await compare_people(world.shop, histories)
            await world.shop.audited()
        finally:
            await world.close()


def _model_of(peer: FakeStripe | FakePayPal | FakeBtcPay) -> Money:
    if isinstance(peer, FakeStripe):
        return StripeMoney(peer)
    return PayPalMoney(peer) if isinstance(peer, FakePayPal) else BtcPayMoney(peer)


def _lose_answers(gateway: object, chance: random.Random) -> None:
    """Some answers to refunds are lost on their way."""
    refund = gateway.refund_payment  # type: ignore[attr-defined]

    async def lossy(order: Order, payment: str, amount: NanoUsd, cause: str) -> object:
        events = await refund(order, payment, amount, cause)
        if chance.random() < 0.4:
            raise GatewayUnavailable(order.gateway)
        return events

    gateway.refund_payment = lossy  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _no_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days pass here within a second, in which a gateway's list would be kept."""
    monkeypatch.setattr(refunds, "_LIST_SECONDS", -1.0)
    monkeypatch.setattr(event_list, "_READ_AGAIN_SECONDS", -1.0)


#: Few cells of a small run leave no gateway and no database out.
CELLS = list(itertools.product(("sqlite", "postgresql"), ("stripe", "paypal", "btcpay")))
FEW = [("sqlite", "stripe"), ("postgresql", "paypal"), ("sqlite", "btcpay")]


@pytest.mark.parametrize(
    ("database_url", "name"),
    CELLS if size(small=0, full=1) else FEW,
    indirect=["database_url"],
)
@pytest.mark.parametrize("start", range(FIRST, size(small=50, full=500), HISTORIES))
async def test_the_books_are_what_the_gateway_says(
    database_url: str,
    clock: TestClock,
    tmp_path: Path,
    fork_server: ForkServer,
    name: str,
    start: int,
) -> None:
    await play_histories(
        database_url, clock, tmp_path, name, range(start, start + HISTORIES), fork_server
    )
