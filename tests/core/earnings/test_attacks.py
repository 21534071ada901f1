"""What could be tried to get more out than is put in; each with its guard off too, to show that the
guard is what stops it.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace

import pytest

from core import ids
from core.admin_log import admin_log_row
from core.earnings.payouts import convert_to_cash
from core.earnings.types import EarningPolicy
from core.money import Credits, MicroCredits, NanoUsd, parse_usd
from core.pool.types import DuplicateKey
from core.pricing.formula import PAR
from core.pricing.promotions import Promotion
from tests.core.earnings.attacks_support import SMALL
from tests.core.earnings.inviting_contributors_support import comes
from tests.core.earnings.removed_guards import (
    attack,
    dollars_go_alone,
    gifts_are_cash,
    guarded,
    inviters_get_the_rest,
    keys_are_forgotten,
    nothing_is_due,
    one_pot_for_all_keys,
    vests_as_valued,
)
from tests.core.earnings.world import HELD_MOST, LITTLE, TAKES_OPENAI, Market, market
from tests.peers.suppliers import Answer, Used
from tests.support import brief
from tests.support.databases import TestClock

#: 75,000 Credits in all, as in the brief.
WORTH = "500"


def net(has: dict[str, int]) -> int:
    """What somebody has, less what they owe."""
    return sum(amount for name, amount in has.items() if name != "owed") - has.get("owed", 0)


@attack(nothing_is_due)
async def test_contribute_spend_in_advance_and_revoke(
    sqlite_url: str, clock: TestClock, guard: bool
) -> None:
    """Guard: what nothing covers is due."""
    async with market(sqlite_url, clock, own_keys=1) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.asks("bob", 40)
        await bobs.takes_back("bob", key)
        spent = 200
        assert spent + net(await bobs.has("bob")) == (0 if guard else 200)


@attack(gifts_are_cash)
async def test_the_advance_spent_on_a_friends_key_then_revoked(
    sqlite_url: str, clock: TestClock, guard: bool
) -> None:
    """Guard: an advance was neither bought nor earned, so a friend gets a gift for it, no cash."""
    async with market(sqlite_url, clock) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        await bobs.contributes("ann", "sk-ann-0000000001", SMALL)
        await bobs.asks("bob", 80)
        await bobs.takes_back("bob", key)
        ann = await bobs.has("ann")
        assert ann.get("earned", 0) == (0 if guard else 360)
        assert (await bobs.has("bob")) == {"owed": 400}


@attack(gifts_are_cash)
async def test_gifts_turned_into_cash_over_a_friends_key(
    sqlite_url: str, clock: TestClock, guard: bool
) -> None:
    """Guard: what a gift pays for becomes a gift."""
    async with market(sqlite_url, clock, policy=LITTLE) as bobs:
        await bobs.contributes("ann", "sk-ann-0000000001", SMALL)
        await bobs.gets("tom", 400, "gift")
        await bobs.asks("tom", 80)
        person = (await bobs.person("ann")).id
        earnings = await bobs.service.app.services.earnings.withdrawals.get_earnings(person)
        assert convert_to_cash(earnings.withdrawable) == (
            NanoUsd(0) if guard else parse_usd("3.24")
        )


@attack(one_pot_for_all_keys)
async def test_one_key_never_drains_another(sqlite_url: str, clock: TestClock, guard: bool) -> None:
    """Guard: each contribution has a pocket of its own. A key that is never used brings nothing."""
    async with market(sqlite_url, clock) as bobs:
        bobs.service.farmed = not guard
        book = bobs.service.app.services.pricing.prices
        first = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        idle = await bobs.contributes("bob", "sk-bob-0000000002", SMALL)
        await bobs.service.app.services.pool.pool.set_key_state(idle, "paused")
        # Dearer answers bring more than the first one's worth.
        rate = book.find_current("gpt-4").input_rate  # type: ignore[union-attr]
        await book.set_price("gpt-4", rate.multiply_by(2), rate.multiply_by(2), set_by="admin")
        await bobs.gets("tom", 2_000)
        served = await bobs.asks("tom", 90)
        assert {run.candidate.key for run in served} == {first}
        assert (await bobs.has("bob"))["earned"] == (450 if guard else 810)


@attack(dollars_go_alone)
async def test_a_budget_lowered_to_keep_its_worth(
    sqlite_url: str, clock: TestClock, guard: bool
) -> None:
    """Guard: the Credits of the dollars that go, go."""
    async with market(sqlite_url, clock) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        person = (await bobs.person("bob")).id
        await bobs.service.app.services.earnings.termination.lower_contribution(
            key, person, Credits(5)
        )
        await bobs.gets("tom", 100)
        await bobs.asks("tom", 1)
        await bobs.closes()
        if (await bobs.contribution(key, "bob")).state == "open":
            await bobs.takes_back("bob", key)
        await bobs.closes()
        brought = net(await bobs.has("bob"))
        assert brought <= 5 if guard else brought > 400


async def lowers(bobs: Market, how: str) -> None:
    """Answers of GPT-4 become cheap, beside what a key of it was valued at."""
    app = bobs.service.app
    if how == "cut":
        rate = MicroCredits(1_000)
        await app.services.pricing.prices.set_price("gpt-4", rate, rate, set_by="admin")
    elif how == "discount":
        one = Promotion(ids.new_id("pro", bobs.clock.now_ms()), "discount", percent=20)
        row = admin_log_row(bobs.clock, actor="usr_owner", act="promo", before={}, after={})
        await app.services.pricing.deals.promotions.add(one, row, by="usr_owner")
    else:
        await app.services.repricing.cost_overrides.set_override(
            brief.OPENAI, brief.flat("0.15"), actor="operator"
        )


@pytest.mark.parametrize(
    ("how", "whole", "answers", "charged"),
    [("cut", 5, 90, 1), ("discount", 5, 90, 4), ("absorbed", 25, 20, 5)],
)
@guarded
async def test_cheap_answers_on_a_key_that_was_valued_dear(
    sqlite_url: str,
    clock: TestClock,
    guard: bool,
    how: str,
    whole: int,
    answers: int,
    charged: int,
) -> None:
    """Guard: what vests was charged, whatever the key was valued at, and whatever it cost."""
    with nullcontext() if guard else vests_as_valued(whole):
        async with market(sqlite_url, clock) as bobs:
            bobs.service.farmed = not guard
            await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
            await lowers(bobs, how)
            await bobs.gets("friend", answers * charged + HELD_MOST)
            await bobs.asks("friend", answers)
            assert await bobs.has("friend") == {"bought": HELD_MOST}
            cashed = convert_to_cash(Credits((await bobs.has("bob"))["earned"]))
            assert (cashed < PAR.multiply_by(answers * charged)) is guard


@guarded
async def test_a_false_budget_many_times(sqlite_url: str, clock: TestClock, guard: bool) -> None:
    """Guard: what nobody can verify is lent once a person, up to a sum."""
    policy = EarningPolicy(suppliers=TAKES_OPENAI)
    if not guard:
        policy = replace(policy, advance_unverified=Credits(10**9))
    async with market(sqlite_url, clock, policy=policy) as bobs:
        for number in range(3):
            await bobs.contributes("bob", f"sk-bob-{number:010}", WORTH, verified=False)
        have = (
            await bobs.service.app.services.users.balances.for_user((await bobs.person("bob")).id)
        ).available
        assert have == (Credits(1_000) if guard else Credits(3 * 74_997))


@attack(keys_are_forgotten)
async def test_the_same_key_from_two_people_at_once(
    database_url: str, clock: TestClock, guard: bool
) -> None:
    """Guard: keys are known again, also those that were withdrawn."""
    async with market(database_url, clock) as bobs:
        outcomes = await asyncio.gather(
            *(bobs.contributes(name, "sk-same-000000001", SMALL) for name in ("bob", "ann")),
            return_exceptions=True,
        )
        opened = [key for key in outcomes if isinstance(key, str)]
        assert len(opened) == (1 if guard else 2)
        assert all(isinstance(one, str | DuplicateKey) for one in outcomes)
        lent = await bobs.stands(["advanced"], Credits)
        assert lent == [450 * len(opened)], "lent for the same three dollars"


@attack(inviters_get_the_rest)
async def test_inviting_whose_key_then_dies(sqlite_url: str, clock: TestClock, guard: bool) -> None:
    """Guard: an inviter's part comes with the key's use, and the rest goes back."""
    async with market(sqlite_url, clock) as bobs:
        await comes(bobs, "8", "7")
        key = await bobs.contributes("8", "sk-bob-0000000001", SMALL)
        await bobs.service.app.services.pool.pool.set_key_state(key, "dead", "refused twice")
        await bobs.closes()
        await bobs.closes()
        assert (await bobs.contribution(key, "8")).reason == "dead"
        assert await bobs.has("7") == ({} if guard else {"gift": 22})
        assert await bobs.stands(["issued/referral"], Credits) == [0 if guard else 22]


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
