"""A thousand events of payments in chats: doubled, shuffled, foreign and forged."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from core.money import parse_usd
from payments.gateways.telegram_stars import StarPaymentUpdate
from tests.payments.booths import (
    PACKS,
    SkusBooth,
    StarsBooth,
    forgeries,
    skus_booth,
    stars_booth,
)
from tests.peers.discord_store import GIFT, SUBSCRIPTION, TEST_PURCHASE
from tests.support.size import size

__all__ = ["skus_booth", "stars_booth"]


@pytest.mark.timeout(900)
async def test_a_thousand_events_of_stars(stars_booth: StarsBooth) -> None:
    """Credits granted are payments made, exactly: heard of, or only in the list."""
    chance, booth = random.Random(11), stars_booth
    users = [booth.telegram.user(number) for number in range(1, 6)]
    people = [await booth.shop.person() for _ in users]
    expected = dict.fromkeys(people, 0)
    events: list[StarPaymentUpdate] = []
    for number in range(size(small=12, full=180)):
        at = number % len(users)
        cash = ("1", "10", "99.99", "100", "90", "800")[number % 6]
        order = await booth.buys(people[at], cash, users[at])
        if number % 4:  # paid when they are over; only so many may be open
            await booth.counter.orders.end_unpaid(order, "expired")
        told = StarPaymentUpdate("never", str(users[at].id), "XTR", order.amount.units, order.id)
        if chance.random() < 0.8:
            told = booth.receives(users[at], order)
            expected[people[at]] += booth.shop.offer.compute_entitlement(
                parse_usd(cash)
            ).total.units
            if chance.random() < 0.8:  # else the update was lost
                events += [told] * chance.randint(1, 5)
            if chance.random() < 0.2:
                booth.telegram.stars.gives_back(told.charge)
                expected[people[at]] -= booth.shop.offer.compute_entitlement(
                    parse_usd(cash)
                ).total.units
                events += [replace(told, refunded=True)] * chance.randint(0, 2)
        events += chance.sample(forgeries(told, chance), 4)
    # What is in the list and no order's.
    booth.telegram.stars.receives(users[0], "another bot's invoice", 50)
    booth.telegram.stars.withdraws(100)
    chance.shuffle(events)
    assert len(events) >= size(small=60, full=1_000)

    async def deliver(part: list[StarPaymentUpdate]) -> None:
        for told in part:
            await booth.hears(told)

    await asyncio.gather(*(deliver(events[at::8]) for at in range(8)))
    await asyncio.gather(*(booth.counter.works() for _ in range(3)))
    await asyncio.gather(
        *(booth.counter.services.reconciliation.reconcile_orders() for _ in range(2))
    )
    for _ in range(13):  # until what fits nothing is given up
        booth.shop.clock.advance(seconds=6 * 3_600)
        await booth.counter.works()
    for person in people:
        assert sum((await booth.shop.has(person)).values()) == expected[person]
    verdicts = set((await booth.counter.verdicts()).values())
    assert verdicts <= {"", "unknown_order", "payment_refused/payer", "payment_refused/amount"}
    await booth.shop.audited()


async def _take_back_some(
    booth: SkusBooth, chance: random.Random, expected: dict[int, int]
) -> None:
    """Some purchases are taken back after all, heard of or not."""
    store = booth.discord.store
    paid = [one for one in store.entitlements.values() if one["consumed"]]
    for one in chance.sample(paid, len(paid) // 5):
        store.takes_back(int(one["id"]))
        pack = next(name for name, sku in booth.skus.items() if str(sku) == one["sku_id"])
        expected[int(one["user_id"])] -= booth.shop.offer.compute_entitlement(
            parse_usd(PACKS[pack])
        ).total.units
        if chance.random() < 0.5:
            await booth.hears(int(one["id"]), "deleted")


@pytest.mark.timeout(900)
async def test_a_thousand_events_of_skus(skus_booth: SkusBooth) -> None:
    """Credits granted are purchases made, exactly: heard of, or only in the list."""
    chance, booth = random.Random(13), skus_booth
    store = booth.discord.store
    users = [booth.discord.user(number) for number in range(1, 7)]
    foreign = store.sku("Tier", kind=SUBSCRIPTION)
    expected = {user.id: 0 for user in users}
    events: list[tuple[int, str]] = []
    for number in range(size(small=15, full=220)):
        user = users[number % len(users)]
        pack = tuple(PACKS)[number % 3]
        sku = booth.skus[pack]
        if chance.random() < 0.3:
            order = await booth.buys(user, pack)
            if chance.random() < 0.7:
                await booth.counter.orders.end_unpaid(order, "expired")
        bought = store.entitle(user, sku)
        credits_ = booth.shop.offer.compute_entitlement(parse_usd(PACKS[pack])).total.units
        fate = chance.random()
        if fate < 0.15:  # taken back before anybody looked
            store.takes_back(bought)
            events += [(bought, "deleted")] * chance.randint(0, 2)
        else:
            expected[user.id] += credits_
        if chance.random() < 0.8:  # else the event was lost
            events += [(bought, "created")] * chance.randint(1, 4)
            events += [(bought, "noticed")] * chance.randint(0, 2)
        others = [
            store.entitle(user, sku, kind=GIFT),
            store.entitle(user, sku, kind=TEST_PURCHASE),
            store.entitle(user, foreign),
            store.entitle(None, sku, guild_id=str(booth.discord.guild)),
            store.entitle(user, sku, application_id="4711"),
            booth.discord.snowflake(),
        ]
        events += [(id_, "created") for id_ in chance.sample(others, 3)]
    chance.shuffle(events)
    assert len(events) >= size(small=60, full=1_000)

    reconcile = booth.counter.services.reconciliation.reconcile_orders

    async def deliver(part: list[tuple[int, str]]) -> None:
        for id_, what in part:
            await booth.hears(id_, what)

    await asyncio.gather(*(deliver(events[at::8]) for at in range(8)))
    await asyncio.gather(
        booth.works(),
        booth.works(),
        *(reconcile() for _ in range(2)),
    )
    booth.shop.clock.advance(seconds=120)
    await booth.works()
    await reconcile()
    await _take_back_some(booth, chance, expected)
    booth.shop.clock.advance(days=1, seconds=60)
    for _ in range(3):
        await booth.works()
        await reconcile()
    for user in users:
        assert sum((await booth.has(user)).values()) == expected[user.id]
    bought = [store.entitlements[id_] for id_, what in events if what == "noticed"]
    assert all(one["consumed"] or one["deleted"] for one in bought)
    await booth.shop.audited()
