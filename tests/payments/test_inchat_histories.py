"""Random histories of money that platforms take in their chats: messages are lost, doubled, late,
in any order, platforms and operators give back, processes die at work, and a copy of the database
from before is restored. In the end people have what their live payments buy, less what they used.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter as Tally
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core import chart
from core.db import schema
from core.errors import Refusal
from core.ledger.types import Move, Submission
from core.money import Credits, parse_usd
from payments.fulfillment import PAID
from payments.gateways.base import Gateway
from payments.gateways.discord_store import build_entitlement_message
from payments.gateways.telegram_stars import StarPaymentUpdate
from payments.refunds import refundable_cash
from payments.types import GatewayUnavailable
from payments.unmatched import NotUnmatched
from tests.payments import inchat
from tests.payments.database_copies import Copy, RestorableWorld, copy_database
from tests.payments.inchat_money import (
    PACK_PRICES,
    STAR_PRICES,
    ChatMoney,
    EntitlementMoney,
    StarsMoney,
    Told,
)
from tests.peers.discord import FakeDiscord
from tests.peers.telegram import FakeTelegram
from tests.support.databases import TestClock
from tests.support.size import size

STEPS = 25
USERS = (7, 8)
PROCESSES = 2


@dataclass
class Backup:
    """A copy of the database, and what people had used by then."""

    copy: Copy
    used: dict[int, int]


class World(RestorableWorld):
    """Our processes at one platform, and the database that they share."""

    def __init__(
        self, url: str, clock: TestClock, platform: str, api_url: str, packs: dict[int, str]
    ) -> None:
        super().__init__(url, clock)
        self.platform = platform
        self._api_url, self._packs = api_url, packs
        self.chance = random.Random(0)
        self.counters: list[inchat.Counter] = []

    async def open(self) -> None:
        """The processes start."""
        await super().open()
        self.counters = [await self.start_process() for _ in range(PROCESSES)]

    async def start_process(self) -> inchat.Counter:
        gateway = self._build_gateway()
        return await inchat.counter(gateway, self.shop.store, self.shop.ledger, self.clock)

    def list_gateways(self) -> list[Gateway]:
        return [counter.gateway for counter in self.counters]

    async def get_person(self, user: int) -> str:
        people = self.counters[0].people
        return (await people.get_or_create(self.platform, str(user), language="en")).id

    def _build_gateway(self) -> Gateway:
        if self.platform == "discord":
            prices = {str(sku): parse_usd(cash) for sku, cash in self._packs.items()}
            return inchat.skus(self._api_url, self.clock, prices)
        gateway = inchat.stars(self._api_url, self.clock)
        refund = gateway.refund_payment

        async def lossy(*given: Any) -> Any:
            """Some answers to refunds are lost on their way."""
            events = await refund(*given)
            if self.chance.random() < 0.4:
                raise GatewayUnavailable(gateway.name)
            return events

        gateway.refund_payment = lossy  # type: ignore[method-assign]
        return gateway


class History:
    """One history: what happens, what of it is told, and what our processes make of it."""

    def __init__(self, seed: int, world: World, money: ChatMoney, folder: Path) -> None:
        self.chance, self.world, self.money = random.Random(seed), world, money
        self._folder = folder
        world.chance = random.Random(seed + 1)
        self.prices = tuple(PACK_PRICES if world.platform == "discord" else STAR_PRICES)
        #: Who may pay which order, and its price.
        self.orders: dict[str, tuple[int, str]] = {}
        self.used = dict.fromkeys(USERS, 0)
        self.unsent: list[Told] = []
        self.backup: Backup | None = None
        self._causes = (f"history/{seed}/{number}" for number in itertools.count())

    async def play(self) -> None:
        for user in USERS:
            await self.world.get_person(user)
        acts = (self._buy, self._buy, self._pay, self._pay, self._pay, self._take_back)
        acts += (self._give_back, self._spend, self._work, self._work, self._reconcile)
        acts += (self._die,)
        copied, restored = sorted(self.chance.sample(range(2 * STEPS), 2))
        for step in range(STEPS):
            if step == copied:
                await self._back_up()
            if step == restored:
                await self._restore()
            await self.chance.choice(acts)()
            self.world.clock.advance(seconds=self.chance.choice((1, 60, 600, 7_200)))

    # --- what happens -------------------------------------------------------------------------

    async def _buy(self) -> None:
        user, dollars = self.chance.choice(USERS), self.chance.choice(self.prices)
        person, place = await self.world.get_person(user), f"{self.world.platform}:{user}:"
        with suppress(Refusal):  # too many
            order = await self._choose().buys(person, dollars, place, cause=next(self._causes))
            self.orders[order.id] = (user, dollars)

    async def _pay(self) -> None:
        """An invoice is paid; once more, where two devices were faster than the bot."""
        if self.orders:
            order = self.chance.choice(list(self.orders))
            self._tell(self.money.pay(self.orders[order][0], order, self.orders[order][1]))
            if self.world.platform == "telegram" and self.chance.random() < 0.9:
                del self.orders[order]

    async def _take_back(self) -> None:
        self._tell(self.money.take_back(self.chance))

    def _tell(self, messages: list[Told]) -> None:
        """Some are lost, some come twice, all of them whenever they will."""
        for message in messages:
            self.unsent += [message] * self.chance.choice((0, 1, 1, 1, 2))
        self.chance.shuffle(self.unsent)

    async def _spend(self) -> None:
        user = self.chance.choice(USERS)
        person = await self.world.get_person(user)
        has = await self.world.shop.has(person)
        for pocket in ("gift", "bought"):
            if amount := has.get(pocket, 0) * self.chance.choice((1, 30, 100)) // 100:
                pocket_account = chart.pocket(person, pocket)
                move = Move("spent", pocket_account, chart.spent("gpt-4"), Credits(amount))
                await self.world.shop.ledger.submit(Submission(next(self._causes), (move,)))
                self.used[user] += amount

    async def _give_back(self) -> None:
        """An operator refunds an order; the answer may be lost."""
        rows = await self.world.shop.store.fetch(sa.select(schema.order.c.id))
        if not rows:
            return
        order = await self.world.shop.orders.get(self.chance.choice(sorted(row.id for row in rows)))
        with suppress(Refusal):
            await self._choose().services.refunds.refund_order(
                order, refundable_cash(order), cause=next(self._causes)
            )

    # --- what our processes do ------------------------------------------------------------------

    def _choose(self) -> inchat.Counter:
        return self.chance.choice(self.world.counters)

    async def _work(self) -> None:
        """Some of what was told arrives, and is worked through by all at once."""
        await self._deliver(self.chance.randint(0, 4))
        await asyncio.gather(*(counter.works() for counter in self.world.counters))

    async def _deliver(self, count: int) -> None:
        for _ in range(min(len(self.unsent), count)):
            told = self.unsent.pop()
            counter = self._choose()
            if self.world.platform == "discord":
                kind = "deleted" if told.went_back else self.chance.choice(("created", "noticed"))
                message = build_entitlement_message(told.id, kind)
            else:
                message = StarPaymentUpdate(
                    told.id, str(told.payer), "XTR", told.amount, told.order, told.went_back
                ).to_webhook_message()
            await counter.inbox.store(counter.gateway.name, message)

    async def _reconcile(self) -> None:
        await self._choose().services.reconciliation.reconcile_orders()

    async def _die(self) -> None:
        """A process is killed anywhere in what it does, and another one takes its place."""
        await self._deliver(3)
        number = self.chance.randrange(PROCESSES)
        counter = self.world.counters[number]
        works: list[Coroutine[Any, Any, Any]] = [
            counter.works(),
            counter.services.reconciliation.reconcile_orders(),
            self._give_back(),
        ]
        tasks = [asyncio.create_task(work) for work in works]
        for _ in range(self.chance.randint(1, 200)):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await counter.gateway.close()
        self.world.counters[number] = await self.world.start_process()

    async def _back_up(self) -> None:
        copy = await asyncio.to_thread(copy_database, self.world.url, self._folder)
        self.backup = Backup(copy, dict(self.used))

    async def _restore(self) -> None:
        """Orders that came later are gone: their invoices can't be paid any more."""
        assert self.backup is not None
        await self.world.restore(self.backup.copy)
        self.used = dict(self.backup.used)
        rows = await self.world.shop.store.fetch(sa.select(schema.order.c.id))
        known = {row.id for row in rows}
        self.orders = {id_: told for id_, told in self.orders.items() if id_ in known}

    async def settle(self) -> None:
        """What wasn't lost arrives, the jobs run for weeks, an owner decides what waits for one."""
        while self.unsent:
            await self._work()
        for _ in range(20):
            self.world.clock.advance(days=1)
            for counter in self.world.counters:
                await counter.works()
                await counter.services.reconciliation.reconcile_orders()
            await self._decide()

    async def _decide(self) -> None:
        counter = self._choose()
        for one in await counter.services.unmatched.list_open():
            with suppress(NotUnmatched):
                await counter.services.unmatched.credit(counter.gateway, one.id, one.gateway)

    async def compare(self) -> None:
        """What people have and what the books have, with the platform's account."""
        world = self.world
        for user in USERS:
            has = await world.shop.has(await world.get_person(user))
            balance = sum(has.values()) - 2 * has.get("owed", 0)
            expected = self.money.count_credits(user) - self.used[user]
            assert balance == expected, (user, has, expected)
        rows = await world.shop.store.fetch(sa.select(schema.order))
        assert sum(row.paid - row.refunded for row in rows) == self.money.count_units()
        if world.platform == "telegram":
            assert await world.shop.stands("cash/stars") == [self.money.count_units()]
        payments = await world.shop.store.fetch(sa.select(schema.payment.c.order))
        told = [one for user in USERS for one in await self._list_told(user)]
        assert Tally(told) <= Tally(row.order for row in payments), "each payment is told once"
        assert not await world.shop.store.fetch(sa.select(schema.hold.c.name))
        sums = await world.counters[0].services.reconciliation.compare_with_books()
        assert [one for each in sums for one in each.differences] == []
        await world.shop.audited()

    async def _list_told(self, user: int) -> list[str]:
        told = await self.world.shop.told(await self.world.get_person(user))
        return [str(facts["order"]) for kind, facts in told if kind == PAID]


