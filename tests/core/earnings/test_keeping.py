"""A contribution while it serves: more of it, less of it, and how its owner watches it."""

from __future__ import annotations

import pytest

from core import chart
from core.earnings.statistics import ContributionProgress
from core.earnings.termination import ContributionInUse
from core.earnings.types import EarningPolicy
from core.money import Credits, parse_usd
from core.pool.types import UnknownKey
from tests.core.earnings.world import TAKES_OPENAI, market
from tests.support.databases import TestClock

SAFES = EarningPolicy(suppliers=TAKES_OPENAI)
DOLLARS = "3"


async def test_less_of_it_ends_a_part_and_vests_nothing(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock, policy=SAFES) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        bob, closing = await bobs.person("bob"), bobs.service.app.services.earnings.termination
        await closing.lower_contribution(key, bob.id, Credits(45))
        one = await bobs.contribution(key, "bob")
        assert (one.credited, one.returned_credits, one.advance) == (
            Credits(450),
            Credits(405),
            Credits(45),
        )
        assert await bobs.has("bob") == {}
        assert await bobs.posted(chart.unvested_credits(key)) == [45]
        assert await bobs.stands(["issued/contribution", "fee/contribution"], Credits) == [50, -5]
        await bobs.gets("tom", 1_000)
        await bobs.asks("tom", 10)
        await bobs.closes()
        await bobs.closes()
        assert await bobs.has("bob") == {"earned": 45}
        with pytest.raises(UnknownKey):
            await closing.lower_contribution(key, bob.id, Credits(1))


async def test_not_below_what_was_spent_in_advance(database_url: str, clock: TestClock) -> None:
    async with market(database_url, clock, own_keys=1) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        await bobs.asks("bob", 20)
        bob, closing = await bobs.person("bob"), bobs.service.app.services.earnings.termination
        with pytest.raises(ContributionInUse) as refused:
            await closing.lower_contribution(key, bob.id, Credits(99))
        assert refused.value.minimum == Credits(100)
        await closing.lower_contribution(key, bob.id, Credits(100))
        await closing.withdraw_contribution(key, bob.id)
        assert await bobs.has("bob") == {"owed": 100}


async def test_more_of_a_key_is_a_contribution_of_its_own(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        contributions = bobs.service.app.services.earnings.contributions
        bob = await bobs.person("bob")
        more = await contributions.raise_contribution(key, bob, parse_usd("1.5"))
        assert (more.credited, more.quota) == (Credits(225), parse_usd("1.5"))
        await bobs.gets("tom", 1_000)
        served = [run.candidate.key for run in await bobs.asks("tom", 120)]
        assert {call.key for call in bobs.service.openai.calls} == {"sk-bob-0000000001"}
        vested = [served.count(one) * 5 * 9 // 10 for one in (key, more.key)]
        assert all(vested)
        assert sum((await bobs.has("bob")).values()) == sum(vested)


async def test_an_owner_lets_files_pass_or_not(database_url: str, clock: TestClock) -> None:
    async with market(database_url, clock) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        services = bobs.service.app.services
        contributions, bob = services.earnings.contributions, await bobs.person("bob")

        async def passes() -> tuple[bool, set[bool]]:
            records = await services.pool.pool.list_key_records()
            contribution = await contributions.get(key, bob.id)
            return contribution.takes_files, {record.takes_files for record in records}

        assert await passes() == (False, {False}), "nobody is taken to agree"
        await contributions.set_takes_files(key, True)
        assert await passes() == (True, {True})
        more = await contributions.raise_contribution(key, bob, parse_usd("1.5"))
        assert more.takes_files, "it is the same key"
        await contributions.set_takes_files(key, False)
        assert await passes() == (False, {False, True})
        await services.earnings.termination.withdraw_contribution(key, bob.id)
        with pytest.raises(UnknownKey):
            await contributions.set_takes_files(key, True)


async def test_an_owner_watches_it_earn(database_url: str, clock: TestClock) -> None:
    async with market(database_url, clock, policy=SAFES) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        watching = bobs.service.app.services.earnings.statistics
        one = await bobs.contribution(key, "bob")
        assert await watching.get_progress(one) == ContributionProgress(
            Credits(450), Credits(112), Credits(0), 0, 0, 0
        )
        await bobs.gets("tom", 105)
        await bobs.gets("ann", 1_000, "gift")
        await bobs.asks("tom", 21)
        clock.advance(days=1)
        await bobs.asks("ann", 2)
        now = await watching.get_progress(one)
        assert (now.vested, now.answers, now.used_permille) == (Credits(103), 23, 230)
        assert (now.unvested, now.last_served_at) == (Credits(347), clock.at_ms)
        days = await watching.list_daily_earnings([key], 3)
        assert [(day.answers, day.vested.units) for day in days] == [(0, 0), (21, 94), (2, 9)]
        assert sum((await bobs.has("bob")).values()) == 103
        bob = await bobs.person("bob")
        await bobs.service.app.services.earnings.termination.withdraw_contribution(key, bob.id)
        ended = await watching.get_progress(await bobs.contribution(key, "bob"))
        assert (ended.vested, ended.unvested, ended.spendable) == (
            Credits(103),
            Credits(0),
            Credits(0),
        )
