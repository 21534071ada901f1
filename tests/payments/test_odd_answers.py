"""What a gateway may answer on a bad day: refusals, things that are gone, other people's things,
pages without end. Nothing is credited or taken back that isn't so, and it is told as it is."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import replace

import pytest
from pydantic import SecretStr

from core.money import parse_usd
from core.notification import OPERATORS
from payments.gateways.btcpay import checkout as btcpay_checkout
from payments.gateways.btcpay.checkout import BtcPayGateway
from payments.gateways.paypal import event_list
from payments.gateways.paypal.checkout import PayPalGateway
from payments.refunds import RefundOutcomeUnknown
from payments.types import GatewayUnavailable, InvalidSignature, Order, RefundDeclined
from tests.payments import btcpay_support, paypal_support, stripe_support
from tests.payments.gateway_clients import disburser_of, gateway_of
from tests.payments.payout_desks import payout_of
from tests.peers.btcpay import STORE
from tests.peers.paypal import FakePayPal

paypal = paypal_support.counter
stripe = stripe_support.counter
btcpay = btcpay_support.counter

INVOICES = f"/api/v1/stores/{STORE}/invoices"
PULLS = f"/api/v1/stores/{STORE}/pull-payments"


def refused(issue: str, name: str = "UNPROCESSABLE_ENTITY") -> dict[str, object]:
    """As PayPal words it."""
    return {"name": name, "details": [{"issue": issue, "description": "It can't be done."}]}


# --- PayPal -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "shown"),
    [(refused("PAYEE_ACCOUNT_RESTRICTED"), "PAYEE_ACCOUNT_RESTRICTED"), ("busy", "HTTP_422")],
)
async def test_an_order_that_paypal_refuses_is_no_checkout(
    paypal: paypal_support.Counter, caplog: pytest.LogCaptureFixture, said: object, shown: str
) -> None:
    person = await paypal.shop.person()
    paypal.paypal.instead["POST", "/v2/checkout/orders"] = (422, said)
    with pytest.raises(GatewayUnavailable):
        await paypal.buys(person, "10")
    assert [one for one in caplog.messages if one.endswith(f"refused by PayPal: {shown}")]
    paypal.paypal.instead.clear()
    paypal.presses = 0
    assert (await paypal.buys(person, "10")).state == "pending"


async def test_a_proof_that_paypal_refuses_to_judge_is_none(
    paypal: paypal_support.Counter,
) -> None:
    order = await paypal.buys(await paypal.shop.person(), "10")
    asked = ("POST", "/v1/notifications/verify-webhook-signature")
    for status, refusal in ((400, InvalidSignature), (403, GatewayUnavailable)):
        paypal.paypal.instead[asked] = (status, refused("NOT_AUTHORIZED"))
        with pytest.raises(refusal):
            await paypal.hears("CHECKOUT.ORDER.APPROVED", paypal.at_paypal(order))
    assert await paypal.webhooks() == {}
    assert paypal.inbox.counts == {"forged": 1, "unproven": 1}


async def test_a_lost_order_that_paypal_has_not_either_is_nobodys(
    paypal: paypal_support.Counter,
) -> None:
    order, _ = await paypal.sells(await paypal.shop.person(), "10")
    gateway = paypal.gateway
    assert isinstance(gateway, PayPalGateway)
    assert await gateway.find_paid_order(f"ord_{'0' * 26}") is None
    found = await gateway.find_paid_order(order.id)
    assert found is not None
    assert found.amount == parse_usd("10")
    del paypal.paypal.orders[order.external_id]
    assert await gateway.find_paid_order(order.id) is None


async def test_a_capture_in_another_currency_is_told_and_credits_nothing(
    paypal: paypal_support.Counter,
) -> None:
    person = await paypal.shop.person()
    order = await paypal.buys(person, "10")
    capture = paypal.paypal.take(order.external_id)
    capture["amount"] = {"currency_code": "EUR", "value": "9.00"}
    await paypal.hears("PAYMENT.CAPTURE.COMPLETED", capture)
    await paypal.works()
    assert await paypal.shop.has(person) == {}
    ((_, facts),) = await paypal.shop.told(OPERATORS)
    assert (facts["verdict"], facts["order"]) == ("payment_refused/unit", order.id)


async def test_a_refund_that_failed_at_once_gives_nothing_back(
    paypal: paypal_support.Counter,
) -> None:
    person = await paypal.shop.person()
    order, _ = await paypal.sells(person, "10")
    peer = paypal.paypal
    peer.give_back = functools.partial(peer.give_back, status="FAILED")  # type: ignore[method-assign]
    with pytest.raises(RefundDeclined) as declined:
        await paypal.refunds.refund_order(order, parse_usd("4"), cause="btn_r1")
    assert declined.value.reason == "FAILED"
    assert await paypal.shop.has(person) == {"bought": 1_000}
    await paypal.shop.audited()


async def test_a_refund_that_can_not_be_read_yet_is_asked_for_again(
    paypal: paypal_support.Counter,
) -> None:
    person = await paypal.shop.person()
    order, capture = await paypal.sells(person, "10")
    moved = paypal.paypal.give_back(capture["id"], "4.00")
    del paypal.paypal.refunds[moved["id"]]
    await paypal.hears("PAYMENT.CAPTURE.REFUNDED", moved)
    await paypal.works()
    assert await paypal.shop.has(person) == {"bought": 1_000}
    paypal.paypal.refunds[moved["id"]] = moved
    paypal.shop.clock.advance(seconds=60)
    await paypal.works()
    assert await paypal.shop.has(person) == {"bought": 600}
    assert (await paypal.again(order)).refunded == parse_usd("4")


async def test_a_case_that_paypal_has_not_or_names_oddly_holds_nothing(
    paypal: paypal_support.Counter,
) -> None:
    person = await paypal.shop.person()
    _, capture = await paypal.sells(person, "10")
    case = paypal.paypal.dispute(capture["id"])
    paypal.paypal.disputes.clear()
    await paypal.hears("CUSTOMER.DISPUTE.CREATED", case)
    await paypal.hears("CUSTOMER.DISPUTE.CREATED", {**case, "dispute_id": "../../x"})
    await paypal.works()
    assert await paypal.shop.has(person) == {"bought": 1_000}
    assert not [path for _, path, _ in paypal.paypal.calls if ".." in path]


async def test_a_case_that_was_won_and_goes_on_holds_again(
    paypal: paypal_support.Counter,
) -> None:
    person = await paypal.shop.person()
    _, capture = await paypal.sells(person, "10")
    case = paypal.paypal.dispute(capture["id"])
    await paypal.hears("CUSTOMER.DISPUTE.CREATED", case)
    await paypal.works()
    paypal.paypal.resolve(case["dispute_id"], "RESOLVED_SELLER_FAVOUR")
    await paypal.hears("CUSTOMER.DISPUTE.RESOLVED", case)
    await paypal.works()
    assert await paypal.shop.has(person) == {"bought": 1_000}
    case["status"] = "UNDER_REVIEW"
    await paypal.hears("CUSTOMER.DISPUTE.UPDATED", case)
    await paypal.works()
    assert await paypal.shop.has(person) == {}
    await paypal.shop.audited()


async def test_what_paypal_says_of_a_refusal_is_told(paypal: paypal_support.Counter) -> None:
    order = await paypal.buys(await paypal.shop.person(), "10")
    path = f"/v2/checkout/orders/{order.external_id}"
    for status, detail in ((422, "PayPal says TOO_OLD"), (401, "client id")):
        paypal.paypal.instead["GET", path] = (status, refused("TOO_OLD"))
        with pytest.raises(GatewayUnavailable) as unavailable:
            await paypal.gateway.fetch_order(order)
        assert detail in unavailable.value.detail
    assert len(paypal.paypal.tokens) == 2, "a token that is refused is renewed once"


async def test_whoever_waits_for_a_token_that_is_refused_asks_for_no_other() -> None:
    async with FakePayPal() as peer:
        gateway = gateway_of("paypal", peer.url, key="wrong")
        answers = await asyncio.gather(
            gateway.check_account(), gateway.check_account(), return_exceptions=True
        )
        assert [type(one) for one in answers] == [GatewayUnavailable] * 2
        assert [bool(one.detail) for one in answers if isinstance(one, GatewayUnavailable)] == [
            True,
            False,
        ]
        await gateway.close()


@pytest.mark.parametrize(("pages", "number"), [(20, 4), (1, 1)])
async def test_a_long_list_of_messages_is_read_page_by_page(
    paypal: paypal_support.Counter, monkeypatch: pytest.MonkeyPatch, pages: int, number: int
) -> None:
    person = await paypal.shop.person()
    orders: list[Order] = []
    for hour in range(4):
        order, capture = await paypal.sells(person, "10")
        day = capture["create_time"][:10]
        capture["create_time"] = f"{day}T00:00:{hour:02}Z"
        orders.append(order)
    paypal.paypal.take((await paypal.buys(person, "10")).external_id)
    *_, foreign = paypal.paypal.captures.values()
    foreign |= {"custom_id": "shop-7", "create_time": f"{day}T00:00:05Z"}
    monkeypatch.setattr(event_list, "_PAGE_SIZE", 2)
    monkeypatch.setattr(event_list, "_PAGES_MAX", pages)
    listed = await paypal.gateway.list_late_payments()
    assert set(listed) <= {order.id for order in orders}
    assert len(listed) == number


async def test_a_payout_of_paypals_has_no_page_and_a_refusal_of_ours_is_no_failure() -> None:
    async with FakePayPal() as peer:
        provider = disburser_of("paypal", peer.url)
        assert provider.get_payout_url(payout_of()) == ""
        asked = ("POST", "/v1/payments/payouts")
        peer.instead[asked] = (
            422,
            {"name": "VALIDATION_ERROR", "details": [{"field": "sender_batch_header"}]},
        )
        with pytest.raises(GatewayUnavailable) as unavailable:
            await provider.send_payout(payout_of(), SecretStr("bob@example.com"))
        assert unavailable.value.detail == "PayPal says VALIDATION_ERROR"
        elsewhere = {"href": "https://api.paypal.com/v1/elsewhere/BATCH1"}
        peer.instead[asked] = (
            400,
            {
                "name": "USER_BUSINESS_ERROR",
                "details": [{"field": "SENDER_BATCH_ID", "link": [elsewhere]}],
            },
        )
        with pytest.raises(GatewayUnavailable) as unavailable:
            await provider.send_payout(payout_of(), SecretStr("bob@example.com"))
        assert "look there" in unavailable.value.detail
        await provider.close()


async def test_a_message_that_names_another_gateways_order_captures_nothing(
    paypal: paypal_support.Counter,
) -> None:
    person = await paypal.shop.person()
    theirs = await paypal.shop.order(person, parse_usd("10"), gateway="stripe")
    unit = {"custom_id": theirs.id, "amount": {"currency_code": "USD", "value": "10.00"}}
    await paypal.hears("CHECKOUT.ORDER.APPROVED", {"purchase_units": [unit]})
    await paypal.works()
    ((_, facts),) = await paypal.shop.told(OPERATORS)
    assert (facts["verdict"], facts["order"]) == ("payment_refused/gateway", theirs.id)
    assert await paypal.shop.has(person) == {}


# --- Stripe -------------------------------------------------------------------------------------


async def test_a_proven_message_that_is_none_is_refused(stripe: stripe_support.Counter) -> None:
    for body in (b"not json", b"[]", stripe.stripe.event("refund.created", {}, id=7)):
        with pytest.raises(InvalidSignature) as forged:
            await stripe.hears(body)
        assert forged.value.reason == "body"
    assert await stripe.webhooks() == {}


async def test_a_message_of_another_kind_concerns_nothing(stripe: stripe_support.Counter) -> None:
    await stripe.hears(stripe.stripe.event("payout.paid", {"id": "po_1", "object": "payout"}))
    await stripe.works()
    assert set((await stripe.webhooks()).values()) == {""}
    assert stripe.inbox.counts["taken"] == 1


async def test_a_dispute_that_was_won_and_goes_on_holds_again(
    stripe: stripe_support.Counter,
) -> None:
    person, peer = await stripe.shop.person(), stripe.stripe
    order = await stripe.buys(person, "10")
    intent = peer.pay(order.external_id)
    await stripe.hears(stripe.completed(order))
    dispute = peer.disputes[peer.dispute(intent)]
    for status, left in (
        ("needs_response", {}),
        ("won", {"bought": 1_000}),
        ("needs_response", {}),
    ):
        dispute["status"] = status
        await stripe.hears(peer.event("charge.dispute.updated", dispute))
        await stripe.works()
        assert await stripe.shop.has(person) == left
    await stripe.shop.audited()


async def test_an_account_that_settles_in_euros_lists_what_was_paid_in_dollars(
    stripe: stripe_support.Counter,
) -> None:
    """Its list is all that tells of the payment, and of what else moved on the account."""
    person, peer = await stripe.shop.person(), stripe.stripe
    order = await stripe.buys(person, "10")
    intent = peer.intents[peer.pay(order.external_id)]
    intent["latest_charge"]["balance_transaction"] |= {"currency": "eur", "amount": 863, "fee": 51}
    peer.other_transactions = [{"id": "po_1", "object": "payout", "amount": -500}]
    stripe.shop.clock.advance(seconds=300)
    gateway = gateway_of("stripe", peer.url, clock=stripe.shop.clock)
    page = await gateway.list_transactions("")  # type: ignore[attr-defined]
    cursor, events, movements = page.cursor, list(page.events), list(page.movements)
    while page.has_more:
        page = await gateway.list_transactions(cursor)  # type: ignore[attr-defined]
        cursor = page.cursor
        events, movements = events + list(page.events), movements + list(page.movements)
    (paid,) = events
    assert (paid.order, paid.amount, paid.fee) == (order.id, parse_usd("10"), parse_usd("0"))
    assert [(one.payment, one.amount) for one in movements] == [(intent["id"], parse_usd("10"))]
    await gateway.close()


@pytest.mark.parametrize("oddity", [{"currency": "eur"}, {"status": "nowhere"}])
async def test_a_refund_in_another_currency_or_state_takes_nothing_back(
    stripe: stripe_support.Counter, oddity: dict[str, str]
) -> None:
    person, peer = await stripe.shop.person(), stripe.stripe
    order = await stripe.buys(person, "10")
    intent = peer.pay(order.external_id)
    await stripe.hears(stripe.completed(order))
    await stripe.works()
    peer.refunds[peer.refund(intent, 400)] |= oddity
    assert [type(one).__name__ for one in await stripe.gateway.fetch_order(order)] == ["Payment"]


# --- BTCPay -------------------------------------------------------------------------------------


async def test_a_store_that_the_server_does_not_know_is_red(
    btcpay: btcpay_support.Counter,
) -> None:
    btcpay.btcpay.instead["GET", INVOICES] = (404, {"code": "store-not-found"})
    with pytest.raises(GatewayUnavailable) as red:
        await btcpay.gateway.check_account()
    assert red.value.detail == "the server knows no such store for this key"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ([{"path": "amount", "message": "Too much"}], "amount"),
        ({"code": "wallet-not-found"}, "wallet-not-found"),
        ("<html>", "HTTP 422"),
    ],
)
async def test_an_invoice_that_the_server_refuses_is_no_checkout(
    btcpay: btcpay_support.Counter, caplog: pytest.LogCaptureFixture, said: object, shown: str
) -> None:
    person = await btcpay.shop.person()
    btcpay.btcpay.instead["POST", INVOICES] = (422, said)
    with pytest.raises(GatewayUnavailable):
        await btcpay.buys(person, "10")
    assert [one for one in caplog.messages if one.endswith(f"refused by BTCPay: {shown}")]


async def test_an_order_without_a_checkout_is_asked_about_nowhere(
    btcpay: btcpay_support.Counter,
) -> None:
    order = replace(await btcpay.buys(await btcpay.shop.person(), "10"), external_id="")
    asked = len(btcpay.btcpay.calls)
    assert await btcpay.gateway.fetch_order(order) == ()
    assert len(btcpay.btcpay.calls) == asked


@pytest.mark.parametrize(("pages", "number"), [(20, 5), (2, 4)])
async def test_a_stores_long_list_is_read_page_by_page(
    btcpay: btcpay_support.Counter, monkeypatch: pytest.MonkeyPatch, pages: int, number: int
) -> None:
    monkeypatch.setattr(btcpay_checkout, "_PAGE_SIZE", 2)
    monkeypatch.setattr(btcpay_checkout, "_PAGES_MAX", pages)
    people = [await btcpay.shop.person() for _ in range(5)]
    orders = [await btcpay.buys(person, "10") for person in people]
    for order in orders:
        btcpay.btcpay.pay(order.external_id)
    assert len(await btcpay.gateway.list_late_payments()) == number


async def test_an_invoice_of_another_order_is_not_the_lost_one(
    btcpay: btcpay_support.Counter,
) -> None:
    """An old server doesn't know the filter by order, and lists all."""
    person = await btcpay.shop.person()
    lost, other = [await btcpay.buys(person, "10") for _ in range(2)]
    for order in (lost, other):
        btcpay.btcpay.pay(order.external_id)
    both = [btcpay.invoice(other), btcpay.invoice(lost)]
    btcpay.btcpay.instead["GET", INVOICES] = (200, both)
    gateway = btcpay.gateway
    assert isinstance(gateway, BtcPayGateway)
    found = await gateway.find_paid_order(lost.id)
    assert found is not None
    assert found.checkout == lost.external_id
    btcpay.btcpay.instead["GET", INVOICES] = (200, both[:1])
    assert await gateway.find_paid_order(lost.id) is None
    unpaid = await create_unpaid(btcpay, person)
    assert await gateway.find_paid_order(unpaid.id) is None


