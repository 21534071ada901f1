"""PayPal, against a peer that refuses what the real one does: agreed, taken, told, counted."""

from __future__ import annotations

from typing import Any

import pytest

from core.money import parse_usd
from payments.refunds import NothingToRefund
from payments.types import GatewayUnavailable, InvalidSignature, RefundDeclined
from tests.payments import conftest
from tests.payments.gateway_clients import OUR_URL
from tests.payments.paypal_support import Counter, counter
from tests.peers import paypal as fake
from tests.peers.paypal_webhooks import event, headers

__all__ = ["counter"]


# --- from checkout to Credits -------------------------------------------------------------------


async def test_agreed_then_taken_then_counted_once(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "90")
    assert order.state == "pending"
    assert order.url.startswith("https://www.sandbox.paypal.com/checkoutnow?token=")
    said = counter.at_paypal(order)
    unit = said["purchase_units"][0]
    assert unit["custom_id"] == unit["invoice_id"] == order.id
    assert unit["amount"] == {"currency_code": "USD", "value": "90.00"}
    _, _, asked = counter.paypal.calls[0]
    context = asked["payment_source"]["paypal"]["experience_context"]
    assert context["payment_method_preference"] == "IMMEDIATE_PAYMENT_REQUIRED"
    assert context["return_url"] == f"{OUR_URL}/paid?order={order.id}"
    assert context["locale"] == "zh-CN"
    # Not agreed yet: nothing is taken, whoever asks.
    await counter.hears("CHECKOUT.ORDER.APPROVED", said)
    await counter.works()
    assert (await counter.again(order)).state == "pending"
    counter.paypal.approve(order.external_id)
    for _ in range(2):
        await counter.hears("CHECKOUT.ORDER.APPROVED", said)
    await counter.works()
    capture = unit["payments"]["captures"][0]
    for _ in range(2):
        await counter.hears("PAYMENT.CAPTURE.COMPLETED", capture)
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 9_000, "gift": 1_000}
    stands = await counter.shop.stands("cash/paypal", "gateway-fees", "sales")
    assert stands == [parse_usd("89.16").units, parse_usd("0.84").units, -parse_usd("90").units]
    assert len(counter.paypal.captures) == 1
    await counter.shop.audited()


async def test_the_same_button_makes_one_order(counter: Counter) -> None:
    person = await counter.shop.person()
    first = await counter.buys(person, "10")
    counter.presses = 0
    assert await counter.buys(person, "10") == first
    # The answer was lost: the same request gives the order that was made.
    made = await counter.gateway.create_checkout(first, "1,000 Credits", "zh-CN")
    assert made.external_id == first.external_id
    assert len(counter.paypal.orders) == 1


