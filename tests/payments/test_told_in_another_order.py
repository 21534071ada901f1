"""What gateways tell in another order or shape than usual, and what people read of it: a session
that ends after its payment, a card that was declined before, money that a bank took back twice, a
reversal that names no payment, another sum than the order's."""

from __future__ import annotations

import pytest

from core.money import parse_usd
from core.notification import OPERATORS
from payments.fulfillment import PAID
from payments.mismatches import PAID_OTHERWISE, UNPROCESSED
from payments.refunds import NothingToRefund
from tests.payments import paypal_support, stripe_support

DOLLAR = parse_usd("1").units


counter = stripe_support.counter
paypal_counter = paypal_support.counter


@pytest.mark.parametrize("link", ["up", "order", ""])
async def test_a_reversal_that_cannot_be_read(
    paypal_counter: paypal_support.Counter, link: str
) -> None:
    """$3 of $10 went back. PayPal has no such refund; the message names its payment, only its
    order, or neither: then it is tried again and told, and stops nobody else."""
    counter = paypal_counter
    person = await counter.shop.person()
    order, capture = await counter.sells(person, "10")
    reversal = counter.paypal.give_back(capture["id"], "3.00")
    del counter.paypal.refunds[reversal["id"]]
    told = dict(reversal)
    if link != "up":
        told["links"] = [one for one in told["links"] if one["rel"] != "up"]
    if link == "order":
        told["custom_id"] = order.id
    payments = counter.at_paypal(order)["purchase_units"][0]["payments"]
    if not link:
        payments["refunds"] = []
    await counter.hears("PAYMENT.CAPTURE.REVERSED", told)
    await counter.works()
    other, _ = await counter.sells(await counter.shop.person(), "10")
    assert other.state == "credited"
    for _ in range(0 if link else 13):
        counter.shop.clock.advance(seconds=6 * 3_600)
        await counter.works()
    assert await counter.shop.has(person) == {"bought": 700 if link else 1_000}
    told_kinds = [kind for kind, _ in await counter.shop.told(OPERATORS)]
    assert told_kinds == ([] if link else [UNPROCESSED])
    await counter.shop.audited()


@pytest.mark.parametrize("told", [True, False])
async def test_whoever_paid_another_sum_reads_so(
    counter: stripe_support.Counter, told: bool
) -> None:
    """Tax was switched on in the dashboard. It isn't credited, and it doesn't expire; found without
    a message too."""
    shop = counter.shop
    person = await shop.person()
    order = await counter.buys(person, "10")
    counter.stripe.pay(order.external_id)
    counter.stripe.sessions[order.external_id]["amount_total"] = 1_190
    if told:
        for _ in range(2):
            await counter.hears(counter.completed(order))
            await counter.works()
    for _ in range(3):
        shop.clock.advance(seconds=16 * 3_600)
        await counter.works()
        await counter.reconciliation.reconcile_orders()
    assert await shop.has(person) == {}
    ((kind, facts),) = await shop.told(person)
    assert (kind, facts["paid"], facts["order"]) == (PAID_OTHERWISE, 11.9 * DOLLAR, order.id)
    ((kind, facts),) = await shop.told(OPERATORS)
    assert (kind, facts["verdict"]) == (UNPROCESSED, "payment_refused/amount")
    assert (await counter.again(order)).state == "processing"
    await shop.audited()


async def test_a_session_that_ends_after_its_payment_ends_nothing(
    counter: stripe_support.Counter,
) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.stripe.pay(order.external_id)
    for kind in ("expired", "completed", "expired", "completed"):
        # Each a message of its own: one that comes again is kept once.
        await counter.hears(counter.completed(order, kind))
        await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    assert [kind for kind, _ in await counter.shop.told(person)] == [PAID]
    assert (await counter.again(order)).state == "credited"
    await counter.shop.audited()


