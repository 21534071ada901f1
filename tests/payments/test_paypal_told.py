"""What PayPal tells, and what somebody else would like us to believe: cases, forgeries, a flood."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

import pytest

from core.money import Credits, parse_usd
from core.notification import OPERATORS
from payments.types import CardPaymentsPaused, GatewayUnavailable, InvalidSignature, Order
from tests.payments.conftest import Message
from tests.payments.paypal_support import Counter, counter
from tests.peers.paypal_webhooks import CERTIFICATE, event, headers
from tests.support.size import size

__all__ = ["counter"]

DOLLAR = parse_usd("1").units


# --- cases --------------------------------------------------------------------------------------


async def opened(counter: Counter, person: str) -> tuple[Order, dict[str, Any], dict[str, Any]]:
    """A sold Pro pack, its capture, and the case about it, which everyone has heard of."""
    order, capture = await counter.sells(person, "90")
    case = counter.paypal.dispute(capture["id"])
    for kind in ("CREATED", "UPDATED"):
        await counter.hears(f"CUSTOMER.DISPUTE.{kind}", case)
    await counter.works()
    return order, capture, case


@pytest.mark.parametrize("outcome", ["RESOLVED_SELLER_FAVOUR", "CANCELED_BY_BUYER"])
async def test_a_case_that_is_won_gives_back_what_it_held(counter: Counter, outcome: str) -> None:
    person = await counter.shop.person()
    order, _, case = await opened(counter, person)
    assert await counter.shop.has(person) == {}
    assert await counter.shop.stands("disputed") == [90 * DOLLAR]
    with pytest.raises(CardPaymentsPaused):
        await counter.buys(person, "10")
    (told,) = await counter.disputes.list_disputes(order.id)
    assert (told.reason, told.due_at) == ("UNAUTHORISED", 1_798_113_600_000)
    assert not counter.disputes.can_accept_disputes("paypal"), (
        "that is PayPal's resolution centre's to do"
    )
    counter.paypal.resolve(case["dispute_id"], outcome)
    for _ in range(2):
        await counter.hears("CUSTOMER.DISPUTE.RESOLVED", case)
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 9_000, "gift": 1_000}
    assert await counter.shop.stands("disputed") == [0]
    assert (await counter.again(order)).dispute_state == "won"
    await counter.shop.audited()


@pytest.mark.parametrize(("spent", "bad_debt"), [(0, 0), (2_500, 25)])
async def test_a_case_that_is_lost_costs_once(counter: Counter, spent: int, bad_debt: int) -> None:
    """However PayPal tells of the money that it took: as a case, as a reversal, as a refund."""
    person = await counter.shop.person()
    order, capture = await counter.sells(person, "90")
    if spent:
        await counter.shop.spend(person, Credits(spent))
    case = counter.paypal.dispute(capture["id"])
    await counter.hears("CUSTOMER.DISPUTE.CREATED", case)
    await counter.works()
    taken = counter.paypal.give_back(capture["id"], "90.00")
    await counter.hears("PAYMENT.CAPTURE.REVERSED", taken)
    await counter.works()
    assert (await counter.again(order)).dispute_state == "open"
    counter.paypal.resolve(case["dispute_id"], "RESOLVED_BUYER_FAVOUR", refunded="90.00")
    for _ in range(2):
        await counter.hears("PAYMENT.CAPTURE.REFUNDED", taken)
        await counter.hears("CUSTOMER.DISPUTE.RESOLVED", case)
    await counter.works()
    after = await counter.again(order)
    assert (after.dispute_state, after.refunded) == ("lost", parse_usd("0"))
    assert await counter.shop.has(person) == {}
    stands = await counter.shop.stands("cash/paypal", "gateway-fees", "disputed", "bad-debt")
    assert stands == [-parse_usd("0.84").units, parse_usd("0.84").units, 0, bad_debt * DOLLAR]
    await counter.shop.audited()


async def test_a_case_is_booked_though_its_beginning_was_never_heard(counter: Counter) -> None:
    person = await counter.shop.person()
    order, capture = await counter.sells(person, "90")
    case = counter.paypal.dispute(capture["id"])
    counter.paypal.resolve(case["dispute_id"], "ACCEPTED")
    for kind in ("RESOLVED", "CREATED"):
        await counter.hears(f"CUSTOMER.DISPUTE.{kind}", case)
    await counter.works()
    assert (await counter.again(order)).dispute_state == "lost"
    assert await counter.shop.has(person) == {}
    await counter.shop.audited()


async def test_a_case_that_costs_a_part_leaves_the_rest(counter: Counter) -> None:
    person = await counter.shop.person()
    order, capture, case = await opened(counter, person)
    counter.paypal.resolve(case["dispute_id"], "RESOLVED_BUYER_FAVOUR", refunded="40.00")
    taken = counter.paypal.give_back(capture["id"], "40.00")
    for kind, about in (
        ("PAYMENT.CAPTURE.REFUNDED", taken),
        ("CUSTOMER.DISPUTE.RESOLVED", case),
        ("PAYMENT.CAPTURE.REFUNDED", taken),
    ):
        await counter.hears(kind, about)
    await counter.works()
    after = await counter.again(order)
    assert (after.dispute_state, after.refunded) == ("won", parse_usd("40"))
    assert await counter.shop.has(person) == {"bought": 5_000}
    await counter.shop.audited()


async def test_given_back_before_a_case_and_after_one_is_no_part_of_it(counter: Counter) -> None:
    person = await counter.shop.person()
    order, capture = await counter.sells(person, "90")
    before = counter.paypal.give_back(capture["id"], "10.00")
    case = counter.paypal.dispute(capture["id"])
    await counter.hears("CUSTOMER.DISPUTE.CREATED", case)
    await counter.hears("PAYMENT.CAPTURE.REFUNDED", before)
    await counter.works()
    assert (await counter.again(order)).refunded == parse_usd("10")
    counter.paypal.resolve(case["dispute_id"], "RESOLVED_SELLER_FAVOUR")
    await counter.hears("CUSTOMER.DISPUTE.RESOLVED", case)
    await counter.works()
    after = counter.paypal.give_back(capture["id"], "30.00")
    await counter.hears("PAYMENT.CAPTURE.REFUNDED", after)
    await counter.works()
    assert (await counter.again(order)).refunded == parse_usd("40")
    assert await counter.shop.has(person) == {"bought": 5_000}
    await counter.shop.audited()


async def test_where_cases_may_not_be_read_a_reversal_is_given_back(counter: Counter) -> None:
    person = await counter.shop.person()
    order, capture = await counter.sells(person, "90")
    counter.paypal.reads_disputes = False
    counter.paypal.dispute(capture["id"])
    taken = counter.paypal.give_back(capture["id"], "90.00")
    await counter.hears("PAYMENT.CAPTURE.REVERSED", taken)
    await counter.works()
    assert (await counter.again(order)).refunded == parse_usd("90")
    assert await counter.shop.has(person) == {}
    await counter.shop.audited()


@pytest.mark.parametrize("kind", ["refund", "case"])
async def test_owners_hear_of_money_that_went_in_another_currency(
    counter: Counter, kind: str
) -> None:
    """What others sell on the same account in euros is nobody's trouble."""
    person = await counter.shop.person()
    order, capture = await counter.sells(person, "10")
    euros = {"currency_code": "EUR", "value": "9.00"}
    for ours in (order.id, "shop-7"):
        if kind == "refund":
            moved = counter.paypal.give_back(capture["id"], "9.00")
            moved |= {"custom_id": ours, "amount": euros}
            await counter.hears("PAYMENT.CAPTURE.REFUNDED", moved)
        else:
            moved = counter.paypal.dispute(capture["id"])
            moved["dispute_amount"] = euros
            moved["disputed_transactions"][0]["invoice_number"] = ours
            await counter.hears("CUSTOMER.DISPUTE.CREATED", moved)
        await counter.works()
    ((_, facts),) = await counter.shop.told(OPERATORS)
    assert (facts["verdict"], facts["order"]) == ("payment_refused/unit", order.id)
    assert await counter.shop.has(person) == {"bought": 1_000}
    await counter.shop.audited()