async def test_whoever_comes_back_need_not_wait_for_a_message(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    calls = len(counter.paypal.calls)
    for odd in ("", "ord_none", "ord_" + "0" * 26, f"{order.id}0", "../../x", "ord_\0"):
        counter.inbox.queue_order_check(odd)
    await counter.inbox.check_queued_orders()
    assert len(counter.paypal.calls) == calls, "nobody is asked about what isn't an open order"
    counter.paypal.approve(order.external_id)
    for _ in range(5):
        counter.inbox.queue_order_check(order.id)
        await counter.inbox.check_queued_orders()
    assert await counter.shop.has(person) == {"bought": 1_000}
    calls = len(counter.paypal.calls)
    counter.shop.clock.advance(seconds=60)
    counter.inbox.queue_order_check(order.id)
    await counter.inbox.check_queued_orders()
    assert len(counter.paypal.calls) == calls, "a paid order is asked about no more"
    await counter.shop.audited()


async def test_an_open_order_is_asked_about_not_too_often(counter: Counter) -> None:
    order = await counter.buys(await counter.shop.person(), "10")
    calls = len(counter.paypal.calls)
    for _ in range(20):
        counter.inbox.queue_order_check(order.id)
        await counter.inbox.check_queued_orders()
    assert len(counter.paypal.calls) == calls + 1


async def test_what_no_message_told_is_found(counter: Counter) -> None:
    person = await counter.shop.person()
    agreed, taken, left = [await counter.buys(person, "10") for _ in range(3)]
    counter.paypal.approve(agreed.external_id)
    counter.paypal.take(taken.external_id)
    del counter.paypal.orders[left.external_id]
    counter.shop.clock.advance(seconds=120)
    assert await counter.reconciliation.reconcile_orders() == 2
    assert await counter.shop.has(person) == {"bought": 2_000}
    counter.shop.clock.advance(seconds=4 * 3_600)
    assert await counter.reconciliation.reconcile_orders() == 1
    assert (await counter.again(left)).state == "expired"
    await counter.shop.audited()


async def test_a_declined_card_leaves_the_order_for_another(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.paypal.declines.add(order.external_id)
    counter.paypal.approve(order.external_id)
    await counter.hears("CHECKOUT.ORDER.APPROVED", counter.at_paypal(order))
    await counter.works()
    assert (await counter.again(order)).state == "pending"
    counter.paypal.approve(order.external_id)
    await counter.hears("CHECKOUT.ORDER.APPROVED", counter.at_paypal(order))
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    await counter.shop.audited()


async def test_pending_counts_for_nothing_until_it_is_completed_or_denied(counter: Counter) -> None:
    person = await counter.shop.person()
    later, never = await counter.buys(person, "10"), await counter.buys(person, "10")
    captures = []
    for order in (later, never):
        captures.append(counter.paypal.take(order.external_id, status="PENDING"))
        await counter.hears("PAYMENT.CAPTURE.PENDING", captures[-1])
    await counter.works()
    assert await counter.shop.has(person) == {}
    captures[0]["status"], captures[1]["status"] = "COMPLETED", "DECLINED"
    await counter.hears("PAYMENT.CAPTURE.COMPLETED", captures[0])
    await counter.hears("PAYMENT.CAPTURE.DENIED", captures[1])
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    assert (await counter.again(never)).state == "failed"
    await counter.shop.audited()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"amount": {"currency_code": "USD", "value": "0.01"}}, "amount"),
        ({"amount": {"currency_code": "MXN", "value": "10.00"}}, "unit"),
        ({"custom_id": "ord_other"}, "checkout"),
    ],
)
async def test_what_does_not_fit_its_order_is_not_even_taken(
    counter: Counter, change: dict[str, Any], why: str
) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    about = {**counter.at_paypal(order)}
    about["purchase_units"] = [dict(about["purchase_units"][0])]
    counter.at_paypal(order)["purchase_units"][0] |= change
    counter.paypal.approve(order.external_id)
    await counter.hears("CHECKOUT.ORDER.APPROVED", about)
    await counter.works()
    assert list((await counter.webhooks()).values()) == [f"payment_refused/{why}"]
    assert counter.paypal.captures == {}
    assert await counter.shop.has(person) == {}
    await counter.shop.audited()


async def test_what_others_sell_on_the_account_is_theirs(counter: Counter) -> None:
    order = await counter.buys(await counter.shop.person(), "10")
    about = counter.at_paypal(order)
    for custom in (None, "shop-7"):
        unit = {**about["purchase_units"][0], "custom_id": custom}
        await counter.hears("CHECKOUT.ORDER.APPROVED", {**about, "purchase_units": [unit]})
    await counter.hears("PAYMENT.SALE.COMPLETED", {"id": "x"})
    calls = len(counter.paypal.calls)
    await counter.works()
    assert len(counter.paypal.calls) == calls
    assert set((await counter.webhooks()).values()) == {""}