async def create_unpaid(btcpay: btcpay_support.Counter, person: str) -> Order:
    """An order whose invoice nobody has paid."""
    btcpay.btcpay.instead.clear()
    return await btcpay.buys(person, "10")


async def test_a_refund_that_the_server_refuses_gives_nothing_back(
    btcpay: btcpay_support.Counter,
) -> None:
    person = await btcpay.shop.person()
    order = await btcpay.buys(person, "10")
    btcpay.btcpay.pay(order.external_id)
    order = await btcpay.told(order)
    btcpay.btcpay.instead["POST", PULLS] = (422, [{"path": "amount", "message": "Too little"}])
    with pytest.raises(RefundDeclined) as declined:
        await btcpay.refunds.refund_order(order, parse_usd("4"), cause="btn_r1")
    assert declined.value.reason == "amount"
    assert await btcpay.shop.has(person) == {"bought": 1_000}
    await btcpay.shop.audited()


async def test_a_payout_that_the_server_hides_or_refuses_is_not_known(
    btcpay: btcpay_support.Counter,
) -> None:
    provider, payout = disburser_of("btcpay", btcpay.btcpay.url), payout_of()
    to = SecretStr("bc1qcanary0000000000000000000000000000bob")
    btcpay.btcpay.instead["GET", PULLS] = (200, [])
    with pytest.raises(GatewayUnavailable):
        await provider.send_payout(payout, to)
    btcpay.btcpay.instead.clear()
    path = f"/api/v1/stores/{STORE}/payouts"
    btcpay.btcpay.instead["POST", path] = (403, {"code": "missing-permission"})
    with pytest.raises(GatewayUnavailable) as unavailable:
        await provider.send_payout(payout, to)
    assert unavailable.value.detail == "the server says missing-permission"
    btcpay.btcpay.instead.clear()
    assert (await provider.send_payout(payout, to)).state == "pending"
    assert len(btcpay.btcpay.pull_payments) == 1
    await provider.close()


