"""Stars through the unmodified client, against a Bot API that refuses what the real one does."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from core.clock import SystemClock
from core.db import schema
from core.db.errors import DatabaseUnavailable
from core.money import Credits, Stars, parse_usd
from payments.gateways import telegram_stars as gateway_module
from payments.gateways.telegram_stars import StarPaymentUpdate
from payments.offer import from_cents
from payments.refunds import NothingToRefund
from payments.types import (
    GatewayUnavailable,
    InvalidSignature,
    Order,
    RefundDeclined,
    RefundUnsupported,
)
from payments.webhooks import build_payment_routes
from tests.payments import inchat
from tests.payments.chat_shops import StarsShop, forgeries, stars_shop as chat_shop
from tests.payments.inchat import STAR
from tests.peers.telegram import TOKEN

__all__ = ["chat_shop"]


@given(st.integers(1, 1_000_000))
def test_so_many_stars_that_they_bring_no_less(number: int) -> None:
    gateway = inchat.stars("http://127.0.0.1:1", SystemClock())
    value = from_cents(number)
    count = gateway.quote_amount(value).units
    assert STAR.multiply_by(count) >= value > STAR.multiply_by(count - 1)


async def test_from_the_order_to_credits(chat_shop: StarsShop) -> None:
    ann = chat_shop.telegram.user(7)
    person = await chat_shop.shop.person()
    order = await chat_shop.buys(person, "90", ann)
    assert (order.state, order.url, order.amount) == ("pending", "", Stars(6_924))
    told = chat_shop.receives(ann, order)
    for _ in range(3):
        await chat_shop.hears(told)
    await chat_shop.counter.works()
    assert await chat_shop.shop.has(person) == {"bought": 9_000, "gift": 1_000}
    stands = await chat_shop.shop.stands("cash/stars", "sales/star", "gateway-fees/star", "sales")
    assert stands == [6_924, -6_924, 0, 0]
    assert await chat_shop.counter.verdicts() == {f"stars/paid/{told.charge}": ""}
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 0
    await chat_shop.shop.audited()


async def test_what_may_be_paid_is_known_without_looking(chat_shop: StarsShop) -> None:
    ann, bob = chat_shop.telegram.user(7), chat_shop.telegram.user(8)
    person = await chat_shop.shop.person()
    order = await chat_shop.buys(person, "10", ann)
    assert await chat_shop.asked(order, ann) == ""
    assert await chat_shop.asked(order, bob) == "payer"
    assert await chat_shop.asked(order, ann, currency="USD") == "amount"
    assert await chat_shop.asked(order, ann, amount=769) == "amount"
    assert await chat_shop.asked(order, ann, amount=771) == "amount"
    await chat_shop.hears(chat_shop.receives(ann, order))
    await chat_shop.counter.works()
    paid = await chat_shop.counter.orders.get(order.id)
    other = replace(chat_shop, gateway=inchat.stars(chat_shop.telegram.url, chat_shop.shop.clock))
    assert await other.looked(order, ann, lambda _: answered(paid)) == "paid"
    # A copy in memory that is older than the payment is no way around it.
    chat_shop.gateway.cache_orders(order)
    assert await chat_shop.asked(order, ann) == "paid"
    late = await chat_shop.buys(person, "10", ann)
    chat_shop.shop.clock.advance(seconds=3_601)
    assert await chat_shop.asked(late, ann) == "over"


async def answered(order: Order) -> Order:
    return order


async def test_what_is_not_in_mind_is_looked_up_once_and_not_for_long(
    chat_shop: StarsShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = chat_shop.telegram.user(7)
    person = await chat_shop.shop.person()
    order = await chat_shop.buys(person, "10", ann)
    other = inchat.stars(chat_shop.telegram.url, chat_shop.shop.clock)
    elsewhere = replace(chat_shop, gateway=other)
    orders, looked = chat_shop.counter.orders, 0

    async def find(id_: str) -> Order:
        nonlocal looked
        looked += 1
        return await orders.get(id_)

    assert await elsewhere.looked(order, ann, find) == ""
    assert await elsewhere.looked(order, ann, find, payload="ord_none") == "over"
    assert looked == 2
    stripes = await chat_shop.shop.order(person, parse_usd("10"), gateway="stripe")
    assert await elsewhere.looked(stripes, ann, find) == "payer"

    async def broken(_: str) -> Order:
        raise DatabaseUnavailable("down")

    assert await elsewhere.looked(order, ann, broken) == "unsure"
    monkeypatch.setattr(gateway_module, "_LOOK_SECONDS", 0.01)

    async def slow(_: str) -> Order:
        await asyncio.Event().wait()
        raise AssertionError

    assert await elsewhere.looked(order, ann, slow) == "unsure"
    # Every process brings to mind what others made.
    other.cache_orders(*await orders.list_open("stars", 10))
    assert await elsewhere.asked(order, ann) == ""


async def test_there_is_no_other_door(chat_shop: StarsShop) -> None:
    inbox, gateways = chat_shop.counter.inbox, {"stars": chat_shop.gateway}
    assert build_payment_routes(inbox, gateways) == []
    with pytest.raises(InvalidSignature):
        await inbox.receive("stars", {}, b"{}")
    person = await chat_shop.shop.person()
    for place in ("telegram:-5:", "discord:7:"):
        with pytest.raises(GatewayUnavailable):
            await chat_shop.counter.buys(person, "10", place)


async def test_memory_is_bounded(chat_shop: StarsShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "_REMEMBERED_MAX", 3)
    ann = chat_shop.telegram.user(7)
    person = await chat_shop.shop.person()
    made = [await chat_shop.buys(person, "10", ann) for _ in range(5)]
    assert len(chat_shop.gateway._open_orders) == 3
    assert await chat_shop.asked(made[-1], ann) == ""
    chat_shop.gateway.cache_orders(*made)
    monkeypatch.setattr(gateway_module, "_REMEMBERED_MAX", 2)
    for order in made:
        await chat_shop.hears(chat_shop.receives(ann, order))
    await chat_shop.counter.works()
    assert len(chat_shop.gateway._paid_orders) == 2


async def test_what_no_update_told_is_in_the_list(chat_shop: StarsShop) -> None:
    ann = chat_shop.telegram.user(7)
    person = await chat_shop.shop.person()
    stars, reconciliation = chat_shop.telegram.stars, chat_shop.counter.services.reconciliation
    orders = [await chat_shop.buys(person, "10", ann) for _ in range(3)]
    chat_shop.receives(ann, orders[0])
    stars.withdraws(100)
    assert await reconciliation.reconcile_orders() == 1
    assert await reconciliation.reconcile_orders() == 0
    assert await chat_shop.shop.has(person) == {"bought": 1_000}
    # It goes on where it was.
    told = chat_shop.receives(ann, orders[1])
    chat_shop.telegram.calls.clear()
    assert await reconciliation.reconcile_orders() == 1
    asked = [call.params for call in chat_shop.telegram.calls]
    assert asked == [{"offset": "1", "limit": "100"}]
    # What was heard too is there once, and what was given back in the app's store is taken back.
    await chat_shop.hears(told)
    await chat_shop.counter.works()
    assert await chat_shop.shop.has(person) == {"bought": 2_000}
    stars.gives_back(told.charge)
    assert await reconciliation.reconcile_orders() == 1
    assert await chat_shop.shop.has(person) == {"bought": 1_000}
    assert await chat_shop.shop.stands("cash/stars") == [770]
    await chat_shop.shop.audited()


async def test_long_lists_and_lists_that_are_not_as_they_were(chat_shop: StarsShop) -> None:
    ann = chat_shop.telegram.user(7)
    person = await chat_shop.shop.person()
    stars, reconciliation = chat_shop.telegram.stars, chat_shop.counter.services.reconciliation
    orders = [await chat_shop.buys(person, "1", ann) for _ in range(4)]
    for number in range(250):
        stars.withdraws(1)
        if number % 80 == 10:
            chat_shop.receives(ann, orders[number // 80])
    assert await reconciliation.reconcile_orders() == 3
    assert await chat_shop.shop.has(person) == {"bought": 300}
    # Another bot's token, a list that begins elsewhere: nothing is lost, nothing counts twice.
    del stars.moves[:120]
    chat_shop.receives(ann, orders[3])
    assert await reconciliation.reconcile_orders() == 1
    stars.moves.clear()
    assert await reconciliation.reconcile_orders() == 0
    assert await chat_shop.shop.has(person) == {"bought": 400}
    await chat_shop.shop.audited()


async def test_a_telegram_that_is_down_is_asked_again(chat_shop: StarsShop) -> None:
    ann = chat_shop.telegram.user(7)
    person = await chat_shop.shop.person()
    chat_shop.receives(ann, await chat_shop.buys(person, "10", ann))
    chat_shop.telegram.fail_next("getStarTransactions", 502)
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 0
    assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 1
    chat_shop.telegram.fail_next("getMyStarBalance", 401)
    with pytest.raises(GatewayUnavailable):
        await chat_shop.gateway.check_account()
    assert await chat_shop.gateway.fetch_balance() == Stars(770)


async def test_given_back_before_and_after_spending(chat_shop: StarsShop) -> None:
    ann = chat_shop.telegram.user(7)
    thrifty, lavish = await chat_shop.shop.person(), await chat_shop.shop.person()
    for person, spent in ((thrifty, 0), (lavish, 600)):
        order = await chat_shop.buys(person, "10", ann)
        told = chat_shop.receives(ann, order)
        await chat_shop.hears(told)
        await chat_shop.counter.works()
        if spent:
            await chat_shop.shop.spend(person, Credits(spent))
        order = await chat_shop.counter.orders.get(order.id)
        with pytest.raises(RefundUnsupported) as refused:
            await chat_shop.counter.services.refunds.refund_order(order, Stars(100), cause="btn_r0")
        assert refused.value.reason == "whole"
        assert not chat_shop.telegram.stars.was_given_back(told.charge)
        after = await chat_shop.counter.services.refunds.refund_order(
            order, Stars(770), cause=f"btn_{person}"
        )
        assert (after.refunded, after.bought) == (Stars(770), Credits(0))
        # The same press again, and what Telegram tells of it in the chat and in its list.
        for _ in range(2):
            await chat_shop.counter.services.refunds.refund_order(
                order, Stars(770), cause=f"btn_{person}"
            )
        await chat_shop.hears(replace(told, refunded=True))
        await chat_shop.counter.works()
        assert await chat_shop.counter.services.reconciliation.reconcile_orders() == 0
        with pytest.raises(NothingToRefund):
            await chat_shop.counter.services.refunds.refund_order(after, Stars(1), cause="btn_r9")
    assert await chat_shop.shop.has(thrifty) == {}
    assert await chat_shop.shop.has(lavish) == {"owed": 600}
    assert await chat_shop.shop.stands("cash/stars", "sales/star") == [0, 0]
    await chat_shop.shop.audited()


async def test_a_refund_that_telegram_refuses_moves_nothing(chat_shop: StarsShop) -> None:
    ann = chat_shop.telegram.user(7)
    person = await chat_shop.shop.person()
    order = await chat_shop.buys(person, "10", ann)
    await chat_shop.hears(chat_shop.receives(ann, order))
    await chat_shop.counter.works()
    chat_shop.telegram.stars.withdraws(700)
    order = await chat_shop.counter.orders.get(order.id)
    with pytest.raises(RefundDeclined) as refused:
        await chat_shop.counter.services.refunds.refund_order(order, Stars(770), cause="btn_r")
    assert refused.value.reason == "Balance_too_low"
    assert await chat_shop.shop.has(person) == {"bought": 1_000}
    await chat_shop.shop.audited()


async def test_who_paid_twice_is_given_back_payment_by_payment(chat_shop: StarsShop) -> None:
    ann = chat_shop.telegram.user(7)
    person = await chat_shop.shop.person()
    order = await chat_shop.buys(person, "90", ann)
    for _ in range(2):
        await chat_shop.hears(chat_shop.receives(ann, order))
    await chat_shop.counter.works()
    # Both are there: the second at the free rate.
    assert await chat_shop.shop.has(person) == {"bought": 18_000, "gift": 1_000}
    order = await chat_shop.counter.orders.get(order.id)
    after = await chat_shop.counter.services.refunds.refund_order(
        order, Stars(6_924), cause="btn_r"
    )
    assert await chat_shop.shop.has(person) == {"bought": 9_000, "gift": 1_000}
    await chat_shop.counter.services.refunds.refund_order(after, Stars(6_924), cause="btn_s")
    assert await chat_shop.shop.has(person) == {}
    assert chat_shop.telegram.stars.balance == 0
    await chat_shop.shop.audited()


async def test_what_does_not_fit_an_order_gives_nothing(chat_shop: StarsShop) -> None:
    ann, chance = chat_shop.telegram.user(7), random.Random(3)
    person = await chat_shop.shop.person()
    order = await chat_shop.buys(person, "10", ann)
    told = StarPaymentUpdate("charge", "7", "XTR", 770, order.id)
    for forged in forgeries(told, chance):
        await chat_shop.hears(forged)
        await chat_shop.counter.works()
        assert await chat_shop.shop.has(person) == {}, forged
    assert await chat_shop.asked(order, ann) == "", "nor does it keep anybody from paying"
    await chat_shop.hears(chat_shop.receives(ann, order))
    await chat_shop.counter.works()
    assert await chat_shop.shop.has(person) == {"bought": 1_000}
    # What may be another process's to credit is looked at again; a refund is in the list too.
    assert await chat_shop.counter.waiting() == 2
    await chat_shop.shop.audited()


async def test_a_refund_whose_answer_was_lost_is_done(chat_shop: StarsShop) -> None:
    ann = chat_shop.telegram.user(7)
    person = await chat_shop.shop.person()
    order = await chat_shop.buys(person, "10", ann)
    told = chat_shop.receives(ann, order)
    await chat_shop.hears(told)
    await chat_shop.counter.works()
    chat_shop.telegram.stars.gives_back(told.charge)
    order = await chat_shop.counter.orders.get(order.id)
    after = await chat_shop.counter.services.refunds.refund_order(order, Stars(770), cause="btn_r")
    assert after.refunded == Stars(770)
    assert await chat_shop.shop.has(person) == {}
    assert chat_shop.telegram.calls[-1].status == 400
    await chat_shop.shop.audited()


async def test_no_secret_shows(chat_shop: StarsShop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    ann = chat_shop.telegram.user(7)
    person = await chat_shop.shop.person()
    told = chat_shop.receives(ann, await chat_shop.buys(person, "10", ann))
    await chat_shop.hears(told)
    chat_shop.telegram.fail_next("getStarTransactions", 500)
    await chat_shop.counter.services.reconciliation.reconcile_orders()
    await chat_shop.counter.services.reconciliation.reconcile_orders()
    shown = caplog.text + repr(chat_shop.gateway)
    for table in schema.metadata.tables.values():
        shown += str(await chat_shop.shop.store.fetch(table.select()))
    assert TOKEN not in shown
    sealed = (await chat_shop.shop.store.fetch(schema.webhook.select()))[0].sealed
    assert told.payload.encode() not in bytes(sealed)