async def test_a_token_that_is_over_is_renewed_once(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.paypal.tokens.clear()
    counter.paypal.approve(order.external_id)
    await counter.hears("CHECKOUT.ORDER.APPROVED", counter.at_paypal(order))
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    assert len(counter.paypal.tokens) == 1


async def test_while_paypal_is_away_nothing_is_taken_for_proven(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.paypal.approve(order.external_id)
    counter.paypal.broken = True
    with pytest.raises(GatewayUnavailable):
        await counter.hears("CHECKOUT.ORDER.APPROVED", counter.at_paypal(order))
    assert await counter.webhooks() == {}
    assert counter.inbox.counts == {"unproven": 1}
    counter.paypal.broken = False
    await counter.hears("CHECKOUT.ORDER.APPROVED", counter.at_paypal(order))
    counter.paypal.broken = True
    await counter.inbox.process_due()
    assert await counter.shop.has(person) == {}
    counter.paypal.broken = False
    counter.shop.clock.advance(seconds=60)
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    await counter.shop.audited()


# --- money that goes back -----------------------------------------------------------------------


async def test_an_admin_gives_back_once_and_never_too_much(counter: Counter) -> None:
    person = await counter.shop.person()
    order, capture = await counter.sells(person, "90")
    after = await counter.refunds.refund_order(order, parse_usd("40"), cause="btn_r1")
    assert await counter.shop.has(person) == {"bought": 5_000}
    # The same press again, as when the answer to it was lost; and PayPal tells of it too.
    await counter.refunds.refund_order(order, parse_usd("40"), cause="btn_r1")
    made = next(iter(counter.paypal.refunds.values()))
    await counter.hears("PAYMENT.CAPTURE.REFUNDED", made)
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 5_000}
    with pytest.raises(NothingToRefund):
        await counter.refunds.refund_order(after, parse_usd("50.01"), cause="btn_r2")
    after = await counter.refunds.refund_order(after, parse_usd("50"), cause="btn_r3")
    assert await counter.shop.has(person) == {}
    assert [one["amount"]["value"] for one in counter.paypal.refunds.values()] == ["40.00", "50.00"]
    assert capture["status"] == "REFUNDED"
    await counter.shop.audited()


async def test_parts_given_back_in_the_dashboard_after_spending(counter: Counter) -> None:
    person = await counter.shop.person()
    order, capture = await counter.sells(person, "100")
    await counter.shop.spend(person, conftest.Credits(9_950))
    for _ in range(2):
        refund = counter.paypal.give_back(capture["id"], "1.00")
        for _ in range(2):
            await counter.hears("PAYMENT.CAPTURE.REFUNDED", refund)
        await counter.works()
    assert (await counter.again(order)).refunded == parse_usd("2")
    # $98 buy 9,800 and no bonus: 200 of the bought ones go, 150 of them had been spent.
    assert await counter.shop.has(person) == {"owed": 150}
    refund["status"] = "FAILED"
    await counter.hears("PAYMENT.REFUND.FAILED", refund)
    await counter.works()
    assert (await counter.again(order)).refunded == parse_usd("1")
    await counter.shop.audited()


async def test_paid_and_given_back_before_anyone_heard(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    capture = counter.paypal.take(order.external_id)
    refund = counter.paypal.give_back(capture["id"], "10.00")
    await counter.hears("PAYMENT.CAPTURE.REFUNDED", refund)
    await counter.works()
    await counter.hears("PAYMENT.CAPTURE.COMPLETED", capture)
    await counter.works()
    counter.shop.clock.advance(seconds=120)
    await counter.works()
    assert await counter.shop.has(person) == {}
    stands = await counter.shop.stands("cash/paypal", "gateway-fees", "sales")
    assert stands == [-parse_usd("0.84").units, parse_usd("0.84").units, 0]
    await counter.shop.audited()


async def test_what_paypal_takes_back_without_a_case_is_given_back(counter: Counter) -> None:
    person = await counter.shop.person()
    _, capture = await counter.sells(person, "10")
    # A reversal may be nothing that can be read under refunds.
    reversal = counter.paypal.give_back(capture["id"], "10.00")
    del counter.paypal.refunds[reversal["id"]]
    for _ in range(2):
        await counter.hears("PAYMENT.CAPTURE.REVERSED", reversal)
    await counter.works()
    assert await counter.shop.has(person) == {}
    await counter.shop.audited()


async def test_paypal_will_not_give_back_what_is_disputed(counter: Counter) -> None:
    person = await counter.shop.person()
    order, capture = await counter.sells(person, "10")
    counter.paypal.dispute(capture["id"])
    with pytest.raises(RefundDeclined) as refused:
        await counter.refunds.refund_order(order, parse_usd("5"), cause="btn_r1")
    assert refused.value.reason == "TRANSACTION_DISPUTED"
    assert await counter.shop.has(person) == {"bought": 1_000}


async def test_no_secret_shows(counter: Counter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    order, _ = await counter.sells(await counter.shop.person(), "10")
    body = event("CHECKOUT.ORDER.APPROVED", counter.at_paypal(order))
    with pytest.raises(InvalidSignature) as refused:
        await counter.receives(body, {**headers(body), "paypal-transmission-sig": "AAAA"})
    counter.paypal.broken = True
    await counter.works()
    told = caplog.text + str(refused.value) + repr(counter.gateway) + await counter.kept()
    for secret in (fake.SECRET, *counter.paypal.tokens):
        assert secret not in told
