"""What becomes of refunds at BTCPay: in coins by the server's own button, of a page that is closed
before anybody used it; and of invoices that the chain never confirms, or confirms after all."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.money import parse_usd
from core.notification import OPERATORS
from payments.fulfillment import ARRIVED_NOT, ON_ITS_WAY, PAID
from payments.gateways.btcpay import refunds
from payments.payment_warnings import PAYMENT_WARNED
from tests.payments.btcpay_support import Counter, counter
from tests.peers.btcpay import FakeBtcPay

__all__ = ["counter"]


@pytest.fixture(autouse=True)
def _no_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refunds, "_LIST_SECONDS", -1.0)


def makes_pull(btcpay: FakeBtcPay, invoice: str, amount: str, currency: str) -> None:
    """By the server's own button on the invoice's page."""
    id_ = f"pullbutton{len(btcpay.pull_payments)}"
    btcpay.pull_payments[id_] = {
        "id": id_,
        "name": f"Refund {invoice}",
        "currency": currency,
        "amount": amount,
        "archived": False,
        "viewLink": f"https://pay.example/pull-payments/{id_}",
    }


async def days_pass(counter: Counter) -> None:
    for _ in range(3):
        counter.shop.clock.advance(days=2)
        await counter.reconciliation.reconcile_orders()


@pytest.mark.parametrize(("part", "left"), [(Decimal(1), 0), (Decimal("0.4"), 600)])
async def test_a_refund_in_coins_is_worth_what_its_invoice_says(
    counter: Counter, part: Decimal, left: int
) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.btcpay.pay(order.external_id)
    order = await counter.told(order)
    ((payment),) = counter.btcpay.payments[order.external_id]
    coins = (Decimal(payment["value"]) * part).quantize(Decimal("0.00000001"))
    makes_pull(counter.btcpay, order.external_id, str(coins), "BTC")
    await days_pass(counter)
    assert await counter.shop.has(person) == ({"bought": left} if left else {})
    assert await counter.shop.stands("cash/btcpay") == [left * parse_usd("0.01").units]
    assert await counter.reconciliation.compare_with_books()
    assert await counter.shop.told(OPERATORS) == []
    await counter.shop.audited()


async def test_a_refund_in_a_currency_of_no_known_rate_stops_nobody(counter: Counter) -> None:
    person = await counter.shop.person()
    order, other = await counter.buys(person, "10"), await counter.buys(person, "20")
    for one in (order, other):
        counter.btcpay.pay(one.external_id)
        await counter.told(one)
    makes_pull(counter.btcpay, order.external_id, "3", "EUR")
    makes_pull(counter.btcpay, other.external_id, "20", "USD")
    await days_pass(counter)
    assert await counter.shop.has(person) == {"bought": 1_000}
    await counter.shop.audited()


async def test_owners_hear_once_of_a_refund_whose_page_was_closed(counter: Counter) -> None:
    """Claims of an archived page are hidden, so nothing is taken for granted."""
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.btcpay.pay(order.external_id)
    order = await counter.told(order)
    await counter.refunds.refund_order(order, parse_usd("4"), cause="btn_r1")
    (pull,) = counter.btcpay.pull_payments.values()
    pull["archived"] = True
    await days_pass(counter)
    ((kind, facts),) = await counter.shop.told(OPERATORS)
    assert (kind, facts["warning"], facts["reason"]) == (PAYMENT_WARNED, "archived", "$4.00")
    assert await counter.shop.has(person) == {"bought": 600}
    await counter.shop.audited()


async def test_what_an_invalid_invoice_waited_for_has_failed_until_it_comes(
    counter: Counter,
) -> None:
    """Never confirmed in time: the buyer reads so, and has it when it is confirmed after all."""
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    payment = counter.btcpay.pay(order.external_id, settled=False)
    order = await counter.told(order)
    assert order.state == "processing"
    counter.shop.clock.advance(seconds=600)
    counter.invoice(order)["status"] = "Invalid"
    order = await counter.told(order)
    assert order.state == "failed"
    await days_pass(counter)
    counter.btcpay.confirm(order.external_id, payment)
    counter.invoice(order)["status"] = "Settled"
    await days_pass(counter)
    assert await counter.shop.has(person) == {"bought": 1_000}
    kinds = [kind for kind, _ in await counter.shop.told(person)]
    assert kinds == [ON_ITS_WAY, ARRIVED_NOT, PAID]
    assert await counter.shop.told(OPERATORS) == []
    await counter.shop.audited()
