"""A BTCPay Server's payouts on the wire: every state, what is lost, doubled, archived, refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest
import pytest_asyncio
from pydantic import SecretStr

from core.money import usd
from payments.gateways.btcpay.payouts import BtcPayPayouts
from payments.payouts import Disbursed
from payments.types import GatewayUnavailable
from tests.fakes.btcpay import PERMISSIONS, RATE, STORE, FakeBtcPay
from tests.payments.ours import disburser_of
from tests.payments.paying import payout_of

BOB = SecretStr("bc1qcanary0000000000000000000000000000bob")
ONE = payout_of()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeBtcPay]:
    async with FakeBtcPay() as fake:
        yield fake


@pytest_asyncio.fixture
async def ours(server: FakeBtcPay) -> AsyncIterator[BtcPayPayouts]:
    disburser = disburser_of("btcpay", server.url)
    assert isinstance(disburser, BtcPayPayouts)
    yield disburser
    await disburser.close()


async def sent(ours: BtcPayPayouts) -> str:
    """Given to the server; its pull payment."""
    told = await ours.disburse(ONE, BOB)
    assert (told.state, told.reason) == ("pending", "")
    return told.external


async def look(ours: BtcPayPayouts, pull: str) -> Disbursed:
    return await ours.disbursed(replace(ONE, external=pull))


async def test_so_many_dollars_worth_of_coins(ours: BtcPayPayouts, server: FakeBtcPay) -> None:
    pull = await sent(ours)
    made = server.payouts.of(ONE.id)
    assert (made["originalAmount"], made["originalCurrency"]) == ("674.97", "USD")
    worth = Decimal(made["payoutAmount"]) * RATE
    assert abs(worth - Decimal("674.97")) < Decimal("0.001")
    assert made["state"] == "AwaitingPayment"
    assert made["metadata"] == {"payout": ONE.id}
    assert server.pull_payments[pull]["name"] == ONE.id
    assert server.pull_payments[pull]["autoApproveClaims"] is False
    assert ours.page(replace(ONE, external=pull)) == f"{server.url}/pull-payments/{pull}"


@pytest.mark.parametrize("state", ["AwaitingApproval", "AwaitingPayment", "InProgress"])
async def test_what_is_not_confirmed_is_pending(
    ours: BtcPayPayouts, server: FakeBtcPay, state: str
) -> None:
    pull = await sent(ours)
    server.payouts.becomes(ONE.id, state)
    assert await look(ours, pull) == Disbursed("pending", pull)


async def test_completed_is_paid_and_cancelled_has_failed(
    ours: BtcPayPayouts, server: FakeBtcPay
) -> None:
    pull = await sent(ours)
    server.payouts.becomes(ONE.id, "Completed")
    assert await look(ours, pull) == Disbursed("paid", pull)
    server.payouts.becomes(ONE.id, "Cancelled")
    assert await look(ours, pull) == Disbursed("failed", pull, reason="Cancelled")
    # Asked for once more it is not made again.
    assert await ours.disburse(ONE, BOB) == Disbursed("failed", pull, reason="Cancelled")
    assert len(server.payouts.made) == 1


async def test_without_a_rate_somebody_approves_it_there(
    ours: BtcPayPayouts, server: FakeBtcPay
) -> None:
    server.payouts.rated = False
    pull = await sent(ours)
    assert server.payouts.of(ONE.id)["state"] == "AwaitingApproval"
    assert await look(ours, pull) == Disbursed("pending", pull)


async def test_whose_answer_was_lost_is_found_again(
    ours: BtcPayPayouts, server: FakeBtcPay
) -> None:
    server.payouts.loses = 1
    with pytest.raises(GatewayUnavailable):
        await ours.disburse(ONE, BOB)
    pull = await sent(ours)
    assert len(server.payouts.made) == len(server.pull_payments) == 1
    server.payouts.becomes(ONE.id, "Completed")
    assert (await ours.disburse(ONE, BOB)) == Disbursed("paid", pull)


async def test_a_pull_payment_whose_payout_was_never_made_is_used(
    ours: BtcPayPayouts, server: FakeBtcPay
) -> None:
    """It died between the two calls."""
    await ours._make(ONE)
    pull = await sent(ours)
    assert list(server.pull_payments) == [pull]


async def test_two_at_once_pay_once(ours: BtcPayPayouts, server: FakeBtcPay) -> None:
    told = await asyncio.gather(
        *(ours.disburse(ONE, BOB) for _ in range(4)), return_exceptions=True
    )
    assert all(isinstance(one, Disbursed | GatewayUnavailable) for one in told), told
    alive = [one for one in server.payouts.made.values() if one["state"] != "Cancelled"]
    assert len(alive) == 1
    assert (await ours.disburse(ONE, BOB)).state == "pending"


async def test_an_archived_one_is_nobodys_guess(ours: BtcPayPayouts, server: FakeBtcPay) -> None:
    """The server hides what is behind it: it may have been paid."""
    pull = await sent(ours)
    server.payouts.becomes(ONE.id, "Completed")
    server.payouts.archives(ONE.id)
    for asked in (look(ours, pull), ours.disburse(ONE, BOB)):
        with pytest.raises(GatewayUnavailable) as refused:
            await asked
        assert "look there" in refused.value.why
    assert len(server.payouts.made) == 1


async def test_two_to_one_address_go_one_after_the_other(
    ours: BtcPayPayouts, server: FakeBtcPay
) -> None:
    await sent(ours)
    other = payout_of("9", number=2)
    with pytest.raises(GatewayUnavailable) as refused:
        await ours.disburse(other, BOB)
    assert refused.value.why == "", "it passes by itself"
    server.payouts.becomes(ONE.id, "Completed")
    assert (await ours.disburse(other, BOB)).state == "pending"


@pytest.mark.parametrize(
    ("cash", "address", "reason"),
    [("674.97", "not an address at all", "Destination"), ("0.01", "", "amount-too-low")],
)
async def test_what_never_works_has_failed(
    ours: BtcPayPayouts, server: FakeBtcPay, cash: str, address: str, reason: str
) -> None:
    told = await ours.disburse(payout_of(cash), SecretStr(address) if address else BOB)
    assert (told.state, told.reason) == ("failed", reason)
    assert all(one["state"] == "Cancelled" for one in server.payouts.made.values())


async def test_a_store_without_a_wallet_wants_its_owner(
    ours: BtcPayPayouts, server: FakeBtcPay
) -> None:
    server.wallet = False
    with pytest.raises(GatewayUnavailable) as refused:
        await ours.disburse(ONE, BOB)
    assert refused.value.why == "the server says payoutMethods[0]"


async def test_another_amount_under_our_name_pays_nothing(
    ours: BtcPayPayouts, server: FakeBtcPay
) -> None:
    pull = await sent(ours)
    server.payouts.becomes(ONE.id, "Completed")
    with pytest.raises(GatewayUnavailable) as refused:
        await ours.disbursed(replace(ONE, external=pull, cash=usd("674.96")))
    assert "isn't ours" in refused.value.why
    for external in ("nobody", "../../x", ""):
        with pytest.raises(GatewayUnavailable):
            await ours.disbursed(replace(ONE, external=external))


async def test_away_and_odd_answers(ours: BtcPayPayouts, server: FakeBtcPay) -> None:
    pull = await sent(ours)
    server.payouts.of(ONE.id)["originalAmount"] = "much"
    with pytest.raises(GatewayUnavailable):
        await look(ours, pull)
    server.broken = True
    for asked in (ours.disburse(ONE, BOB), look(ours, pull)):
        with pytest.raises(GatewayUnavailable) as refused:
            await asked
        assert refused.value.why == ""


async def test_check_looks_at_the_keys_permissions(ours: BtcPayPayouts, server: FakeBtcPay) -> None:
    assert "sign" in await ours.probe()
    server.permissions = [f"{one}:{STORE}" for one in PERMISSIONS[:2]]
    with pytest.raises(GatewayUnavailable) as refused:
        await ours.probe()
    assert "cancreatepullpayments" in refused.value.why