async def test_a_declined_card_an_order_given_up_and_a_capture_twice(
    paypal_counter: paypal_support.Counter,
) -> None:
    """Credited once a payment, whatever came before it."""
    counter, paypal = paypal_counter, paypal_counter.paypal
    person = await counter.shop.person()
    declined = await counter.buys(person, "10")
    paypal.declines.add(declined.external_id)
    for _ in range(2):
        paypal.approve(declined.external_id)
        await counter.hears("CHECKOUT.ORDER.APPROVED", counter.at_paypal(declined))
        await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    late = await counter.buys(person, "10")
    counter.shop.clock.advance(days=2)
    await counter.reconciliation.reconcile_orders()
    assert (await counter.again(late)).state == "expired"
    paypal.approve(late.external_id)
    await counter.hears("CHECKOUT.ORDER.APPROVED", counter.at_paypal(late))
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 2_000}
    # Denied, then taken, then taken once more.
    odd = await counter.buys(person, "10")
    denied = paypal.take(odd.external_id, status="DECLINED")
    await counter.hears("PAYMENT.CAPTURE.DENIED", denied)
    await counter.works()
    assert (await counter.again(odd)).state == "failed"
    denied["status"] = "COMPLETED"
    again = paypal.take(odd.external_id)
    for capture in (denied, again, denied):
        await counter.hears("PAYMENT.CAPTURE.COMPLETED", capture)
        await counter.works()
    assert await counter.shop.has(person) == {"bought": 4_000}
    stands = await counter.shop.stands("cash/paypal")
    assert stands == [parse_usd("36.64").units]
    await counter.shop.audited()


async def test_a_refund_that_waits_for_its_payer_is_on_its_way(
    counter: stripe_support.Counter,
) -> None:
    """Asked for again it would go twice; it may come back."""
    stripe, shop = counter.stripe, counter.shop
    person = await shop.person()
    order = await counter.buys(person, "10")
    intent = stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    await counter.works()
    refund = stripe.refunds[stripe.refund(intent, 1_000, status="requires_action")]
    await counter.hears(stripe.event("refund.created", refund))
    await counter.works()
    assert await shop.has(person) == {}
    with pytest.raises(NothingToRefund):
        await counter.refunds.refund_order(await counter.again(order), order.value, cause="btn_2")
    refund["status"] = "canceled"
    await counter.hears(stripe.event("refund.updated", refund))
    await counter.works()
    assert await shop.has(person) == {"bought": 1_000}
    await shop.audited()


@pytest.mark.parametrize("kind", ["refund", "dispute"])
async def test_owners_hear_of_money_that_went_in_another_currency(
    counter: stripe_support.Counter, kind: str
) -> None:
    stripe, shop = counter.stripe, counter.shop
    person = await shop.person()
    order = await counter.buys(person, "10")
    intent = stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    await counter.works()
    if kind == "refund":
        moved = stripe.refunds[stripe.refund(intent, 1_000)]
    else:
        moved = stripe.disputes[stripe.dispute(intent)]
    moved["currency"] = "eur"
    name = "refund.created" if kind == "refund" else "charge.dispute.created"
    for _ in range(2):
        await counter.hears(stripe.event(name, moved))
        await counter.works()
    ((told, facts),) = await shop.told(OPERATORS)
    assert (told, facts["verdict"], facts["order"]) == (
        UNPROCESSED,
        "payment_refused/unit",
        order.id,
    )
    for _ in range(2):  # and its list goes on
        shop.clock.advance(days=2)
        await counter.reconciliation.reconcile_orders()
    assert await shop.has(person) == {"bought": 1_000}
    await shop.audited()


@pytest.mark.parametrize("first", ["refund", "dispute"])
async def test_a_dispute_lost_on_a_refunded_charge_costs_both(
    counter: stripe_support.Counter, first: str
) -> None:
    """The bank and we gave the same money back: no Credits are left, and the second time is bad
    debt, whichever is told first."""
    stripe, shop = counter.stripe, counter.shop
    person = await shop.person()
    order = await counter.buys(person, "10")
    intent = stripe.pay(order.external_id, fee=59)
    await counter.hears(counter.completed(order))
    await counter.works()
    refund = stripe.refunds[stripe.refund(intent, 1_000)]
    dispute = stripe.disputes[stripe.dispute(intent)]
    stripe.moves(dispute["id"], -1_000)
    bodies = [
        stripe.event("refund.created", refund),
        stripe.event("charge.dispute.created", dispute),
    ]
    for body in bodies if first == "refund" else reversed(bodies):
        await counter.hears(body)
        await counter.works()
    dispute["status"] = "lost"
    for _ in range(2):
        await counter.hears(stripe.event("charge.dispute.closed", dispute))
        await counter.works()
    assert await shop.has(person) == {}
    stands = await shop.stands("cash/stripe", "bad-debt", "disputed")
    assert stands == [-parse_usd("10.59").units, parse_usd("10").units, 0]
    assert (await counter.again(order)).dispute_state == "lost"
    await shop.audited()