# --- forgeries ----------------------------------------------------------------------------------


def forgeries(body: bytes) -> dict[str, Message]:
    """Each way to forge it."""
    said: dict[str, Any] = json.loads(body)
    proven = headers(body)
    ways: dict[str, Message] = {f"without {name}": (body, {**proven, name: ""}) for name in proven}
    certificates = {
        "elsewhere": "https://evil.example/cert",
        "nearly": "https://api.paypal.com.evil.example/cert",
        "hidden": "https://api.sandbox.paypal.com@evil.example/cert",
        "port": "https://api.sandbox.paypal.com:8443/cert",
        "plain": CERTIFICATE.replace("https", "http"),
        "odd": "https://[::1/cert",
        "live": CERTIFICATE.replace("sandbox.", ""),
    }
    ways |= {name: (body, {**proven, "paypal-cert-url": url}) for name, url in certificates.items()}
    deep = b"[" * 50_000
    return ways | {
        "nothing": (body, {}),
        "signature": (body, {**proven, "paypal-transmission-sig": "bm8="}),
        "another webhook": (body, headers(body, webhook="0EH40505U7160970P")),
        "algorithm": (body, {**proven, "paypal-auth-algo": "none"}),
        "written anew": (json.dumps(said).encode(), proven),
        "another body": (json.dumps({**said, "id": "WH-0"}).encode(), proven),
        "old": (body, headers(body, at=time.time() - 3 * 86_400 - 7_200)),
        "to come": (body, headers(body, at=time.time() + 3_600)),
        "time": (body, {**proven, "paypal-transmission-time": "yesterday"}),
        "bytes": (b"\xff\xfe", headers(b"\xff\xfe")),
        "list": (b"[]", headers(b"[]")),
        "deep": (deep, headers(deep)),
        "no id": (b'{"id":7}', headers(b'{"id":7}')),
    }


