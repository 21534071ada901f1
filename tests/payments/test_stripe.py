"""Stripe through its own unmodified library, against a peer that refuses what the real one does."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from core.db import schema
from core.ledger.types import LedgerUnavailable
from core.money import parse_usd
from core.notification import OPERATORS
from core.pool.vault import Vault
from payments.gateways.stripe import StripeGateway
from payments.refunds import NothingToRefund
from payments.types import GatewayUnavailable, InvalidSignature
from tests.payments.conftest import Shop
from tests.payments.stripe_support import Counter, counter
from tests.peers import stripe as fake
from tests.peers.stripe import FakeStripe, signature
from tests.support.size import size

__all__ = ["counter"]


async def test_from_checkout_to_credits(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "90")
    assert order.state == "pending"
    assert order.url.startswith("https://checkout.stripe.example/")
    _, _, asked = counter.stripe.calls[0]
    assert asked["client_reference_id"] == order.id
    assert asked["payment_intent_data"]["metadata"]["order"] == order.id
    assert asked["line_items"]["0"]["price_data"]["unit_amount"] == "9000"
    assert asked["locale"] == "zh"
    counter.stripe.pay(order.external_id, fee=291)
    body = counter.completed(order)
    for _ in range(3):
        await counter.hears(body)
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 9_000, "gift": 1_000}
    stands = await counter.shop.stands("cash/stripe", "gateway-fees", "sales")
    assert stands == [parse_usd("87.09").units, parse_usd("2.91").units, -parse_usd("90").units]
    assert len(await counter.webhooks()) == 1
    await counter.shop.audited()


async def test_what_stripe_adds_or_words_otherwise_changes_nothing(counter: Counter) -> None:
    """A price that was shown in another currency, and a message of an endpoint of years ago; each
    is signed by an old secret, another one and ours."""
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.stripe.pay(order.external_id)
    session = counter.stripe.sessions[order.external_id]
    session["presentment_details"] = {"presentment_amount": 931, "presentment_currency": "eur"}
    bare = {"id": session["id"], "object": "checkout.session"}
    kind = "checkout.session.completed"
    bodies = [
        counter.completed(order),
        counter.stripe.event(kind, bare, api_version="2019-12-03"),
    ]
    for body in bodies:
        time_part, proof = signature(body).split(",")
        wrong = signature(body, "whsec_of_yesterday").split(",")[1]
        await counter.hears(body, f"{time_part},{wrong},v1=00,{proof}")
    await counter.works()
    # A session's end may be told after its payment.
    await counter.hears(counter.completed(order, "expired"))
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    assert (await counter.again(order)).state == "credited"
    await counter.shop.audited()


async def test_the_same_button_makes_one_session(counter: Counter) -> None:
    person = await counter.shop.person()
    counter.stripe.broken = True
    with pytest.raises(GatewayUnavailable):
        await counter.buys(person, "10")
    counter.stripe.broken = False
    counter.presses = 0
    first = await counter.buys(person, "10")
    counter.presses = 0
    assert await counter.buys(person, "10") == first
    assert len(counter.stripe.sessions) == 1


async def test_unpaid_at_first_then_paid_or_failed(counter: Counter) -> None:
    person = await counter.shop.person()
    later, never = await counter.buys(person, "10"), await counter.buys(person, "10")
    for order in (later, never):
        counter.stripe.sessions[order.external_id] |= {"status": "complete"}
        await counter.hears(counter.completed(order))
    await counter.works()
    assert await counter.shop.has(person) == {}
    counter.stripe.pay(later.external_id)
    await counter.hears(counter.completed(later, "async_payment_succeeded"))
    counter.stripe.intents["pi_x"] = {"id": "pi_x", "status": "requires_payment_method"}
    counter.stripe.sessions[never.external_id]["payment_intent"] = "pi_x"
    await counter.hears(counter.completed(never, "async_payment_failed"))
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    assert (await counter.shop.orders.get(never.id)).state == "failed"
    await counter.shop.audited()


@pytest.mark.parametrize("reference", [None, "cart-77"])
async def test_what_others_sell_on_the_account_is_theirs(
    counter: Counter, reference: str | None
) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.stripe.pay(order.external_id)
    counter.stripe.sessions[order.external_id]["client_reference_id"] = reference
    await counter.hears(counter.completed(order))
    for _ in range(13):
        await counter.works()
        counter.shop.clock.advance(seconds=7 * 3_600)
    assert set((await counter.webhooks()).values()) == {""}
    assert await counter.shop.told(OPERATORS) == []
    assert await counter.shop.has(person) == {}


async def test_refunds_and_disputes_of_the_dashboard(counter: Counter) -> None:
    person = await counter.shop.person()
    stripe = counter.stripe
    order = await counter.buys(person, "100")
    intent = stripe.pay(order.external_id)
    refund = stripe.refund(intent, 100)
    # A refund that is heard of before its payment waits for it.
    await counter.hears(stripe.event("refund.created", stripe.refunds[refund]))
    await counter.works()
    await counter.hears(counter.completed(order))
    await counter.works()
    counter.shop.clock.advance(seconds=60)
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 9_900}
    stripe.refunds[refund]["status"] = "failed"
    await counter.hears(stripe.event("refund.failed", stripe.refunds[refund]))
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 10_000, "gift": 1_000}
    dispute = stripe.dispute(intent, status="warning_needs_response")
    await counter.hears(stripe.event("charge.dispute.created", stripe.disputes[dispute]))
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 10_000, "gift": 1_000}
    stripe.disputes[dispute]["status"] = "needs_response"
    await counter.hears(stripe.event("charge.dispute.updated", stripe.disputes[dispute]))
    await counter.works()
    assert await counter.shop.has(person) == {}
    stripe.disputes[dispute]["status"] = "won"
    await counter.hears(stripe.event("charge.dispute.closed", stripe.disputes[dispute]))
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 10_000, "gift": 1_000}
    await counter.shop.audited()


async def test_a_dispute_is_booked_though_its_beginning_was_never_heard(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    intent = counter.stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    await counter.works()
    dispute = counter.stripe.disputes[counter.stripe.dispute(intent, status="lost")]
    for kind in ("closed", "created"):
        await counter.hears(counter.stripe.event(f"charge.dispute.{kind}", dispute))
    await counter.works()
    assert await counter.shop.has(person) == {}
    assert await counter.shop.stands("disputed", "bad-debt") == [0, 0]
    await counter.shop.audited()


async def test_an_admin_gives_back_once_and_never_too_much(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "90")
    counter.stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    await counter.works()
    order = await counter.shop.orders.get(order.id)
    after = await counter.refunds.refund_order(order, parse_usd("40"), cause="btn_r1")
    assert await counter.shop.has(person) == {"bought": 5_000}
    # The same press again, as when the answer to it was lost.
    await counter.refunds.refund_order(order, parse_usd("40"), cause="btn_r1")
    assert await counter.shop.has(person) == {"bought": 5_000}
    with pytest.raises(NothingToRefund):
        await counter.refunds.refund_order(after, parse_usd("50.01"), cause="btn_r2")
    refunds = [one["amount"] for one in counter.stripe.refunds.values()]
    assert refunds == [4_000]
    await counter.shop.audited()


async def test_what_no_webhook_told_is_found(counter: Counter) -> None:
    person = await counter.shop.person()
    paid, left = await counter.buys(person, "10"), await counter.buys(person, "10")
    counter.stripe.pay(paid.external_id)
    assert await counter.reconciliation.reconcile_orders() == 0, (
        "young orders are left to the webhooks"
    )
    counter.shop.clock.advance(seconds=120)
    assert await counter.reconciliation.reconcile_orders() == 1
    assert await counter.shop.has(person) == {"bought": 1_000}
    counter.stripe.expire(left.external_id)
    assert await counter.reconciliation.reconcile_orders() == 1
    assert (await counter.shop.orders.get(left.id)).state == "expired"
    # Late: it counts when the gateway says so.
    counter.stripe.pay(left.external_id)
    await counter.hears(counter.completed(left))
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 2_000}
    await counter.shop.audited()


async def test_a_gateway_that_is_down_is_asked_again(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.stripe.pay(order.external_id)
    await counter.hears(counter.completed(order))
    counter.stripe.broken = True
    await counter.inbox.process_due()
    assert await counter.shop.has(person) == {}
    counter.stripe.broken = False
    counter.shop.clock.advance(seconds=60)
    await counter.works()
    assert await counter.shop.has(person) == {"bought": 1_000}
    await counter.shop.audited()


async def test_a_message_that_can_not_be_kept_is_not_acknowledged(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.stripe.pay(order.external_id)
    await counter.shop.ledger.stop()
    with pytest.raises(LedgerUnavailable):
        await counter.hears(counter.completed(order))
    await counter.shop.ledger.start()
    assert await counter.webhooks() == {}


def forgeries(counter: Counter, body: bytes) -> list[tuple[bytes, str]]:
    """Each way to forge it: the body, and its header."""
    said: dict[str, Any] = json.loads(body)
    live = json.dumps({**said, "livemode": True}).encode()
    other = json.dumps({**said, "account": "acct_other"}).encode()
    return [
        (body, ""),
        (body, "t=1,v1=00"),
        (body, signature(body, "whsec_of_another_endpoint")),
        (body, f"t={int(time.time())},v0=abc"),
        (json.dumps(said, indent=1).encode(), signature(body)),
        (body, signature(body, at=time.time() - 3_600)),
        (body, signature(body, at=time.time() + 3_600)),
        (live, signature(live)),
        (other, signature(other)),
        (b"\xff\xfe", "t=1,v1=00"),
        (b"[]", signature(b"[]")),
    ]


async def test_a_thousand_events_shuffled_doubled_and_forged(counter: Counter) -> None:
    """Credits granted are payments made, exactly; every forged one is refused and counted."""
    chance = random.Random(5)
    shop, stripe = counter.shop, counter.stripe
    people = [await shop.person() for _ in range(5)]
    amounts = ["1", "10", "99.99", "100", "90", "800"]
    expected = dict.fromkeys(people, 0)
    messages: list[tuple[bytes, str]] = []
    forged = 0
    orders = size(small=10, full=140)
    for number in range(orders):
        person = people[number % len(people)]
        cash = amounts[number % len(amounts)]
        order = await counter.buys(person, cash)
        paid = chance.random() < 0.7
        if paid:
            stripe.pay(order.external_id)
            expected[person] += shop.offer.compute_entitlement(parse_usd(cash)).total.units
        else:
            stripe.expire(order.external_id)
        # Else so many open ones would be refused; a payment that is told later counts all the same.
        await counter.orders.end_unpaid(order, "expired")
        body = counter.completed(order, "completed" if paid else "expired")
        messages += [(body, signature(body))] * chance.randint(1, 6)
        for wrong in chance.sample(forgeries(counter, body), 4):
            messages.append(wrong)
            forged += 1
    # One that lies about order, amount and currency in its body: Stripe itself is asked.
    lie = stripe.event(
        "checkout.session.completed",
        {**next(iter(stripe.sessions.values())), "amount_total": 10**9, "currency": "eur"},
    )
    messages.append((lie, signature(lie)))
    # Somebody else's sale on the same account.
    stripe.sessions["cs_other"] = {
        "id": "cs_other",
        "object": "checkout.session",
        "mode": "payment",
        "client_reference_id": None,
        "payment_status": "paid",
    }
    foreign = stripe.event("checkout.session.completed", stripe.sessions["cs_other"])
    messages.append((foreign, signature(foreign)))
    chance.shuffle(messages)

    told = [(body, {"stripe-signature": header}) for body, header in messages]
    assert await counter.floods(told) == forged == counter.inbox.counts["forged"]
    await counter.settles()
    for person in people:
        has = await shop.has(person)
        assert sum(has.values()) == expected[person]
    assert set((await counter.webhooks()).values()) == {""}
    await shop.audited()


async def test_no_secret_shows(counter: Counter, caplog: pytest.LogCaptureFixture) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.stripe.pay(order.external_id)
    body = counter.completed(order)
    with pytest.raises(InvalidSignature) as refused:
        await counter.hears(body, "t=1,v1=00")
    await counter.hears(body)
    counter.stripe.broken = True
    await counter.works()
    told = caplog.text + str(refused.value) + repr(counter.gateway) + await counter.kept()
    for secret in (fake.KEY, fake.WEBHOOK_SECRET):
        assert secret not in told
    rows = await counter.shop.store.fetch(sa.select(schema.webhook.c.sealed))
    assert order.external_id.encode() not in bytes(rows[0].sealed)


@pytest.mark.parametrize(("net", "fee"), [(720, "2.80"), (1_000, "0"), (-3, "10")])
async def test_stripe_itself_may_sell(shop: Shop, net: int, fee: str) -> None:
    """Its tax is none of ours: buyers pay what they read, and what arrives is booked."""
    shop.clock.at_ms = int(time.time() * 1000)
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    async with FakeStripe() as stripe:
        gateway = StripeGateway(
            api_key=SecretStr(fake.KEY),
            webhook_secret=SecretStr(fake.WEBHOOK_SECRET),
            return_url="https://bot.example/paid",
            api_url=stripe.url,
            managed_tax_code="txcd_10105001",
        )
        counter = Counter(shop, stripe, gateway, vault)
        person = await shop.person()
        order = await counter.buys(person, "10")
        _, _, asked = stripe.calls[0]
        price = asked["line_items"]["0"]["price_data"]
        assert asked["managed_payments"] == {"enabled": "true"}
        assert (price["tax_behavior"], price["product_data"]["tax_code"]) == (
            "inclusive",
            "txcd_10105001",
        )
        intent = stripe.intents[stripe.pay(order.external_id)]
        intent["latest_charge"]["balance_transaction"] |= {"fee": 60, "net": net}
        await counter.hears(counter.completed(order))
        await counter.works()
        assert await shop.has(person) == {"bought": 1_000}
        (kept,) = await shop.stands("gateway-fees")
        assert kept == parse_usd(fee).units
        await gateway.close()
        await shop.audited()
