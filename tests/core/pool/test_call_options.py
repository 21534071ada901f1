"""What the pool sends of a call's options, and what of the answer it shows: by supplier and key."""

from __future__ import annotations

from dataclasses import replace

from core.pool.providers.message_parts import (
    CallOptions,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from core.pool.providers.types import ChatMessage, Finish, StreamEvent, ToolCallDelta
from core.pool.suppliers import SUPPLIERS, Supplier
from tests.core.pool.world import ASK, LIMIT, World
from tests.peers.supplier_tools import Called
from tests.peers.suppliers import Answer

OPTIONS = CallOptions(
    tools=(Tool("get_weather", "", {"type": "object"}),), stop=("END", "\n"), temperature=0.5
)


async def ask(
    world: World, *messages: ChatMessage, options: CallOptions = OPTIONS
) -> list[StreamEvent]:
    candidate = world.candidate()
    assert candidate is not None
    events = world.pool.stream(candidate, messages or ASK, LIMIT, options=options)
    return [event async for event in events]


async def test_sampling_and_stop_sequences_stay_here(world: World) -> None:
    await world.key()
    world.openai.script(Answer(chunks=("It is. E", "ND. More")))
    *_, end = await ask(world)
    assert end == Finish("stop", None, "END")
    body = world.openai.calls[-1].body
    assert {"stop", "temperature"}.isdisjoint(body)
    assert body["tools"]


async def test_a_call_of_a_tool_is_an_answer(world: World) -> None:
    await world.key()
    world.openai.script(Answer("", calls=(Called(),)))
    *_, call, end = await ask(world)
    assert isinstance(call, ToolCallDelta)
    assert isinstance(end, Finish)
    assert end.reason == "tool_calls"


async def test_thoughts_go_back_to_the_key_that_had_them(world: World) -> None:
    """OpenAI's wire has no place for them; so a message of thoughts alone is none."""
    key = await world.key()
    call = ToolCallPart("call_1", "get_weather", "{}")
    thoughts = [ThinkingPart("Hm.", "sig", one) for one in (key.id, "another")]
    result = ToolResultPart("call_1", (TextPart("Sunny"),))
    answer = ChatMessage("assistant", "", parts=(*thoughts, call))
    alone = ChatMessage("assistant", "", parts=(thoughts[1],))
    results = ChatMessage("user", "", parts=(result,))
    await ask(world, ASK[0], alone, ASK[0], answer, results)
    sent = world.openai.calls[-1].body["messages"]
    assert [one["role"] for one in sent] == ["user", "user", "assistant", "tool"]


def test_who_takes_what() -> None:
    def sent(supplier: Supplier) -> tuple[float | None, tuple[str, ...]]:
        chosen = supplier.choose_options(OPTIONS)
        assert chosen is not None
        return chosen.temperature, supplier.list_stops(OPTIONS)

    own = replace(SUPPLIERS["openai"], custom=True)
    assert sent(own) == (0.5, ("END", "\n"))
    assert sent(replace(SUPPLIERS["anthropic"], custom=True)) == (None, ("\n",))
    assert sent(SUPPLIERS["openai"]) == (None, ("END", "\n"))
    assert sent(SUPPLIERS["cloudflare"]) == (None, ("END", "\n"))
    assert sent(SUPPLIERS["anthropic"]) == (None, ("\n",))
    assert SUPPLIERS["openai"].choose_options(None) is None
    assert SUPPLIERS["openai"].list_stops(None) == ()
