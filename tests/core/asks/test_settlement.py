"""Every ending of a stream × its effect on the ledger, as one table.

In the brief's world: GPT-4 at 5 Credits and $0.03 per 1K tokens. The question is 400 words, so
that a supplier's usage of 1,000 + 500 tokens is plausible beside our count of the prompt.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from bots.chat.types import Answer, AnswerProgress
from core.asks import streaming
from core.asks.types import Outcome
from core.money import Credits, NanoUsd, parse_usd
from tests.peers.suppliers import Answer as Says, Drop, Hang, Refuse, Script, Used
from tests.support import service
from tests.support.config import KEYS
from tests.support.databases import TestClock

QUESTION = "/ask gpt-4 " + "why " * 400
#: Our count of it: 400 tokens, 8 for the message, 16 for the call.
PROMPT = 424
TWENTY = tuple(f"word{n:02} " for n in range(20))
#: Our count of its first ten chunks, and of all.
TEN_TOKENS, TWENTY_TOKENS = 21, 41


def cost(tokens: int) -> NanoUsd:
    return parse_usd("0.00003").multiply_by(tokens)


@dataclass(frozen=True)
class Ending:
    name: str
    script: tuple[Script, ...]
    outcome: Outcome
    charge: int
    cost: NanoUsd
    #: What the person reads in the final message.
    told: str
    landed_text: bool = True


REFUSED = Refuse(401, code="invalid_api_key")
NOTHING = NanoUsd(0)
WHOLE = "".join(TWENTY)
LONG = "word " * 500
#: Our count of it, and the most that an answer may have.
LONG_TOKENS, LIMIT = 501, 2_000

ENDINGS = (
    Ending(
        "done", (Says(LONG, usage=Used(1_000, 500)),), Outcome.DONE, 8, parse_usd("0.045"), "8 Cr"
    ),
    Ending(
        "length",
        (Says(LONG, usage=Used(1_000, 500), finish="length"),),
        Outcome.LENGTH,
        8,
        parse_usd("0.045"),
        "press Continue",
    ),
    Ending(
        "filtered midway",
        (Says(LONG, usage=Used(1_000, 500), finish="filtered"),),
        Outcome.FILTERED,
        8,
        parse_usd("0.045"),
        "content rules",
    ),
    Ending(
        "no usage told: our own count",
        (Says(WHOLE, usage=None),),
        Outcome.DONE,
        3,
        cost(PROMPT + TWENTY_TOKENS),
        "3 Credits",
    ),
    Ending(
        "usage that can't be: the person pays our count, the key no more than was held on it",
        (Says(WHOLE, usage=Used(1_000_000, 500)),),
        Outcome.DONE,
        3,
        cost(PROMPT + LIMIT),
        "3 Credits",
    ),
    Ending(
        "thinking that nobody saw: the person pays what they saw, the key all of it",
        (Says(WHOLE, usage=Used(PROMPT, 1_500)),),
        Outcome.DONE,
        3,
        cost(PROMPT + 1_500),
        "3 Credits",
    ),
    Ending(
        "a gateway's own prompt: the person pays for theirs, the key for both",
        (Says(WHOLE, usage=Used(2_000, 41)),),
        Outcome.DONE,
        3,
        cost(2_041),
        "3 Credits",
    ),
    Ending(
        "far too low: the person pays the lower, the key what can be true",
        (Says(LONG, usage=Used(PROMPT, 1)),),
        Outcome.DONE,
        3,
        cost(PROMPT + LONG_TOKENS),
        "3 Credits",
    ),
    Ending(
        "a prompt that is far too low",
        (Says(WHOLE, usage=Used(1, 41)),),
        Outcome.DONE,
        1,
        cost(PROMPT + 41),
        "1 Credit",
    ),
    Ending(
        "thinking that was seen is thinking",
        (Says(WHOLE, usage=Used(PROMPT, 1_500), thinking=3),),
        Outcome.DONE,
        10,
        cost(PROMPT + 1_500),
        "10 Credits",
    ),
    Ending(
        "usage told as zero was not counted: our own count",
        (Says(WHOLE, usage=Used(0, 0)),),
        Outcome.DONE,
        3,
        cost(PROMPT + TWENTY_TOKENS),
        "3 Credits",
    ),
    Ending(
        "nothing can be seen of it",
        (Says(" \u200b\u2060\n\ufe0f\u3164", usage=Used(1_000, 5)),),
        Outcome.DONE,
        0,
        cost(1_005),
        "No answer came. Nothing was charged.",
        landed_text=False,
    ),
    Ending(
        "filtered before anything was said",
        (Says("", usage=Used(1_000, 0), finish="filtered"),),
        Outcome.REFUSED,
        0,
        cost(1_000),
        "won't answer this because of its content rules. Nothing was charged.",
        landed_text=False,
    ),
    Ending(
        "thought about, then filtered without usage: all that was held on the key",
        (Says("", usage=None, finish="filtered", thinking=2),),
        Outcome.REFUSED,
        0,
        cost(PROMPT + LIMIT),
        "won't answer this because of its content rules. Nothing was charged.",
        landed_text=False,
    ),
    Ending(
        "broken after something was shown",
        (Says(chunks=TWENTY, breaks_after=10),),
        Outcome.BROKEN,
        3,
        cost(PROMPT + TEN_TOKENS),
        "connection to the model was lost",
    ),
    Ending(
        "an error event after something was shown",
        (Says(chunks=TWENTY, fails_after=10),),
        Outcome.BROKEN,
        3,
        cost(PROMPT + TEN_TOKENS),
        "connection to the model was lost",
    ),
    Ending(
        "refused before the first token",
        (Refuse(400, code="context_length_exceeded"),),
        Outcome.REFUSED,
        0,
        NOTHING,
        "too long for this model",
        landed_text=False,
    ),
    Ending(
        "the supplier's rules refuse the question",
        (Refuse(400, code="content_policy_violation"),),
        Outcome.REFUSED,
        0,
        NOTHING,
        "won't answer",
        landed_text=False,
    ),
    Ending(
        "the only key is refused",
        (REFUSED,),
        Outcome.REFUSED,
        0,
        NOTHING,
        "No answer came",
        landed_text=False,
    ),
    Ending(
        "the connection dropped before anything came: the prompt may have been billed",
        (Drop(), Drop()),
        Outcome.REFUSED,
        0,
        cost(PROMPT),
        "No answer came",
        landed_text=False,
    ),
    Ending(
        "an answer of nothing",
        (Says("", usage=Used(424, 0)),),
        Outcome.DONE,
        0,
        cost(424),
        "No answer came",
        landed_text=False,
    ),
)


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.name)
async def test_an_ending_and_what_it_books(
    ending: Ending, database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(*ending.script)
        answer = await tom.answer(QUESTION)
        saved = await tom.app.services.asks.repository.get_result(answer.ask)
        assert saved.outcome is ending.outcome
        assert await tom.spent() == Credits(ending.charge)
        assert await tom.credits() == Credits(1_000 - ending.charge)
        assert (await tom.held()).is_zero
        assert await tom.key_left() == parse_usd("500") - ending.cost
        assert ending.told in answer.text + answer.footer
        assert bool(saved.text) == ending.landed_text


async def test_stopped_midway_costs_what_was_shown(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Says(chunks=TWENTY, hangs_after=10))
        answer = None
        async for output in tom.app.chat.dispatcher.handle_message(tom.incoming(QUESTION)):
            if isinstance(output, AnswerProgress) and output.text == "".join(TWENTY[:10]):
                await tom.presses(output.buttons[0][0].id)
            if isinstance(output, Answer):
                answer = output
        assert answer is not None
        assert answer.text == "".join(TWENTY[:10])
        assert "Stopped" in answer.footer
        assert await tom.spent() == Credits(3)
        assert await tom.key_left() == parse_usd("500") - cost(PROMPT + TEN_TOKENS)


async def test_stopped_before_anything_came_costs_nothing(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        gate = asyncio.Event()
        tom.openai.script(Says(before=gate))
        shown = asyncio.create_task(tom.says(QUESTION))
        await tom.openai.arrived(1)
        await tom.says("/stop")
        answer = (await shown)[-1]
        gate.set()
        assert isinstance(answer, Answer)
        assert "Nothing was charged" in answer.text
        assert await tom.credits() == Credits(1_000)


async def test_a_key_that_says_nothing_is_given_up_and_rests(
    database_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "FIRST_TEXT_SECONDS", 0.2)
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Hang())
        answer = await tom.answer(QUESTION)
        assert (
            await tom.app.services.asks.repository.get_result(answer.ask)
        ).outcome is Outcome.TIMED_OUT
        assert await tom.credits() == Credits(1_000)
        # The supplier may have worked: what it may bill for the prompt is booked.
        assert await tom.key_left() == parse_usd("500") - cost(PROMPT)
        (card,) = await tom.app.services.pool.pool.list_keys()
        assert (card.state, card.reason) == ("cooling", "timeout")


async def test_a_failing_key_is_left_for_the_next_before_the_first_token(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, keys=2) as tom:
        tom.openai.script(Refuse(429, code="rate_limit_exceeded", retry_after="20"))
        tom.openai.script(Says(LONG, usage=Used(1_000, 500)))
        answer = await tom.answer(QUESTION)
        assert answer.text == LONG
        assert {call.key for call in tom.openai.calls} == set(KEYS)
        assert await tom.spent() == Credits(8)
        left = [card.headroom for card in await tom.app.services.pool.pool.list_keys()]
        assert sorted(left, reverse=True) == [parse_usd("500"), parse_usd("499.955")]
