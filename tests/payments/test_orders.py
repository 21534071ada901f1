"""What a tier and a promotion bring on top of a top-up: promised with the order, always a gift."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import pytest
import sqlalchemy as sa

from core import ids
from core.admin_log import admin_log_row
from core.db import schema
from core.db.writes import Companion
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, LedgerBusy
from core.money import Credits, parse_usd
from core.pricing.deals import Deals
from core.pricing.prices import PriceBook
from core.pricing.promotions import Promotion, Promotions
from core.pricing.tiers import Tier, Tiers
from payments.orders import Orders, PersonalOffers
from payments.payment_reader import PaymentReader
from payments.types import Order, Refund
from tests.payments.conftest import Shop
from tests.support import brief
from tests.support.size import size


@dataclass
class Stall:
    """A shop with offers, as one process knows it."""

    shop: Shop
    deals: Deals

    async def put(self, tier: Tier) -> None:
        row = admin_log_row(self.shop.clock, actor="usr_owner", act="tier", before={}, after={})
        await self.deals.tiers.save_tier(tier, also=row)

    async def promote(self, **changes: Any) -> Promotion:
        one = Promotion(ids.new_id("pro", self.shop.clock.now_ms()), "bonus", percent=15)
        one = replace(one, **changes)
        row = admin_log_row(self.shop.clock, actor="usr_owner", act="promo", before={}, after={})
        await self.deals.promotions.add(one, row, by="usr_owner")
        return one


async def opened(shop: Shop) -> Stall:
    store, ledger, clock = shop.store, shop.ledger, shop.clock
    catalogue, costs = brief.catalogue(), brief.costs()
    deals = Deals(
        prices=PriceBook(store, ledger.record, catalogue, costs, clock),
        catalogue=catalogue,
        costs=costs,
        tiers=Tiers(store, ledger.record, clock, PaymentReader(store)),
        promotions=Promotions(store, ledger.record, clock),
        clock=clock,
    )
    await deals.load()
    shop.orders = Orders(
        ledger=ledger, offer=shop.offer, personal_offers=PersonalOffers(shop.offer, deals)
    )
    shop.crediting.orders = shop.orders
    return Stall(shop, deals)


@pytest.fixture
async def stall(shop: Shop) -> Stall:
    return await opened(shop)


@pytest.mark.parametrize(
    ("cash", "bought", "gift"),
    [("10", 1_000, 200), ("90", 9_000, 2_800), ("100", 10_000, 3_000), ("1.15", 115, 23)],
)
async def test_tier_and_promotion_come_on_top_as_gifts(
    stall: Stall, cash: str, bought: int, gift: int
) -> None:
    shop = stall.shop
    tom = await shop.person()
    await stall.put(Tier("Gold", "topups", Credits(1), 30, bonus_percent=5))
    row = admin_log_row(shop.clock, actor="usr_owner", act="tier-set", before={}, after={})
    await stall.deals.tiers.assign_tier(tom, "Gold", by="usr_owner", also=row)
    await stall.promote()
    await stall.promote(percent=10)
    order = await shop.pay(await shop.order(tom, parse_usd(cash)))
    assert await shop.has(tom) == {"bought": bought, "gift": gift}
    assert order.offer is not None
    assert (order.offer.tier, order.offer.promotion_percent) == ("Gold", 15)
    await shop.audited()


async def test_a_refund_takes_its_part_of_it_back(stall: Stall) -> None:
    shop = stall.shop
    tom = await shop.person()
    await stall.promote(percent=20)
    order = await shop.pay(await shop.order(tom, parse_usd("20")))
    assert await shop.has(tom) == {"bought": 2_000, "gift": 400}
    await shop.crediting.apply_refund(Refund("stripe", "re_1", f"pi_{order.id}", parse_usd("10")))
    assert await shop.has(tom) == {"bought": 1_000, "gift": 200}
    await shop.audited()


async def test_what_was_promised_is_given_though_it_is_over_when_the_money_comes(
    stall: Stall,
) -> None:
    shop = stall.shop
    tom = await shop.person()
    one = await stall.promote(ends_at=shop.clock.now_ms() + 60_000)
    order = await shop.order(tom, parse_usd("10"))
    shop.clock.advance(seconds=61)
    after = await shop.order(tom, parse_usd("10"))
    assert after.offer is not None
    assert after.offer.promotion == ""
    await shop.orders.end_unpaid(order, "expired")
    assert (await shop.pay(order)).bonus == Credits(150), one
    assert (await shop.pay(after)).bonus == Credits(0)
    await shop.audited()


async def test_top_ups_make_a_tier_at_once_and_its_refund_takes_it_away(stall: Stall) -> None:
    shop = stall.shop
    tom = await shop.person()
    await stall.put(Tier("Gold", "topups", Credits(1_000), 30, bonus_percent=10))
    first = await shop.pay(await shop.order(tom, parse_usd("10")))
    assert first.bonus == Credits(0)
    second = await shop.pay(await shop.order(tom, parse_usd("5")))
    assert second.bonus == Credits(50)
    await shop.crediting.apply_refund(Refund("stripe", "re_1", f"pi_{first.id}", parse_usd("10")))
    await shop.crediting.apply_refund(Refund("stripe", "re_2", f"pi_{second.id}", parse_usd("5")))
    assert (await shop.pay(await shop.order(tom, parse_usd("5")))).bonus == Credits(0)
    await shop.audited()


async def test_a_place_in_a_limited_one_is_free_again_when_nobody_pays(stall: Stall) -> None:
    shop = stall.shop
    await stall.promote(total=1)
    tom, ann = await shop.person(), await shop.person()
    order, other = await shop.order(tom, parse_usd("10")), await shop.order(ann, parse_usd("10"))
    assert [one.offer and one.offer.promotion_percent for one in (order, other)] == [15, 0]
    await shop.orders.end_unpaid(order, "expired")
    stall.deals.forget_person(ann)
    again = await shop.order(ann, parse_usd("10"))
    # Who pays late pays what everyone does: somebody else has the place.
    assert (await shop.pay(await shop.orders.get(order.id))).bonus == Credits(0)
    assert (await shop.pay(again)).bonus == Credits(150)
    await shop.audited()


async def test_limits_hold_for_each_and_for_all_at_once(stall: Stall) -> None:
    shop, every = stall.shop, size(small=5, full=50)
    one = await stall.promote(total=every, per_person=1)
    people = [await shop.person() for _ in range(every + 3)]
    orders = await asyncio.gather(
        *(shop.order(tom, parse_usd("10")) for tom in people for _ in range(2))
    )
    paid = await asyncio.gather(*(shop.pay(order) for order in orders))
    assert sorted(order.bonus.units for order in paid) == [0] * (every + 6) + [150] * every
    lucky = [order.person for order in paid if order.bonus.units]
    assert len(set(lucky)) == every
    uses = await shop.store.fetch(sa.select(schema.promotion_use))
    assert {(use.promotion, use.cause) for use in uses} == {
        (one.id, order.id) for order in paid if order.bonus.units
    }
    await shop.audited()


async def test_the_same_press_on_two_processes_is_one_order_with_one_use(
    stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = stall.shop
    await stall.promote(total=5)
    person, record = await shop.person(), Ledger.record

    async def press() -> Order:
        return await shop.orders.create_order(
            cause="press/same",
            at_ms=shop.clock.now_ms(),
            person=person,
            place="telegram:1:",
            message="5",
            gateway="stripe",
            value=parse_usd("10"),
            amount=parse_usd("10"),
            lifetime_seconds=1_800,
        )

    faster: list[Order] = []

    async def record_late(ledger: Ledger, *companions: Companion) -> None:
        monkeypatch.setattr(Ledger, "record", record)
        faster.append(await press())
        await record(ledger, *companions)

    monkeypatch.setattr(Ledger, "record", record_late)
    assert await press() == faster[0]
    uses = await shop.store.fetch(schema.promotion_use.select())
    assert len(uses) == 1
    orders = await shop.store.fetch(schema.order.select())
    assert [row.id for row in orders] == [faster[0].id]


async def test_a_promotion_that_others_keep_using_is_no_endless_loop(
    stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = stall.shop
    await stall.promote(total=5)
    person, record = await shop.person(), Ledger.record

    async def changed(ledger: Ledger, *companions: Companion) -> None:
        if any(one.table is schema.order for one in companions):
            raise CompanionRefused(schema.promotion_use.name)
        await record(ledger, *companions)

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "record", changed)
        with pytest.raises(LedgerBusy):
            await shop.order(person, parse_usd("10"))
    assert await shop.store.fetch(schema.order.select()) == []
    assert (await shop.order(person, parse_usd("10"))).state == "created"
