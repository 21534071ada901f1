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
from tests.payments.chat_shops import SkusShop, opened, skus_shop as chat_shop
from tests.peers.discord import TOKEN
from tests.peers.discord_store import GIFT, PAID_GIFT, SUBSCRIPTION, TEST_PURCHASE

__all__ = ["chat_shop"]

CONSUME = "POST /applications/{app}/entitlements/{entitlement}/consume"
LIST = "GET /applications/{app}/entitlements"


async def test_from_the_order_to_credits_and_again(chat_shop: SkusShop) -> None:
    ann, store = chat_shop.discord.user(7), chat_shop.discord.store
    order = await chat_shop.buys(ann, "Pro")
    assert (order.state, order.url, order.external_id) == ("pending", "", "")
    assert chat_shop.gateway.find_sku(order.value) == str(chat_shop.skus["Pro"])
    bought = store.buys(ann, chat_shop.skus["Pro"])
    for what in ("created", "created", "updated", "noticed"):
        await chat_shop.hears(bought, what)
    await chat_shop.works()
    assert await chat_shop.has(ann) == {"bought": 9_000, "gift": 1_000}
    assert chat_shop.consumed(bought)
    stands = await chat_shop.shop.stands("cash/skus", "gateway-fees", "sales")
    assert stands == [parse_usd("76.5").units, parse_usd("13.5").units, -parse_usd("90").units]
    order = await chat_shop.counter.orders.get(order.id)
    assert (order.state, order.external_id) == ("credited", str(bought))
    told = [what for _, what, _ in await chat_shop.counter.orders.list_events(order.id)]
    assert told == ["created", "pending", "claimed", "paid"]
    # Consumed, it can be bought again: from the store's page, without an order.
    again = store.buys(ann, chat_shop.skus["Pro"])
    await chat_shop.hears(again)
    await chat_shop.works()
    assert await chat_shop.has(ann) == {"bought": 18_000, "gift": 2_000}
    made = await chat_shop.counter.orders.get_by_checkout("skus", str(again))
    assert (made.id != order.id, made.place, made.shown_in) == (True, "discord:7:", "")
    await chat_shop.shop.audited()


async def test_who_never_wrote_here_can_buy_in_the_store(chat_shop: SkusShop) -> None:
    bought = chat_shop.discord.store.buys(
        chat_shop.discord.user(99), chat_shop.skus["Starter"], told=False
    )
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 1
    person = await chat_shop.counter.people.find("discord:99")
    assert await chat_shop.shop.has(person.id) == {"bought": 1_000}
    assert chat_shop.consumed(bought)
    await chat_shop.shop.audited()


async def test_an_order_of_another_pack_or_person_stays_open(chat_shop: SkusShop) -> None:
    ann, bob = chat_shop.discord.user(7), chat_shop.discord.user(8)
    older, newer = await chat_shop.buys(ann, "Starter"), await chat_shop.buys(ann, "Starter")
    pro, his = await chat_shop.buys(ann, "Pro"), await chat_shop.buys(bob, "Enterprise")
    for pack in ("Starter", "Enterprise"):
        await chat_shop.hears(chat_shop.discord.store.buys(ann, chat_shop.skus[pack]))
    await chat_shop.works()
    states = [
        (await chat_shop.counter.orders.get(order.id)).state for order in (older, newer, pro, his)
    ]
    assert states == ["pending", "credited", "pending", "pending"]
    assert await chat_shop.has(ann) == {"bought": 81_000, "gift": 20_000}
    assert await chat_shop.has(bob) == {}


