"""Which keys serve programs: the operator's own, and contributed ones only where their contributors
let them, at a pace, and never whoever contributed them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest

from bots.chat.types import Card
from core import ids
from core.asks.api_calls import ApiCall, TokenCap
from core.asks.types import AskRefusal, AskResult, NoKeyAvailable, Question
from core.clock import DAY_MS
from core.earnings.types import EarningPolicy
from core.money import Credits
from core.pool.providers.message_parts import CallOptions
from core.pool.providers.types import ChatMessage
from core.pool.types import PROGRAM_CALLS_PER_MINUTE
from tests.core.earnings.world import TAKES_OPENAI, Market
from tests.peers.suppliers import Answer as Says, Refuse, Used
from tests.support import brief, service
from tests.support.databases import TestClock
from tests.support.service import Service

ANNS = "sk-contributed-by-ann-000000"
_numbers = itertools.count()


@contextlib.asynccontextmanager
async def pooling(url: str, clock: TestClock, *, takes: bool) -> AsyncIterator[tuple[Service, str]]:
    """No key of the operator's own, and Ann's, who lets programs or not."""
    async with service.running(url, clock, keys=0, policy=EarningPolicy(TAKES_OPENAI)) as tom:
        key = await Market(tom, clock).contributes("ann", ANNS, "24")
        await tom.app.services.earnings.contributions.set_takes_programs(key, takes)
        tom.openai.always(Says("Because.", usage=Used(10, 3)))
        tom.openai.calls.clear()  # it was examined
        yield tom, key


async def ask(someone: Service) -> AskResult:
    """What a program of theirs asks, and how that ends."""
    now, tokens = someone.clock.now_ms(), someone.app.services.api.tokens
    await tokens.prepare_day("tok", now // DAY_MS)
    cap = TokenCap("tok", now // DAY_MS, Credits(100_000))
    question = Question(
        id=ids.derive_id("ask", now, str(next(_numbers))),
        person=await someone.person(),
        place="api:tok:",
        asked_in="",
        text="",
        model=brief.GPT_4,
        api_call=ApiCall(cap, (ChatMessage("user", "why?"),), CallOptions()),
    )
    return await (await someone.app.services.asks.asks.start_ask(question)).result


async def test_programs_are_served_where_a_contributor_lets_them(
    database_url: str, clock: TestClock
) -> None:
    async with pooling(database_url, clock, takes=False) as (tom, key):
        with pytest.raises(NoKeyAvailable):
            await ask(tom)
        await tom.answer("/ask gpt-4 why?")  # chats are served as ever
        await tom.app.services.earnings.contributions.set_takes_programs(key, True)
        assert (await ask(tom)).charge == Credits(1)


async def test_a_key_never_serves_its_contributors_own_programs(
    database_url: str, clock: TestClock
) -> None:
    async with pooling(database_url, clock, takes=True) as (tom, _):
        with pytest.raises(AskRefusal):
            await ask(tom.someone("ann"))
        assert tom.openai.calls == []


async def test_a_failed_key_leads_to_no_key_that_is_not_for_programs(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(
        database_url, clock, keys=1, policy=EarningPolicy(TAKES_OPENAI)
    ) as tom:
        await Market(tom, clock).contributes("ann", ANNS, "24")
        tom.openai.calls.clear()
        tom.openai.trouble = lambda key: Refuse(500) if key != ANNS else None
        await ask(tom)
        assert ANNS not in {call.key for call in tom.openai.calls}


async def test_a_contributed_key_serves_programs_at_a_pace(
    database_url: str, clock: TestClock
) -> None:
    async with pooling(database_url, clock, takes=True) as (tom, _):
        for _ in range(PROGRAM_CALLS_PER_MINUTE):
            await ask(tom)
        with pytest.raises(NoKeyAvailable):
            await ask(tom)
        await tom.answer("/ask gpt-4 why?")
        clock.advance(seconds=61)
        await ask(tom)


async def test_the_switch_stands_on_the_keys_card(database_url: str, clock: TestClock) -> None:
    async with pooling(database_url, clock, takes=False) as (tom, key):
        ann = tom.someone("ann")

        async def press(card: Card, label: str) -> Card:
            (found,) = (one for row in card.buttons for one in row if label in one.label)
            shown = (await ann.presses(found.id))[-1]
            assert isinstance(shown, Card)
            return shown

        card = await press(await ann.screen("/keys"), "OpenAI")
        card = await press(card, "Programs: off")
        assert "20 asks a minute" in card.lines[0]
        contributions = tom.app.services.earnings.contributions
        person = (await ann.person()).id
        assert (await contributions.get(key, person)).takes_programs
        card = await press(card, "Programs: on")
        assert not (await contributions.get(key, person)).takes_programs