async def test_each_way_to_forge_is_refused(counter: Counter) -> None:
    order = await counter.buys(await counter.shop.person(), "10")
    counter.paypal.approve(order.external_id)
    body = event("CHECKOUT.ORDER.APPROVED", counter.at_paypal(order))
    asks = ["signature", "another webhook", "written anew", "another body"]
    for way, (forged, given) in forgeries(body).items():
        calls = len(counter.paypal.calls)
        with pytest.raises(InvalidSignature):
            await counter.receives(forged, given)
        asked = len(counter.paypal.calls) - calls
        assert asked == (way in asks), f"{way}: PayPal is asked only about what could be its own"
    assert await counter.webhooks() == {}
    # Nearly three days old, as PayPal's last try may be.
    await counter.receives(body, headers(body, at=time.time() - 3 * 86_400 + 60))
    assert len(await counter.webhooks()) == 1


async def test_a_flood_of_proofs_is_turned_away_and_comes_again(counter: Counter) -> None:
    order = await counter.buys(await counter.shop.person(), "10")
    bodies = [event("CHECKOUT.ORDER.APPROVED", counter.at_paypal(order)) for _ in range(40)]

    async def receive(body: bytes) -> bool:
        try:
            await counter.receives(body, headers(body))
        except GatewayUnavailable:
            return False
        return True

    taken = await asyncio.gather(*(receive(body) for body in bodies))
    assert sum(taken) == 16 == len(await counter.webhooks())
    assert await receive(bodies[-1])


# --- a thousand events --------------------------------------------------------------------------


async def test_a_thousand_events_shuffled_doubled_and_forged(counter: Counter) -> None:
    """Credits granted are payments made, exactly; every forged one is refused and counted."""
    chance = random.Random(11)
    shop, paypal = counter.shop, counter.paypal
    people = [await shop.person() for _ in range(5)]
    amounts = ["1", "10", "99.99", "100", "90", "800"]
    expected = dict.fromkeys(people, 0)
    messages: list[Message] = []
    forged = sold = 0
    for number in range(size(small=10, full=140)):
        person = people[number % len(people)]
        cash = amounts[number % len(amounts)]
        order = await counter.buys(person, cash)
        about = counter.at_paypal(order)
        body = event("CHECKOUT.ORDER.APPROVED", about)
        paid = chance.random() < 0.7
        if paid:
            sold += 1
            expected[person] += shop.offer.compute_entitlement(parse_usd(cash)).total.units
            paypal.approve(order.external_id)
            if chance.random() < 0.5:
                body = event("PAYMENT.CAPTURE.COMPLETED", paypal.take(order.external_id))
        # Else so many open ones would be refused; what is agreed later is taken all the same.
        await counter.orders.end_unpaid(order, "expired")
        late = headers(body, at=time.time() - chance.choice([0, 60, 2 * 86_400]))
        messages += [(body, late)] * chance.randint(1, 6)
        for wrong in chance.sample(list(forgeries(body).values()), 4):
            messages.append(wrong)
            forged += 1
        if not paid:
            # Proven, and a lie: of another amount, in another currency, for another order.
            lie = {"id": "X", "status": "COMPLETED", "custom_id": order.id}
            lie |= {"amount": {"currency_code": "EUR", "value": "9999.00"}}
            told = event("PAYMENT.CAPTURE.COMPLETED", lie)
            messages.append((told, headers(told)))
    unknown = event("PAYMENT.CAPTURE.COMPLETED", {"id": "X", "custom_id": "ord_unknown"})
    messages.append((unknown, headers(unknown)))
    assert len(messages) >= size(small=50, full=1_000)
    chance.shuffle(messages)
    assert await counter.floods(messages) == forged == counter.inbox.counts["forged"]
    await counter.settles()
    for person in people:
        assert sum((await shop.has(person)).values()) == expected[person]
    assert set((await counter.webhooks()).values()) == {""}
    assert len(paypal.captures) == sold
    await shop.audited()