async def test_one_purchase_has_one_order_and_one_order_one_purchase(
    chat_shop: SkusShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = chat_shop.discord.user(7)
    person, order = await chat_shop.person(ann), await chat_shop.buys(ann, "Pro")

    async def claims(purchase: str) -> str:
        async def who() -> str:
            return person

        claimed = await chat_shop.counter.orders.claim_for_purchase(
            gateway="skus",
            external_id=purchase,
            at_ms=chat_shop.shop.clock.now_ms(),
            place="discord:7:",
            value=parse_usd("90"),
            get_person_id=who,
        )
        return claimed.id

    # Nothing is paid yet: what one has, others leave alone.
    first = await claims("1")
    assert (first, await claims("1")) == (order.id, order.id)
    assert await claims("2") not in {order.id, await claims("3")}
    another = await chat_shop.buys(ann, "Pro")
    at_once = await asyncio.gather(*(claims(str(number % 3 + 4)) for number in range(9)))
    assert at_once[:3] * 3 == list(at_once)
    assert len(set(at_once)) == 3
    assert another.id in at_once
    # Between looking and claiming another one claims.
    last, record = await chat_shop.buys(ann, "Pro"), chat_shop.shop.ledger.record

    async def second(*rows: object) -> None:
        monkeypatch.setattr(chat_shop.shop.ledger, "record", record)
        assert await claims("8") == last.id
        await record(*rows)  # type: ignore[arg-type]

    monkeypatch.setattr(chat_shop.shop.ledger, "record", second)
    assert await claims("7") != last.id
    assert await claims("8") == last.id


async def test_what_was_consumed_was_delivered(chat_shop: SkusShop) -> None:
    """By whatever sold here before: it isn't credited again."""
    ann, store = chat_shop.discord.user(7), chat_shop.discord.store
    await chat_shop.hears(store.entitle(ann, chat_shop.skus["Pro"], consumed=True))
    await chat_shop.works()
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 0
    assert await chat_shop.has(ann) == {}


async def test_free_amounts_are_not_sold(chat_shop: SkusShop) -> None:
    assert chat_shop.gateway.quote_amount(parse_usd("25")) is None
    person = await chat_shop.person(chat_shop.discord.user(7))
    with pytest.raises(GatewayUnavailable):
        await chat_shop.counter.buys(person, "25", "discord:7:")


async def test_what_is_no_sale_gives_nothing(
    chat_shop: SkusShop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ann, store, sku = chat_shop.discord.user(7), chat_shop.discord.store, chat_shop.skus["Starter"]
    tier = store.sku("Tier", kind=SUBSCRIPTION)
    gift = store.entitle(ann, sku, kind=GIFT)
    nothing = [
        gift,
        *(store.entitle(ann, sku, kind=kind) for kind in (2, TEST_PURCHASE, 5, 7, 8, 99)),
        store.entitle(None, sku, guild_id=str(chat_shop.discord.guild)),
        store.entitle(ann, sku, guild_id=str(chat_shop.discord.guild)),
        store.entitle(ann, tier),
        store.entitle(ann, sku, deleted=True),
        store.entitle(ann, sku, application_id="4711"),
        4_711,
    ]
    for id_ in nothing:
        await chat_shop.hears(id_)
        await chat_shop.hears(id_, "deleted")
    await chat_shop.works()
    assert await chat_shop.counter.waiting() == 0, "nor will anything come of it"
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 0
    assert await chat_shop.has(ann) == {}
    assert chat_shop.discord.called(CONSUME) == []
    assert str(gift) in caplog.text
    await chat_shop.shop.audited()


async def test_what_somebody_else_paid_is_credited_and_taken_back(chat_shop: SkusShop) -> None:
    ann, store = chat_shop.discord.user(7), chat_shop.discord.store
    gift = store.entitle(ann, chat_shop.skus["Starter"], kind=PAID_GIFT)
    for _ in range(2):
        await chat_shop.hears(gift)
    await chat_shop.works()
    assert await chat_shop.has(ann) == {"bought": 1_000}
    assert chat_shop.consumed(gift), "else nobody can give it to them again"
    store.takes_back(gift, told=False)
    await chat_shop.hears(gift, "deleted")
    await chat_shop.works()
    assert await chat_shop.has(ann) == {}
    await chat_shop.shop.audited()


async def test_test_purchases_count_where_the_operator_says_so(chat_shop: SkusShop) -> None:
    testing = await opened(chat_shop.shop, chat_shop.discord, test_purchases=True)
    ann, store = chat_shop.discord.user(7), chat_shop.discord.store
    bought = store.entitle(ann, testing.skus["Starter"], kind=TEST_PURCHASE)
    gift = store.entitle(ann, testing.skus["Starter"], kind=GIFT)
    assert await testing.counter.services.reconciliation.reconcile_orders() == 1
    assert await testing.has(ann) == {"bought": 1_000}
    assert (chat_shop.consumed(bought), chat_shop.consumed(gift)) == (True, False)
    await testing.gateway.close()


async def test_consumed_only_after_the_credits_and_again_if_that_fails(chat_shop: SkusShop) -> None:
    ann, bob, store = chat_shop.discord.user(7), chat_shop.discord.user(8), chat_shop.discord.store
    heard_of = store.buys(ann, chat_shop.skus["Starter"])
    chat_shop.discord.fail_next(CONSUME, 401)
    await chat_shop.hears(heard_of)
    await chat_shop.works()
    assert await chat_shop.has(ann) == {"bought": 1_000}
    assert not chat_shop.consumed(heard_of)
    listed = store.buys(bob, chat_shop.skus["Starter"], told=False)
    chat_shop.discord.fail_next(CONSUME, 401)
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 0
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 1
    assert (chat_shop.consumed(heard_of), chat_shop.consumed(listed)) == (True, True)
    assert (await chat_shop.has(ann), await chat_shop.has(bob)) == (
        {"bought": 1_000},
        {"bought": 1_000},
    )
    # The message's own next try finds nothing left to do.
    chat_shop.shop.clock.advance(seconds=60)
    await chat_shop.works()
    assert set((await chat_shop.counter.verdicts()).values()) == {""}
    await chat_shop.shop.audited()


async def test_what_can_not_be_consumed_is_no_reason_to_stop(chat_shop: SkusShop) -> None:
    ann, store = chat_shop.discord.user(7), chat_shop.discord.store
    store.skus[chat_shop.skus["Starter"]]["type"] = 2  # the operator named a durable one
    store.buys(ann, chat_shop.skus["Starter"], told=False)
    later = store.buys(ann, chat_shop.skus["Pro"], told=False)
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 2
    assert chat_shop.consumed(later)


@pytest.mark.parametrize(("spent", "left"), [(0, {}), (400, {"owed": 400})])
async def test_taken_back_by_discord(chat_shop: SkusShop, spent: int, left: dict[str, int]) -> None:
    ann, store = chat_shop.discord.user(7), chat_shop.discord.store
    bought = store.buys(ann, chat_shop.skus["Starter"])
    await chat_shop.hears(bought)
    await chat_shop.works()
    person = await chat_shop.person(ann)
    if spent:
        await chat_shop.shop.spend(person, Credits(spent))
    order = await chat_shop.counter.orders.get_by_checkout("skus", str(bought))
    with pytest.raises(RefundUnsupported) as refused:
        await chat_shop.counter.services.refunds.refund_order(order, parse_usd("10"), cause="btn_r")
    assert refused.value.reason == "elsewhere"
    store.takes_back(bought)
    for _ in range(2):
        await chat_shop.hears(bought, "deleted")
    await chat_shop.works()
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 0
    assert await chat_shop.has(ann) == left
    order = await chat_shop.counter.orders.get(order.id)
    assert order.refunded == order.paid == parse_usd("10")
    await chat_shop.shop.audited()


async def test_taken_back_while_nobody_listened(chat_shop: SkusShop) -> None:
    """A day later the whole list is read again."""
    ann, store = chat_shop.discord.user(7), chat_shop.discord.store
    bought = store.buys(ann, chat_shop.skus["Starter"], told=False)
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 1
    chat_shop.shop.clock.advance(seconds=7_200)
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 0
    store.takes_back(bought, told=False)
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 0
    chat_shop.shop.clock.advance(days=1)
    changed = [await chat_shop.counter.services.reconciliation.reconcile_orders() for _ in range(3)]
    assert sum(changed) == 1
    assert await chat_shop.has(ann) == {}
    await chat_shop.shop.audited()


@pytest.mark.parametrize("spent", [0, 400])
async def test_what_was_taken_back_may_be_there_again(chat_shop: SkusShop, spent: int) -> None:
    """And be taken back once more: what stands there in the end counts."""
    ann, store = chat_shop.discord.user(7), chat_shop.discord.store
    bought = store.buys(ann, chat_shop.skus["Starter"], told=False)
    reconciliation = chat_shop.counter.services.reconciliation
    await reconciliation.reconcile_orders()
    if spent:
        await chat_shop.shop.spend(await chat_shop.person(ann), Credits(spent))
    for deleted in (True, False, True, False):
        store.entitlements[bought]["deleted"] = deleted
        for _ in range(3):
            chat_shop.shop.clock.advance(days=1, seconds=60)
            await reconciliation.reconcile_orders()
        has = await chat_shop.has(ann)
        left = (0 if deleted else 1_000) - spent
        assert has.get("bought", 0) - has.get("owed", 0) == left
        assert [one.differences for one in await reconciliation.compare_with_books()] == [[]]
    order = await chat_shop.counter.orders.get_by_checkout("skus", str(bought))
    assert (order.refunded.units, order.bought.units) == (0, 1_000)
    assert await chat_shop.shop.told(OPERATORS) == []
    await chat_shop.shop.audited()


async def test_the_list_goes_on_where_it_was(chat_shop: SkusShop) -> None:
    store, reconciliation = chat_shop.discord.store, chat_shop.counter.services.reconciliation
    users = [chat_shop.discord.user(number) for number in range(1, 131)]
    for user in users:
        store.buys(user, chat_shop.skus["Starter"], told=False)
    assert await reconciliation.reconcile_orders() == 130
    assert len(chat_shop.discord.called(LIST)) == 2
    chat_shop.shop.clock.advance(seconds=1_200)
    assert await reconciliation.reconcile_orders() == 0
    newest = store.buys(users[0], chat_shop.skus["Pro"], told=False)
    store.entitlements[newest]["id"] = str(newest)
    chat_shop.discord.fail_next(LIST, 401)
    assert await reconciliation.reconcile_orders() == 0
    assert await reconciliation.reconcile_orders() == 1
    rows = await chat_shop.shop.store.fetch(schema.payment.select())
    assert len(rows) == 131


async def test_the_price_changed_since(chat_shop: SkusShop) -> None:
    """A refund is of what was paid, whatever the pack costs now."""
    ann, store = chat_shop.discord.user(7), chat_shop.discord.store
    bought = store.buys(ann, chat_shop.skus["Starter"])
    await chat_shop.hears(bought)
    await chat_shop.works()
    dearer = inchat.skus(
        chat_shop.discord.api_url,
        chat_shop.shop.clock,
        {str(chat_shop.skus["Starter"]): parse_usd("90")},
    )
    after = await inchat.counter(
        dearer, chat_shop.shop.store, chat_shop.shop.ledger, chat_shop.shop.clock
    )
    store.takes_back(bought)
    assert await after.services.reconciliation.reconcile_orders() == 1
    assert await chat_shop.has(ann) == {}
    await dearer.close()
    await chat_shop.shop.audited()


async def test_many_at_once_take_no_order_from_each_other(chat_shop: SkusShop) -> None:
    """Each purchase has an order of its own, however many tell of it at the same time."""
    ann, store = chat_shop.discord.user(7), chat_shop.discord.store
    for _ in range(3):
        await chat_shop.buys(ann, "Pro")
    some = [store.entitle(ann, chat_shop.skus["Pro"]) for _ in range(5)]
    for id_ in some:
        for what in ("created", "noticed", "updated"):
            await chat_shop.hears(id_, what)
    await asyncio.gather(*(chat_shop.works() for _ in range(4)))
    chat_shop.shop.clock.advance(seconds=120)
    await chat_shop.works()
    assert await chat_shop.has(ann) == {"bought": 45_000, "gift": 5_000}
    owners = [await chat_shop.counter.orders.get_by_checkout("skus", str(id_)) for id_ in some]
    assert len({order.id for order in owners}) == 5
    assert {order.state for order in owners} == {"credited"}
    await chat_shop.shop.audited()


async def test_the_till_keeps_only_what_concerns_us(chat_shop: SkusShop) -> None:
    ann, store = chat_shop.discord.user(7), chat_shop.discord.store
    tier = store.sku("Tier", kind=SUBSCRIPTION)
    bought = store.buys(ann, chat_shop.skus["Starter"])
    other = chat_shop.entitled(store.entitle(ann, tier))
    for _ in range(3):
        await chat_shop.till.record_purchase(chat_shop.entitled(bought))
    await chat_shop.till.record_purchase(other)
    await chat_shop.till.record_reversal(other)
    await chat_shop.works()
    await chat_shop.till.record_purchase(chat_shop.entitled(bought))
    assert list(await chat_shop.counter.verdicts()) == [f"skus/created/{bought}"]
    await chat_shop.till.record_reversal(replace(chat_shop.entitled(bought), deleted=True))
    assert len(await chat_shop.counter.verdicts()) == 2


async def test_no_secret_shows(chat_shop: SkusShop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    bought = chat_shop.discord.store.buys(chat_shop.discord.user(7), chat_shop.skus["Starter"])
    await chat_shop.hears(bought)
    chat_shop.discord.fail_next(LIST, 401)
    await chat_shop.counter.services.reconciliation.reconcile_orders()
    await chat_shop.works()
    shown = caplog.text + repr(chat_shop.gateway)
    for table in schema.metadata.tables.values():
        shown += str(await chat_shop.shop.store.fetch(table.select()))
    assert TOKEN not in shown
    with pytest.raises(UnknownOrder):
        await chat_shop.counter.orders.get_by_checkout("skus", "none")


async def test_there_is_no_other_door(chat_shop: SkusShop) -> None:
    await chat_shop.gateway.check_account()
    assert build_payment_routes(chat_shop.counter.inbox, {"skus": chat_shop.gateway}) == []
    with pytest.raises(InvalidSignature):
        await chat_shop.counter.inbox.receive("skus", {}, b"{}")
