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
from tests.payments.booths import StarsBooth as Booth, forgeries, stars_booth as booth
from tests.payments.inchat import STAR
from tests.peers.telegram import TOKEN

__all__ = ["booth"]


@given(st.integers(1, 1_000_000))
def test_so_many_stars_that_they_bring_no_less(number: int) -> None:
    gateway = inchat.stars("http://127.0.0.1:1", SystemClock())
    value = from_cents(number)
    count = gateway.quote_amount(value).units
    assert STAR.multiply_by(count) >= value > STAR.multiply_by(count - 1)


async def test_from_the_order_to_credits(booth: Booth) -> None:
    ann = booth.telegram.user(7)
    person = await booth.shop.person()
    order = await booth.buys(person, "90", ann)
    assert (order.state, order.url, order.amount) == ("pending", "", Stars(6_924))
    told = booth.receives(ann, order)
    for _ in range(3):
        await booth.hears(told)
    await booth.counter.works()
    assert await booth.shop.has(person) == {"bought": 9_000, "gift": 1_000}
    stands = await booth.shop.stands("cash/stars", "sales/star", "gateway-fees/star", "sales")
    assert stands == [6_924, -6_924, 0, 0]
    assert await booth.counter.verdicts() == {f"stars/paid/{told.charge}": ""}
    assert await booth.counter.services.reconciliation.reconcile_orders() == 0
    await booth.shop.audited()


async def test_what_may_be_paid_is_known_without_looking(booth: Booth) -> None:
    ann, bob = booth.telegram.user(7), booth.telegram.user(8)
    person = await booth.shop.person()
    order = await booth.buys(person, "10", ann)
    assert await booth.asked(order, ann) == ""
    assert await booth.asked(order, bob) == "payer"
    assert await booth.asked(order, ann, currency="USD") == "amount"
    assert await booth.asked(order, ann, amount=769) == "amount"
    assert await booth.asked(order, ann, amount=771) == "amount"
    await booth.hears(booth.receives(ann, order))
    await booth.counter.works()
    paid = await booth.counter.orders.get(order.id)
    other = replace(booth, gateway=inchat.stars(booth.telegram.url, booth.shop.clock))
    assert await other.looked(order, ann, lambda _: answered(paid)) == "paid"
    # A copy in memory that is older than the payment is no way around it.
    booth.gateway.cache_orders(order)
    assert await booth.asked(order, ann) == "paid"
    late = await booth.buys(person, "10", ann)
    booth.shop.clock.advance(seconds=3_601)
    assert await booth.asked(late, ann) == "over"


async def answered(order: Order) -> Order:
    return order


