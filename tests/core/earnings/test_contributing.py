"""A key from its offer to its end, with the ledger's figures at each step."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core import chart
from core.asks.types import NoKeyAvailable
from core.earnings.contributions import DrawnAmounts, build_vesting, calculate_paid_part
from core.earnings.types import (
    EarningPolicy,
    NotContributable,
    ProposalGone,
    SameOrganisation,
    TooManyContributions,
    WorthNothing,
)
from core.money import Credits, NanoUsd, parse_usd
from core.pool.types import ContributionTerms, DuplicateKey, KeyRefused
from tests.core.earnings.world import BRIEFS, TAKES_OPENAI, market
from tests.peers.suppliers import Answer, Refuse, Used
from tests.support.databases import TestClock
from tests.support.size import size

SAFES = EarningPolicy(suppliers=TAKES_OPENAI)
#: $3 is a hundred average requests: 500 Credits, 50 of them the fee.
DOLLARS = "3"


# --- vesting ----------------------------------------------------------------------------------


def test_what_of_a_charge_was_paid_for() -> None:
    drawn: DrawnAmounts = [
        ("user/t/gift", 3),
        ("user/t/bought", 4),
        ("user/t/earned", 2),
        ("key/k/advance", 5),
    ]
    assert [calculate_paid_part(drawn, Credits(n)).units for n in (0, 3, 5, 9, 14)] == [
        0,
        0,
        2,
        6,
        6,
    ]


def test_own_keys_and_an_owners_own_asks_vest_nothing() -> None:
    terms = ContributionTerms("usr_bob", Credits(0), "")
    charged = {"charge": Credits(8), "paid": Credits(8)}
    assert build_vesting("key_1", None, asker="usr_tom", **charged) == ()
    assert build_vesting("key_1", terms, asker="usr_bob", **charged) == ()
    assert len(build_vesting("key_1", terms, asker="usr_tom", **charged)) == 1
    assert (
        len(build_vesting("key_1", terms, asker="usr_tom", charge=Credits(8), paid=Credits(3))) == 2
    )


# --- the brief --------------------------------------------------------------------------------


async def test_the_briefs_contribution(database_url: str, clock: TestClock) -> None:
    """$500 → 74,997 as 16,666 asks of 1,000 tokens are paid for."""
    times = size(small=100, full=16_666)
    dollars = "500" if times == 16_666 else DOLLARS
    net = times * 5 - times * 5 // 10
    async with market(database_url, clock) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", dollars)
        one = await bobs.contribution(key, "bob")
        assert (one.requests, one.credited, one.fee) == (
            times,
            Credits(net),
            Credits(times * 5 // 10),
        )
        assert await bobs.posted(chart.unvested_credits(key)) == [net]
        assert await bobs.stands(["issued/contribution"], Credits) == [times * 5]
        await bobs.gets("tom", times * 5)
        await bobs.asks("tom", times)
        assert await bobs.has("tom") == {}
        assert await bobs.has("bob") == {"earned": net}
        assert await bobs.posted(chart.key_usage(key, "paid")) == [times * 5]
        await bobs.closes()
        await bobs.closes()
        one = await bobs.contribution(key, "bob")
        assert (one.state, one.reason) == ("closed", "exhausted")
        assert await bobs.has("bob") == {"earned": net}
        assert await bobs.posted(chart.unvested_credits(key), chart.advance(key)) == [0, 0]
        codes = ["supply/contributed", "supplier/openai/contributed"]
        cost = parse_usd("0.03").multiply_by(times).units
        assert await bobs.stands(codes, NanoUsd) == [cost, -cost]


async def test_half_of_it_paid_by_gifts(database_url: str, clock: TestClock) -> None:
    times = size(small=100, full=16_666)
    dollars = "500" if times == 16_666 else DOLLARS
    async with market(database_url, clock) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", dollars)
        paid = times // 2
        await bobs.gets("tom", paid * 5)
        await bobs.gets("ann", (times - paid) * 5, "gift")
        await bobs.asks("tom", paid)
        await bobs.asks("ann", times - paid)
        expected = {"earned": paid * 5 * 9 // 10, "gift": (times - paid) * 5 * 9 // 10}
        assert await bobs.has("bob") == expected
        await bobs.closes()
        await bobs.closes()
        if (await bobs.contribution(key, "bob")).state == "open":
            # Each half was rounded down, and two cents are left: what they are worth goes back.
            bob = await bobs.person("bob")
            await bobs.service.app.services.earnings.termination.withdraw_contribution(key, bob.id)
        assert await bobs.has("bob") == expected


# --- advances ---------------------------------------------------------------------------------


async def test_an_advance_is_spent_covered_and_spent_again(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock, policy=SAFES, own_keys=1) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        one = await bobs.contribution(key, "bob")
        assert one.advance == Credits(112), "a quarter of 450"
        purse = await bobs.service.app.services.users.balances.for_user(
            (await bobs.person("bob")).id
        )
        assert purse.available == Credits(112)
        # The owner's own asks go elsewhere and vest nothing.
        await bobs.asks("bob", 20)
        assert (
            await bobs.service.app.services.users.balances.for_user((await bobs.person("bob")).id)
        ).available == Credits(12)
        assert await bobs.posted(chart.unvested_credits(key), chart.key_usage(key, "free")) == [
            450,
            0,
        ]
        await bobs.gets("tom", 1_000)
        served = sum(run.candidate.key == key for run in await bobs.asks("tom", 40))
        vested = served * 5 * 9 // 10
        assert served
        covered = min(100, vested)
        assert await bobs.posted(chart.advance(key)) == [12 + covered]
        assert (await bobs.has("bob")).get("earned", 0) == vested - covered


async def test_what_nobody_can_verify_is_lent_once_a_person(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock, policy=SAFES) as bobs:
        first = await bobs.contributes("bob", "sk-bob-0000000001", "5", verified=False)
        second = await bobs.contributes("bob", "sk-bob-0000000002", "60", verified=False)
        third = await bobs.contributes("bob", "sk-bob-0000000003", "60", verified=False)
        lent = [
            (await bobs.contribution(key, "bob")).advance.units for key in (first, second, third)
        ]
        assert lent == [747, 253, 0]
        await bobs.service.app.services.earnings.termination.withdraw_contribution(
            first, (await bobs.person("bob")).id
        )
        fourth = await bobs.contributes("bob", "sk-bob-0000000004", "60", verified=False)
        assert (await bobs.contribution(fourth, "bob")).advance == Credits(747)


async def test_two_offers_at_once_never_lend_more_than_that(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock, policy=SAFES) as bobs:
        keys = [await bobs.offers("bob", f"sk-bob-{number:010}") for number in range(3)]
        person, contributions = (
            await bobs.person("bob"),
            bobs.service.app.services.earnings.contributions,
        )
        opened = await asyncio.gather(
            *(contributions.accept_proposal(key, person, parse_usd("60")) for key in keys)
        )
        assert sum(one.advance.units for one in opened) == 1_000


# --- ends -------------------------------------------------------------------------------------


async def test_withdrawn_half_used(database_url: str, clock: TestClock) -> None:
    async with market(database_url, clock) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        await bobs.gets("tom", 1_000)
        await bobs.asks("tom", 50)
        bob = await bobs.person("bob")
        await bobs.service.app.services.earnings.termination.withdraw_contribution(key, bob.id)
        assert await bobs.has("bob") == {"earned": 225}
        one = await bobs.contribution(key, "bob")
        assert (one.state, one.returned_credits, one.returned_quota) == (
            "closed",
            Credits(225),
            parse_usd("1.5"),
        )
        codes = ["issued/contribution", "fee/contribution", "advanced", "issued/referral"]
        assert await bobs.stands(codes, Credits) == [250, -25, 0, 0]
        assert await bobs.stands(["supply/contributed"], NanoUsd) == [parse_usd("1.5").units]
        with pytest.raises(NoKeyAvailable):
            await bobs.begins(await bobs.person("tom"))
        records = await bobs.service.app.services.pool.pool.list_key_records()
        assert next(record for record in records if record.id == key).sealed is None
        with pytest.raises(DuplicateKey):
            await bobs.offers("ann", "sk-bob-0000000001")


async def test_what_was_spent_in_advance_is_due_when_nothing_covers_it(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock, own_keys=1) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        await bobs.asks("bob", 40)
        await bobs.gets("bob", 30, "gift")
        bob = await bobs.person("bob")
        await bobs.service.app.services.earnings.termination.withdraw_contribution(key, bob.id)
        assert await bobs.has("bob") == {"owed": 170}
        assert await bobs.stands(["advanced", "issued/contribution"], Credits) == [0, 0]
        # Whatever comes in pays that first.
        await bobs.gets("bob", 200)
        assert await bobs.has("bob") == {"bought": 30}


async def test_answers_that_run_are_waited_for(database_url: str, clock: TestClock) -> None:
    async with market(database_url, clock) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        await bobs.gets("tom", 1_000)
        gate = asyncio.Event()
        bobs.service.openai.always(Answer("word " * 500, usage=Used(500, 500), before=gate))
        run = await bobs.begins(await bobs.person("tom"))
        bob = await bobs.person("bob")
        await bobs.service.app.services.earnings.termination.withdraw_contribution(key, bob.id)
        assert (await bobs.contribution(key, "bob")).state == "closing"
        gate.set()
        await run.result
        await bobs.closes()
        assert (await bobs.contribution(key, "bob")).state == "closed"
        assert await bobs.has("bob") == {"earned": 4}


async def test_a_price_cut_leaves_the_used_share_as_a_gift(
    database_url: str, clock: TestClock
) -> None:
    """Never earned: cash is bounded by what was charged, whatever prices do."""
    async with market(database_url, clock) as bobs:
        await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        book = bobs.service.app.services.pricing.prices
        rate = book.find_current("gpt-4").input_rate  # type: ignore[union-attr]
        cheap = type(rate)(1_000)
        await book.set_price("gpt-4", cheap, cheap, set_by="admin")
        await bobs.gets("tom", 1_000)
        for _ in range(100):  # one by one: beside others the key's rest may hold a shorter answer
            await bobs.asks("tom", 1)
        assert await bobs.has("bob") == {"earned": 90}
        await bobs.closes()
        await bobs.closes()
        assert await bobs.has("bob") == {"earned": 90, "gift": 360}


async def test_a_key_that_dies_ends_once_it_is_surely_dead(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock, own_keys=1) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        bobs.service.openai.forbid("sk-bob-0000000001")
        await bobs.gets("tom", 1_000)
        await bobs.asks("tom", 8)
        await bobs.closes()
        assert (await bobs.contribution(key, "bob")).state == "open", "one refusal is no proof"
        for _ in range(3):
            clock.advance(seconds=700)
            await bobs.service.app.services.pool.pool.check_models()
        await bobs.closes()
        await bobs.closes()
        one = await bobs.contribution(key, "bob")
        assert (one.state, one.reason) == ("closed", "dead")
        assert one.returned_credits == one.credited
        assert await bobs.has("bob") == {}


async def test_a_supplier_that_fails_takes_nobodys_credits(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        await bobs.gets("tom", 1_000)
        throttled = Refuse(429, code="rate_limit_exceeded", retry_after="60")
        for troubles in ((Refuse(500), Refuse(500)), (throttled,), (Refuse(503), Refuse(502))):
            bobs.service.openai.script(*troubles)
            await bobs.asks("tom", 1)
            await bobs.closes()
            clock.advance(seconds=400)
        assert (await bobs.contribution(key, "bob")).state == "open"
        assert (await bobs.has("tom"))["bought"] == 1_000
        assert await bobs.posted(chart.unvested_credits(key)) == [450]


# --- refusals ---------------------------------------------------------------------------------


async def test_what_is_not_taken(database_url: str, clock: TestClock) -> None:
    async with market(database_url, clock) as bobs:
        await bobs.contributes("bob", "sk-bob-0000000001", DOLLARS)
        with pytest.raises(DuplicateKey):
            await bobs.offers("bob", "sk-bob-0000000001")
        bobs.service.openai.organisations["sk-bob-0000000002"] = "org-sk-bob-0000000001"
        with pytest.raises(SameOrganisation):
            await bobs.offers("ann", "sk-bob-0000000002")
        with pytest.raises(WorthNothing):
            await bobs.offers("ann", "sk-poor-000000001", "0.02")
        with pytest.raises(KeyRefused):
            await bobs.offers("ann", "sk-admin-000000001")
        keys = [f"sk-ann-{number:010}" for number in range(3)]
        waiting = [await bobs.offers("ann", key) for key in keys]
        with pytest.raises(TooManyContributions):
            await bobs.offers("ann", "sk-ann-1000000000")
        contributions, ann = (
            bobs.service.app.services.earnings.contributions,
            await bobs.person("ann"),
        )
        with pytest.raises(ProposalGone):
            await contributions.accept_proposal(
                waiting[0], await bobs.person("bob"), parse_usd("1")
            )
        await contributions.decline_proposal(waiting[0], ann)
        with pytest.raises(ProposalGone):
            await contributions.accept_proposal(waiting[0], ann, parse_usd("1"))
        # What was dropped was never in: it may be offered again, by anyone.
        await bobs.offers("tom", keys[0])
        clock.advance(seconds=3_700)
        await contributions.delete_expired_proposals()
        with pytest.raises(ProposalGone):
            await contributions.accept_proposal(waiting[1], ann, parse_usd("1"))


async def test_nothing_is_taken_until_the_operator_names_a_supplier(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock, policy=replace(BRIEFS, suppliers=frozenset())) as bobs:
        with pytest.raises(NotContributable):
            await bobs.offers("bob", "sk-bob-0000000001")
        assert bobs.service.openai.calls == []
