"""Lines under an answer that cost far more than usual, or after which Credits run low."""

from __future__ import annotations

from tests.peers.suppliers import Answer as Says, Used
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service

UNUSUAL, LOW = "far more than your answers usually do", "Your Credits are running low."
#: At 5 Credits / 1K tokens: 1, 5 and 10.
SHORT, USUAL, LONG = (Says("word " * words, usage=Used(16, words)) for words in (100, 980, 1_900))


async def footer(tom: Service) -> str:
    """The line under an answer; no history goes with the question."""
    await tom.says("/new")
    return (await tom.answer("/ask gpt-4 why?")).footer


async def test_an_answer_that_costs_far_more_than_usual_says_so(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock, welcome=150) as tom:
        tom.openai.script(LONG, *[SHORT] * 6, LONG)
        assert UNUSUAL not in await footer(tom), "there is nothing to compare it with"
        for _ in range(6):
            assert UNUSUAL not in await footer(tom)
        told = await footer(tom)
        assert UNUSUAL in told
        assert LOW not in told


async def test_a_dear_answer_of_a_full_purse_says_nothing(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock, welcome=100_000) as tom:
        tom.openai.script(*[SHORT] * 6, LONG)
        for _ in range(7):
            assert UNUSUAL not in await footer(tom)


async def test_low_credits_are_told_once(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock, welcome=60) as tom:
        tom.openai.script(*[USUAL] * 6)
        # Ten average answers are 50 Credits: 55, 50, 45…
        told = [LOW in await footer(tom) for _ in range(6)]
        assert told == [False, False, True, False, False, False]


async def test_whoever_wants_no_footer_gets_none(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock, welcome=52) as tom:
        person = await tom.person()
        await tom.app.services.users.users.update_settings(person, footer=False)
        tom.openai.script(USUAL)
        assert await footer(tom) == ""
