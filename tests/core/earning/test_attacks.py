"""What could be tried to get more out than is put in; each with its guard off too, to show that the
guard is what stops it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from pydantic import SecretStr

from core import chart
from core.asking import NotEnoughCredits, settling
from core.earning import (
    NothingWithdrawable,
    Payout,
    Policy,
    WithdrawalsWait,
    cash_of,
    closing,
    vesting,
)
from core.ledger import Account, Limit
from core.pricing import PAR
from core.store import Insert, schema
from core.units import Credits, NanoUsd, usd
from tests.core.earning.world import BRIEFS, TAKES_OPENAI, Market, market
from tests.databases import TestClock
from tests.fakes.suppliers import Answer, Used

guarded = pytest.mark.parametrize("guard", [True, False], ids=["guarded", "unguarded"])
#: 75,000 Credits in all, as in the brief.
WORTH = "500"
#: A key of a hundred requests, 450 Credits.
SMALL = "3"
#: Payouts from one Credit on.
LITTLE = replace(BRIEFS, payout_least=Credits(1))


async def addressed(bobs: Market, name: str) -> str:
    person = await bobs.person(name)
    await bobs.service.app.earning.addresses.keep(
        person.id, "manual", SecretStr("DE00 canary"), "DE••••"
    )
    return person.id


async def withdraws(bobs: Market, name: str, amount: int, cause: str = "w") -> Payout:
    person = await addressed(bobs, name)
    return await bobs.service.app.earning.withdrawals.request(
        person, Credits(amount), "manual", cause=cause, at_ms=bobs.clock.at_ms
    )


async def takes_back(bobs: Market, name: str, key: str) -> None:
    person = await bobs.person(name)
    await bobs.service.app.earning.closing.withdraw(key, person.id)
    await bobs.closes()


def net(has: dict[str, int]) -> int:
    """What somebody has, less what they owe."""
    return sum(amount for name, amount in has.items() if name != "owed") - has.get("owed", 0)


@guarded
async def test_contribute_spend_in_advance_and_revoke(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Guard: what nothing covers is due."""
    if not guard:
        rest = closing.Closing._rest

        async def forgiving(self: closing.Closing, one: object) -> object:
            found = await rest(self, one)  # type: ignore[arg-type]
            return None if found is None else replace(found, due=Credits(0))

        monkeypatch.setattr(closing.Closing, "_rest", forgiving)
    async with market(sqlite_url, clock, own_keys=1) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.asks("bob", 40)
        await takes_back(bobs, "bob", key)
        spent = 200
        assert spent + net(await bobs.has("bob")) == (0 if guard else 200)


