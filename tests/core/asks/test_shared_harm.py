"""One person's asks that are refused again and again, beside nine others who lose nothing by it."""

from __future__ import annotations

import pytest

from bots.chat.types import Answer, Card
from core.earnings.types import EarningPolicy
from core.money import parse_usd
from tests.core.earnings.world import TAKES_OPENAI, Market
from tests.peers.refusals import REFUSALS
from tests.peers.suppliers import Answer as Says, Script, Used
from tests.support import service
from tests.support.databases import TestClock
from tests.support.size import size

TIMES = size(small=12, full=50)
QUESTION = "/ask gpt-4 " + "why " * 400
SEEN = Says("Because.", usage=Used(400, 3))
#: What one call may cost at most, and what a day of work that nobody pays.
EACH, BUDGET = parse_usd("0.10"), parse_usd("0.50")


@pytest.mark.parametrize("pool", ["three keys", "one key", "contributed keys"])
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_the_others_lose_nothing(
    sqlite_url: str, clock: TestClock, refusal: Script, pool: str
) -> None:
    own = {"three keys": 3, "one key": 1, "contributed keys": 0}[pool]
    async with service.running(
        sqlite_url, clock, keys=own, policy=EarningPolicy(TAKES_OPENAI)
    ) as one:
        if not own:
            for owner in ("ann", "bob"):
                await Market(one, clock).contributes(owner, f"sk-of-{owner}-000000000", "24")
        pool_service = one.app.services.pool.pool
        others = [one.someone(str(100 + number)) for number in range(9)]
        before = await one.credits()
        for turn in range(TIMES):
            one.openai.always(refusal)
            assert isinstance((await one.says(QUESTION))[-1], Answer | Card)
            one.openai.always(SEEN)
            calls = len(one.openai.calls)
            answer = await others[turn % 9].answer(QUESTION)
            # The first key that was asked answered: nobody waited or was led on.
            assert answer.text == "Because."
            assert len(one.openai.calls) == calls + 1
            clock.advance(seconds=3)
        assert await one.credits() == before
        keys = await pool_service.list_keys()
        assert {key.state for key in keys} == {"active"}
        served = parse_usd("0.013").multiply_by(TIMES)
        spent = sum(key.budget.units - key.headroom.units for key in keys)
        assert spent <= (served + BUDGET + EACH).units


async def test_two_keys_that_call_a_question_wrong_speak_for_their_supplier(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock, keys=4) as one:
        before = await one.credits()
        one.openai.always(REFUSALS["unknown words"])
        assert "Nothing was charged" in (await one.answer(QUESTION)).text
        assert len({call.key for call in one.openai.calls}) == len(one.openai.calls) == 2
        assert await one.credits() == before
        one.openai.always(SEEN)
        assert (await one.answer(QUESTION)).text == "Because.", "none of the keys is blamed"
        # One key's trouble is not yet the question's.
        one.openai.script(REFUSALS["unknown words"], SEEN)
        assert (await one.answer(QUESTION)).text == "Because."
