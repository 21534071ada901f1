"""BTCPay, against a server on loopback with its own accounting: in parts, late, too much, given
back."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from core.money import parse_usd
from core.notification import OPERATORS
from payments.gateways.btcpay.checkout import LATE_SECONDS, SIGNATURE_HEADER
from payments.mismatches import UNPROCESSED
from payments.payment_warnings import PAYMENT_WARNED
from payments.refunds import NothingToRefund
from payments.types import GatewayUnavailable, InvalidSignature, Refund, RefundDeclined
from tests.payments import conftest
from tests.payments.btcpay_support import Counter, counter
from tests.payments.gateway_clients import OUR_URL, disburser_of
from tests.peers import btcpay as fake
from tests.peers.btcpay import RATE, STORE, signature

__all__ = ["counter"]


async def test_paid_in_full_counts_once_to_the_cent(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "90")
    assert order.url == counter.invoice(order)["checkoutLink"]
    method, path, asked = counter.btcpay.calls[-1]
    assert (method, path) == ("POST", f"/api/v1/stores/{STORE}/invoices")
    assert (asked["amount"], asked["currency"]) == ("90.00", "USD")
    assert asked["metadata"]["orderId"] == order.id
    assert asked["checkout"]["redirectURL"] == f"{OUR_URL}/paid?order={order.id}"
    assert asked["checkout"]["paymentTolerance"] == 0
    payment = counter.btcpay.pay(order.external_id, settled=False)
    for kind in ("ReceivedPayment", "Processing"):
        assert (await counter.told(order, kind)).paid == parse_usd("0"), "nothing is sure yet"
    counter.btcpay.confirm(order.external_id, payment)
    for kind in ("PaymentSettled", "Settled", "Settled"):
        order = await counter.told(order, kind)
    assert await counter.shop.has(person) == {"bought": 9_000, "gift": 1_000}
    # A satoshi up is not a cent more.
    stands = await counter.shop.stands("cash/btcpay", "gateway-fees", "sales")
    assert stands == [parse_usd("90").units, 0, -parse_usd("90").units]
    assert order.paid == parse_usd("90")
    await counter.shop.audited()


async def test_one_invoice_an_order_though_an_answer_is_lost(counter: Counter) -> None:
    order = await counter.buys(await counter.shop.person(), "10")
    again = await counter.gateway.create_checkout(order, "1,000 Credits", "en")
    assert again.external_id == order.external_id
    counter.btcpay.expire(order.external_id)
    assert (
        await counter.gateway.create_checkout(order, "1,000 Credits", "en")
    ).external_id != order.external_id


async def test_nothing_until_the_rest_arrives_however_late(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "90")
    counter.btcpay.pay(order.external_id, "50")
    order = await counter.told(order)
    assert (order.state, order.paid) == ("pending", parse_usd("50"))
    counter.btcpay.expire(order.external_id)
    await counter.told(order, "Expired")
    counter.shop.clock.advance(seconds=3_600)
    assert await counter.reconciliation.reconcile_orders() == 1
    order = await counter.again(order)
    assert (order.state, order.paid) == ("expired", parse_usd("50"))
    assert await counter.shop.has(person) == {}
    assert await counter.shop.stands("cash/btcpay") == [parse_usd("50").units]
    counter.btcpay.pay(order.external_id)
    order = await counter.told(order)
    assert (order.state, order.paid) == ("credited", parse_usd("90"))
    assert await counter.shop.has(person) == {"bought": 9_000, "gift": 1_000}
    await counter.shop.audited()


async def test_too_much_is_worth_the_free_rate(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "90")
    counter.btcpay.pay(order.external_id, "95.50")
    await counter.told(order)
    assert await counter.shop.has(person) == {"bought": 9_550, "gift": 1_000}
    await counter.shop.audited()


async def test_more_than_a_ledger_takes_is_told_once_and_stops_nobody(counter: Counter) -> None:
    person = await counter.shop.person()
    order, other = await counter.buys(person, "10"), await counter.buys(person, "20")
    counter.btcpay.pay(order.external_id, "2000000")
    counter.btcpay.pay(other.external_id)
    for _ in range(2):
        await counter.hears("PaymentSettled", order)
        await counter.works()
        counter.shop.clock.advance(seconds=3_600)
        await counter.reconciliation.reconcile_orders()
    told = [(kind, facts["order"]) for kind, facts in await counter.shop.told(OPERATORS)]
    assert told == [(UNPROCESSED, order.id)]
    assert set((await counter.webhooks()).values()) == {"payment_refused/amount"}
    assert await counter.shop.has(person) == {"bought": 2_000}
    await counter.shop.audited()


@pytest.mark.parametrize("confirmed", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_parts_of_cents_add_up_in_any_order(
    counter: Counter, confirmed: tuple[int, ...]
) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    value = (Decimal(10) / RATE / 3).quantize(Decimal("0.00000001")) + Decimal("0.00000001")
    payments = [
        counter.btcpay.pay(order.external_id, coins=str(value), settled=False) for _ in range(3)
    ]
    assert (value * RATE * 100) % 1, "each has a part of a cent"
    for number in confirmed:
        counter.btcpay.confirm(order.external_id, payments[number])
        order = await counter.told(order)
    assert counter.invoice(order)["status"] == "Settled"
    assert (order.state, order.paid) == ("credited", parse_usd("10"))
    assert await counter.shop.has(person) == {"bought": 1_000}
    await counter.shop.audited()


async def test_not_a_billionth_is_lacking(counter: Counter) -> None:
    """Over Lightning there are thousandths of a satoshi: eleven decimals at any rate."""
    person = await counter.shop.person()
    counter.btcpay.rate = Decimal(32_768)
    order = await counter.buys(person, "6.40")
    for coins in ("0.00009765624", "0.00009765626"):
        counter.btcpay.pay(order.external_id, coins=coins)
        order = await counter.told(order)
    assert counter.invoice(order)["status"] == "Settled"
    assert await counter.shop.has(person) == {"bought": 640}
    await counter.shop.audited()


async def test_dust_is_kept_until_it_is_a_cent(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.btcpay.pay(order.external_id)
    await counter.told(order)
    for _ in range(4):
        counter.btcpay.pay(order.external_id, coins="0.00000007")  # less than half a cent
        order = await counter.told(order)
    assert order.paid == parse_usd("10.01")
    assert await counter.shop.has(person) == {"bought": 1_001}
    told = await counter.shop.store.fetch(conftest.schema.notice.select())
    assert len(told) == 2, "less than a cent is nothing to be told of"
    await counter.shop.audited()


async def test_a_replaced_transaction_counts_for_nothing(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    replaced = counter.btcpay.pay(order.external_id, settled=False)
    counter.btcpay.confirm(order.external_id, replaced, "Invalid")
    order = await counter.told(order, "ReceivedPayment")
    assert (order.state, order.paid) == ("pending", parse_usd("0"))
    counter.btcpay.pay(order.external_id)
    await counter.told(order)
    assert await counter.shop.has(person) == {"bought": 1_000}
    await counter.shop.audited()


async def test_what_no_message_told_is_found_also_late(counter: Counter) -> None:
    person = await counter.shop.person()
    paid, late, never = [await counter.buys(person, "10") for _ in range(3)]
    counter.btcpay.pay(paid.external_id)
    counter.shop.clock.advance(seconds=120)
    assert await counter.reconciliation.reconcile_orders() == 1
    for order in (late, never):
        counter.btcpay.expire(order.external_id)
    assert await counter.reconciliation.reconcile_orders() == 2
    assert (await counter.again(late)).state == "expired"
    counter.btcpay.pay(late.external_id)
    assert counter.invoice(late)["additionalStatus"] == "PaidLate"
    assert await counter.reconciliation.reconcile_orders() == 1
    # What moved is asked about once more, for the comparison with the books.
    assert await counter.reconciliation.reconcile_orders() == 0
    calls = len(counter.btcpay.calls)
    assert await counter.reconciliation.reconcile_orders() == 0
    assert len(counter.btcpay.calls) == calls + 1, "what is known costs one list"
    assert await counter.shop.has(person) == {"bought": 2_000}
    # What is older than that is nobody's to find.
    counter.btcpay.pay(never.external_id)
    counter.invoice(never)["createdTime"] -= LATE_SECONDS + 3_600
    assert await counter.reconciliation.reconcile_orders() == 0
    await counter.shop.audited()


async def test_what_others_sell_at_the_store_is_theirs(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    theirs = {**counter.invoice(order), "id": "theirs", "metadata": {"orderId": "woo-7"}}
    counter.btcpay.invoices["theirs"], counter.btcpay.payments["theirs"] = theirs, []
    counter.btcpay.pay("theirs")
    for body in (
        counter.btcpay.event("InvoiceSettled", "theirs"),
        counter.btcpay.event("InvoiceSettled", "__test__7"),
        counter.btcpay.event("PayoutApproved", "theirs"),
    ):
        await counter.receives(body, {SIGNATURE_HEADER: signature(body)})
    await counter.works()
    assert set((await counter.webhooks()).values()) == {""}
    assert await counter.shop.has(person) == {}


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"currency": "EUR"}, "payment_refused/unit"),
        ({"id": "another"}, "payment_refused/checkout"),
    ],
)
async def test_an_invoice_that_does_not_fit_its_order(
    counter: Counter, change: dict[str, Any], verdict: str
) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    id_ = change.get("id", order.external_id)
    counter.btcpay.invoices[id_] = {**counter.invoice(order), **change}
    counter.btcpay.payments[id_] = []
    counter.btcpay.pay(id_)
    body = counter.btcpay.event("InvoiceSettled", id_)
    await counter.receives(body, {SIGNATURE_HEADER: signature(body)})
    await counter.works()
    assert list((await counter.webhooks()).values()) == [verdict]
    assert await counter.shop.has(person) == {}
    await counter.shop.audited()


# --- money that goes back -----------------------------------------------------------------------


async def test_an_admin_gives_back_parts_each_with_a_link(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "90")
    counter.btcpay.pay(order.external_id)
    order = await counter.told(order)
    after = await counter.refunds.refund_order(order, parse_usd("40"), cause="btn_r1")
    assert await counter.shop.has(person) == {"bought": 5_000}
    await counter.refunds.refund_order(order, parse_usd("40"), cause="btn_r1")
    assert [one["amount"] for one in counter.btcpay.pull_payments.values()] == ["40.00"]
    with pytest.raises(NothingToRefund):
        await counter.refunds.refund_order(after, parse_usd("50.01"), cause="btn_r2")
    await counter.refunds.refund_order(after, parse_usd("50"), cause="btn_r3")
    assert await counter.shop.has(person) == {}
    assert await counter.shop.stands("cash/btcpay") == [0]
    links = [one["viewLink"] for one in counter.btcpay.pull_payments.values()]
    rows = await counter.shop.store.fetch(conftest.schema.notice.select())
    given = [json.loads(row.data).get("claim") for row in rows if row.kind == "refunded"]
    assert sorted(given) == sorted(links)
    await counter.shop.audited()


async def test_what_was_paid_in_part_is_given_back_then_paid_after_all(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.btcpay.pay(order.external_id, "4")
    order = await counter.told(order)
    await counter.refunds.refund_order(order, parse_usd("4"), cause="btn_r1")
    assert await counter.shop.stands("cash/btcpay") == [0]
    counter.btcpay.pay(order.external_id, "6")
    order = await counter.told(order)
    assert await counter.shop.has(person) == {"bought": 600}, "four of the ten went back"
    counter.btcpay.pay(order.external_id, "4")
    await counter.told(order)
    assert await counter.shop.has(person) == {"bought": 1_000}
    await counter.shop.audited()


async def test_a_link_is_nobody_elses_to_read(counter: Counter) -> None:
    order = await counter.buys(await counter.shop.person(), "10")
    payment = counter.btcpay.pay(order.external_id)
    order = await counter.told(order)
    (news,) = await counter.gateway.refund_payment(order, payment, parse_usd("1"), "btn_r1")
    assert isinstance(news, Refund)
    assert news.claim_url.startswith("https://")
    assert news.claim_url not in repr(news)


async def test_a_key_that_may_not_refund_moves_nothing(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    counter.btcpay.pay(order.external_id)
    order = await counter.told(order)
    counter.btcpay.permissions.pop()
    with pytest.raises((RefundDeclined, GatewayUnavailable)):
        await counter.refunds.refund_order(order, parse_usd("1"), cause="btn_r1")
    assert await counter.shop.has(person) == {"bought": 1_000}


async def test_no_secret_shows(counter: Counter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    order = await counter.buys(await counter.shop.person(), "10")
    counter.btcpay.pay(order.external_id)
    body = counter.btcpay.event("InvoiceSettled", order.external_id)
    with pytest.raises(InvalidSignature) as refused:
        await counter.receives(body, {SIGNATURE_HEADER: "sha256=00"})
    await counter.receives(body, {SIGNATURE_HEADER: signature(body)})
    counter.btcpay.broken = True
    await counter.works()
    told = caplog.text + str(refused.value) + repr(counter.gateway) + await counter.kept()
    for secret in (fake.KEY, fake.WEBHOOK_SECRET):
        assert secret not in told


async def test_owners_hear_once_that_a_credited_invoice_is_invalid(counter: Counter) -> None:
    person = await counter.shop.person()
    order = await counter.buys(person, "10")
    unpaid = await counter.buys(person, "20")
    counter.btcpay.pay(order.external_id)
    await counter.hears("Settled", order)
    await counter.works()
    for one in (order, unpaid):
        counter.invoice(one)["status"] = "Invalid"
        for _ in range(2):
            await counter.hears("Invalid", one)
    await counter.works()
    for _ in range(3):  # asked again, it says so again
        counter.shop.clock.advance(days=3)
        await counter.reconciliation.reconcile_orders()
    ((kind, facts),) = await counter.shop.told(OPERATORS)
    assert (kind, facts["order"], facts["warning"]) == (PAYMENT_WARNED, order.id, "invalid")
    assert await counter.shop.has(person) == {"bought": 1_000}, "until somebody decides"
    assert set((await counter.webhooks()).values()) == {""}
    await counter.shop.audited()


@pytest.mark.parametrize(
    "version", ["2.4.2", "2.4.2.0", "2.4.10-rc1", "2.10.0+a1b2", "3.0", "v2.5.1"]
)
async def test_a_server_without_known_holes_passes(counter: Counter, version: str) -> None:
    counter.btcpay.version = version
    await counter.gateway.check_account()


@pytest.mark.parametrize("version", ["2.4.1", "2.4", "2.3.10", "1.13.7", "", "newest", "2"])
async def test_an_old_server_or_one_that_does_not_say_is_red(
    counter: Counter, version: str
) -> None:
    counter.btcpay.version = version
    provider = disburser_of("btcpay", counter.btcpay.url)
    for ours in (counter.gateway, provider):
        with pytest.raises(GatewayUnavailable) as refused:
            await ours.check_account()
        assert "the server" in refused.value.detail
    await provider.close()
