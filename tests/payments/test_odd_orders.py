"""One odd order stops nobody: fees in another currency or not known yet, sums that no ledger takes,
answers in another shape. It is counted as what is known, or told once; the others go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import pytest

from core.money import parse_usd
from core.notification import OPERATORS
from payments.dispute_steps import DISPUTE_ENDED, DISPUTED
from payments.gateways.stripe import StripeGateway
from payments.mismatches import UNPROCESSED
from payments.refunds import EarlierRefund, NothingToRefund, RefundOutcomeUnknown
from payments.types import (
    GatewayEvent,
    GatewayUnavailable,
    Order,
    Payment,
    Refund,
    RefundDeclined,
)
from tests.payments.conftest import Shop
from tests.payments.order_services import OrderServices
from tests.payments.refunds_support import Lossy
from tests.payments.stripe_support import Counter, counter

__all__ = ["counter"]


async def test_a_fee_in_another_currency_is_the_share_that_was_kept(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    intent = counter.stripe.pay(order.external_id)
    charge = counter.stripe.intents[intent]["latest_charge"]
    charge["balance_transaction"] |= {"currency": "eur", "amount": 863, "fee": 51}
    await counter.hears(counter.completed(order))
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    # 51 of 863 cents: 59.1 of 1,000.
    kept = parse_usd("10").share_up(51, 863)
    stands = await counter.shop.stands("cash/stripe", "gateway-fees", "sales")
    assert stands == [parse_usd("10").units - kept.units, kept.units, -parse_usd("10").units]


async def test_a_fee_that_is_not_known_yet_is_booked_once_it_is(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    intent = counter.stripe.pay(order.external_id)
    charge = counter.stripe.intents[intent]["latest_charge"]
    known, charge["balance_transaction"] = charge["balance_transaction"], None
    await counter.hears(counter.completed(order))
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    assert await counter.shop.stands("cash/stripe", "gateway-fees") == [parse_usd("10").units, 0]
    counter.shop.clock.advance(seconds=120)
    await counter.reconciliation.reconcile_orders()
    charge["balance_transaction"] = known
    for _ in range(3):
        await counter.reconciliation.reconcile_orders()
        await counter.hears(counter.completed(order))
        await counter.works()
    fee = parse_usd("0.59").units
    assert await counter.shop.stands("cash/stripe", "gateway-fees") == [
        parse_usd("10").units - fee,
        fee,
    ]
    assert await counter.shop.has(person) == {"bought": 1_000}


async def test_a_fee_above_its_payment_takes_of_the_rest(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "5")
    counter.stripe.pay(order.external_id, fee=600)
    await counter.hears(counter.completed(order))
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 500}
    assert await counter.shop.stands("cash/stripe", "gateway-fees", "sales") == [
        -parse_usd("1").units,
        parse_usd("6").units,
        -parse_usd("5").units,
    ]


@pytest.mark.parametrize("oddity", [StopIteration, AttributeError, ValueError, OverflowError])
async def test_an_order_that_is_told_oddly_is_no_others_trouble(
    counter: Counter, oddity: type[Exception]
) -> None:
    people = [await counter.shop.person() for _ in range(2)]
    older = await counter.buys(people[0], "10")
    counter.shop.clock.advance(seconds=2)
    odd = await counter.buys(people[1], "10")
    counter.stripe.pay(older.external_id)
    usual = StripeGateway.fetch_order

    async def fetch_order(gateway: StripeGateway, order: Order) -> Sequence[GatewayEvent]:
        if order.id == odd.id:
            raise oddity
        return await usual(gateway, order)

    counter.shop.clock.advance(seconds=120)
    with patch.object(StripeGateway, "fetch_order", fetch_order):
        await counter.reconciliation.reconcile_orders()
    assert await counter.shop.has(people[0]) == {"bought": 1_000}
    assert (await counter.again(odd)).is_open
    counter.stripe.pay(odd.external_id)
    await counter.reconciliation.reconcile_orders()
    assert await counter.shop.has(people[1]) == {"bought": 1_000}


async def test_a_refund_that_stripe_refuses_is_over(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    intent = counter.stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    await counter.works()
    amount, counter.stripe.intents[intent]["amount"] = 1_000, 0  # as for a disputed charge
    paid = await counter.again(order)
    with pytest.raises(RefundDeclined) as refused:
        await counter.refunds.refund_order(paid, parse_usd("10"), cause="r1")
    assert refused.value.reason == "charge_already_refunded"
    counter.stripe.intents[intent]["amount"] = amount
    after = await counter.refunds.refund_order(paid, parse_usd("4"), cause="r2")
    assert after.refunded == parse_usd("4")
    assert sum(one["amount"] for one in counter.stripe.refunds.values()) == 400
    assert await counter.shop.has(person) == {"bought": 600}


async def test_more_than_a_ledger_takes_is_told_once(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.stripe.pay(order.external_id)
    counter.stripe.sessions[order.external_id]["amount_total"] = 200_000_000_000
    for _ in range(3):
        await counter.hears(counter.completed(order))
        await counter.works()
        counter.shop.clock.advance(seconds=3_600)
    told = [kind for kind, _ in await counter.shop.told(OPERATORS)]
    assert set(told) == {UNPROCESSED}
    assert await counter.shop.has(person) == {}


async def test_the_rest_of_a_payment_of_which_a_part_was_lost_goes_back(counter: Counter) -> None:
    person, stripe = await counter.shop.person(), counter.stripe
    order = await counter.buys(person, "10")
    intent = stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    cases = [stripe.dispute(intent), stripe.dispute(intent)]
    for id_, cents, state in zip(cases, (400, 600), ("lost", "won"), strict=True):
        stripe.disputes[id_]["amount"] = cents
        await counter.hears(stripe.event("charge.dispute.created", stripe.disputes[id_]))
        await counter.works()
        stripe.disputes[id_]["status"] = state
        await counter.hears(stripe.event("charge.dispute.closed", stripe.disputes[id_]))
        await counter.works()
    assert await counter.shop.has(person) == {"bought": 600}
    paid = await counter.again(order)
    with pytest.raises(NothingToRefund) as refused:
        await counter.refunds.refund_order(paid, parse_usd("7"), cause="r0")
    assert refused.value.remaining == parse_usd("6")
    after = await counter.refunds.refund_order(paid, parse_usd("6"), cause="r1")
    assert after.refunded == parse_usd("6")
    assert sum(one["amount"] for one in stripe.refunds.values()) == 600
    assert await counter.shop.has(person) == {}


async def test_a_refund_whose_answer_was_lost_for_a_day_is_found(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    await counter.works()
    paid, usual = await counter.again(order), StripeGateway.refund_payment

    async def lost(gateway: StripeGateway, *given: Any) -> Sequence[GatewayEvent]:
        await usual(gateway, *given)
        raise GatewayUnavailable("stripe")

    with patch.object(StripeGateway, "refund_payment", lost), pytest.raises(RefundOutcomeUnknown):
        await counter.refunds.refund_order(paid, parse_usd("4"), cause="r1")
    counter.shop.clock.advance(seconds=21 * 3_600)
    with pytest.raises(EarlierRefund) as told:
        await counter.refunds.refund_order(paid, parse_usd("4"), cause="r2")
    assert told.value.refunded == parse_usd("4")
    assert await counter.shop.has(person) == {"bought": 600}
    assert sum(one["amount"] for one in counter.stripe.refunds.values()) == 400


async def test_a_refund_is_of_the_payment_that_it_names(shop: Shop) -> None:
    """Of two payments the older one was given back elsewhere: what is left is the newer one."""
    person = await shop.person()
    order = await shop.order(person, parse_usd("10"), gateway="sandbox")
    for id_ in ("p1", "p2"):
        paid = Payment("sandbox", id_, order.id, parse_usd("10"), parse_usd("0"), any_amount=True)
        order = await shop.crediting.credit_payment(paid)
        shop.clock.advance(seconds=60)
    gateway = Lossy()
    services = OrderServices(
        {"sandbox": gateway},
        shop.orders,
        shop.crediting,
        db=shop.store,
        ledger=shop.ledger,
        clock=shop.clock,
    )
    await shop.crediting.apply_refund(Refund("sandbox", "re_1", "p1", parse_usd("10")))
    after = await services.refunds.refund_order(
        await shop.orders.get(order.id), parse_usd("10"), cause="r1"
    )
    assert [(one.payment, one.amount) for one in gateway.given.values()] == [
        ("p2", parse_usd("10"))
    ]
    assert after.refunded == parse_usd("20")
    assert await shop.has(person) == {}
    await shop.audited()


@pytest.mark.parametrize(("moved", "left"), [((-1_000,), {}), ((), {"bought": 1_000})])
async def test_a_prevented_dispute_costs_what_was_moved(
    counter: Counter, moved: tuple[int, ...], left: dict[str, int]
) -> None:
    person, stripe = await counter.shop.person(), counter.stripe
    order = await counter.buys(person, "10")
    intent = stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    id_ = stripe.dispute(intent, status="prevented")
    stripe.disputes[id_]["balance_transactions"] = [
        {"id": f"txn_{amount}", "object": "balance_transaction"}
        | {"amount": amount, "fee": 0, "currency": "usd"}
        for amount in moved
    ]
    await counter.hears(stripe.event("charge.dispute.closed", stripe.disputes[id_]))
    await counter.works()
    assert await counter.shop.has(person) == left
    told = [kind for kind, _ in await counter.shop.told(OPERATORS)]
    assert sorted(told) == ([DISPUTE_ENDED, DISPUTED] if moved else [])
