"""What could be tried to cash out more than is due; each with its guard off too, to show that the
guard is what stops it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from core import chart
from core.admin.payout_risk import assess_payout_risk
from core.asks.types import AskRefusal, NotEnoughCredits
from core.earnings.payouts import (
    NothingWithdrawable,
    Payout,
    PayoutStateConflict,
    WithdrawalBlocked,
    convert_to_cash,
)
from core.money import Credits, NanoUsd, parse_usd
from tests.core.earnings.attacks_support import SMALL
from tests.core.earnings.removed_guards import (
    attack,
    debtors_are_paid,
    guarded,
    holds_nothing_earned,
    own_asks_count,
    paid_above_par,
    pays_out,
)
from tests.core.earnings.world import LITTLE, NOTHING, Market, market
from tests.support.databases import TestClock

#: What 405 earned Credits are paid out as, and what the 450 brought that they came of.
CASHED, PAID = parse_usd("3.64"), parse_usd("4.50")


async def earns(bobs: Market) -> None:
    """Bob earns 405 Credits of what Tom bought; then the key ends."""
    pool = bobs.service.app.services.pool.pool
    own = [card.id for card in await pool.list_keys()]
    for key in own:
        await pool.set_key_state(key, "paused")
    bobs_key = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
    await bobs.gets("tom", 450)
    await bobs.asks("tom", 90)
    await bobs.takes_back("bob", bobs_key)
    for key in own:
        await pool.resume_key(key)
    assert await bobs.has("bob") == {"earned": 405}
    await bobs.addressed("bob")


async def earns_beside_ann(bobs: Market) -> tuple[str, int]:
    """Bob's key and Ann's serve Tom until Bob has 200 Credits; his key, and what he earned."""
    key = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
    await bobs.contributes("ann", "sk-ann-0000000001", "6")
    await bobs.gets("tom", 4_000)
    while (await bobs.has("bob")).get("earned", 0) < 200:
        await bobs.asks("tom", 10)
    return key, (await bobs.has("bob"))["earned"]


async def was_paid(bobs: Market) -> NanoUsd:
    """All that was ever paid out."""
    (paid,) = await bobs.stands(["payouts"], NanoUsd)
    return NanoUsd(paid)


async def reads_before(bobs: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst of races: whatever happens from now on, a request has read what is there now."""
    withdrawals = bobs.service.app.services.earnings.withdrawals
    read = await withdrawals.get_earnings((await bobs.person("bob")).id)

    async def earnings(_: str) -> object:
        return read

    monkeypatch.setattr(withdrawals, "get_earnings", earnings)


@pytest.mark.parametrize("pocket", ["bought", "gift"])
@guarded
async def test_bought_credits_and_gifts_are_never_paid_out(
    sqlite_url: str,
    clock: TestClock,
    guard: bool,
    pocket: chart.Pocket,
) -> None:
    """Guard: a withdrawal knows one pocket."""
    async with market(sqlite_url, clock, policy=LITTLE) as bobs:
        bobs.service.farmed = not guard  # and the audit says so
        await bobs.gets("bob", 50_000, pocket)
        if guard:
            with pytest.raises(NothingWithdrawable):
                await bobs.withdraws("bob", 10_000)
        else:
            with pays_out(pocket):
                await bobs.pays_out(await bobs.withdraws("bob", 50_000))
        assert await was_paid(bobs) == (NOTHING if guard else parse_usd("450"))


@attack(paid_above_par)
async def test_own_asks_by_a_second_account_cost_more_than_they_bring(
    sqlite_url: str, clock: TestClock, guard: bool
) -> None:
    """Guard: each bought Credit cost a cent and comes back as at most $0.0081."""
    async with market(sqlite_url, clock) as bobs:
        await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.gets("alt", 450)
        await bobs.asks("alt", 90)
        bob = await bobs.has("bob")
        cashed = convert_to_cash(Credits(bob["earned"]))
        assert cashed == (CASHED if guard else parse_usd("4.86"))
        assert (cashed < PAID) is guard


