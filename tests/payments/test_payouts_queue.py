"""Paid by hand; and many payouts at once, of gateways that are silent or want something."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

import payments.payouts as room
from core.db import schema
from core.db.writes import Insert
from core.earnings.payouts import (
    PAYOUT_STUCK,
    PAYOUT_WAITS,
    Payout,
    PayoutStateConflict,
    WithdrawalBlocked,
)
from core.money import parse_usd
from core.pool.vault import Vault
from payments.payouts import PayoutStatus
from payments.types import GatewayUnavailable
from tests.payments.conftest import Shop
from tests.payments.gateway_clients import MASTER, disburser_of
from tests.payments.payout_desks import Desk, bank_of, desk
from tests.peers.paypal import FakePayPal

__all__ = ["desk"]

#: 1,000 Credits.
CASH = parse_usd("9").units


async def test_by_hand_it_is_begun_before_it_is_paid(desk: Desk) -> None:
    one = await desk.approved("manual")
    await desk.works()
    assert (await desk.now(one)).state == "approved", "no chore pays it"
    with pytest.raises(PayoutStateConflict):
        await desk.payouts.confirm_manual_payment(one.id)
    begun = await desk.payouts.begin_manual_payment(one.id)
    assert (begun.state, desk.payouts.is_manual(begun)) == ("sent", True)
    assert "GB" in (await desk.addresses.get_address(begun)).get_secret_value()
    with pytest.raises(PayoutStateConflict):
        await desk.withdrawals.cancel_payout(one.id, [one.person])
    with pytest.raises(PayoutStateConflict):
        await desk.payouts.begin_manual_payment(one.id)
    await desk.payouts.confirm_manual_payment(one.id)
    assert await desk.shop.stands("cash/manual", "payouts-in-transit") == [-CASH, 0]
    with pytest.raises(PayoutStateConflict):
        await desk.payouts.confirm_manual_payment(one.id)
    # The bank sends it back a week later.
    await desk.withdrawals.mark_returned(await desk.now(one), reason="no such account")
    assert await desk.shop.stands("cash/manual", "payouts") == [0, 0]
    assert await desk.shop.has(one.person) == {"earned": 1_000}
    await desk.audited()


async def test_by_hand_is_checked_again_too(desk: Desk) -> None:
    one = await desk.approved("manual")
    owed = {"id": "ord_x", "person": one.person, "dispute_state": "open", "state": "credited"}
    row = {
        column.name: 0 if str(column.type) == "BIGINT" else ""
        for column in schema.order.columns
        if not column.nullable
    }
    await desk.shop.ledger.record(Insert(schema.order, {**row, **owed}))
    with pytest.raises(WithdrawalBlocked):
        await desk.payouts.begin_manual_payment(one.id)
    assert (await desk.now(one)).state == "approved"


async def test_many_by_hand_keep_no_gateway_from_paying(shop: Shop) -> None:
    vault = await Vault.open([MASTER], shop.store, shop.ledger)
    async with bank_of("sandbox") as bank:
        disburser = disburser_of("sandbox", bank.url)
        desk = Desk(shop, vault, {"sandbox": disburser})
        for _ in range(60):
            await desk.approved("manual", amount=100)
        one = await desk.approved("sandbox")
        await desk.works()
        assert bank.has() == [one.id]
        await disburser.close()
    await desk.audited()


# --- many of them ---------------------------------------------------------------------------------


class Refuses:
    """A gateway that never answers, counting how often it is asked; or one that has something to
    say."""

    idempotency_days, return_window_days = 30, 0

    def __init__(self, why: str = "") -> None:
        self.asked, self.why = 0, why

    async def check_account(self) -> str:
        return ""

    async def send_payout(self, payout: Payout, address: SecretStr) -> PayoutStatus:
        self.asked += 1
        raise GatewayUnavailable(payout.method, self.why)

    async def fetch_payout(self, payout: Payout) -> PayoutStatus:
        raise GatewayUnavailable(payout.method, self.why)

    def get_payout_url(self, payout: Payout) -> str:
        return ""

    async def close(self) -> None:
        pass


async def test_a_silent_gateway_is_asked_about_one_at_a_time_and_holds_up_no_other(
    shop: Shop,
) -> None:
    vault = await Vault.open([MASTER], shop.store, shop.ledger)
    silent = Refuses()
    async with bank_of("sandbox") as bank:
        disburser = disburser_of("sandbox", bank.url)
        desk = Desk(shop, vault, {"paypal": silent, "sandbox": disburser})
        for _ in range(5):
            await desk.approved("paypal")
        one = await desk.approved("sandbox")
        await desk.works()
        assert silent.asked == 1
        assert bank.has() == [one.id]
        await disburser.close()
    await desk.audited()


async def test_no_two_ask_a_gateway_for_the_same_one(shop: Shop) -> None:
    """Also one that would pay twice: the first time, and after an answer was lost."""
    vault = await Vault.open([MASTER], shop.store, shop.ledger)

    class Counts(Refuses):
        async def send_payout(self, payout: Payout, address: SecretStr) -> PayoutStatus:
            await asyncio.sleep(0.05)
            return await super().send_payout(payout, address)

    counts = Counts("look there")
    desk = Desk(shop, vault, {"paypal": counts})
    await desk.approved("paypal")
    for asked in (1, 2):
        await asyncio.gather(*(desk.payouts.process_due_payouts() for _ in range(4)))
        assert counts.asked == asked
        shop.clock.advance(seconds=7_200)
    await desk.audited()


async def test_while_payouts_are_paused_nothing_is_sent_and_what_was_sent_is_followed(
    shop: Shop,
) -> None:
    vault = await Vault.open([MASTER], shop.store, shop.ledger)
    counts = Refuses("look there")
    desk = Desk(shop, vault, {"paypal": counts})
    sent = await desk.approved("paypal")
    await desk.payouts.process_due_payouts()
    assert ((await desk.now(sent)).state, counts.asked) == ("sent", 1)
    desk.paused = True
    waits = await desk.approved("paypal")
    shop.clock.advance(seconds=7_200)
    await desk.payouts.process_due_payouts()
    assert ((await desk.now(waits)).state, counts.asked) == ("approved", 2)
    desk.paused = False
    shop.clock.advance(seconds=7_200)
    await desk.payouts.process_due_payouts()
    assert (await desk.now(waits)).state == "sent"
    await desk.audited()


async def test_owners_hear_once_that_a_gateway_wants_something_of_them(shop: Shop) -> None:
    vault = await Vault.open([MASTER], shop.store, shop.ledger)
    refuses = Refuses("PayPal says AUTHORIZATION_ERROR")
    desk = Desk(shop, vault, {"paypal": refuses})
    one, other = await desk.approved("paypal"), await desk.approved("paypal")
    await desk.works(times=3)
    stuck = [heard for heard in await desk.owners_heard() if heard[0] == PAYOUT_STUCK]
    assert stuck == [(PAYOUT_STUCK, "PayPal says AUTHORIZATION_ERROR")] * 2, "one a payout"
    assert {(await desk.now(payout)).state for payout in (one, other)} == {"sent"}
    await desk.audited()


async def test_soon_is_soon_or_not_at_all(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An admin's tap waits a little for a gateway; whatever becomes of it the chore goes on."""
    vault = await Vault.open([MASTER], shop.store, shop.ledger)
    hangs = asyncio.Event()

    class Hangs(Refuses):
        async def send_payout(self, payout: Payout, address: SecretStr) -> PayoutStatus:
            await hangs.wait()
            return PayoutStatus("paid", "x")

    monkeypatch.setattr("payments.payouts._SOON_SECONDS", 1.0)
    desk = Desk(shop, vault, {"paypal": Hangs()})
    one = await desk.approved("paypal")
    await desk.payouts.try_send_now(one.id)
    assert (await desk.now(one)).state == "sent"
    hangs.set()
    desk.shop.clock.advance(seconds=200)
    await desk.works()
    assert (await desk.now(one)).state == "paid"
    await desk.audited()


