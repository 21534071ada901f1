"""Two who become one while they contribute and cash out: nothing is shed, nothing is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa

from core.earnings.payouts import WithdrawalBlocked
from core.money import Credits, parse_usd
from tests.core.earnings.linking_support import LITTLE
from tests.core.earnings.world import Market, market
from tests.peers.suppliers import Answer, Used
from tests.support.databases import TestClock

SMALL = "3"


async def circulation(bobs: Market) -> int:
    """Everything that anybody has, held included, less what is owed and lent."""
    rows = await bobs.service.app.services.base.db.fetch(
        sa.text("SELECT code, credits_posted - debits_posted AS has FROM account")
    )
    kinds = ("user/", "owed/", "advanced", "line/")
    return sum(
        int(row.has)
        for row in rows
        if row.code.startswith(kinds) or (row.code.startswith("key/") and row.code.count("/") == 2)
    )


async def test_keys_that_serve_and_keys_under_review_move_along(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock, policy=LITTLE) as bobs:
        await bobs.person("bob")
        clock.advance(seconds=10)
        serving = await bobs.contributes("alt", "sk-alt-0000000001", SMALL)
        reviewed = await bobs.offers("alt", "sk-alt-0000000002", SMALL)
        await bobs.gets("tom", 2_000)
        gate = asyncio.Event()
        bobs.service.openai.always(Answer("word " * 500, usage=Used(500, 500), before=gate))
        running = await bobs.begins(await bobs.person("tom"))
        before = await circulation(bobs)
        bob = await bobs.links("bob", "alt")
        assert await circulation(bobs) == before
        gate.set()
        await running.result
        await bobs.service.app.services.links.forward_merged_balances()
        assert await bobs.has("bob") == {"earned": 4}
        contributions = bobs.service.app.services.earnings.contributions
        await contributions.accept_proposal(reviewed, bob, parse_usd(SMALL))
        assert [one.key for one in await contributions.list_for_contributor(bob.id)] == [
            serving,
            reviewed,
        ]
        assert bobs.service.app.services.pool.pool.contributed_keys.list_advance_keys(bob.id) == (
            serving,
            reviewed,
        )
        await bobs.asks("tom", 20)
        assert (await bobs.has("bob"))["earned"] >= 4 + 80
        # Neither name asks on these keys any more: nobody else's are here.
        for name in ("bob", "alt"):
            with pytest.raises(Exception, match="nothing_serves"):
                await bobs.asks(name)


async def test_open_withdrawals_of_both_go_on_and_come_back_to_the_one(
    database_url: str, clock: TestClock
) -> None:
    policy = replace(LITTLE, payout_hold_days=30)
    async with market(database_url, clock, policy=policy) as bobs:
        await bobs.contributes("bob", "sk-bob-0000000001", SMALL)
        clock.advance(seconds=10)
        await bobs.contributes("alt", "sk-alt-0000000001", SMALL)
        await bobs.gets("tom", 2_000)
        await bobs.asks("tom", 60)
        clock.advance(days=40)
        earned = {name: (await bobs.has(name))["earned"] for name in ("bob", "alt")}
        assert all(amount >= 60 for amount in earned.values())
        ours, theirs = await bobs.withdraws("bob", 30), await bobs.withdraws("alt", 20)
        other = await bobs.withdraws("alt", 25)
        before = await circulation(bobs)
        bob = await bobs.links("bob", "alt")
        assert await circulation(bobs) == before
        withdrawals, whole = bobs.service.app.services.earnings.withdrawals, sum(earned.values())
        earnings = await withdrawals.get_earnings(bob.id)
        assert earnings.withdrawable == earnings.available == Credits(whole - 75)
        with pytest.raises(WithdrawalBlocked) as refused:
            await bobs.withdraws("bob", 10)
        assert refused.value.reason == "linked"
        people = await bobs.service.app.services.users.users.list_merged_ids(bob.id)
        assert {one.id for one in await withdrawals.list_for_people(people)} == {
            ours.id,
            theirs.id,
            other.id,
        }
        await withdrawals.cancel_payout(theirs.id, people)
        await withdrawals.reject_payout(ours.id, actor="usr_admin", reason="later")
        clock.advance(days=4)
        await withdrawals.approve_payout(other.id, actor="usr_admin")
        sent = await withdrawals.mark_sent(await withdrawals.get(other.id), next_check_ms=None)
        await withdrawals.mark_returned(sent, reason="closed account")
        await bobs.service.app.services.links.forward_merged_balances()
        # All of it is there again, and as old as it was.
        earnings = await withdrawals.get_earnings(bob.id)
        assert earnings.available == earnings.withdrawable == Credits(whole)


async def test_what_either_owes_is_owed_by_both(database_url: str, clock: TestClock) -> None:
    async with market(database_url, clock, own_keys=1) as bobs:
        await bobs.gets("bob", 100)
        clock.advance(seconds=10)
        key = await bobs.contributes("alt", "sk-alt-0000000001", SMALL)
        await bobs.asks("alt", 40)
        alt = await bobs.person("alt")
        await bobs.service.app.services.earnings.termination.withdraw_contribution(key, alt.id)
        assert await bobs.has("alt") == {"owed": 200}
        before = await circulation(bobs)
        await bobs.links("bob", "alt")
        assert await circulation(bobs) == before
        assert await bobs.has("bob") == {"owed": 100}
        assert await bobs.service.app.services.users.users.unlink_identity("telegram", "alt")
        assert await bobs.has("alt") == {}, "who parts takes nothing along"
        assert await bobs.has("bob") == {"owed": 100}


async def test_an_advance_that_is_held_while_they_become_one(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock, own_keys=1) as bobs:
        await bobs.gets("bob", 100)
        clock.advance(seconds=10)
        key = await bobs.contributes("alt", "sk-alt-0000000001", SMALL)
        gate = asyncio.Event()
        bobs.service.openai.always(Answer("word " * 500, usage=Used(500, 500), before=gate))
        asks = [await bobs.begins(await bobs.person(name)) for name in ("alt", "bob", "alt")]
        before = await circulation(bobs)
        bob = await bobs.links("bob", "alt")
        assert await circulation(bobs) == before
        gate.set()
        charged = sum([(await run.result).charge.units for run in asks])
        await bobs.service.app.services.links.forward_merged_balances()
        assert await circulation(bobs) == before - charged
        await bobs.service.app.services.earnings.termination.withdraw_contribution(key, bob.id)
        await bobs.closes()
        # Where the other's key served them before they were one, that covered some of it.
        covered = 4 if asks[1].candidate.key == key else 0
        assert (await bobs.has("bob")) == {"bought": 100 - charged + covered}
