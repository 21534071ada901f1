"""SKUs through the unmodified client, against a Discord that refuses what the real one does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core.db import schema
from core.money import Credits, parse_usd
from core.notification import OPERATORS
from payments.types import (
    GatewayUnavailable,
    InvalidSignature,
    RefundUnsupported,
    UnknownOrder,
)
from payments.webhooks import build_payment_routes
from tests.payments import inchat
from tests.payments.booths import SkusBooth as Booth, opened, skus_booth as booth
from tests.peers.discord import TOKEN
from tests.peers.discord_store import GIFT, PAID_GIFT, SUBSCRIPTION, TEST_PURCHASE

__all__ = ["booth"]

CONSUME = "POST /applications/{app}/entitlements/{entitlement}/consume"
LIST = "GET /applications/{app}/entitlements"


async def test_from_the_order_to_credits_and_again(booth: Booth) -> None:
    ann, store = booth.discord.user(7), booth.discord.store
    order = await booth.buys(ann, "Pro")
    assert (order.state, order.url, order.external_id) == ("pending", "", "")
    assert booth.gateway.find_sku(order.value) == str(booth.skus["Pro"])
    bought = store.buys(ann, booth.skus["Pro"])
    for what in ("created", "created", "updated", "noticed"):
        await booth.hears(bought, what)
    await booth.works()
    assert await booth.has(ann) == {"bought": 9_000, "gift": 1_000}
    assert booth.consumed(bought)
    stands = await booth.shop.stands("cash/skus", "gateway-fees", "sales")
    assert stands == [parse_usd("76.5").units, parse_usd("13.5").units, -parse_usd("90").units]
    order = await booth.counter.orders.get(order.id)
    assert (order.state, order.external_id) == ("credited", str(bought))
    told = [what for _, what, _ in await booth.counter.orders.list_events(order.id)]
    assert told == ["created", "pending", "claimed", "paid"]
    # Consumed, it can be bought again: from the store's page, without an order.
    again = store.buys(ann, booth.skus["Pro"])
    await booth.hears(again)
    await booth.works()
    assert await booth.has(ann) == {"bought": 18_000, "gift": 2_000}
    made = await booth.counter.orders.get_by_checkout("skus", str(again))
    assert (made.id != order.id, made.place, made.shown_in) == (True, "discord:7:", "")
    await booth.shop.audited()


async def test_who_never_wrote_here_can_buy_in_the_store(booth: Booth) -> None:
    bought = booth.discord.store.buys(booth.discord.user(99), booth.skus["Starter"], told=False)
    assert await booth.counter.services.reconciliation.reconcile_orders() == 1
    person = await booth.counter.people.find("discord:99")
    assert await booth.shop.has(person.id) == {"bought": 1_000}
    assert booth.consumed(bought)
    await booth.shop.audited()


async def test_an_order_of_another_pack_or_person_stays_open(booth: Booth) -> None:
    ann, bob = booth.discord.user(7), booth.discord.user(8)
    older, newer = await booth.buys(ann, "Starter"), await booth.buys(ann, "Starter")
    pro, his = await booth.buys(ann, "Pro"), await booth.buys(bob, "Enterprise")
    for pack in ("Starter", "Enterprise"):
        await booth.hears(booth.discord.store.buys(ann, booth.skus[pack]))
    await booth.works()
    states = [
        (await booth.counter.orders.get(order.id)).state for order in (older, newer, pro, his)
    ]
    assert states == ["pending", "credited", "pending", "pending"]
    assert await booth.has(ann) == {"bought": 81_000, "gift": 20_000}
    assert await booth.has(bob) == {}


async def test_one_purchase_has_one_order_and_one_order_one_purchase(
    booth: Booth, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = booth.discord.user(7)
    person, order = await booth.person(ann), await booth.buys(ann, "Pro")

    async def claims(purchase: str) -> str:
        async def who() -> str:
            return person

        claimed = await booth.counter.orders.claim_for_purchase(
            gateway="skus",
            external_id=purchase,
            at_ms=booth.shop.clock.now_ms(),
            place="discord:7:",
            value=parse_usd("90"),
            get_person_id=who,
        )
        return claimed.id

    # Nothing is paid yet: what one has, others leave alone.
    first = await claims("1")
    assert (first, await claims("1")) == (order.id, order.id)
    assert await claims("2") not in {order.id, await claims("3")}
    another = await booth.buys(ann, "Pro")
    at_once = await asyncio.gather(*(claims(str(number % 3 + 4)) for number in range(9)))
    assert at_once[:3] * 3 == list(at_once)
    assert len(set(at_once)) == 3
    assert another.id in at_once
    # Between looking and claiming another one claims.
    last, record = await booth.buys(ann, "Pro"), booth.shop.ledger.record

    async def second(*rows: object) -> None:
        monkeypatch.setattr(booth.shop.ledger, "record", record)
        assert await claims("8") == last.id
        await record(*rows)  # type: ignore[arg-type]

    monkeypatch.setattr(booth.shop.ledger, "record", second)
    assert await claims("7") != last.id
    assert await claims("8") == last.id


async def test_what_was_consumed_was_delivered(booth: Booth) -> None:
    """By whatever sold here before: it isn't credited again."""
    ann, store = booth.discord.user(7), booth.discord.store
    await booth.hears(store.entitle(ann, booth.skus["Pro"], consumed=True))
    await booth.works()
    assert await booth.counter.services.reconciliation.reconcile_orders() == 0
    assert await booth.has(ann) == {}


