"""PayPal Payouts on the wire: every state of a batch and of its item, duplicates, refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from pydantic import SecretStr

from core.money import usd
from payments.gateways.paypal.payouts import PayPalPayouts
from payments.payouts import Disbursed
from payments.types import GatewayUnavailable
from tests.fakes.paypal import FakePayPal
from tests.payments.ours import disburser_of
from tests.payments.paying import payout_of

BOB = SecretStr("bob@canary.example")
ONE = payout_of()


@pytest_asyncio.fixture
async def paypal() -> AsyncIterator[FakePayPal]:
    async with FakePayPal() as fake:
        yield fake


@pytest_asyncio.fixture
async def ours(paypal: FakePayPal) -> AsyncIterator[PayPalPayouts]:
    disburser = disburser_of("paypal", paypal.url)
    assert isinstance(disburser, PayPalPayouts)
    yield disburser
    await disburser.close()


async def sent(ours: PayPalPayouts) -> str:
    """Given to PayPal; its batch."""
    told = await ours.disburse(ONE, BOB)
    assert (told.state, told.reason) == ("pending", "")
    return told.external


async def look(ours: PayPalPayouts, batch: str) -> Disbursed:
    return await ours.disbursed(replace(ONE, external=batch))


async def test_a_batch_of_one_item_named_by_our_id(ours: PayPalPayouts, paypal: FakePayPal) -> None:
    batch = await sent(ours)
    method, path, body = paypal.calls[-1]
    assert (method, path) == ("POST", "/v1/payments/payouts")
    assert body == {
        "sender_batch_header": {"sender_batch_id": ONE.id},
        "items": [
            {
                "recipient_type": "EMAIL",
                "receiver": "bob@canary.example",
                "amount": {"value": "674.97", "currency": "USD"},
                "sender_item_id": ONE.id,
            }
        ],
    }
    assert await look(ours, batch) == Disbursed("pending", batch), "its items aren't told yet"


@pytest.mark.parametrize("status", ["PENDING", "UNCLAIMED", "ONHOLD", "SOMETHING_NEW"])
async def test_what_may_still_arrive_is_pending(
    ours: PayPalPayouts, paypal: FakePayPal, status: str
) -> None:
    batch = await sent(ours)
    paypal.payouts.works(ONE.id, status, error="RECEIVER_UNREGISTERED")
    assert await look(ours, batch) == Disbursed("pending", batch), "the batch is a SUCCESS"


async def test_what_arrived_cost_its_fee(ours: PayPalPayouts, paypal: FakePayPal) -> None:
    batch = await sent(ours)
    paypal.payouts.works(ONE.id, "SUCCESS", fee="1.37")
    assert await look(ours, batch) == Disbursed("paid", batch, fee=usd("1.37"))
    paypal.payouts.item(ONE.id)["payout_item_fee"] = {"currency": "EUR", "value": "1.20"}
    assert (await look(ours, batch)).fee == usd("0")


@pytest.mark.parametrize("status", ["FAILED", "RETURNED", "BLOCKED", "REFUNDED", "REVERSED"])
@pytest.mark.parametrize("error", ["RECEIVER_ACCOUNT_LOCKED", ""])
async def test_what_didnt_arrive_has_failed_with_its_code(
    ours: PayPalPayouts, paypal: FakePayPal, status: str, error: str
) -> None:
    batch = await sent(ours)
    paypal.payouts.works(ONE.id, status, error=error)
    assert await look(ours, batch) == Disbursed("failed", batch, reason=error or status)


@pytest.mark.parametrize("error", ["INSUFFICIENT_FUNDS", ""])
async def test_a_denied_batch_has_failed(
    ours: PayPalPayouts, paypal: FakePayPal, error: str
) -> None:
    batch = await sent(ours)
    paypal.payouts.denies(ONE.id, error=error)
    assert await look(ours, batch) == Disbursed("failed", batch, reason=error or "DENIED")


async def test_whose_answer_was_lost_is_led_to_the_first_batch(
    ours: PayPalPayouts, paypal: FakePayPal
) -> None:
    paypal.payouts.loses = 1
    told = await ours.disburse(ONE, BOB)
    assert paypal.payouts.calls == 2, "asked again at once"
    assert told == Disbursed("pending", paypal.payouts.sent[ONE.id])
    paypal.payouts.works(ONE.id, "SUCCESS")
    again = await ours.disburse(ONE, BOB)
    assert again.state == "paid"
    assert len(paypal.payouts.batches) == 1


async def test_a_duplicate_without_a_link_wants_somebody_to_look(
    ours: PayPalPayouts, paypal: FakePayPal
) -> None:
    await sent(ours)
    paypal.payouts.links = False
    with pytest.raises(GatewayUnavailable) as refused:
        await ours.disburse(ONE, BOB)
    assert "look there" in refused.value.why
    assert len(paypal.payouts.batches) == 1


async def test_a_receiver_that_is_none_never_works(ours: PayPalPayouts, paypal: FakePayPal) -> None:
    told = await ours.disburse(ONE, SecretStr("nobody"))
    assert told == Disbursed("failed", "", reason="VALIDATION_ERROR receiver")
    assert paypal.payouts.batches == {}


async def test_an_account_that_may_not_pay_keeps_it_waiting(
    ours: PayPalPayouts, paypal: FakePayPal
) -> None:
    paypal.payouts.allowed = False
    with pytest.raises(GatewayUnavailable) as refused:
        await ours.disburse(ONE, BOB)
    assert refused.value.why == "PayPal says AUTHORIZATION_ERROR"
    paypal.payouts.allowed = True
    await sent(ours)


async def test_away_is_away(ours: PayPalPayouts, paypal: FakePayPal) -> None:
    batch = await sent(ours)
    paypal.broken = True
    for asked in (ours.disburse(ONE, BOB), look(ours, batch)):
        with pytest.raises(GatewayUnavailable) as refused:
            await asked
        assert refused.value.why == "", "nobody has to do anything"


async def test_a_batch_that_isnt_ours_or_of_another_amount_pays_nothing(
    ours: PayPalPayouts, paypal: FakePayPal
) -> None:
    batch = await sent(ours)
    paypal.payouts.works(ONE.id, "SUCCESS")
    with pytest.raises(GatewayUnavailable, match="gateway_unavailable"):
        await ours.disbursed(replace(ONE, external=batch, cash=usd("674.96")))
    with pytest.raises(GatewayUnavailable):
        await ours.disbursed(replace(ONE, id="out_2", external=batch))
    for external in ("PNOBODY", "../v1/x", ""):
        with pytest.raises(GatewayUnavailable):
            await ours.disbursed(replace(ONE, external=external))


@pytest.mark.parametrize(
    "spoilt",
    [
        {"batch_header": None},
        {"items": [{"payout_item": {}}]},
        {"items": [{"payout_item": {"amount": {"currency": "USD", "value": "much"}}}]},
        {"items": "x"},
    ],
)
async def test_an_answer_that_nobody_understands_pays_nothing(
    ours: PayPalPayouts, paypal: FakePayPal, spoilt: dict[str, object]
) -> None:
    batch = await sent(ours)
    paypal.payouts.works(ONE.id, "SUCCESS")
    paypal.payouts.batches[batch].update(spoilt)
    with pytest.raises(GatewayUnavailable):
        await look(ours, batch)


async def test_check_tells_whether_payouts_are_allowed(
    ours: PayPalPayouts, paypal: FakePayPal
) -> None:
    assert await ours.probe() == ""
    paypal.scopes = "openid"
    other = disburser_of("paypal", paypal.url)
    assert "ask it to allow" in await other.probe(), "a doubt, no more"
    await other.close()
    paypal.broken = True
    other = disburser_of("paypal", paypal.url)
    with pytest.raises(GatewayUnavailable):
        await other.probe()
    await other.close()
