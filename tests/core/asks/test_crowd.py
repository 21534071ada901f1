"""A thousand asks at once on one balance: exactly as many as it can hold are admitted."""

from __future__ import annotations

import asyncio

from bots.chat.types import Answer
from core import ids
from core.asks.run import AskRun
from core.asks.types import NotEnoughCredits, Question
from core.money import Credits, parse_usd
from tests.peers.suppliers import Answer as Says, Used
from tests.support import brief, service
from tests.support.databases import TestClock
from tests.support.size import size

ASKS = size(small=200, full=1_000)


async def test_exactly_as_many_asks_as_the_balance_holds_are_admitted(
    database_url: str, clock: TestClock
) -> None:
    """Balance k·h + r: k are admitted, the rest are told need, have and reserved."""
    admitted_wanted, rest = ASKS // 4, 1
    hold = await _hold(database_url, clock)
    balance = admitted_wanted * hold.units + rest
    async with service.running(database_url, clock, welcome=balance, budget="100000") as first:
        tom = first.someone("8")
        person = await tom.person()
        spent, left = await tom.spent(), await tom.key_left()
        gate = asyncio.Event()
        # Half of the hold: what most answers come to.
        tom.openai.always(Says("word " * 1_000, usage=Used(16, 1_000), before=gate))

        def question(number: int) -> Question:
            return Question(
                id=ids.derive_id("ask", clock.now_ms(), "crowd", str(number)),
                person=person,
                place=f"telegram:8:{number}",
                asked_in=str(number),
                text="why?",
                model=brief.GPT_4,
            )

        asked = await asyncio.gather(
            *(tom.app.services.asks.asks.start_ask(question(number)) for number in range(ASKS)),
            return_exceptions=True,
        )
        runs = [one for one in asked if isinstance(one, AskRun)]
        refused = [one for one in asked if isinstance(one, NotEnoughCredits)]
        assert len(runs) == admitted_wanted
        assert len(refused) == ASKS - admitted_wanted
        assert {run.quote.max_charge for run in runs} == {hold}
        for refusal in refused:
            assert refusal.needed.units > refusal.available.units
            assert refusal.available.units + refusal.held.units == balance
        await tom.openai.arrived(admitted_wanted)
        assert await tom.credits() == Credits(rest)
        gate.set()
        results = await asyncio.gather(*(run.result for run in runs))
        charged = sum(result.charge.units for result in results)
        assert charged == admitted_wanted * -(-1_016 * 5 // 1_000)
        assert await tom.credits() == Credits(balance - charged)
        assert await tom.spent() == spent + Credits(charged)
        assert (await tom.held()).is_zero
        used = left - await tom.key_left()
        assert used == parse_usd("0.03048").multiply_by(admitted_wanted)


async def test_no_key_is_drawn_past_its_quota(database_url: str, clock: TestClock) -> None:
    """Two keys with room for three asks each: six of ten are admitted, nobody pays for the rest."""
    async with service.running(
        database_url, clock, welcome=1_000_000, budget="0.185", keys=2
    ) as tom:
        person = await tom.person()
        gate = asyncio.Event()
        tom.openai.always(Says("word " * 100, usage=Used(26, 100), before=gate))
        asked = await asyncio.gather(
            *(
                tom.app.services.asks.asks.start_ask(
                    Question(
                        id=ids.derive_id("ask", clock.now_ms(), "quota", str(number)),
                        person=person,
                        place=f"telegram:7:{number}",
                        asked_in=str(number),
                        text="why?",
                        model=brief.GPT_4,
                    )
                )
                for number in range(10)
            ),
            return_exceptions=True,
        )
        runs = [one for one in asked if isinstance(one, AskRun)]
        assert len(runs) == 6
        gate.set()
        await asyncio.gather(*(run.result for run in runs))
        for card in await tom.app.services.pool.pool.list_keys():
            assert card.held == parse_usd("0")
            assert card.used == parse_usd("0.00378").multiply_by(3)


async def _hold(database_url: str, clock: TestClock) -> Credits:
    """What this question holds when the balance is no limit."""
    async with service.running(database_url, clock, welcome=1_000) as tom:
        run = await tom.app.services.asks.asks.start_ask(
            Question(
                id=ids.derive_id("ask", clock.now_ms(), "first"),
                person=await tom.person(),
                place="telegram:7:first",
                asked_in="1",
                text="why?",
                model=brief.GPT_4,
            )
        )
        await run.result
        return run.quote.max_charge


async def test_what_is_left_of_a_budget_is_used_by_a_shorter_answer(
    database_url: str, clock: TestClock
) -> None:
    """A key that can't pay for the longest answer serves one as long as it can."""
    async with service.running(database_url, clock, welcome=1_000, budget="0.02") as tom:
        tom.openai.script(Says("word " * 100, usage=Used(26, 100)))
        answer = await tom.answer("/ask gpt-4 why?")
        assert "word" in answer.text
        limit = tom.openai.calls[-1].body["max_completion_tokens"]
        assert 200 <= limit < 2_000
        assert (await tom.key_left()).units == parse_usd("0.02").units - parse_usd("0.00378").units
        # Until not even a useful one fits: then nothing is asked, nothing is charged.
        answers = 1
        while answers < 10:
            before = await tom.credits()
            await tom.says("/new")
            tom.openai.always(Says("word " * 100, usage=Used(26, 100)))
            shown = await tom.says("/ask gpt-4 why?")
            if not isinstance(shown[-1], Answer):
                break
            answers += 1
        assert await tom.credits() == before
        assert 1 < answers < 10
        assert await tom.key_left() < parse_usd("0.0073")
