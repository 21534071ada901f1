"""Work that nobody pays for: what it may cost a day, whom it concerns, and that the rest lose
nothing by it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa

from bots.chat.types import Answer, Card
from core.asks.types import AskFailure, Outcome, Question
from core.asks.unpaid_work import (
    CONTENT_REFUSALS_MAX,
    UnpaidCause,
    UnpaidWork,
    UnpaidWorkBudget,
    find_unpaid_cause,
)
from core.db import schema
from core.earnings.types import EarningPolicy
from core.money import NanoUsd, parse_usd
from tests.core.earnings.world import TAKES_OPENAI, Market
from tests.peers.suppliers import Answer as Says, Refuse, Script, Used
from tests.support import brief, service
from tests.support.databases import TestClock

BUDGET, NOTHING = parse_usd("0.50"), UnpaidWork(NanoUsd(0), 0)
QUESTION = "/ask gpt-4 " + "why " * 400
#: An answer of 2,000 tokens in which nothing can be seen: $0.09.
UNSEEN = Says("\u200b", usage=Used(1_000, 2_000))
EACH = parse_usd("0.09")
FILTERED = Says("", usage=Used(1_000, 2_000), finish="filtered")
REFUSED = Refuse(400, code="content_policy_violation", message="flagged by our safety system")
SEEN = Says("Because.", usage=Used(400, 3))


async def read_work(one: service.Service) -> UnpaidWork:
    """As a process reads it that has just started."""
    base = one.app.services.base
    budget = UnpaidWorkBudget(db=base.db, clock=base.clock, per_day=BUDGET)
    return await budget.read_today((await one.person()).id)


async def ask(one: service.Service, script: Script) -> Answer | Card:
    one.openai.always(script)
    shown = (await one.says(QUESTION))[-1]
    assert isinstance(shown, Answer | Card)
    return shown


@pytest.mark.parametrize("script", [UNSEEN, FILTERED], ids=["unseen", "filtered"])
async def test_the_budget_ends_with_the_day(
    database_url: str, clock: TestClock, script: Script
) -> None:
    async with service.running(database_url, clock) as tom:
        before = await tom.credits()
        shown = [await ask(tom, script) for _ in range(12)]
        work = await read_work(tom)
        assert BUDGET <= work.cost < BUDGET + EACH
        refusals = [one for one in shown if isinstance(one, Card)]
        assert len(refusals) == 12 - work.cost.units // EACH.units
        assert "midnight UTC" in refusals[0].lines[0]
        assert await tom.credits() == before
        assert isinstance(await ask(tom.someone("8"), SEEN), Answer)
        clock.advance(days=1)
        assert isinstance(await ask(tom, SEEN), Answer)
        assert await read_work(tom) == NOTHING


async def test_what_was_paid_for_counts_to_no_budget(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock) as tom:
        for script in (SEEN, Refuse(500), Says("Because.", usage=Used(400, 3), finish="length")):
            await ask(tom, script)
        assert await read_work(tom) == NOTHING


async def test_a_part_of_a_person_draws_on_the_same_budget(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        market, other = Market(tom, clock), tom.someone("8")
        await tom.person()
        clock.advance(seconds=1)
        for _ in range(3):
            await ask(other, UNSEEN)
        await market.links("7", "8")
        assert (await read_work(tom)).cost == EACH.multiply_by(3)
        for _ in range(3):
            await ask(tom, UNSEEN)
        assert isinstance(await ask(other, UNSEEN), Card)


async def test_contributed_keys_serve_nobody_who_is_often_refused(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(
        database_url, clock, keys=0, policy=EarningPolicy(TAKES_OPENAI)
    ) as tom:
        market = Market(tom, clock)
        secret = "sk-contributed-by-ann-000000"
        key = await market.contributes("ann", secret, "24")
        for _ in range(CONTENT_REFUSALS_MAX):
            shown = await ask(tom, REFUSED)
            assert isinstance(shown, Answer)
            assert "content rules" in shown.text
        calls = tom.openai.calls_of(secret)
        shown = await ask(tom, REFUSED)
        assert isinstance(shown, Card)
        assert "contributed keys" in shown.lines[0]
        assert tom.openai.calls_of(secret) == calls
        assert isinstance(await ask(tom.someone("8"), SEEN), Answer)
        summary = next(one for one in await tom.app.services.pool.pool.list_keys() if one.id == key)
        assert summary.state == "active"
        clock.advance(days=1)
        assert isinstance(await ask(tom, SEEN), Answer)


@pytest.mark.parametrize("by_asker", [True, False])
async def test_a_stop_is_the_askers_doing_a_restart_is_not(
    database_url: str, clock: TestClock, by_asker: bool
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.always(replace(SEEN, between=asyncio.Event()))
        person = await tom.person()
        asks = tom.app.services.asks.asks
        run = await asks.start_ask(
            Question("ask_1", person, "telegram:7:", "1", "why " * 400, brief.GPT_4)
        )
        await tom.openai.arrived(1)
        if by_asker:
            assert await asks.stop_ask(run.id, person.id)
        else:
            await asks.stop(grace_seconds=0)
        assert (await run.result).outcome is Outcome.STOPPED
        table = schema.unpaid_work.c
        rows = await tom.app.services.base.db.fetch(sa.select(table.cause, table.cost))
        assert [(row.cause, row.cost > 0) for row in rows] == [("stopped", True)] * by_asker


@pytest.mark.parametrize(
    ("outcome", "failure", "is_seen", "was_reasoning", "cause"),
    [
        (Outcome.REFUSED, AskFailure.CONTENT, False, False, "content"),
        (Outcome.FILTERED, AskFailure.NONE, True, False, "content"),
        (Outcome.DONE, AskFailure.NONE, False, False, "unseen"),
        (Outcome.LENGTH, AskFailure.NONE, False, True, "unseen"),
        (Outcome.TIMED_OUT, AskFailure.NONE, False, True, "unseen"),
        (Outcome.STOPPED, AskFailure.NONE, False, True, "stopped"),
        (Outcome.STOPPED, AskFailure.NONE, True, True, None),
        (Outcome.TIMED_OUT, AskFailure.NONE, False, False, None),
        (Outcome.REFUSED, AskFailure.SUPPLIER, False, False, None),
        (Outcome.BROKEN, AskFailure.SUPPLIER, True, True, None),
        (Outcome.LOST, AskFailure.NONE, False, True, None),
    ],
)
def test_whose_doing_an_ending_is(
    outcome: Outcome,
    failure: AskFailure,
    is_seen: bool,
    was_reasoning: bool,
    cause: UnpaidCause | None,
) -> None:
    found = find_unpaid_cause(outcome, failure, is_seen=is_seen, was_reasoning=was_reasoning)
    assert found == cause