async def test_an_invalid_invoice_that_names_another_gateways_order_warns_of_none(
    btcpay: btcpay_support.Counter,
) -> None:
    shop, person = btcpay.shop, await btcpay.shop.person()
    theirs = await shop.pay(await shop.order(person, parse_usd("10"), gateway="stripe"))
    order = await btcpay.buys(person, "10")
    btcpay.invoice(order)["metadata"]["orderId"] = theirs.id
    btcpay.invoice(order)["status"] = "Invalid"
    await btcpay.hears("Invalid", order)
    await btcpay.works()
    assert [facts["verdict"] for _, facts in await shop.told(OPERATORS)] == [
        "payment_refused/gateway"
    ]
    assert await shop.has(person) == {"bought": 1_000}


# --- the job that asks about what no message told -----------------------------------------------


async def test_what_came_late_is_caught_up_with_once_paypal_tells_it(
    paypal: paypal_support.Counter, caplog: pytest.LogCaptureFixture
) -> None:
    person, peer = await paypal.shop.person(), paypal.paypal
    order, foreign = [await paypal.buys(person, "10") for _ in range(2)]
    paypal.shop.clock.advance(seconds=8 * 3_600)
    await paypal.reconciliation.reconcile_orders()
    assert (await paypal.again(order)).state == "expired"
    for one in (order, foreign):
        peer.take(one.external_id)
    peer.captures[list(peer.captures)[-1]]["custom_id"] = f"ord_{'0' * 26}"
    gateway = paypal.gateway
    assert isinstance(gateway, PayPalGateway)
    refusals = (
        ("GET", "/v1/notifications/webhooks-events"),
        ("GET", f"/v2/checkout/orders/{order.external_id}"),
    )
    for asked in refusals:
        gateway._capture_events._read_at = None
        peer.instead = {asked: (422, refused("TOO_BUSY"))}
        paypal.shop.clock.advance(seconds=60)
        await paypal.reconciliation.reconcile_orders()
        assert await paypal.shop.has(person) == {}
    assert len([one for one in caplog.messages if "could not tell what came late" in one]) == 2
    peer.instead.clear()
    await paypal.reconciliation.reconcile_orders()
    assert await paypal.shop.has(person) == {"bought": 1_000}
    assert await paypal.shop.told(OPERATORS) == []
    await paypal.shop.audited()


async def test_a_refund_whose_answer_is_lost_again_stays_open(
    paypal: paypal_support.Counter, caplog: pytest.LogCaptureFixture
) -> None:
    person, peer = await paypal.shop.person(), paypal.paypal
    order, capture = await paypal.sells(person, "10")
    asked = ("POST", f"/v2/payments/captures/{capture['id']}/refund")
    peer.instead[asked] = (200, {"id": "../x"})
    with pytest.raises(RefundOutcomeUnknown):
        await paypal.refunds.refund_order(order, parse_usd("4"), cause="btn_r1")
    paypal.shop.clock.advance(seconds=2 * 3_600)
    await paypal.reconciliation.reconcile_orders()
    assert [one for one in caplog.messages if "has something open" in one]
    assert await paypal.shop.has(person) == {"bought": 1_000}
    peer.instead.clear()
    for _ in range(3):
        paypal.shop.clock.advance(seconds=3 * 3_600)
        await paypal.reconciliation.reconcile_orders()
    assert await paypal.shop.has(person) == {"bought": 600}
    await paypal.shop.audited()
