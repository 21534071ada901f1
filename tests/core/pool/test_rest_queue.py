"""With one key, a short rest is waited out: in order, one tries first, few wait, Stop works."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import aclosing

import pytest
from pydantic import SecretStr

from bots.chat.types import Card
from core import ids
from core.asks.run import AskRun
from core.asks.types import NoKeyAvailable, Outcome, Question
from core.clock import SystemClock
from core.money import Tokens
from core.pool import rest_queue
from core.pool.health import FIRST_COOLDOWN_SECONDS
from core.pool.providers import http
from core.pool.providers.openai import OpenAIAdapter
from core.pool.providers.types import (
    CallTarget,
    ChatMessage,
    Fault,
    ModelCall,
    SupplierFault,
    TextDelta,
)
from core.users.types import Person
from tests.peers.raw_supplier import RawAnswer, raw_supplier
from tests.peers.suppliers import Answer as Says, Refuse, Used
from tests.support import brief, service
from tests.support.databases import TestClock
from tests.support.service import Service

SEEN = Says("Because.", usage=Used(20, 3))
SHORTLY = Refuse(429, code="rate_limit_exceeded", retry_after="1")
_NUMBERS = itertools.count(1)


async def begin(one: Service, person: Person | None = None) -> AskRun:
    number = next(_NUMBERS)
    asks = one.app.services.asks.asks
    who = person or await one.someone(str(1_000 + number)).person()
    id_ = ids.derive_id("ask", one.clock.now_ms(), f"rest/{number}")
    return await asks.start_ask(Question(id_, who, f"telegram:{number}:", "1", "why?", brief.GPT_4))


async def until(is_so: Callable[[], bool]) -> None:
    """Lets others go on until it is so."""
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("trouble", [SHORTLY, Refuse(502), Refuse(529)], ids=["429", "502", "529"])
async def test_one_key_that_is_well_again_soon_answers(
    database_url: str, clock: TestClock, trouble: Refuse
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(trouble)
        tom.openai.always(SEEN)
        began = clock.monotonic()
        assert (await tom.answer("why?")).text == "Because."
        assert len(tom.openai.calls) == 2
        assert 0.5 < clock.monotonic() - began <= rest_queue.REST_SECONDS_MAX


async def test_a_long_rest_is_not_waited_for(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Refuse(429, code="rate_limit_exceeded", retry_after="30"))
        tom.openai.always(SEEN)
        assert "No answer came" in (await tom.answer("why?")).text
        assert len(tom.openai.calls) == 1
        assert isinstance((await tom.says("why?"))[-1], Card)


async def test_a_supplier_that_goes_on_failing_is_asked_once_more_only(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.always(Refuse(502))
        assert "No answer came" in (await tom.answer("why?")).text
        assert len(tom.openai.calls) == 2


async def test_another_key_is_tried_before_anything_is_waited_for(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, keys=2) as tom:
        tom.openai.script(SHORTLY)
        tom.openai.always(SEEN)
        began = clock.monotonic()
        assert (await tom.answer("why?")).text == "Because."
        assert clock.monotonic() == began


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rests of milliseconds, on a clock that runs."""
    monkeypatch.setitem(FIRST_COOLDOWN_SECONDS, Fault.RATE_LIMITED, 0.2)
    monkeypatch.setattr(rest_queue, "_LOOK_SECONDS", 0.005)


@pytest.mark.usefixtures("quick")
async def test_one_tries_and_the_rest_follow_in_order(database_url: str) -> None:
    async with service.running(database_url, SystemClock()) as tom:
        tom.openai.script(Refuse(429, code="rate_limit_exceeded"))
        gate = asyncio.Event()
        tom.openai.always(Says("Because.", usage=Used(20, 3), before=gate))
        runs = [await begin(tom)]
        await tom.openai.arrived(1)
        await until(lambda: any(one.load.is_doubted for one in tom.app.services.pool.pool._router))
        runs += [await begin(tom) for _ in range(5)]
        await tom.openai.arrived(2)  # the one that tries
        served: list[str] = []
        for run in runs:
            run.result.add_done_callback(lambda _, run=run: served.append(run.id))
        for _ in range(20):  # as often as the next in line looks, and more
            await asyncio.sleep(0.005)
            assert len(tom.openai.calls) == 2
        gate.set()
        results = [await run.result for run in runs]
        assert [result.outcome for result in results] == [Outcome.DONE] * 6
        assert len(tom.openai.calls) == 7
        assert served[0] == runs[0].id


@pytest.mark.usefixtures("quick")
async def test_few_wait_and_two_of_one_person(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_queue, "WAITING_PER_KEY_MAX", 4)
    monkeypatch.setitem(FIRST_COOLDOWN_SECONDS, Fault.RATE_LIMITED, 5.0)
    async with service.running(database_url, SystemClock()) as tom:
        tom.openai.always(Refuse(429, code="rate_limit_exceeded"))
        person = await tom.person()
        waiting = [await begin(tom, person)]
        await tom.openai.arrived(1)
        await until(lambda: any(one.load.is_doubted for one in tom.app.services.pool.pool._router))
        queue = tom.app.services.pool.pool._rest_queue
        await until(lambda: queue._waiting_counts[person.id] == 1)
        waiting += [await begin(tom, person)]
        await until(lambda: queue._waiting_counts[person.id] == 2)
        with pytest.raises(NoKeyAvailable):
            await begin(tom, person)
        for _ in range(2):
            waiting += [await begin(tom)]
            count = len(waiting)
            await until(lambda count=count: sum(queue._waiting_counts.values()) == count)
        with pytest.raises(NoKeyAvailable):
            await begin(tom)
        for run in waiting:
            run.stop()
        assert {(await run.result).outcome for run in waiting} == {Outcome.STOPPED}
        assert not queue._waiting_counts
        assert len(tom.openai.calls) == 1


async def test_a_connection_that_was_closed_while_idle_is_no_fault() -> None:
    """The server closes it as the next question comes on it."""
    call = ModelCall("m", (ChatMessage("user", "Why?"),), Tokens(500))
    answer = RawAnswer(
        (
            b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n',
            b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n',
            b"data: [DONE]\n\n",
        )
    )
    async with raw_supplier(answer) as supplier, aclosing(http.SupplierClient()) as session:
        target = CallTarget(supplier.url, SecretStr("sk-x"))

        async def ask() -> str:
            texts = [
                event.text
                async for event in OpenAIAdapter(session).stream(target, call)
                if isinstance(event, TextDelta)
            ]
            return "".join(texts)

        assert await ask() == "Hi"
        supplier.closes_reused = 1
        assert await ask() == "Hi"
        assert supplier.requests == 3
        supplier.closes_all = True
        with pytest.raises(SupplierFault) as raised:
            await ask()
        assert raised.value.kind is Fault.NETWORK
        assert supplier.requests == 5
