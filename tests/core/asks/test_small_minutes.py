"""Keys of which no minute takes what is usually asked for: prompt and answer limit count together,
and a request beyond that is refused however long one waits.
"""

from __future__ import annotations

import pytest

from bots.chat.types import Answer, Card
from tests.peers import supplier_wires as wires
from tests.peers.suppliers import Answer as Says, Refuse, Used
from tests.support import service
from tests.support.config import KEYS
from tests.support.databases import TestClock

LONE, SECOND = KEYS[:2]
SAYS = Says("Because.", usage=Used(2, 3))


async def is_answered(one: service.Service) -> bool:
    one.openai.always(SAYS)
    shown = (await one.says("/ask gpt-4 why?"))[-1]
    assert isinstance(shown, Answer | Card)
    return isinstance(shown, Answer) and shown.text == "Because."


def limits(one: service.Service) -> list[int]:
    """The answer limit of each call that came."""
    return [wires.answer_limit(call.body) for call in one.openai.calls]


async def test_a_lone_small_key_is_asked_for_a_shorter_answer(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, keys=1) as tom:
        tom.openai.minute_limits[LONE] = 1_000
        assert await is_answered(tom)
        usual, shorter = limits(tom)
        assert shorter == usual - (usual + wires.size(tom.openai.calls[0].body) - 1_000)
        assert await is_answered(tom)
        assert len(limits(tom)) == 3, "what was told is remembered"
        assert limits(tom)[2] <= shorter
        clock.advance(days=1)
        assert await is_answered(tom)
        assert limits(tom)[3] == usual, "its owner may pay for more by then"


async def test_a_minute_that_takes_no_useful_answer_is_not_asked_again(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, keys=1) as tom:
        before = await tom.credits()
        tom.openai.minute_limits[LONE] = 150
        assert not await is_answered(tom)
        assert len(tom.openai.calls) == 1
        assert await tom.credits() == before
        del tom.openai.minute_limits[LONE]
        assert await is_answered(tom), "the key didn't rest"


async def test_a_larger_key_is_asked_before_a_shorter_answer(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, keys=2) as tom:
        tom.openai.minute_limits[LONE] = 500
        for _ in range(6):
            assert await is_answered(tom)
        assert len(set(limits(tom))) == 1
        assert tom.openai.calls_of(LONE) <= 1, "it is known to be small"


async def test_a_small_key_serves_when_the_larger_ones_cannot(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, keys=2) as tom:
        tom.openai.minute_limits[LONE] = 500
        while not tom.openai.calls_of(LONE):
            assert await is_answered(tom)
        tom.openai.forbid(SECOND)
        assert await is_answered(tom)
        assert limits(tom)[-1] < limits(tom)[0]


@pytest.mark.parametrize("words", ["Limit: 8,000, Requested: 8,093", "no figures at all"])
async def test_the_words_may_be_others(
    database_url: str, clock: TestClock, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures with commas are read; without figures nothing is guessed, and nobody rests."""
    small = wires.minute_too_small

    def told(limit: int, asked: int) -> Refuse:
        figures = f"Limit: {limit:,}, Requested: {asked:,}"
        refused = small(limit, asked)
        message = f"Request too large (TPM). {figures if 'Limit' in words else words}"
        return Refuse(413, refused.code, refused.type, message)

    monkeypatch.setattr(wires, "minute_too_small", told)
    async with service.running(database_url, clock, keys=1) as tom:
        tom.openai.minute_limits[LONE] = 1_000
        assert await is_answered(tom) == ("Limit" in words)
        assert len(tom.openai.calls) == (2 if "Limit" in words else 1)
        del tom.openai.minute_limits[LONE]
        assert await is_answered(tom)
