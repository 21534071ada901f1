"""What a question counts as with files of earlier turns, where a model's routes count apart."""

from __future__ import annotations

from dataclasses import replace

from core.money import Tokens
from core.pricing.catalogue import Route
from tests.support import brief, service
from tests.support.databases import TestClock
from tests.support.sent_files import decide_whose_keys, make_question, read_picture


async def test_no_history_is_less_than_nothing(sqlite_url: str, clock: TestClock) -> None:
    """Three pictures count as the dearest route has them; four more go by another alone."""
    few = Route("groq", "few", brief.GPT_4.context, pictures="groq-qwen3.8")
    (own,) = brief.GPT_4.routes
    model = replace(brief.GPT_4, routes=(replace(own, pictures="gemini-3"), few))
    async with service.running(sqlite_url, clock, welcome=100_000) as tom:
        await decide_whose_keys(tom, shares=False)
        asks = tom.app.services.asks.asks
        first = await make_question(tom, read_picture(500, 400), model=model)
        await (await asks.start_ask(first)).result
        clock.advance(seconds=1)
        files = [read_picture(501 + number, 400) for number in range(3)]
        quote = await asks.quote_question(await make_question(tom, *files, model=model))
        assert quote.history_tokens > Tokens(0)
        assert quote.prompt_tokens > quote.history_tokens