@guarded
async def test_the_advance_spent_on_a_friends_key_then_revoked(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Guard: an advance was neither bought nor earned, so a friend gets a gift for it, no cash."""
    if not guard:
        monkeypatch.setattr(chart, "was_paid", lambda _: True)
    async with market(sqlite_url, clock) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.contributes("ann", "sk-ann-0000000001", SMALL)
        await bobs.asks("bob", 80)
        await takes_back(bobs, "bob", key)
        ann = await bobs.has("ann")
        assert ann.get("earned", 0) == (0 if guard else 360)
        assert (await bobs.has("bob")) == {"owed": 400}


@guarded
async def test_gifts_turned_into_cash_over_a_friends_key(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Guard: what a gift pays for becomes a gift."""
    if not guard:
        monkeypatch.setattr(chart, "was_paid", lambda _: True)
    async with market(sqlite_url, clock, policy=LITTLE) as bobs:
        await bobs.contributes("ann", "sk-ann-0000000001", SMALL)
        await bobs.gets("tom", 400, "gift")
        await bobs.asks("tom", 80)
        person = (await bobs.person("ann")).id
        earnings = await bobs.service.app.earning.withdrawals.earnings(person)
        assert cash_of(earnings.withdrawable) == (NanoUsd(0) if guard else usd("3.24"))


async def test_bought_credits_and_gifts_are_never_paid_out(
    sqlite_url: str, clock: TestClock
) -> None:
    async with market(sqlite_url, clock, policy=LITTLE) as bobs:
        await bobs.gets("tom", 50_000)
        await bobs.gets("tom", 50_000, "gift")
        with pytest.raises(NothingWithdrawable):
            await withdraws(bobs, "tom", 10_000)


async def test_own_asks_by_a_second_account_cost_more_than_they_bring(
    sqlite_url: str, clock: TestClock
) -> None:
    """Each bought Credit cost a cent and comes back as at most $0.0081. Once linked, nothing."""
    async with market(sqlite_url, clock) as bobs:
        await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.gets("alt", 450)
        await bobs.asks("alt", 90)
        bob = await bobs.has("bob")
        cashed = cash_of(Credits(bob["earned"]))
        assert PAR.times(450) > cashed
        assert cashed == usd("3.64"), "405 Credits at $0.009"


@guarded
async def test_one_key_never_drains_another(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Guard: each contribution has a pocket of its own. A key that is never used brings nothing."""
    if not guard:
        shared = Account("key/all/unvested", Credits, Limit.DEBITS_WITHIN_CREDITS)
        for room in (chart, chart.contributions):
            monkeypatch.setattr(room, "unvested", lambda _: shared)
    async with market(sqlite_url, clock) as bobs:
        bobs.service.farmed = not guard
        book = bobs.service.app.prices
        first = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        idle = await bobs.contributes("bob", "sk-bob-0000000002", SMALL)
        await bobs.service.app.pool.set_state(idle, "paused")
        # Dearer answers bring more than the first one's worth.
        rate = book.current("gpt-4").input_rate  # type: ignore[union-attr]
        await book.change("gpt-4", rate.times(2), rate.times(2), set_by="admin")
        await bobs.gets("tom", 2_000)
        served = await bobs.asks("tom", 90)
        assert {run.candidate.key for run in served} == {first}
        assert (await bobs.has("bob"))["earned"] == (450 if guard else 810)


@guarded
async def test_a_budget_lowered_to_keep_its_worth(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Guard: the Credits of the dollars that go, go."""
    if not guard:
        monkeypatch.setattr(closing, "_returned", lambda *_: Credits(0))
    async with market(sqlite_url, clock) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        person = (await bobs.person("bob")).id
        await bobs.service.app.earning.closing.lower(key, person, Credits(5))
        await bobs.gets("tom", 100)
        await bobs.asks("tom", 1)
        await bobs.closes()
        if (await bobs.contribution(key, "bob")).state == "open":
            await takes_back(bobs, "bob", key)
        await bobs.closes()
        brought = net(await bobs.has("bob"))
        assert brought <= 5 if guard else brought > 400


@guarded
async def test_cheap_answers_on_a_key_that_was_valued_dear(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """A price cut, a discount, a rise absorbed. Guard: what vests was charged, whatever it cost."""
    if not guard:
        monkeypatch.setattr(
            settling,
            "vesting",
            lambda key, terms, **_: vesting(
                key, terms, asker="", charge=Credits(5), paid=Credits(5)
            ),
        )
    async with market(sqlite_url, clock) as bobs:
        bobs.service.farmed = not guard
        await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        book = bobs.service.app.prices
        rate = book.current("gpt-4").input_rate  # type: ignore[union-attr]
        cheap = type(rate)(1_000)
        await book.change("gpt-4", cheap, cheap, set_by="admin")
        await bobs.gets("friend", 90)
        await bobs.asks("friend", 90)
        earned = (await bobs.has("bob"))["earned"]
        paid, cashed = PAR.times(90), cash_of(Credits(earned))
        assert (cashed < paid) is guard


@guarded
async def test_a_false_budget_many_times(sqlite_url: str, clock: TestClock, guard: bool) -> None:
    """Guard: what nobody can verify is lent once a person, up to a sum."""
    policy = Policy(suppliers=TAKES_OPENAI)
    if not guard:
        policy = replace(policy, advance_unverified=Credits(10**9))
    async with market(sqlite_url, clock, policy=policy) as bobs:
        for number in range(3):
            await bobs.contributes("bob", f"sk-bob-{number:010}", WORTH, verified=False)
        have = (await bobs.service.app.purses.of((await bobs.person("bob")).id)).have
        assert have == (Credits(1_000) if guard else Credits(3 * 74_997))


@guarded
async def test_earned_today_cashed_today(sqlite_url: str, clock: TestClock, guard: bool) -> None:
    """Guard: the hold days, within which a payer's bank may take its money back."""
    policy = replace(LITTLE, payout_hold_days=30 if guard else 0)
    async with market(sqlite_url, clock, policy=policy) as bobs:
        await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.gets("stolen-card", 450)
        await bobs.asks("stolen-card", 90)
        if not guard:
            assert (await withdraws(bobs, "bob", 405)).cash == usd("3.64")
            return
        with pytest.raises(NothingWithdrawable):
            await withdraws(bobs, "bob", 405)
        clock.advance(days=32)
        assert (await withdraws(bobs, "bob", 405)).cash == usd("3.64")


async def test_old_earnings_are_not_withdrawn_for_new_ones(
    database_url: str, clock: TestClock
) -> None:
    """What was used since is gone from what was old enough, however much came in later."""
    policy = replace(LITTLE, payout_hold_days=30, advance_percent=10)
    async with market(database_url, clock, policy=policy) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.contributes("ann", "sk-ann-0000000001", "6")
        await bobs.gets("tom", 2_000)
        while (await bobs.has("bob")).get("earned", 0) < 200:
            await bobs.asks("tom", 10)
        old = (await bobs.has("bob"))["earned"]
        clock.advance(days=32)
        # The advance is spent first, then what was earned.
        await bobs.service.app.pool.set_state(key, "paused")
        have = (await bobs.service.app.purses.of((await bobs.person("bob")).id)).have
        await bobs.asks("bob", have.units // 5 - 1)
        await bobs.service.app.pool.resume(key)
        spent = old - (await bobs.has("bob")).get("earned", 0)
        await bobs.asks("tom", 20)
        person = (await bobs.person("bob")).id
        earnings = await bobs.service.app.earning.withdrawals.earnings(person)
        assert earnings.withdrawable == Credits(max(0, old - spent))
        assert earnings.withdrawable <= earnings.available


async def test_withdrawn_twice_at_once_is_withdrawn_once(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock, policy=LITTLE) as bobs:
        await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.gets("tom", 450)
        await bobs.asks("tom", 90)
        outcomes = await asyncio.gather(
            *(withdraws(bobs, "bob", 300, f"w{number}") for number in range(4)),
            return_exceptions=True,
        )
        assert sum(isinstance(one, Payout) for one in outcomes) == 1
        assert await bobs.has("bob") == {"earned": 105}
        # The same press again is the same withdrawal.
        one = next(one for one in outcomes if isinstance(one, Payout))
        number = outcomes.index(one)
        assert (await withdraws(bobs, "bob", 300, f"w{number}")).id == one.id


async def test_withdrawing_races_an_ask_and_a_claw_back(
    database_url: str, clock: TestClock
) -> None:
    policy = replace(LITTLE, advance_percent=10)
    async with market(database_url, clock, policy=policy) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.contributes("ann", "sk-ann-0000000001", "6")
        await bobs.gets("tom", 4_000)
        while (await bobs.has("bob")).get("earned", 0) < 200:
            await bobs.asks("tom", 10)
        earned = (await bobs.has("bob"))["earned"]
        person = await bobs.person("bob")
        advance = (await bobs.posted(chart.advance(key)))[0]
        await bobs.service.app.pool.set_state(key, "paused")
        # All of the advance is spent, and some of what was earned.
        await bobs.asks("bob", advance // 5 + 1)
        await addressed(bobs, "bob")
        outcomes = await asyncio.gather(
            withdraws(bobs, "bob", earned),
            bobs.begins(person),
            bobs.service.app.earning.closing.withdraw(key, person.id),
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


async def test_a_claw_back_takes_withdrawals_that_were_not_sent(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock, policy=LITTLE) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.contributes("ann", "sk-ann-0000000001", "6")
        other = await bobs.contributes("bob", "sk-bob-0000000002", SMALL)
        await bobs.service.app.pool.set_state(key, "paused")
        await bobs.gets("tom", 1_000)
        while (await bobs.has("bob")).get("earned", 0) < 90:
            await bobs.asks("tom", 5)
        earned = (await bobs.has("bob"))["earned"]
        await bobs.service.app.pool.set_state(other, "paused")
        one = await withdraws(bobs, "bob", earned)
        for _ in range(60):  # one by one: together they would hold both keys' advances
            await bobs.asks("bob")
        await takes_back(bobs, "bob", key)
        person = await bobs.person("bob")
        payouts = await bobs.service.app.earning.withdrawals.of([person.id])
        assert [(payout.id, payout.state) for payout in payouts] == [(one.id, "cancelled")]
        # 300 were spent of that key's advance, which never served: all that was earned, and a debt.
        assert await bobs.has("bob") == {"owed": 300 - earned}


async def test_a_dispute_stops_withdrawals_also_at_approval(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock, policy=LITTLE) as bobs:
        await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.gets("tom", 450)
        await bobs.asks("tom", 90)
        one = await withdraws(bobs, "bob", 300)
        table = schema.order
        row: dict[str, object] = {
            column.name: 0 if str(column.type) == "BIGINT" else ""
            for column in table.columns
            if not column.nullable
        }
        row |= {"id": "ord_x", "person": one.person, "dispute_state": "open", "state": "credited"}
        await bobs.service.app.ledger.record(Insert(table, row))
        with pytest.raises(WithdrawalsWait) as refused:
            await bobs.service.app.earning.withdrawals.approve(one.id, by="usr_admin")
        assert refused.value.why == "disputed"
        with pytest.raises(WithdrawalsWait):
            await withdraws(bobs, "bob", 100, "again")


async def test_an_answer_that_tells_an_impossible_usage_vests_what_was_charged(
    sqlite_url: str, clock: TestClock
) -> None:
    async with market(sqlite_url, clock) as bobs:
        await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.gets("tom", 450)
        await bobs.asks("tom", 1, answer=Answer("word " * 500, usage=Used(90_000, 90_000)))
        charged = 450 - (await bobs.has("tom"))["bought"]
        assert charged <= 13
        assert (await bobs.has("bob"))["earned"] == charged * 9 // 10
