"""A thousand events of payments in chats: doubled, shuffled, foreign and forged."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from core.money import parse_usd
from payments.gateways.telegram_stars import StarPaymentUpdate
from tests.payments.chat_shops import (
    PACKS,
    SkusShop,
    StarsShop,
    forgeries,
    skus_shop,
    stars_shop,
)
from tests.peers.discord_store import GIFT, SUBSCRIPTION, TEST_PURCHASE
from tests.support.size import size

__all__ = ["skus_shop", "stars_shop"]


@pytest.mark.timeout(900)
async def test_a_thousand_events_of_stars(stars_shop: StarsShop) -> None:
    """Credits granted are payments made, exactly: heard of, or only in the list."""
    chance, chat_shop = random.Random(11), stars_shop
    users = [chat_shop.telegram.user(number) for number in range(1, 6)]
    people = [await chat_shop.shop.person() for _ in users]
    expected = dict.fromkeys(people, 0)
    events: list[StarPaymentUpdate] = []
    for number in range(size(small=12, full=180)):
        at = number % len(users)
        cash = ("1", "10", "99.99", "100", "90", "800")[number % 6]
        order = await chat_shop.buys(people[at], cash, users[at])
        if number % 4:  # paid when they are over; only so many may be open
            await chat_shop.counter.orders.end_unpaid(order, "expired")
        told = StarPaymentUpdate("never", str(users[at].id), "XTR", order.amount.units, order.id)
        if chance.random() < 0.8:
            told = chat_shop.receives(users[at], order)
            expected[people[at]] += chat_shop.shop.offer.compute_entitlement(
                parse_usd(cash)
            ).total.units
            if chance.random() < 0.8:  # else the update was lost
                events += [told] * chance.randint(1, 5)
            if chance.random() < 0.2:
                chat_shop.telegram.stars.gives_back(told.charge)
                expected[people[at]] -= chat_shop.shop.offer.compute_entitlement(
                    parse_usd(cash)
                ).total.units
                events += [replace(told, refunded=True)] * chance.randint(0, 2)
        events += chance.sample(forgeries(told, chance), 4)
    # What is in the list and no order's.
    chat_shop.telegram.stars.receives(users[0], "another bot's invoice", 50)
    chat_shop.telegram.stars.withdraws(100)
    chance.shuffle(events)
    assert len(events) >= size(small=60, full=1_000)

    async def deliver(part: list[StarPaymentUpdate]) -> None:
        for told in part:
            await chat_shop.hears(told)

    await asyncio.gather(*(deliver(events[at::8]) for at in range(8)))
    await asyncio.gather(*(chat_shop.counter.works() for _ in range(3)))
    await asyncio.gather(
        *(chat_shop.counter.services.reconciliation.reconcile_orders() for _ in range(2))
    )
    for _ in range(13):  # until what fits nothing is given up
        chat_shop.shop.clock.advance(seconds=6 * 3_600)
        await chat_shop.counter.works()
    for person in people:
        assert sum((await chat_shop.shop.has(person)).values()) == expected[person]
    verdicts = set((await chat_shop.counter.verdicts()).values())
    assert verdicts <= {"", "unknown_order", "payment_refused/payer", "payment_refused/amount"}
    await chat_shop.shop.audited()


async def _take_back_some(
    chat_shop: SkusShop, chance: random.Random, expected: dict[int, int]
) -> None:
    """Some purchases are taken back after all, heard of or not."""
    store = chat_shop.discord.store
    paid = [one for one in store.entitlements.values() if one["consumed"]]
    for one in chance.sample(paid, len(paid) // 5):
        store.takes_back(int(one["id"]))
        pack = next(name for name, sku in chat_shop.skus.items() if str(sku) == one["sku_id"])
        expected[int(one["user_id"])] -= chat_shop.shop.offer.compute_entitlement(
            parse_usd(PACKS[pack])
        ).total.units
        if chance.random() < 0.5:
            await chat_shop.hears(int(one["id"]), "deleted")


@pytest.mark.timeout(900)
async def test_a_thousand_events_of_skus(skus_shop: SkusShop) -> None:
    """Credits granted are purchases made, exactly: heard of, or only in the list."""
    chance, chat_shop = random.Random(13), skus_shop
    store = chat_shop.discord.store
    users = [chat_shop.discord.user(number) for number in range(1, 7)]
    foreign = store.sku("Tier", kind=SUBSCRIPTION)
    expected = {user.id: 0 for user in users}
    events: list[tuple[int, str]] = []
    for number in range(size(small=15, full=220)):
        user = users[number % len(users)]
        pack = tuple(PACKS)[number % 3]
        sku = chat_shop.skus[pack]
        if chance.random() < 0.3:
            order = await chat_shop.buys(user, pack)
            if chance.random() < 0.7:
                await chat_shop.counter.orders.end_unpaid(order, "expired")
        bought = store.entitle(user, sku)
        credits_ = chat_shop.shop.offer.compute_entitlement(parse_usd(PACKS[pack])).total.units
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
            store.entitle(None, sku, guild_id=str(chat_shop.discord.guild)),
            store.entitle(user, sku, application_id="4711"),
            chat_shop.discord.snowflake(),
        ]
        events += [(id_, "created") for id_ in chance.sample(others, 3)]
    chance.shuffle(events)
    assert len(events) >= size(small=60, full=1_000)

    reconcile = chat_shop.counter.services.reconciliation.reconcile_orders

    async def deliver(part: list[tuple[int, str]]) -> None:
        for id_, what in part:
            await chat_shop.hears(id_, what)

    await asyncio.gather(*(deliver(events[at::8]) for at in range(8)))
    await asyncio.gather(
        chat_shop.works(),
        chat_shop.works(),
        *(reconcile() for _ in range(2)),
    )
    chat_shop.shop.clock.advance(seconds=120)
    await chat_shop.works()
    await reconcile()
    await _take_back_some(chat_shop, chance, expected)
    chat_shop.shop.clock.advance(days=1, seconds=60)
    for _ in range(3):
        await chat_shop.works()
        await reconcile()
    for user in users:
        assert sum((await chat_shop.has(user)).values()) == expected[user.id]
    bought = [store.entitlements[id_] for id_, what in events if what == "noticed"]
    assert all(one["consumed"] or one["deleted"] for one in bought)
    await chat_shop.shop.audited()