@attack(own_asks_count)
async def test_own_asks_by_a_linked_account_bring_nothing(
    sqlite_url: str, clock: TestClock, guard: bool
) -> None:
    """Guard: whoever is linked is one person, whose asks avoid their keys and earn them nothing.
    Else bought Credits become cash, and answers cost a tenth."""
    # Nothing is lent, so that use of the key repays nothing.
    policy = replace(LITTLE, advance_percent=0)
    async with market(sqlite_url, clock, policy=policy) as bobs:
        await bobs.person("bob")
        clock.advance(seconds=10)
        await bobs.gets("alt", 450)
        await bobs.links("bob", "alt")
        await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        for _ in range(90):  # one by one: a hold takes of what was bought as long as it is there
            with suppress(AskRefusal):
                await bobs.asks("alt")
        assert await bobs.has("bob") == ({"bought": 450} if guard else {"earned": 405})


@guarded
@pytest.mark.parametrize("disputed", ["before", "after"])
async def test_a_payers_bank_takes_back_what_was_earned(
    sqlite_url: str, clock: TestClock, guard: bool, disputed: str
) -> None:
    """Guard: the hold days, and a card that then advises a no. Without them what is lost is what
    was paid out, $0.0081 a bought Credit, and it is booked."""
    policy = replace(LITTLE, payout_hold_days=30 if guard else 0)
    async with market(sqlite_url, clock, policy=policy) as bobs:
        await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        _, payment = await bobs.buys("stolen-card", PAID)
        await bobs.asks("stolen-card", 90)
        if guard:
            with pytest.raises(NothingWithdrawable):
                await bobs.withdraws("bob", 405)
            clock.advance(days=32)
        bob, base = (await bobs.person("bob")).id, bobs.service.app.services.base
        risk = await assess_payout_risk(base.db, base.payment_records, [bob], clock.at_ms)
        assert risk.advises_refusal
        if disputed == "before":
            await bobs.disputes(payment)
        risk = await assess_payout_risk(base.db, base.payment_records, [bob], clock.at_ms)
        assert risk.advises_refusal
        one = await bobs.withdraws("bob", 405)
        if guard:
            withdrawals = bobs.service.app.services.earnings.withdrawals
            await withdrawals.reject_payout(one.id, actor="usr_operator", reason="better not yet")
        else:
            await bobs.pays_out(one)
        if disputed == "after":
            await bobs.disputes(payment)
        cash, lost, sold = await bobs.stands(["cash/stripe", "bad-debt", "sales"], NanoUsd)
        assert (cash, lost, sold) == (0, PAID.units, -PAID.units)
        assert await was_paid(bobs) == (NOTHING if guard else CASHED)


