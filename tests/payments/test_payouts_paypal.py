"""PayPal Payouts on the wire: every state of a batch and of its item, duplicates, refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from pydantic import SecretStr

from core.money import parse_usd
from payments.gateways.paypal.payouts import PayPalPayoutProvider
from payments.payouts import UNFUNDED_PREFIX, PayoutStatus
from payments.types import GatewayUnavailable
from tests.payments.gateway_clients import disburser_of
from tests.payments.payout_desks import payout_of
from tests.peers.paypal import FakePayPal

BOB = SecretStr("bob@canary.example")
ONE = payout_of()


@pytest_asyncio.fixture
async def paypal() -> AsyncIterator[FakePayPal]:
    async with FakePayPal() as fake:
        yield fake


@pytest_asyncio.fixture
async def ours(paypal: FakePayPal) -> AsyncIterator[PayPalPayoutProvider]:
    disburser = disburser_of("paypal", paypal.url)
    assert isinstance(disburser, PayPalPayoutProvider)
    yield disburser
    await disburser.close()


async def sent(ours: PayPalPayoutProvider) -> str:
    """Given to PayPal; its batch."""
    told = await ours.send_payout(ONE, BOB)
    assert (told.state, told.reason) == ("pending", "")
    return told.external_id


async def look(ours: PayPalPayoutProvider, batch: str) -> PayoutStatus:
    return await ours.fetch_payout(replace(ONE, external_id=batch))


async def test_a_batch_of_one_item_named_by_our_id(
    ours: PayPalPayoutProvider, paypal: FakePayPal
) -> None:
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
    assert await look(ours, batch) == PayoutStatus("pending", batch), "its items aren't told yet"


@pytest.mark.parametrize("status", ["PENDING", "UNCLAIMED", "ONHOLD", "SOMETHING_NEW"])
async def test_what_may_still_arrive_is_pending(
    ours: PayPalPayoutProvider, paypal: FakePayPal, status: str
) -> None:
    batch = await sent(ours)
    paypal.payouts.works(ONE.id, status, error="RECEIVER_UNREGISTERED")
    assert await look(ours, batch) == PayoutStatus("pending", batch), "the batch is a SUCCESS"


async def test_what_arrived_cost_its_fee(ours: PayPalPayoutProvider, paypal: FakePayPal) -> None:
    batch = await sent(ours)
    paypal.payouts.works(ONE.id, "SUCCESS", fee="1.37")
    assert await look(ours, batch) == PayoutStatus("paid", batch, fee=parse_usd("1.37"))
    paypal.payouts.item(ONE.id)["payout_item_fee"] = {"currency": "EUR", "value": "1.20"}
    assert (await look(ours, batch)).fee == parse_usd("0")


@pytest.mark.parametrize("status", ["FAILED", "RETURNED", "BLOCKED", "REFUNDED", "REVERSED"])
@pytest.mark.parametrize("error", ["RECEIVER_ACCOUNT_LOCKED", ""])
async def test_what_didnt_arrive_has_failed_with_its_code(
    ours: PayPalPayoutProvider, paypal: FakePayPal, status: str, error: str
) -> None:
    batch = await sent(ours)
    paypal.payouts.works(ONE.id, status, error=error)
    assert await look(ours, batch) == PayoutStatus("failed", batch, reason=error or status)


@pytest.mark.parametrize("error", ["RECEIVER_ACCOUNT_LOCKED", ""])
async def test_a_denied_batch_has_failed(
    ours: PayPalPayoutProvider, paypal: FakePayPal, error: str
) -> None:
    batch = await sent(ours)
    paypal.payouts.denies(ONE.id, error=error)
    assert await look(ours, batch) == PayoutStatus("failed", batch, reason=error or "DENIED")


@pytest.mark.parametrize("is_item", [False, True])
async def test_what_our_own_account_lacks_is_sent_anew_by_another_name(
    ours: PayPalPayoutProvider, paypal: FakePayPal, *, is_item: bool
) -> None:
    batch, paid = await sent(ours), paypal.payouts
    if is_item:
        paid.works(ONE.id, "FAILED", error="INSUFFICIENT_FUNDS")
    else:
        paid.denies(ONE.id, error="INSUFFICIENT_FUNDS")
    told = await look(ours, batch)
    assert (told.state, told.external_id) == ("unfunded", batch)
    assert "your PayPal balance is too low" in told.reason
    waiting = replace(ONE, external_id=f"{UNFUNDED_PREFIX}{batch}")
    paid.loses = 1
    first = await ours.send_payout(waiting, BOB)
    again = await ours.send_payout(waiting, BOB)
    assert first == again
    assert (first.state, first.external_id) == ("pending", paid.sent[f"{ONE.id}-{batch}"])
    paid.works(f"{ONE.id}-{batch}", "SUCCESS")
    assert (await look(ours, first.external_id)).state == "paid"
    assert len(paid.batches) == 2


async def test_whose_answer_was_lost_is_led_to_the_first_batch(
    ours: PayPalPayoutProvider, paypal: FakePayPal
) -> None:
    paypal.payouts.loses = 1
    told = await ours.send_payout(ONE, BOB)
    assert paypal.payouts.calls == 2, "asked again at once"
    assert told == PayoutStatus("pending", paypal.payouts.sent[ONE.id])
    paypal.payouts.works(ONE.id, "SUCCESS")
    again = await ours.send_payout(ONE, BOB)
    assert again.state == "paid"
    assert len(paypal.payouts.batches) == 1


async def test_a_duplicate_without_a_link_wants_somebody_to_look(
    ours: PayPalPayoutProvider, paypal: FakePayPal
) -> None:
    await sent(ours)
    paypal.payouts.links = False
    with pytest.raises(GatewayUnavailable) as refused:
        await ours.send_payout(ONE, BOB)
    assert "look there" in refused.value.detail
    assert len(paypal.payouts.batches) == 1


async def test_a_receiver_that_is_none_never_works(
    ours: PayPalPayoutProvider, paypal: FakePayPal
) -> None:
    told = await ours.send_payout(ONE, SecretStr("nobody"))
    assert told == PayoutStatus("failed", "", reason="VALIDATION_ERROR receiver")
    assert paypal.payouts.batches == {}


async def test_an_account_that_may_not_pay_keeps_it_waiting(
    ours: PayPalPayoutProvider, paypal: FakePayPal
) -> None:
    paypal.payouts.allowed = False
    with pytest.raises(GatewayUnavailable) as refused:
        await ours.send_payout(ONE, BOB)
    assert refused.value.detail == "PayPal says AUTHORIZATION_ERROR"
    paypal.payouts.allowed = True
    await sent(ours)


async def test_away_is_away(ours: PayPalPayoutProvider, paypal: FakePayPal) -> None:
    batch = await sent(ours)
    paypal.broken = True
    for asked in (ours.send_payout(ONE, BOB), look(ours, batch)):
        with pytest.raises(GatewayUnavailable) as refused:
            await asked
        assert refused.value.detail == "", "nobody has to do anything"


async def test_a_batch_that_isnt_ours_or_of_another_amount_pays_nothing(
    ours: PayPalPayoutProvider, paypal: FakePayPal
) -> None:
    batch = await sent(ours)
    paypal.payouts.works(ONE.id, "SUCCESS")
    with pytest.raises(GatewayUnavailable, match="gateway_unavailable"):
        await ours.fetch_payout(replace(ONE, external_id=batch, cash=parse_usd("674.96")))
    with pytest.raises(GatewayUnavailable):
        await ours.fetch_payout(replace(ONE, id="out_2", external_id=batch))
    for external in ("PNOBODY", "../v1/x", ""):
        with pytest.raises(GatewayUnavailable):
            await ours.fetch_payout(replace(ONE, external_id=external))


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
    ours: PayPalPayoutProvider, paypal: FakePayPal, spoilt: dict[str, object]
) -> None:
    batch = await sent(ours)
    paypal.payouts.works(ONE.id, "SUCCESS")
    paypal.payouts.batches[batch].update(spoilt)
    with pytest.raises(GatewayUnavailable):
        await look(ours, batch)


async def test_check_tells_whether_payouts_are_allowed(
    ours: PayPalPayoutProvider, paypal: FakePayPal
) -> None:
    assert await ours.check_account() == ""
    paypal.scopes = "openid"
    other = disburser_of("paypal", paypal.url)
    assert "ask it to allow" in await other.check_account(), "a doubt, no more"
    await other.close()
    paypal.broken = True
    other = disburser_of("paypal", paypal.url)
    with pytest.raises(GatewayUnavailable):
        await other.check_account()
    await other.close()