async def test_free_amounts_are_not_sold(booth: Booth) -> None:
    assert booth.gateway.quote_amount(parse_usd("25")) is None
    person = await booth.person(booth.discord.user(7))
    with pytest.raises(GatewayUnavailable):
        await booth.counter.buys(person, "25", "discord:7:")


async def test_what_is_no_sale_gives_nothing(
    booth: Booth, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ann, store, sku = booth.discord.user(7), booth.discord.store, booth.skus["Starter"]
    tier = store.sku("Tier", kind=SUBSCRIPTION)
    gift = store.entitle(ann, sku, kind=GIFT)
    nothing = [
        gift,
        *(store.entitle(ann, sku, kind=kind) for kind in (2, TEST_PURCHASE, 5, 7, 8, 99)),
        store.entitle(None, sku, guild_id=str(booth.discord.guild)),
        store.entitle(ann, sku, guild_id=str(booth.discord.guild)),
        store.entitle(ann, tier),
        store.entitle(ann, sku, deleted=True),
        store.entitle(ann, sku, application_id="4711"),
        4_711,
    ]
    for id_ in nothing:
        await booth.hears(id_)
        await booth.hears(id_, "deleted")
    await booth.works()
    assert await booth.counter.waiting() == 0, "nor will anything come of it"
    assert await booth.counter.services.reconciliation.reconcile_orders() == 0
    assert await booth.has(ann) == {}
    assert booth.discord.called(CONSUME) == []
    assert str(gift) in caplog.text
    await booth.shop.audited()


async def test_what_somebody_else_paid_is_credited_and_taken_back(booth: Booth) -> None:
    ann, store = booth.discord.user(7), booth.discord.store
    gift = store.entitle(ann, booth.skus["Starter"], kind=PAID_GIFT)
    for _ in range(2):
        await booth.hears(gift)
    await booth.works()
    assert await booth.has(ann) == {"bought": 1_000}
    assert booth.consumed(gift), "else nobody can give it to them again"
    store.takes_back(gift, told=False)
    await booth.hears(gift, "deleted")
    await booth.works()
    assert await booth.has(ann) == {}
    await booth.shop.audited()


async def test_test_purchases_count_where_the_operator_says_so(booth: Booth) -> None:
    testing = await opened(booth.shop, booth.discord, test_purchases=True)
    ann, store = booth.discord.user(7), booth.discord.store
    bought = store.entitle(ann, testing.skus["Starter"], kind=TEST_PURCHASE)
    gift = store.entitle(ann, testing.skus["Starter"], kind=GIFT)
    assert await testing.counter.services.reconciliation.reconcile_orders() == 1
    assert await testing.has(ann) == {"bought": 1_000}
    assert (booth.consumed(bought), booth.consumed(gift)) == (True, False)
    await testing.gateway.close()


async def test_consumed_only_after_the_credits_and_again_if_that_fails(booth: Booth) -> None:
    ann, bob, store = booth.discord.user(7), booth.discord.user(8), booth.discord.store
    heard_of = store.buys(ann, booth.skus["Starter"])
    booth.discord.fail_next(CONSUME, 401)
    await booth.hears(heard_of)
    await booth.works()
    assert await booth.has(ann) == {"bought": 1_000}
    assert not booth.consumed(heard_of)
    listed = store.buys(bob, booth.skus["Starter"], told=False)
    booth.discord.fail_next(CONSUME, 401)
    assert await booth.counter.services.reconciliation.reconcile_orders() == 0
    assert await booth.counter.services.reconciliation.reconcile_orders() == 1
    assert (booth.consumed(heard_of), booth.consumed(listed)) == (True, True)
    assert (await booth.has(ann), await booth.has(bob)) == ({"bought": 1_000}, {"bought": 1_000})
    # The message's own next try finds nothing left to do.
    booth.shop.clock.advance(seconds=60)
    await booth.works()
    assert set((await booth.counter.verdicts()).values()) == {""}
    await booth.shop.audited()


async def test_what_can_not_be_consumed_is_no_reason_to_stop(booth: Booth) -> None:
    ann, store = booth.discord.user(7), booth.discord.store
    store.skus[booth.skus["Starter"]]["type"] = 2  # the operator named a durable one
    store.buys(ann, booth.skus["Starter"], told=False)
    later = store.buys(ann, booth.skus["Pro"], told=False)
    assert await booth.counter.services.reconciliation.reconcile_orders() == 2
    assert booth.consumed(later)


@pytest.mark.parametrize(("spent", "left"), [(0, {}), (400, {"owed": 400})])
async def test_taken_back_by_discord(booth: Booth, spent: int, left: dict[str, int]) -> None:
    ann, store = booth.discord.user(7), booth.discord.store
    bought = store.buys(ann, booth.skus["Starter"])
    await booth.hears(bought)
    await booth.works()
    person = await booth.person(ann)
    if spent:
        await booth.shop.spend(person, Credits(spent))
    order = await booth.counter.orders.get_by_checkout("skus", str(bought))
    with pytest.raises(RefundUnsupported) as refused:
        await booth.counter.services.refunds.refund_order(order, parse_usd("10"), cause="btn_r")
    assert refused.value.reason == "elsewhere"
    store.takes_back(bought)
    for _ in range(2):
        await booth.hears(bought, "deleted")
    await booth.works()
    assert await booth.counter.services.reconciliation.reconcile_orders() == 0
    assert await booth.has(ann) == left
    order = await booth.counter.orders.get(order.id)
    assert order.refunded == order.paid == parse_usd("10")
    await booth.shop.audited()


async def test_taken_back_while_nobody_listened(booth: Booth) -> None:
    """A day later the whole list is read again."""
    ann, store = booth.discord.user(7), booth.discord.store
    bought = store.buys(ann, booth.skus["Starter"], told=False)
    assert await booth.counter.services.reconciliation.reconcile_orders() == 1
    booth.shop.clock.advance(seconds=7_200)
    assert await booth.counter.services.reconciliation.reconcile_orders() == 0
    store.takes_back(bought, told=False)
    assert await booth.counter.services.reconciliation.reconcile_orders() == 0
    booth.shop.clock.advance(days=1)
    changed = [await booth.counter.services.reconciliation.reconcile_orders() for _ in range(3)]
    assert sum(changed) == 1
    assert await booth.has(ann) == {}
    await booth.shop.audited()


@pytest.mark.parametrize("spent", [0, 400])
async def test_what_was_taken_back_may_be_there_again(booth: Booth, spent: int) -> None:
    """And be taken back once more: what stands there in the end counts."""
    ann, store = booth.discord.user(7), booth.discord.store
    bought = store.buys(ann, booth.skus["Starter"], told=False)
    reconciliation = booth.counter.services.reconciliation
    await reconciliation.reconcile_orders()
    if spent:
        await booth.shop.spend(await booth.person(ann), Credits(spent))
    for deleted in (True, False, True, False):
        store.entitlements[bought]["deleted"] = deleted
        for _ in range(3):
            booth.shop.clock.advance(days=1, seconds=60)
            await reconciliation.reconcile_orders()
        has = await booth.has(ann)
        left = (0 if deleted else 1_000) - spent
        assert has.get("bought", 0) - has.get("owed", 0) == left
        assert [one.differences for one in await reconciliation.compare_with_books()] == [[]]
    order = await booth.counter.orders.get_by_checkout("skus", str(bought))
    assert (order.refunded.units, order.bought.units) == (0, 1_000)
    assert await booth.shop.told(OPERATORS) == []
    await booth.shop.audited()


async def test_the_list_goes_on_where_it_was(booth: Booth) -> None:
    store, reconciliation = booth.discord.store, booth.counter.services.reconciliation
    users = [booth.discord.user(number) for number in range(1, 131)]
    for user in users:
        store.buys(user, booth.skus["Starter"], told=False)
    assert await reconciliation.reconcile_orders() == 130
    assert len(booth.discord.called(LIST)) == 2
    booth.shop.clock.advance(seconds=1_200)
    assert await reconciliation.reconcile_orders() == 0
    newest = store.buys(users[0], booth.skus["Pro"], told=False)
    store.entitlements[newest]["id"] = str(newest)
    booth.discord.fail_next(LIST, 401)
    assert await reconciliation.reconcile_orders() == 0
    assert await reconciliation.reconcile_orders() == 1
    rows = await booth.shop.store.fetch(schema.payment.select())
    assert len(rows) == 131


async def test_the_price_changed_since(booth: Booth) -> None:
    """A refund is of what was paid, whatever the pack costs now."""
    ann, store = booth.discord.user(7), booth.discord.store
    bought = store.buys(ann, booth.skus["Starter"])
    await booth.hears(bought)
    await booth.works()
    dearer = inchat.skus(
        booth.discord.api_url, booth.shop.clock, {str(booth.skus["Starter"]): parse_usd("90")}
    )
    after = await inchat.counter(dearer, booth.shop.store, booth.shop.ledger, booth.shop.clock)
    store.takes_back(bought)
    assert await after.services.reconciliation.reconcile_orders() == 1
    assert await booth.has(ann) == {}
    await dearer.close()
    await booth.shop.audited()


async def test_many_at_once_take_no_order_from_each_other(booth: Booth) -> None:
    """Each purchase has an order of its own, however many tell of it at the same time."""
    ann, store = booth.discord.user(7), booth.discord.store
    for _ in range(3):
        await booth.buys(ann, "Pro")
    some = [store.entitle(ann, booth.skus["Pro"]) for _ in range(5)]
    for id_ in some:
        for what in ("created", "noticed", "updated"):
            await booth.hears(id_, what)
    await asyncio.gather(*(booth.works() for _ in range(4)))
    booth.shop.clock.advance(seconds=120)
    await booth.works()
    assert await booth.has(ann) == {"bought": 45_000, "gift": 5_000}
    owners = [await booth.counter.orders.get_by_checkout("skus", str(id_)) for id_ in some]
    assert len({order.id for order in owners}) == 5
    assert {order.state for order in owners} == {"credited"}
    await booth.shop.audited()


async def test_the_till_keeps_only_what_concerns_us(booth: Booth) -> None:
    ann, store = booth.discord.user(7), booth.discord.store
    tier = store.sku("Tier", kind=SUBSCRIPTION)
    bought = store.buys(ann, booth.skus["Starter"])
    other = booth.entitled(store.entitle(ann, tier))
    for _ in range(3):
        await booth.till.record_purchase(booth.entitled(bought))
    await booth.till.record_purchase(other)
    await booth.till.record_reversal(other)
    await booth.works()
    await booth.till.record_purchase(booth.entitled(bought))
    assert list(await booth.counter.verdicts()) == [f"skus/created/{bought}"]
    await booth.till.record_reversal(replace(booth.entitled(bought), deleted=True))
    assert len(await booth.counter.verdicts()) == 2


async def test_no_secret_shows(booth: Booth, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    bought = booth.discord.store.buys(booth.discord.user(7), booth.skus["Starter"])
    await booth.hears(bought)
    booth.discord.fail_next(LIST, 401)
    await booth.counter.services.reconciliation.reconcile_orders()
    await booth.works()
    shown = caplog.text + repr(booth.gateway)
    for table in schema.metadata.tables.values():
        shown += str(await booth.shop.store.fetch(table.select()))
    assert TOKEN not in shown
    with pytest.raises(UnknownOrder):
        await booth.counter.orders.get_by_checkout("skus", "none")


async def test_there_is_no_other_door(booth: Booth) -> None:
    await booth.gateway.check_account()
    assert build_payment_routes(booth.counter.inbox, {"skus": booth.gateway}) == []
    with pytest.raises(InvalidSignature):
        await booth.counter.inbox.receive("skus", {}, b"{}")