async def test_what_is_not_in_mind_is_looked_up_once_and_not_for_long(
    booth: Booth, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = booth.telegram.user(7)
    person = await booth.shop.person()
    order = await booth.buys(person, "10", ann)
    other = inchat.stars(booth.telegram.url, booth.shop.clock)
    elsewhere = replace(booth, gateway=other)
    orders, looked = booth.counter.orders, 0

    async def find(id_: str) -> Order:
        nonlocal looked
        looked += 1
        return await orders.get(id_)

    assert await elsewhere.looked(order, ann, find) == ""
    assert await elsewhere.looked(order, ann, find, payload="ord_none") == "over"
    assert looked == 2
    stripes = await booth.shop.order(person, parse_usd("10"), gateway="stripe")
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


async def test_there_is_no_other_door(booth: Booth) -> None:
    inbox, gateways = booth.counter.inbox, {"stars": booth.gateway}
    assert build_payment_routes(inbox, gateways) == []
    with pytest.raises(InvalidSignature):
        await inbox.receive("stars", {}, b"{}")
    person = await booth.shop.person()
    for place in ("telegram:-5:", "discord:7:"):
        with pytest.raises(GatewayUnavailable):
            await booth.counter.buys(person, "10", place)


async def test_memory_is_bounded(booth: Booth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "_REMEMBERED_MAX", 3)
    ann = booth.telegram.user(7)
    person = await booth.shop.person()
    made = [await booth.buys(person, "10", ann) for _ in range(5)]
    assert len(booth.gateway._open_orders) == 3
    assert await booth.asked(made[-1], ann) == ""
    booth.gateway.cache_orders(*made)
    monkeypatch.setattr(gateway_module, "_REMEMBERED_MAX", 2)
    for order in made:
        await booth.hears(booth.receives(ann, order))
    await booth.counter.works()
    assert len(booth.gateway._paid_orders) == 2


async def test_what_no_update_told_is_in_the_list(booth: Booth) -> None:
    ann = booth.telegram.user(7)
    person = await booth.shop.person()
    stars, reconciliation = booth.telegram.stars, booth.counter.services.reconciliation
    orders = [await booth.buys(person, "10", ann) for _ in range(3)]
    booth.receives(ann, orders[0])
    stars.withdraws(100)
    assert await reconciliation.reconcile_orders() == 1
    assert await reconciliation.reconcile_orders() == 0
    assert await booth.shop.has(person) == {"bought": 1_000}
    # It goes on where it was.
    told = booth.receives(ann, orders[1])
    booth.telegram.calls.clear()
    assert await reconciliation.reconcile_orders() == 1
    asked = [call.params for call in booth.telegram.calls]
    assert asked == [{"offset": "1", "limit": "100"}]
    # What was heard too is there once, and what was given back in the app's store is taken back.
    await booth.hears(told)
    await booth.counter.works()
    assert await booth.shop.has(person) == {"bought": 2_000}
    stars.gives_back(told.charge)
    assert await reconciliation.reconcile_orders() == 1
    assert await booth.shop.has(person) == {"bought": 1_000}
    assert await booth.shop.stands("cash/stars") == [770]
    await booth.shop.audited()


async def test_long_lists_and_lists_that_are_not_as_they_were(booth: Booth) -> None:
    ann = booth.telegram.user(7)
    person = await booth.shop.person()
    stars, reconciliation = booth.telegram.stars, booth.counter.services.reconciliation
    orders = [await booth.buys(person, "1", ann) for _ in range(4)]
    for number in range(250):
        stars.withdraws(1)
        if number % 80 == 10:
            booth.receives(ann, orders[number // 80])
    assert await reconciliation.reconcile_orders() == 3
    assert await booth.shop.has(person) == {"bought": 300}
    # Another bot's token, a list that begins elsewhere: nothing is lost, nothing counts twice.
    del stars.moves[:120]
    booth.receives(ann, orders[3])
    assert await reconciliation.reconcile_orders() == 1
    stars.moves.clear()
    assert await reconciliation.reconcile_orders() == 0
    assert await booth.shop.has(person) == {"bought": 400}
    await booth.shop.audited()


async def test_a_telegram_that_is_down_is_asked_again(booth: Booth) -> None:
    ann = booth.telegram.user(7)
    person = await booth.shop.person()
    booth.receives(ann, await booth.buys(person, "10", ann))
    booth.telegram.fail_next("getStarTransactions", 502)
    assert await booth.counter.services.reconciliation.reconcile_orders() == 0
    assert await booth.counter.services.reconciliation.reconcile_orders() == 1
    booth.telegram.fail_next("getMyStarBalance", 401)
    with pytest.raises(GatewayUnavailable):
        await booth.gateway.check_account()
    assert await booth.gateway.fetch_balance() == Stars(770)


async def test_given_back_before_and_after_spending(booth: Booth) -> None:
    ann = booth.telegram.user(7)
    thrifty, lavish = await booth.shop.person(), await booth.shop.person()
    for person, spent in ((thrifty, 0), (lavish, 600)):
        order = await booth.buys(person, "10", ann)
        told = booth.receives(ann, order)
        await booth.hears(told)
        await booth.counter.works()
        if spent:
            await booth.shop.spend(person, Credits(spent))
        order = await booth.counter.orders.get(order.id)
        with pytest.raises(RefundUnsupported) as refused:
            await booth.counter.services.refunds.refund_order(order, Stars(100), cause="btn_r0")
        assert refused.value.reason == "whole"
        assert not booth.telegram.stars.was_given_back(told.charge)
        after = await booth.counter.services.refunds.refund_order(
            order, Stars(770), cause=f"btn_{person}"
        )
        assert (after.refunded, after.bought) == (Stars(770), Credits(0))
        # The same press again, and what Telegram tells of it in the chat and in its list.
        for _ in range(2):
            await booth.counter.services.refunds.refund_order(
                order, Stars(770), cause=f"btn_{person}"
            )
        await booth.hears(replace(told, refunded=True))
        await booth.counter.works()
        assert await booth.counter.services.reconciliation.reconcile_orders() == 0
        with pytest.raises(NothingToRefund):
            await booth.counter.services.refunds.refund_order(after, Stars(1), cause="btn_r9")
    assert await booth.shop.has(thrifty) == {}
    assert await booth.shop.has(lavish) == {"owed": 600}
    assert await booth.shop.stands("cash/stars", "sales/star") == [0, 0]
    await booth.shop.audited()


async def test_a_refund_that_telegram_refuses_moves_nothing(booth: Booth) -> None:
    ann = booth.telegram.user(7)
    person = await booth.shop.person()
    order = await booth.buys(person, "10", ann)
    await booth.hears(booth.receives(ann, order))
    await booth.counter.works()
    booth.telegram.stars.withdraws(700)
    order = await booth.counter.orders.get(order.id)
    with pytest.raises(RefundDeclined) as refused:
        await booth.counter.services.refunds.refund_order(order, Stars(770), cause="btn_r")
    assert refused.value.reason == "Balance_too_low"
    assert await booth.shop.has(person) == {"bought": 1_000}
    await booth.shop.audited()


async def test_who_paid_twice_is_given_back_payment_by_payment(booth: Booth) -> None:
    ann = booth.telegram.user(7)
    person = await booth.shop.person()
    order = await booth.buys(person, "90", ann)
    for _ in range(2):
        await booth.hears(booth.receives(ann, order))
    await booth.counter.works()
    # Both are there: the second at the free rate.
    assert await booth.shop.has(person) == {"bought": 18_000, "gift": 1_000}
    order = await booth.counter.orders.get(order.id)
    after = await booth.counter.services.refunds.refund_order(order, Stars(6_924), cause="btn_r")
    assert await booth.shop.has(person) == {"bought": 9_000, "gift": 1_000}
    await booth.counter.services.refunds.refund_order(after, Stars(6_924), cause="btn_s")
    assert await booth.shop.has(person) == {}
    assert booth.telegram.stars.balance == 0
    await booth.shop.audited()


async def test_what_does_not_fit_an_order_gives_nothing(booth: Booth) -> None:
    ann, chance = booth.telegram.user(7), random.Random(3)
    person = await booth.shop.person()
    order = await booth.buys(person, "10", ann)
    told = StarPaymentUpdate("charge", "7", "XTR", 770, order.id)
    for forged in forgeries(told, chance):
        await booth.hears(forged)
        await booth.counter.works()
        assert await booth.shop.has(person) == {}, forged
    assert await booth.asked(order, ann) == "", "nor does it keep anybody from paying"
    await booth.hears(booth.receives(ann, order))
    await booth.counter.works()
    assert await booth.shop.has(person) == {"bought": 1_000}
    # What may be another process's to credit is looked at again; a refund is in the list too.
    assert await booth.counter.waiting() == 2
    await booth.shop.audited()


async def test_a_refund_whose_answer_was_lost_is_done(booth: Booth) -> None:
    ann = booth.telegram.user(7)
    person = await booth.shop.person()
    order = await booth.buys(person, "10", ann)
    told = booth.receives(ann, order)
    await booth.hears(told)
    await booth.counter.works()
    booth.telegram.stars.gives_back(told.charge)
    order = await booth.counter.orders.get(order.id)
    after = await booth.counter.services.refunds.refund_order(order, Stars(770), cause="btn_r")
    assert after.refunded == Stars(770)
    assert await booth.shop.has(person) == {}
    assert booth.telegram.calls[-1].status == 400
    await booth.shop.audited()


async def test_no_secret_shows(booth: Booth, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    ann = booth.telegram.user(7)
    person = await booth.shop.person()
    told = booth.receives(ann, await booth.buys(person, "10", ann))
    await booth.hears(told)
    booth.telegram.fail_next("getStarTransactions", 500)
    await booth.counter.services.reconciliation.reconcile_orders()
    await booth.counter.services.reconciliation.reconcile_orders()
    shown = caplog.text + repr(booth.gateway)
    for table in schema.metadata.tables.values():
        shown += str(await booth.shop.store.fetch(table.select()))
    assert TOKEN not in shown
    sealed = (await booth.shop.store.fetch(schema.webhook.select()))[0].sealed
    assert told.payload.encode() not in bytes(sealed)
