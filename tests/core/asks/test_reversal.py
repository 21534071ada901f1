"""What nobody could be shown is given back: to the pockets that paid, once, and with no earnings
for it."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from core import chart
from core.asks.run import AskRun
from core.db import schema
from core.db.writes import Update
from core.ledger.types import AtMost, Submission
from core.money import Credits
from tests.core.earnings.world import BRIEFS, THOUSAND, Market
from tests.support import service
from tests.support.databases import TestClock

SECRET = "sk-contributed-by-ann-000000"


async def has(market: Market, name: str) -> dict[str, int]:
    """All of a person's pockets and what they owe, zeros too."""
    return dict.fromkeys(("gift", "bought", "earned", "owed"), 0) | await market.has(name)


async def reverse(one: service.Service, run: AskRun) -> bool:
    return await one.app.services.asks.reversal.reverse(run.id)


async def test_it_goes_back_to_the_pockets_that_paid_once(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, keys=1) as tom:
        market = Market(tom, clock)
        await market.person("bob")
        await market.gets("bob", 100)
        before = await has(market, "bob")
        (run,) = await market.asks("bob", answer=THOUSAND)
        assert await has(market, "bob") != before
        gave = await asyncio.gather(*(reverse(tom, run) for _ in range(5)))
        assert sorted(gave) == [False] * 4 + [True]
        assert await has(market, "bob") == before
        table = schema.unpaid_work.c
        rows = await tom.app.services.base.db.fetch(sa.select(table.ask, table.cause, table.cost))
        assert [(row.ask, row.cause, row.cost > 0) for row in rows] == [
            (run.id, "undelivered", True)
        ]
        assert await tom.app.services.asks.repository.claim_answer(run.id) is None
        assert await tom.findings() == []


async def test_a_delivered_answer_is_never_given_back(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock, keys=1) as tom:
        market = Market(tom, clock)
        (run,) = await market.asks("bob")
        asks = tom.app.services.asks
        await asks.repository.mark_delivered(run.id, run.question.place, ["5"])
        before = await has(market, "bob")
        assert not await asks.reversal.reverse(run.id)
        assert await has(market, "bob") == before


async def test_another_process_that_claimed_it_decides(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock, keys=1) as tom:
        market = Market(tom, clock)
        (run,) = await market.asks("bob")
        await tom.app.services.base.ledger.record(
            Update(schema.ask, {"id": run.id}, {"owner": "another process"})
        )
        before = await has(market, "bob")
        assert not await tom.app.services.asks.reversal.reverse(run.id)
        assert await has(market, "bob") == before


async def test_a_contributor_keeps_a_gift_and_nothing_earned(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, keys=0, policy=BRIEFS) as tom:
        market = Market(tom, clock)
        await market.contributes("ann", SECRET, "24")
        await market.person("bob")
        await drain(market, "bob", "gift")
        await market.gets("bob", 1_000)
        runs = await market.asks("bob", times=60)
        earned = await has(market, "ann")
        charged = [(await run.result).charge for run in runs]
        for run in runs:
            assert await tom.app.services.asks.reversal.reverse(run.id)
        after = await has(market, "ann")
        assert earned["earned"] > 0
        assert after["earned"] == 0
        assert after["gift"] == earned["gift"] + earned["earned"]
        assert (await has(market, "bob"))["bought"] == 1_000
        assert sum(charge.units for charge in charged) > 0
        # What is asked afterwards earns as ever.
        await market.asks("bob", times=10)
        assert (await has(market, "ann"))["earned"] > 0
        assert await tom.findings() == []


async def test_an_earning_that_was_spent_is_turned_into_nothing_owed(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, keys=0, policy=BRIEFS) as tom:
        market = Market(tom, clock)
        await market.contributes("ann", SECRET, "24")
        await drain(market, "bob", "gift")
        await market.gets("bob", 1_000)
        runs = await market.asks("bob", times=60)
        await drain(market, "ann", "earned")
        for run in runs:
            assert await tom.app.services.asks.reversal.reverse(run.id)
        after = await has(market, "ann")
        assert (after["earned"], after["owed"]) == (0, 0)
        assert await tom.findings() == []


async def drain(market: Market, name: str, pocket: str) -> None:
    """Takes all of a pocket away, as if it had been spent."""
    person = await market.person(name)
    account = chart.pocket(person.id, pocket)  # type: ignore[arg-type]
    take = AtMost("gone", account, chart.spent("gpt-4"), Credits(1_000_000))
    ledger = market.service.app.services.base.ledger
    await ledger.submit(Submission(f"test/{name}/{pocket}", (take,)))