def test_a_claim_outlives_the_work() -> None:
    assert room._CLAIM_MS > room._PROCESSING_SECONDS_MAX * 1_000


async def test_a_low_balance_of_ours_keeps_it_waiting_and_owners_hear_once(shop: Shop) -> None:
    vault = await Vault.open([MASTER], shop.store, shop.ledger)
    async with FakePayPal() as paypal:
        provider = disburser_of("paypal", paypal.url)
        desk = Desk(shop, vault, {"paypal": provider})
        one = await desk.approved("paypal")
        await desk.works()
        sender = one.id
        for _ in range(3):
            paypal.payouts.denies(sender, error="INSUFFICIENT_FUNDS")
            batch = paypal.payouts.sent[sender]
            await desk.works(times=2)
            sender = f"{one.id}-{batch}"
        waiting = await desk.now(one)
        assert waiting.state == "sent"
        assert await desk.shop.has(one.person) == {}
        told = await desk.owners_heard()
        assert [kind for kind, _ in told] == [PAYOUT_WAITS, PAYOUT_STUCK]
        assert "balance is too low" in told[1][1]
        mine = [facts["what"] for _, facts in await desk.shop.told(one.person)]
        assert mine == ["approved", "sent"], "nothing that they could do anything about"
        paypal.payouts.works(sender, "SUCCESS")
        await desk.works(times=2)
        assert ((await desk.now(one)).state, (await desk.now(one)).reason) == ("paid", "")
        paid = [one["items"][0] for one in paypal.payouts.batches.values()]
        assert [item.get("transaction_status") for item in paid].count("SUCCESS") == 1
        await desk.audited()
        await provider.close()
