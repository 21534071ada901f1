"""What a BTCPay Server tells, and what others would like us to believe: forgeries, a flood."""

from __future__ import annotations

import json
import random
import time
from decimal import Decimal
from typing import Any

import pytest

from core.money import parse_usd
from payments.gateways.btcpay.checkout import SIGNATURE_HEADER
from payments.types import InvalidSignature, Order
from tests.payments.btcpay_support import Counter, counter
from tests.payments.conftest import Message
from tests.peers.btcpay import RATE, signature
from tests.support.size import size

__all__ = ["counter"]


def forgeries(counter: Counter, body: bytes) -> dict[str, Message]:
    """Each way to forge it."""
    said: dict[str, Any] = json.loads(body)
    other = json.dumps({**said, "storeId": "another store"}).encode()
    nameless = json.dumps({**said, "deliveryId": None}).encode()
    deep = b"[" * 50_000
    return {
        "nothing": (body, {}),
        "no secret": (body, {SIGNATURE_HEADER: "sha256="}),
        "empty secret": (body, {SIGNATURE_HEADER: signature(body, "")}),
        "another secret": (body, {SIGNATURE_HEADER: signature(body, "of-another-webhook")}),
        "written anew": (json.dumps(said).encode(), {SIGNATURE_HEADER: signature(body)}),
        "another algorithm": (body, {SIGNATURE_HEADER: signature(body).replace("sha256", "sha1")}),
        "in capitals": (body, {SIGNATURE_HEADER: signature(body).upper()}),
        "odd": (body, {SIGNATURE_HEADER: "sha256=é"}),
        "another store": (other, {SIGNATURE_HEADER: signature(other)}),
        "no id": (nameless, {SIGNATURE_HEADER: signature(nameless)}),
        "list": (b"[]", {SIGNATURE_HEADER: signature(b"[]")}),
        "bytes": (b"\xff\xfe", {SIGNATURE_HEADER: signature(b"\xff\xfe")}),
        "deep": (deep, {SIGNATURE_HEADER: signature(deep)}),
    }


async def test_each_way_to_forge_is_refused(counter: Counter) -> None:
    order = await counter.buys(await counter.shop.person(), "10")
    body = counter.btcpay.event("InvoiceSettled", order.external_id)
    for message in forgeries(counter, body).values():
        with pytest.raises(InvalidSignature):
            await counter.receives(*message)
    assert await counter.webhooks() == {}


async def test_a_thousand_events_shuffled_doubled_and_forged(counter: Counter) -> None:
    """Credits granted are payments made, exactly; every forged one is refused and counted."""
    chance = random.Random(13)
    shop = counter.shop
    people = [await shop.person() for _ in range(5)]
    amounts = ["1", "10", "99.99", "100", "90", "800"]
    expected = dict.fromkeys(people, 0)
    messages: list[Message] = []
    forged = 0
    for number in range(size(small=10, full=140)):
        person = people[number % len(people)]
        cash = amounts[number % len(amounts)]
        order = await counter.buys(person, cash)
        paid = _pays(counter, chance, order)
        given = (
            shop.offer.compute_entitlement(parse_usd(cash)).total.units
            if paid >= Decimal(cash)
            else 0
        )
        surplus = int((paid - Decimal(cash)) * 100) if given else 0
        expected[person] += given + surplus
        # Else so many open ones would be refused; a payment that comes late counts all the same.
        await counter.orders.end_unpaid(order, "expired")
        old = {"timestamp": int(time.time()) - chance.choice([0, 30 * 86_400])}
        kind = chance.choice(["PaymentSettled", "Settled", "Expired", "ReceivedPayment"])
        lie = {"metadata": {"orderId": "ord_other"}, "overPaid": True, "manuallyMarked": True}
        body = counter.btcpay.event(f"Invoice{kind}", order.external_id, **old, **lie)
        messages += [(body, {SIGNATURE_HEADER: signature(body)})] * chance.randint(1, 6)
        again = counter.btcpay.event(f"Invoice{kind}", order.external_id, isRedelivery=True)
        messages.append((again, {SIGNATURE_HEADER: signature(again)}))
        messages += chance.sample(list(forgeries(counter, body).values()), 4)
        forged += 4
    assert len(messages) >= size(small=50, full=1_000)
    chance.shuffle(messages)
    assert await counter.floods(messages) == forged == counter.inbox.counts["forged"]
    await counter.settles()
    for person in people:
        assert sum((await shop.has(person)).values()) == expected[person]
    assert set((await counter.webhooks()).values()) == {""}
    await shop.audited()


def _pays(counter: Counter, chance: random.Random, order: Order) -> Decimal:
    """Nothing, a part, all in up to three parts, or too much; the dollars that will be settled."""
    due = Decimal(counter.invoice(order)["amount"])
    sends = chance.choice([[], [due / 2], [due], [due / 3, due / 3, due], [due + Decimal("1.50")]])
    value = Decimal(0)
    for dollars in sends:
        payment = counter.btcpay.pay(order.external_id, str(dollars))
        sent = next(
            one for one in counter.btcpay.payments[order.external_id] if one["id"] == payment
        )
        value += Decimal(sent["value"]) * RATE
    unsure = counter.btcpay.pay(order.external_id, "5", settled=False)
    if chance.random() < 0.5:
        counter.btcpay.confirm(order.external_id, unsure, "Invalid")
    return value
