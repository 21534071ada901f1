"""Whatever pays people: each payout leaves once, and the ledger says what became of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from core.db import schema
from core.db.writes import Update
from core.earnings.payouts import (
    PAYOUT_CHANGED,
    PAYOUT_STUCK,
    PAYOUT_WAITS,
    Payout,
    WithdrawalBlocked,
)
from core.earnings.withdrawals import Withdrawals
from core.money import Credits, parse_usd
from core.pool.vault import Vault
from payments.payouts import _ADDRESS_LOST_AFTER_SENDING, PayoutStatus
from payments.types import Dispute, GatewayUnavailable, Refund
from tests.payments.conftest import Shop
from tests.payments.gateway_clients import disburser_of
from tests.payments.payout_desks import Bank, Counter, Desk, counter

__all__ = ["counter"]

#: 1,000 Credits.
CASH = parse_usd("9").units


async def test_approved_sent_and_paid(counter: Counter) -> None:
    desk, bank = counter.desk, counter.bank
    one = await desk.approved(bank.method)
    await desk.works()
    assert (await desk.now(one)).state == "sent"
    assert await desk.shop.stands("payouts", "payouts-in-transit") == [CASH, -CASH]
    await desk.works(times=3)
    bank.arrives(one)
    await desk.works()
    paid = await desk.now(one)
    assert (paid.state, paid.reason) == ("paid", "")
    fee = 0 if bank.method == "btcpay" else parse_usd("0.25").units
    places = ("payouts", "payouts-in-transit", f"cash/{bank.method}", "payout-fees")
    assert await desk.shop.stands(*places) == [CASH, 0, -CASH - fee, fee]
    assert bank.has() == [one.id]
    assert await desk.shop.has(one.person) == {}
    told = [(kind, facts["what"]) for kind, facts in await desk.shop.told(one.person)]
    assert told == [
        (PAYOUT_CHANGED, "approved"),
        (PAYOUT_CHANGED, "sent"),
        (PAYOUT_CHANGED, "paid"),
    ]
    notice = schema.notice.c
    due = await desk.shop.store.fetch(
        sa.select(notice.data).where(notice.person == one.person, notice.due_at.is_not(None))
    )
    assert [json.loads(row.data)["what"] for row in due] == ["paid"], "nobody is told three times"
    await desk.audited()


async def test_what_comes_back_gives_its_credits_back_with_their_age(counter: Counter) -> None:
    desk, bank = counter.desk, counter.bank
    one = await desk.approved(bank.method)
    await desk.works()
    bank.comes_back(one)
    await desk.works()
    back = await desk.now(one)
    reasons = {"paypal": "RECEIVER_UNREGISTERED", "btcpay": "Cancelled", "sandbox": "RETURNED"}
    assert (back.state, back.reason) == ("returned", reasons[bank.method])
    assert await desk.shop.has(one.person) == {"earned": 1_000}
    assert await desk.shop.stands("payouts", "payouts-in-transit") == [0, 0]
    assert (await desk.withdrawals.get_earnings(one.person)).withdrawable == Credits(1_000)
    # It can be asked for again, and that is another one.
    again = await desk.withdrawals.request_payout(
        one.person, Credits(1_000), bank.method, cause="again", at_ms=desk.shop.clock.at_ms
    )
    await desk.withdrawals.approve_payout(again.id, actor="usr_admin")
    await desk.works()
    assert sorted(bank.has()) == sorted([one.id, again.id])
    await desk.audited()


async def test_two_at_once_pay_once(counter: Counter) -> None:
    """The chore on two processes, whose lease is shorter than its work."""
    desk, bank = counter.desk, counter.bank
    ours = [await desk.approved(bank.method) for _ in range(3)]
    await asyncio.gather(*(desk.payouts.process_due_payouts() for _ in range(4)))
    assert sorted(bank.has()) == sorted(one.id for one in ours)
    for one in ours:
        bank.arrives(one)
    desk.shop.clock.advance(seconds=7_200)
    await asyncio.gather(*(desk.payouts.process_due_payouts() for _ in range(4)))
    assert [(await desk.now(one)).state for one in ours] == ["paid"] * 3
    assert await desk.shop.stands("payouts-in-transit", "payouts") == [0, 3 * CASH]
    await desk.audited()


async def test_a_gateway_that_is_away_keeps_it_waiting(counter: Counter) -> None:
    desk, bank = counter.desk, counter.bank
    one = await desk.approved(bank.method)
    away = disburser_of(bank.method, "http://127.0.0.1:9")
    broken = Desk(desk.shop, desk.vault, {bank.method: away})
    await broken.works(times=3)
    waits = await desk.now(one)
    assert (waits.state, waits.external_id, waits.attempts) == ("sent", "", 2)
    assert await desk.owners_heard() == [(PAYOUT_WAITS, "")]
    await away.close()
    await desk.works()
    assert bank.has() == [one.id]
    await desk.audited()


async def test_whose_work_was_cut_off_is_taken_up_once_the_claim_is_over(counter: Counter) -> None:
    desk, bank = counter.desk, counter.bank
    one = await desk.approved(bank.method)
    claimed = await desk.withdrawals.claim_payout(one, until_ms=desk.shop.clock.at_ms + 180_000)
    assert claimed is not None
    assert (
        await desk.withdrawals.claim_payout(one, until_ms=desk.shop.clock.at_ms + 180_000) is None
    )
    await desk.works(hours=1)
    assert bank.has() == []
    await desk.works()
    assert bank.has() == [one.id]
    await desk.audited()


# --- checked again right before it is sent --------------------------------------------------------


async def test_who_owes_meanwhile_is_not_paid_and_repays(counter: Counter) -> None:
    desk, bank, shop = counter.desk, counter.bank, counter.desk.shop
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("10")))
    await shop.spend(person, Credits(1_000))
    one = await desk.asked(bank.method, person=person)
    asked = await desk.asked(bank.method, person=person, amount=500)
    await desk.withdrawals.approve_payout(one.id, actor="usr_admin")
    await give_back(shop, order.id)
    assert await shop.has(person) == {"earned": 1_500, "owed": 1_000}
    with pytest.raises(WithdrawalBlocked) as refused:
        await desk.withdrawals.approve_payout(asked.id, actor="usr_admin")
    assert refused.value.reason == "owes"
    await desk.works()
    for which in (one, asked):
        now = await desk.now(which)
        assert (now.state, now.reason) == ("cancelled", "owes")
    assert await shop.has(person) == {"earned": 500}
    assert bank.has() == []
    await desk.audited()


async def give_back(shop: Shop, order: str) -> None:
    await shop.crediting.apply_refund(Refund("stripe", "re_1", f"pi_{order}", parse_usd("10")))


async def test_who_is_disputed_meanwhile_waits_until_that_is_decided(counter: Counter) -> None:
    desk, bank, shop = counter.desk, counter.bank, counter.desk.shop
    person = await shop.person()
    order = await shop.pay(await shop.order(person, parse_usd("10")))
    one = await desk.asked(bank.method, person=person)
    await desk.withdrawals.approve_payout(one.id, actor="usr_admin")
    case = ("stripe", "dp_1", f"pi_{order.id}", parse_usd("10"))
    await shop.crediting.apply_dispute(Dispute(*case, "open"))
    await desk.works(times=3)
    assert (await desk.now(one)).state == "approved"
    assert bank.has() == []
    await shop.crediting.apply_dispute(Dispute(*case, "won"))
    await desk.works()
    assert bank.has() == [one.id]
    await desk.audited()


async def test_it_is_not_sent_while_its_person_has_just_been_joined(counter: Counter) -> None:
    desk, bank, shop = counter.desk, counter.bank, counter.desk.shop
    older = await shop.person()
    shop.clock.advance(seconds=10)
    one = await desk.approved(bank.method)
    joined = {"merged_into": older, "merged_at": shop.clock.at_ms}
    await shop.ledger.record(Update(schema.person, {"id": one.person}, joined))
    await desk.works(times=3)
    assert (await desk.now(one)).state == "approved"
    shop.clock.advance(days=3)
    await desk.works()
    assert bank.has() == [one.id]
    bank.comes_back(one)
    await desk.works()
    assert await shop.has(older) == {"earned": 1_000}
    assert (await desk.withdrawals.get_earnings(older)).withdrawable == Credits(1_000)
    heard = [facts["what"] for _, facts in await shop.told(older)]
    assert heard == ["sent", "returned"], "whoever they are now hears of it"
    await desk.audited()


async def test_where_it_goes_is_lost_with_its_master_key(counter: Counter) -> None:
    desk, bank, shop = counter.desk, counter.bank, counter.desk.shop
    one = await desk.approved(bank.method)
    other = Desk(shop, Vault([bytes([7]) * 32]), desk.disbursers)
    await other.works(times=2)
    stuck = await desk.now(one)
    assert stuck.state == "approved", "nothing is gone"
    assert sorted(kind for kind, _ in await desk.owners_heard()) == [PAYOUT_STUCK, PAYOUT_WAITS]
    assert "reject it" in stuck.reason
    await desk.withdrawals.reject_payout(one.id, actor="usr_admin", reason="ask again, please")
    assert await shop.has(one.person) == {"earned": 1_000}
    assert bank.has() == []
    await desk.audited()


async def test_nobody_asks_for_the_same_one_once_the_gateway_may_have_forgotten(
    counter: Counter,
) -> None:
    desk, bank, shop = counter.desk, counter.bank, counter.desk.shop
    one = await desk.approved(bank.method)
    away = disburser_of(bank.method, "http://127.0.0.1:9")
    await Desk(shop, desk.vault, {bank.method: away}).works()
    await away.close()
    shop.clock.advance(days=disburser_days(desk, bank) + 1)
    await desk.works(times=2)
    stuck = await desk.now(one)
    assert (stuck.state, bank.has()) == ("sent", [])
    assert "may have forgotten" in stuck.reason
    assert (PAYOUT_STUCK, stuck.reason) in await desk.owners_heard()
    # Somebody looked: nothing was paid.
    await desk.withdrawals.mark_returned(stuck, reason="it was never paid")
    assert await shop.has(one.person) == {"earned": 1_000}
    await desk.audited()


def disburser_days(desk: Desk, bank: Bank) -> int:
    return desk.disbursers[bank.method].idempotency_days


# --- after it was paid ----------------------------------------------------------------------------


@pytest.mark.parametrize("counter", ["paypal", "sandbox"], indirect=True)
async def test_what_was_paid_may_still_come_back(counter: Counter) -> None:
    desk, bank, shop = counter.desk, counter.bank, counter.desk.shop
    one = await desk.approved(bank.method)
    await desk.works()
    bank.arrives(one)
    await desk.works(times=2)
    assert (await desk.now(one)).state == "paid"
    bank.comes_back(one)
    await desk.works(hours=24)
    assert (await desk.now(one)).state == "returned"
    assert await shop.has(one.person) == {"earned": 1_000}
    fee = parse_usd("0.25").units
    places = ("payouts", "payouts-in-transit", f"cash/{bank.method}", "payout-fees")
    assert await shop.stands(*places) == [0, 0, -fee, fee], "its fee is gone"
    await desk.audited()


async def test_nothing_that_is_over_is_asked_about_for_ever(counter: Counter) -> None:
    desk, bank = counter.desk, counter.bank
    one = await desk.approved(bank.method)
    await desk.works()
    bank.arrives(one)
    await desk.works()
    await desk.works(times=2 * disburser_watched(desk, bank) + 20, hours=12)
    paid = await desk.now(one)
    assert (paid.state, paid.due_at) == ("paid", None)
    assert await desk.withdrawals.list_due([bank.method]) == []
    await desk.audited()


def disburser_watched(desk: Desk, bank: Bank) -> int:
    return desk.disbursers[bank.method].return_window_days


async def test_nothing_of_an_address_is_kept_in_the_clear_or_after_the_end(
    counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    desk, bank = counter.desk, counter.bank
    canary = {"paypal": "canary@x.example", "btcpay": "bc1qcanary00000000000000x"}
    one = await desk.approved(bank.method, address=canary.get(bank.method, "canary name"))
    await desk.works()
    bank.arrives(one)
    await desk.works()
    tables = schema.metadata.tables.values()
    kept = str([await desk.shop.store.fetch(table.select()) for table in tables])
    assert "canary" not in kept
    assert "canary" not in caplog.text
    rows = await desk.shop.store.fetch(sa.select(schema.payout.c.sealed))
    assert [row.sealed for row in rows] == [None]


async def test_what_another_process_claimed_a_moment_before_is_left_to_it(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, bank = counter.desk, counter.bank
    one = await desk.approved(bank.method)
    claim = Withdrawals.claim_payout

    async def claim_late(
        withdrawals: Withdrawals, payout: Payout, *, until_ms: int
    ) -> Payout | None:
        assert await claim(withdrawals, payout, until_ms=until_ms) is not None
        return await claim(withdrawals, payout, until_ms=until_ms)

    with monkeypatch.context() as patched:
        patched.setattr(Withdrawals, "claim_payout", claim_late)
        await desk.works()
    assert bank.has() == []
    await desk.works()
    assert bank.has() == [one.id]
    await desk.audited()


@pytest.mark.parametrize("failure", ["cancelled", "broken"])
async def test_what_its_person_cancels_or_a_bug_stops_is_no_others_trouble(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    desk, bank = counter.desk, counter.bank
    first, second = await desk.approved(bank.method), await desk.approved(bank.method)
    mark = Withdrawals.mark_sent

    async def mark_sent(withdrawals: Withdrawals, payout: Payout, **more: Any) -> Payout:
        if payout.id == first.id:
            if failure == "broken":
                raise ZeroDivisionError
            await withdrawals.cancel_payout(payout.id, [payout.person])
        return await mark(withdrawals, payout, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Withdrawals, "mark_sent", mark_sent)
        await desk.works()
    assert bank.has() == [second.id]
    assert (await desk.now(second)).state == "sent"
    assert (await desk.now(first)).state == ("cancelled" if failure == "cancelled" else "approved")
    await desk.audited()


async def test_where_it_went_is_lost_before_its_answer_came(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent, and its answer lost: without the address nobody can ask for it again."""
    desk, bank, shop = counter.desk, counter.bank, counter.desk.shop
    one = await desk.approved(bank.method)
    provider = desk.disbursers[bank.method]

    async def lost(payout: Payout, address: SecretStr) -> PayoutStatus:
        raise GatewayUnavailable(bank.method)

    with monkeypatch.context() as patched:
        patched.setattr(provider, "send_payout", lost)
        await desk.works()
    assert (await desk.now(one)).state == "sent"
    other = Desk(shop, Vault([bytes([7]) * 32]), desk.disbursers)
    await other.works(times=2)
    stuck = await desk.now(one)
    assert (stuck.state, stuck.reason) == ("sent", _ADDRESS_LOST_AFTER_SENDING)
    assert bank.has() == []
    await desk.audited()
