"""Asks at what a tier or a promotion makes of the price: quoted, held, billed, recorded."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from bots.chat.types import Answer
from core import ids
from core.admin_log import admin_log_row
from core.asks.types import AskResult, Question
from core.db import schema
from core.db.writes import Insert
from core.money import Credits, MicroCredits
from core.pricing.promotions import Promotion
from core.pricing.tiers import Tier
from core.users.limits import Allowance
from tests.bots.commands.commands_support import text_of
from tests.peers.suppliers import Answer as Says, Refuse, Used
from tests.support import brief, service
from tests.support.databases import NOON_MS, TestClock
from tests.support.service import Service
from tests.support.size import size

#: The brief's: 1.5 × 5 Credits are 8.
EXAMPLE = Says("word " * 500, usage=Used(1_000, 500))
_numbers = itertools.count(1)


@pytest.fixture
async def tom(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock, welcome=10_000) as tom:
        yield tom


async def promote(tom: Service, **changes: Any) -> Promotion:
    one = replace(Promotion(ids.new_id("pro", NOON_MS), "discount", percent=20), **changes)
    row = admin_log_row(tom.clock, actor="usr_owner", act="promo", before={}, after={})
    await tom.app.services.pricing.deals.promotions.add(one, row, by="usr_owner")
    return one


async def put(tom: Service, tier: Tier) -> None:
    row = admin_log_row(tom.clock, actor="usr_owner", act="tier", before={}, after={})
    await tom.app.services.pricing.deals.tiers.save_tier(tier, also=row)


async def asks(
    tom: Service, count: int, *, app: Service | None = None
) -> list[AskResult | Exception]:
    """So many questions of one person at once, as their charges or refusals."""
    person = await tom.person()

    async def one() -> AskResult:
        question = Question(
            id=ids.derive_id("ask", tom.clock.now_ms(), str(next(_numbers))),
            person=person,
            place=f"telegram:{next(_numbers)}:",
            asked_in="1",
            text="why " * 990,
            model=brief.GPT_4,
        )
        return await (await (app or tom).app.services.asks.asks.start_ask(question)).result

    return await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)  # type: ignore[return-value]


async def rows(tom: Service, what: sa.Table) -> list[sa.Row[Any]]:
    return list(await tom.app.services.base.db.fetch(sa.select(what).order_by(*what.primary_key)))


async def test_a_promotion_is_the_price_that_is_seen_and_paid(
    tom: Service, clock: TestClock
) -> None:
    one = await promote(tom, models=frozenset({"gpt-4"}), ends_at=NOON_MS + 60_000)
    card = text_of(await tom.screen("/model gpt-4"))
    assert "4 Credits / 1K tokens" in card
    assert "5 Credits" not in card
    assert "4 Credits / 1K tokens" in text_of(await tom.screen("/model claude"))  # its own price
    tom.openai.script(EXAMPLE)
    assert "6 Credits" in (await tom.answer("/ask gpt-4 " + "why " * 990)).footer
    (ask,) = await rows(tom, schema.ask)
    (used,) = await rows(tom, schema.usage)
    assert (ask.input_rate, ask.output_rate, ask.promotion, ask.tier) == (
        4_000,
        4_000,
        one.id,
        None,
    )
    assert used.price == ask.price == tom.app.services.pricing.prices.find_current("gpt-4").id  # type: ignore[union-attr]
    clock.advance(seconds=60)
    assert "5 Credits / 1K tokens" in text_of(await tom.screen("/model gpt-4"))
    tom.openai.script(EXAMPLE)
    assert "8 Credits" in (await tom.answer("/ask gpt-4 " + "why " * 990)).footer


async def test_what_was_quoted_is_billed_though_all_of_it_changes_meanwhile(tom: Service) -> None:
    one = await promote(tom)
    gate = asyncio.Event()
    tom.openai.script(replace(EXAMPLE, before=gate))
    shown = tom.app.chat.dispatcher.handle_message(tom.incoming("/ask gpt-4 " + "why " * 990))
    await anext(shown)
    row = admin_log_row(tom.clock, actor="usr_owner", act="promo-end", before={}, after={})
    await tom.app.services.pricing.deals.promotions.end_promotion(one.id, also=row)
    rate = MicroCredits(50_000)
    await tom.app.services.pricing.prices.set_price("gpt-4", rate, rate, set_by="admin")
    gate.set()
    outputs = [output async for output in shown]
    assert isinstance(outputs[-1], Answer)
    assert "6 Credits" in outputs[-1].footer
    await tom.app.chat.dispatcher.mark_delivered(
        outputs[-1].ask, tom.place, tom.shown_in(outputs[-1])
    )


async def test_of_several_promotions_the_best_one_counts_behind_the_tier(tom: Service) -> None:
    await put(tom, Tier("Gold", "spending", Credits(1), 30, discount_percent=10))
    for percent in (5, 20, 10):
        await promote(tom, percent=percent)
    await promote(tom, percent=90, models=frozenset({"claude-3"}))
    tom.openai.script(EXAMPLE, EXAMPLE)
    assert "6 Credits" in (await tom.answer("/ask gpt-4 " + "why " * 990)).footer
    # What was spent makes the tier: 5 × 0.9 × 0.8.
    assert "3.6 Credits / 1K tokens" in text_of(await tom.screen("/model gpt-4"))
    assert "6 Credits" in (await tom.answer("/ask gpt-4 " + "why " * 990)).footer  # 5.4
    ask = (await rows(tom, schema.ask))[-1]
    assert (ask.tier, ask.input_rate) == ("Gold", 3_600)
    file = (await tom.screen("/export")).attachment
    assert file is not None
    told = json.loads(file.content)["answers"]
    assert [one["tier"] for one in told] == ["", "Gold"]
    assert told[1]["promotion"] == ask.promotion


async def test_what_the_floor_eats_up_is_neither_recorded_nor_used_up(tom: Service) -> None:
    rate = MicroCredits(3_000)  # what the supplier takes: below the floor by itself
    await tom.app.services.pricing.prices.set_price("gpt-4", rate, rate, set_by="admin")
    await promote(tom, total=1)
    tom.openai.script(EXAMPLE)
    assert "5 Credits" in (await tom.answer("/ask gpt-4 " + "why " * 990)).footer  # 4.5
    (ask,) = await rows(tom, schema.ask)
    assert (ask.input_rate, ask.promotion) == (None, None)
    assert await rows(tom, schema.promotion_use) == []


async def test_an_answer_costs_a_credit_at_least(tom: Service) -> None:
    await promote(tom, percent=99)
    tom.openai.script(Says("Yes.", usage=Used(3, 1)))
    assert "1 Credit ·" in (await tom.answer("/ask gpt-4 why?")).footer


async def test_a_swept_ask_is_billed_at_its_deal(tom: Service, clock: TestClock) -> None:
    await promote(tom)
    chunks = tuple(f"word{number} " for number in range(600))
    tom.openai.script(Says(chunks=chunks, hangs_after=500))
    question = Question(
        id=ids.derive_id("ask", clock.now_ms(), "lost"),
        person=await tom.person(),
        place="telegram:7:",
        asked_in="1",
        text="why?",
        model=brief.GPT_4,
    )
    run = await tom.app.services.asks.asks.start_ask(question)
    async for text in run.stream_text():
        if text == "".join(chunks[:500]):
            break
    await tom.app.services.asks.asks._heartbeat.record([run])
    (ask,) = await rows(tom, schema.ask)
    clock.advance(seconds=13)
    assert await tom.app.services.asks.recovery.recover_lapsed_asks() == 1
    tokens = ask.prompt_tokens + ask.shown_tokens
    paid = (await rows(tom, schema.usage))[0].charge
    assert paid == -(-tokens * 4_000 // 1_000_000)
    assert paid < -(-tokens * 5_000 // 1_000_000)
    run.stop()
    await run.result


async def test_a_limit_holds_for_each_and_for_all_at_once(tom: Service, database_url: str) -> None:
    """On two processes, whoever is faster: so many answers at the lower price, and no more."""
    each, every, people = 2, size(small=7, full=60), size(small=5, full=40)
    one = await promote(tom, per_person=each, total=every)
    tom.openai.always(EXAMPLE)
    async with service.running(
        database_url,
        tom.clock,
        welcome=10_000,
        supplier=tom.openai,  # type: ignore[arg-type]
    ) as other:
        crowd = [tom.someone(str(100 + number)) for number in range(people)]
        for asker in crowd:
            await asker.person()
        outcomes = await asyncio.gather(
            *(asks(asker, 3, app=app) for asker in crowd for app in (tom, other))
        )
        charges = Counter(
            outcome.charge.units
            for results in outcomes
            for outcome in results
            if isinstance(outcome, AskResult)
        )
        refused = [o for results in outcomes for o in results if isinstance(o, Exception)]
        assert refused == []
        lower = min(every, each * people)
        assert charges == {6: lower, 8: 6 * people - lower}
    uses = await rows(tom, schema.promotion_use)
    assert len(uses) == lower
    assert max(Counter(use.person for use in uses).values()) == each
    assert {use.promotion for use in uses} == {one.id}
    cheap = {ask.id for ask in await rows(tom, schema.ask) if ask.promotion}
    assert {use.cause for use in uses} == cheap


async def test_what_cost_nothing_uses_nothing_up(tom: Service) -> None:
    await promote(tom, per_person=1, total=1)
    tom.openai.always(Refuse(400, code="content_policy_violation"))
    await tom.says("/ask gpt-4 why?")
    assert await rows(tom, schema.promotion_use) == []
    tom.openai.always(EXAMPLE)
    assert "6 Credits" in (await tom.answer("/ask gpt-4 " + "why " * 990)).footer
    assert "8 Credits" in (await tom.answer("/ask gpt-4 " + "why " * 990)).footer
    assert "5 Credits / 1K tokens" in text_of(await tom.screen("/model gpt-4"))


async def test_a_tier_is_reached_by_spending_within_its_days(
    tom: Service, clock: TestClock
) -> None:
    await put(tom, Tier("Gold", "spending", Credits(10), 30, discount_percent=20))
    for _ in range(2):
        tom.openai.script(EXAMPLE)
        assert "8 Credits" in (await tom.answer("/ask gpt-4 " + "why " * 990)).footer
    assert "Your tier: Gold" in text_of(await tom.screen("/balance"))
    tom.openai.script(EXAMPLE)
    assert "6 Credits" in (await tom.answer("/ask gpt-4 " + "why " * 990)).footer
    clock.advance(days=31)
    assert "Gold" not in text_of(await tom.screen("/balance"))
    stranger = tom.someone("8")
    assert "5 Credits / 1K" in text_of(await stranger.screen("/model gpt-4"))


async def test_a_tiers_limits_count_instead_of_everyones_and_an_admins_word_wins(
    tom: Service,
) -> None:
    person, rules = await tom.person(), tom.app.services.users.limits
    row = admin_log_row(tom.clock, actor="usr_owner", act="tier-set", before={}, after={})
    rules.default_allowance = replace(rules.default_allowance, at_once=1)

    async def let_through(most: int) -> None:
        gate = tom.openai.hold()
        waiting = {asyncio.create_task(asks(tom, 1)) for _ in range(4)}
        results: list[AskResult | Exception] = []
        while waiting:
            if len(results) == 4 - most:  # the others wait for their answers
                gate.set()
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            results += [one for task in done for one in task.result()]
        assert sum(isinstance(one, AskResult) for one in results) == most

    await let_through(1)
    await put(tom, Tier("Gold", "topups", Credits(1_000_000), 30, at_once=2))
    await tom.app.services.pricing.deals.tiers.assign_tier(
        person.id, "Gold", by="usr_owner", also=row
    )
    await let_through(2)
    row = admin_log_row(tom.clock, actor="usr_owner", act="limit", before={}, after={})
    await rules.set_allowance(person.id, Allowance(at_once=3), actor="usr_owner", companion=row)
    await let_through(3)


async def test_what_somebody_has_goes_with_them_into_a_link(tom: Service, clock: TestClock) -> None:
    await put(tom, Tier("Gold", "spending", Credits(8), 30, discount_percent=20))
    await put(tom, Tier("Star", "topups", Credits(1_000_000), 30, discount_percent=30))
    one, other = await tom.person(), await tom.someone("8").person()
    tom.openai.script(EXAMPLE)
    await tom.someone("8").answer("/ask gpt-4 " + "why " * 990)
    coded = await promote(tom, percent=5, needs_code=True)
    held = {"person": other.id, "promotion": coded.id, "at": clock.now_ms()}
    await tom.app.services.base.ledger.record(Insert(schema.promotion_holder, held))
    assert "5 Credits / 1K" in text_of(await tom.screen("/model gpt-4"))
    proposal = await tom.app.services.links.enter_code(
        other, await tom.app.services.links.create_link_code(one)
    )
    for person in (one, other):
        await tom.app.services.links.accept_proposal(proposal.id, person)
    deals, survivor = tom.app.services.pricing.deals, await tom.person()
    await deals.load_person(survivor.id, force=True)
    deal = deals.find_deal(survivor.id, "gpt-4")
    assert deal is not None
    assert (deal.tier, deal.promotion) == ("Gold", coded)
    gone = other.id if survivor.id == one.id else one.id
    row = {"tier": "Star", "by": "usr_owner", "at": 0}
    await tom.app.services.base.ledger.record(Insert(schema.tier_given, {"person": gone, **row}))
    await deals.load()
    assert deals.find_tier(survivor.id) == deals.tiers.find("star")
    row_ = admin_log_row(clock, actor="usr_owner", act="tier-set", before={}, after={})
    await deals.tiers.assign_tier(survivor.id, "", by="usr_owner", also=row_)
    assert deals.find_tier(survivor.id) is None
    row_ = admin_log_row(clock, actor="usr_owner", act="tier-set", before={}, after={})
    await deals.tiers.unassign_tier(survivor.id, also=row_)
    assert deals.tiers.assigned == {}


async def test_nothing_is_read_while_nothing_is_offered(
    tom: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    fetch = tom.app.services.base.db.fetch

    async def counted(statement: sa.Select[Any], *more: Any) -> Any:
        asked.append(str(statement))
        return await fetch(statement, *more)

    monkeypatch.setattr(tom.app.services.base.db, "fetch", counted)
    await tom.answer("why?")
    tables = ("tier", "promotion", "promotion_use", "promotion_holder")
    assert not [text for text in asked for table in tables if f"FROM {table}" in text]
    assert asked, "the road reads, but none of these"