@asynccontextmanager
async def opened(
    url: str, clock: TestClock, platform: str
) -> AsyncIterator[tuple[World, ChatMoney]]:
    # What platforms say is dated by the wall's clock, and this database is older than that.
    clock.at_ms = int(time.time() * 1000) + 60_000
    if platform == "telegram":
        telegram = FakeTelegram()
        telegram.stars.now = lambda: clock.now_ms() // 1_000
        stars = StarsMoney(telegram.stars, {user: telegram.user(user) for user in USERS})
        world, money = World(url, clock, platform, await telegram.start(), {}), stars
        fake: FakeTelegram | FakeDiscord = telegram
    else:
        fake = discord = FakeDiscord()
        await discord.start()
        skus = {discord.store.sku(f"Pack {costs}"): costs for costs in PACK_PRICES}
        members = {user: discord.user(user) for user in USERS}
        money = EntitlementMoney(discord.store, members, skus)  # type: ignore[assignment]
        world = World(url, clock, platform, discord.api_url, skus)
    await world.open()
    try:
        yield world, money
    finally:
        await world.close()
        await fake.stop()


@pytest.mark.parametrize("platform", ["telegram", "discord"])
@pytest.mark.parametrize("seed", range(size(small=2, full=250)))
async def test_people_have_what_their_live_payments_buy(
    database_url: str, clock: TestClock, tmp_path: Path, platform: str, seed: int
) -> None:
    async with opened(database_url, clock, platform) as (world, money):
        history = History(seed, world, money, tmp_path)
        await history.play()
        await history.settle()
        await history.compare()
