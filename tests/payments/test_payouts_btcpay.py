"""A BTCPay Server's payouts on the wire: every state, what is lost, doubled, archived, refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest
import pytest_asyncio
from pydantic import SecretStr

from core.money import parse_usd
from payments.gateways.btcpay.payouts import BtcPayPayoutProvider
from payments.payouts import PayoutStatus
from payments.types import GatewayUnavailable
from tests.payments.gateway_clients import disburser_of
from tests.payments.payout_desks import payout_of
from tests.peers.btcpay import PERMISSIONS, RATE, STORE, FakeBtcPay

BOB = SecretStr("bc1qcanary0000000000000000000000000000bob")
ONE = payout_of()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeBtcPay]:
    async with FakeBtcPay() as fake:
        yield fake


@pytest_asyncio.fixture
async def ours(server: FakeBtcPay) -> AsyncIterator[BtcPayPayoutProvider]:
    disburser = disburser_of("btcpay", server.url)
    assert isinstance(disburser, BtcPayPayoutProvider)
    yield disburser
    await disburser.close()


async def sent(ours: BtcPayPayoutProvider) -> str:
    """Given to the server; its pull payment."""
    told = await ours.send_payout(ONE, BOB)
    assert (told.state, told.reason) == ("pending", "")
    return told.external_id


async def look(ours: BtcPayPayoutProvider, pull: str) -> PayoutStatus:
    return await ours.fetch_payout(replace(ONE, external_id=pull))


async def test_so_many_dollars_worth_of_coins(
    ours: BtcPayPayoutProvider, server: FakeBtcPay
) -> None:
    pull = await sent(ours)
    made = server.payouts.of(ONE.id)
    assert (made["originalAmount"], made["originalCurrency"]) == ("674.97", "USD")
    worth = Decimal(made["payoutAmount"]) * RATE
    assert abs(worth - Decimal("674.97")) < Decimal("0.001")
    assert made["state"] == "AwaitingPayment"
    assert made["metadata"] == {"payout": ONE.id}
    assert server.pull_payments[pull]["name"] == ONE.id
    assert server.pull_payments[pull]["autoApproveClaims"] is False
    assert (
        ours.get_payout_url(replace(ONE, external_id=pull)) == f"{server.url}/pull-payments/{pull}"
    )


@pytest.mark.parametrize("state", ["AwaitingApproval", "AwaitingPayment", "InProgress"])
async def test_what_is_not_confirmed_is_pending(
    ours: BtcPayPayoutProvider, server: FakeBtcPay, state: str
) -> None:
    pull = await sent(ours)
    server.payouts.becomes(ONE.id, state)
    assert await look(ours, pull) == PayoutStatus("pending", pull)


async def test_completed_is_paid_and_cancelled_has_failed(
    ours: BtcPayPayoutProvider, server: FakeBtcPay
) -> None:
    pull = await sent(ours)
    server.payouts.becomes(ONE.id, "Completed")
    assert await look(ours, pull) == PayoutStatus("paid", pull)
    server.payouts.becomes(ONE.id, "Cancelled")
    assert await look(ours, pull) == PayoutStatus("failed", pull, reason="Cancelled")
    # Asked for once more it is not made again.
    assert await ours.send_payout(ONE, BOB) == PayoutStatus("failed", pull, reason="Cancelled")
    assert len(server.payouts.made) == 1


async def test_without_a_rate_somebody_approves_it_there(
    ours: BtcPayPayoutProvider, server: FakeBtcPay
) -> None:
    server.payouts.rated = False
    pull = await sent(ours)
    assert server.payouts.of(ONE.id)["state"] == "AwaitingApproval"
    assert await look(ours, pull) == PayoutStatus("pending", pull)


async def test_whose_answer_was_lost_is_found_again(
    ours: BtcPayPayoutProvider, server: FakeBtcPay
) -> None:
    server.payouts.loses = 1
    with pytest.raises(GatewayUnavailable):
        await ours.send_payout(ONE, BOB)
    pull = await sent(ours)
    assert len(server.payouts.made) == len(server.pull_payments) == 1
    server.payouts.becomes(ONE.id, "Completed")
    assert (await ours.send_payout(ONE, BOB)) == PayoutStatus("paid", pull)


async def test_a_pull_payment_whose_payout_was_never_made_is_used(
    ours: BtcPayPayoutProvider, server: FakeBtcPay
) -> None:
    """It died between the two calls."""
    await ours._create_pull_payment(ONE)
    pull = await sent(ours)
    assert list(server.pull_payments) == [pull]


async def test_two_at_once_pay_once(ours: BtcPayPayoutProvider, server: FakeBtcPay) -> None:
    told = await asyncio.gather(
        *(ours.send_payout(ONE, BOB) for _ in range(4)), return_exceptions=True
    )
    assert all(isinstance(one, PayoutStatus | GatewayUnavailable) for one in told), told
    alive = [one for one in server.payouts.made.values() if one["state"] != "Cancelled"]
    assert len(alive) == 1
    assert (await ours.send_payout(ONE, BOB)).state == "pending"


async def test_an_archived_one_is_nobodys_guess(
    ours: BtcPayPayoutProvider, server: FakeBtcPay
) -> None:
    """The server hides what is behind it: it may have been paid."""
    pull = await sent(ours)
    server.payouts.becomes(ONE.id, "Completed")
    server.payouts.archives(ONE.id)
    for asked in (look(ours, pull), ours.send_payout(ONE, BOB)):
        with pytest.raises(GatewayUnavailable) as refused:
            await asked
        assert "look there" in refused.value.detail
    assert len(server.payouts.made) == 1


async def test_two_to_one_address_go_one_after_the_other(
    ours: BtcPayPayoutProvider, server: FakeBtcPay
) -> None:
    await sent(ours)
    other = payout_of("9", number=2)
    with pytest.raises(GatewayUnavailable) as refused:
        await ours.send_payout(other, BOB)
    assert refused.value.detail == "", "it passes by itself"
    server.payouts.becomes(ONE.id, "Completed")
    assert (await ours.send_payout(other, BOB)).state == "pending"


@pytest.mark.parametrize(
    ("cash", "address", "reason"),
    [("674.97", "not an address at all", "Destination"), ("0.01", "", "amount-too-low")],
)
async def test_what_never_works_has_failed(
    ours: BtcPayPayoutProvider, server: FakeBtcPay, cash: str, address: str, reason: str
) -> None:
    told = await ours.send_payout(payout_of(cash), SecretStr(address) if address else BOB)
    assert (told.state, told.reason) == ("failed", reason)
    assert all(one["state"] == "Cancelled" for one in server.payouts.made.values())


async def test_a_store_without_a_wallet_wants_its_owner(
    ours: BtcPayPayoutProvider, server: FakeBtcPay
) -> None:
    server.wallet = False
    with pytest.raises(GatewayUnavailable) as refused:
        await ours.send_payout(ONE, BOB)
    assert refused.value.detail == "the server says payoutMethods[0]"


async def test_another_amount_under_our_name_pays_nothing(
    ours: BtcPayPayoutProvider, server: FakeBtcPay
) -> None:
    pull = await sent(ours)
    server.payouts.becomes(ONE.id, "Completed")
    with pytest.raises(GatewayUnavailable) as refused:
        await ours.fetch_payout(replace(ONE, external_id=pull, cash=parse_usd("674.96")))
    assert "isn't ours" in refused.value.detail
    for external in ("nobody", "../../x", ""):
        with pytest.raises(GatewayUnavailable):
            await ours.fetch_payout(replace(ONE, external_id=external))


async def test_away_and_odd_answers(ours: BtcPayPayoutProvider, server: FakeBtcPay) -> None:
    pull = await sent(ours)
    server.payouts.of(ONE.id)["originalAmount"] = "much"
    with pytest.raises(GatewayUnavailable):
        await look(ours, pull)
    server.broken = True
    for asked in (ours.send_payout(ONE, BOB), look(ours, pull)):
        with pytest.raises(GatewayUnavailable) as refused:
            await asked
        assert refused.value.detail == ""


async def test_check_looks_at_the_keys_permissions(
    ours: BtcPayPayoutProvider, server: FakeBtcPay
) -> None:
    assert "sign" in await ours.check_account()
    server.permissions = [f"{one}:{STORE}" for one in PERMISSIONS[:2]]
    with pytest.raises(GatewayUnavailable) as refused:
        await ours.check_account()
    assert "cancreatepullpayments" in refused.value.detail
