"""Stop at any moment, also at the very end of an answer: nothing fails, and what was seen is
charged once.
"""

from __future__ import annotations

import asyncio
import random

from core import ids
from core.asks.types import Outcome, Question
from tests.peers.suppliers import Answer as Says, Used
from tests.support import service
from tests.support.databases import TestClock
from tests.support.size import size


async def test_stops_near_the_end_are_clean(database_url: str, clock: TestClock) -> None:
    chance = random.Random(17)
    async with service.running(database_url, clock, welcome=100_000) as tom:
        asks, person = tom.app.services.asks.asks, await tom.person()
        model = tom.app.services.pricing.catalogue.find("gpt-4")
        tom.openai.always(Says(chunks=("Because ", "it is."), usage=Used(5, 4)))
        outcomes = set()
        for number in range(size(small=60, full=2_400)):
            question = Question(
                id=ids.derive_id("ask", clock.now_ms(), str(number)),
                person=person,
                place="telegram:7:",
                asked_in=str(number),
                text="why?",
                model=model,
            )
            run = await asks.start_ask(question)
            async for text in run.stream_text():
                if text.endswith("is."):
                    break
            for _ in range(chance.randint(0, 40)):
                await asyncio.sleep(0)
            await asks.stop_ask(run.id, person.id)
            result = await run.result
            assert result.outcome in {Outcome.DONE, Outcome.STOPPED}, result
            assert result.charge.units > 0
            outcomes.add(result.outcome)
        assert Outcome.DONE in outcomes