async def test_old_earnings_are_not_withdrawn_for_new_ones(
    database_url: str, clock: TestClock
) -> None:
    """What was used since is gone from what was old enough, however much came in later."""
    policy = replace(LITTLE, payout_hold_days=30, advance_percent=10)
    async with market(database_url, clock, policy=policy) as bobs:
        key, old = await earns_beside_ann(bobs)
        clock.advance(days=32)
        # The advance is spent first, then what was earned.
        await bobs.service.app.services.pool.pool.set_key_state(key, "paused")
        have = (
            await bobs.service.app.services.users.balances.for_user((await bobs.person("bob")).id)
        ).available
        await bobs.asks("bob", have.units // 5 - 1)
        await bobs.service.app.services.pool.pool.resume_key(key)
        spent = old - (await bobs.has("bob")).get("earned", 0)
        await bobs.asks("tom", 20)
        person = (await bobs.person("bob")).id
        earnings = await bobs.service.app.services.earnings.withdrawals.get_earnings(person)
        assert earnings.withdrawable == Credits(max(0, old - spent))
        assert earnings.withdrawable <= earnings.available


@attack(holds_nothing_earned)
async def test_withdrawn_twice_at_once_is_withdrawn_once(
    database_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Guard: what is asked for is held at once, of what is there."""
    async with market(database_url, clock, policy=LITTLE) as bobs:
        bobs.service.farmed = not guard  # and the audit says so
        await earns(bobs)
        await reads_before(bobs, monkeypatch)
        outcomes = await asyncio.gather(
            *(bobs.withdraws("bob", 300, f"w{number}") for number in range(3)),
            return_exceptions=True,
        )
        made = [one for one in outcomes if isinstance(one, Payout)]
        assert len(made) == (1 if guard else 3)
        # The same press again is the same withdrawal.
        number = outcomes.index(made[0])
        assert (await bobs.withdraws("bob", 300, f"w{number}")).id == made[0].id
        for one in made:
            await bobs.pays_out(one)
        assert await was_paid(bobs) == parse_usd("2.70" if guard else "8.10"), f"of {CASHED} earned"


@attack(holds_nothing_earned)
async def test_withdrawing_what_an_ask_holds(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Guard: an ask and a withdrawal hold in the same account."""
    async with market(sqlite_url, clock, policy=LITTLE, own_keys=1) as bobs:
        bobs.service.farmed = not guard  # and the audit says so
        await earns(bobs)
        await reads_before(bobs, monkeypatch)
        gate = bobs.service.openai.hold()
        run = await bobs.begins(await bobs.person("bob"))
        if guard:
            with pytest.raises(NothingWithdrawable):
                await bobs.withdraws("bob", 405)
        else:
            await bobs.pays_out(await bobs.withdraws("bob", 405))
        gate.set()
        spent = (await run.result).charge
        assert await was_paid(bobs) == (NOTHING if guard else CASHED)
        # What was paid out is there to be paid out again.
        assert await bobs.has("bob") == {"earned": 405 - spent.units}


@attack(debtors_are_paid)
async def test_withdrawing_and_revoking_what_was_spent_in_advance(
    database_url: str, clock: TestClock, guard: bool
) -> None:
    """Guard: a claw-back takes withdrawals that were not sent."""
    async with market(database_url, clock, policy=LITTLE, own_keys=1) as bobs:
        await earns(bobs)
        key = await bobs.contributes("bob", "sk-bob-0000000002", SMALL)
        one = await bobs.withdraws("bob", 405)
        await bobs.asks("bob", 90)
        await bobs.takes_back("bob", key)
        if guard:
            with pytest.raises(PayoutStateConflict):
                await bobs.pays_out(one)
            now = await bobs.service.app.services.earnings.withdrawals.get(one.id)
            assert (now.state, now.reason) == ("cancelled", "claw-back")
        else:
            await bobs.pays_out(one)
        assert await bobs.has("bob") == {"owed": 45 if guard else 450}
        assert await was_paid(bobs) == (NOTHING if guard else CASHED)


@pytest.mark.parametrize("what", ["refund", "dispute"])
@attack(debtors_are_paid)
async def test_withdrawing_while_what_was_bought_is_taken_back(
    database_url: str,
    clock: TestClock,
    guard: bool,
    what: str,
) -> None:
    """Guard: whoever owes, or disputes, is paid nothing, also if they asked before."""
    async with market(database_url, clock, policy=LITTLE, own_keys=1) as bobs:
        await earns(bobs)
        _, payment = await bobs.buys("bob", PAID)
        one = await bobs.withdraws("bob", 405)
        await bobs.asks("bob", 90)
        if what == "refund":
            await bobs.refunds(payment)
        else:
            await bobs.disputes(payment, "open")
        if guard:
            with pytest.raises(WithdrawalBlocked) as refused:
                await bobs.pays_out(one)
            assert refused.value.reason == ("owes" if what == "refund" else "disputed")
            with pytest.raises(WithdrawalBlocked):
                await bobs.withdraws("bob", 1)
        else:
            await bobs.pays_out(one)
        await bobs.service.app.services.earnings.withdrawals.cancel_for_debtors()
        assert await was_paid(bobs) == (NOTHING if guard else CASHED)
        if what == "refund":
            assert await bobs.has("bob") == {"owed": 45 if guard else 450}


async def test_withdrawing_races_an_ask_and_a_claw_back(
    database_url: str, clock: TestClock
) -> None:
    policy = replace(LITTLE, advance_percent=10)
    async with market(database_url, clock, policy=policy) as bobs:
        key, earned = await earns_beside_ann(bobs)
        person = await bobs.person("bob")
        advance = (await bobs.posted(chart.advance(key)))[0]
        await bobs.service.app.services.pool.pool.set_key_state(key, "paused")
        # All of the advance is spent, and some of what was earned.
        await bobs.asks("bob", advance // 5 + 1)
        await bobs.addressed("bob")
        outcomes = await asyncio.gather(
            bobs.withdraws("bob", earned),
            bobs.begins(person),
            bobs.service.app.services.earnings.termination.withdraw_contribution(key, person.id),
            return_exceptions=True,
        )
        refused = [one for one in outcomes if isinstance(one, BaseException)]
        assert all(isinstance(one, NothingWithdrawable | NotEnoughCredits) for one in refused)
        for _ in range(50):
            await bobs.closes()
            if (await bobs.contribution(key, "bob")).state == "closed":
                break
            await asyncio.sleep(0.05)
        assert (await bobs.contribution(key, "bob")).state == "closed"
        assert await bobs.stands(["advanced"], Credits) == [90], "Ann's"
