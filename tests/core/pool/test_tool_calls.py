"""Calls of tools as servers were seen to stream them: one call is one, whatever its pieces say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import SecretStr

from core.money import Tokens
from core.pool.providers import http
from core.pool.providers.anthropic import AnthropicAdapter
from core.pool.providers.openai import OpenAIAdapter
from core.pool.providers.tool_calls import ToolCallReading
from core.pool.providers.types import (
    CallTarget,
    ChatMessage,
    Finish,
    ModelCall,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from tests.peers.raw_supplier import RawAnswer, raw_supplier

#: (id, name, arguments) of each call.
Calls = list[tuple[str, str, str]]
OSLO, ROME = '{"city": "Oslo"}', '{"city": "Rome"}'
BOTH: Calls = [("a", "get", OSLO), ("b", "get", ROME)]


def piece(
    index: Any = None, id_: Any = None, name: Any = None, arguments: Any = None
) -> dict[str, Any]:
    """A piece with what is given of it."""
    function = {"name": name, "arguments": arguments}
    said = {"index": index, "id": id_, "type": "function"}
    return {key: value for key, value in said.items() if value is not None} | {
        "function": {key: value for key, value in function.items() if value is not None}
    }


def join(events: Sequence[StreamEvent]) -> Calls:
    calls: dict[int, tuple[str, str, str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            id_, name, arguments = calls.get(event.index, ("", "", ""))
            calls[event.index] = (
                id_ + event.id,
                name + event.name,
                arguments + event.arguments,
            )
    assert list(calls) == list(range(len(calls)))
    return list(calls.values())


def read(*chunks: Any) -> Calls:
    reading = ToolCallReading()
    events: list[StreamEvent] = [event for chunk in chunks for event in reading.read(chunk)]
    return join([*events, *reading.finish()])


@pytest.mark.parametrize(
    "chunks",
    [
        # As OpenAI does.
        [
            [piece(0, "a", "get", "")],
            [piece(0, arguments=OSLO[:7])],
            [piece(0, arguments=OSLO[7:])],
            [piece(1, "b", "get", "")],
            [piece(1, arguments=ROME)],
        ],
        # In turns.
        [
            [piece(0, "a", "get", OSLO[:7]), piece(1, "b", "get", ROME[:3])],
            [piece(1, arguments=ROME[3:]), piece(0, arguments=OSLO[7:])],
        ],
        # Whole calls in one chunk, or in several; with and without an index.
        [[piece(0, "a", "get", OSLO), piece(1, "b", "get", ROME)]],
        [[piece(None, "a", "get", OSLO), piece(None, "b", "get", ROME)]],
        [[piece(None, "a", "get", OSLO)], [piece(None, "b", "get", ROME)]],
        # The same index for all.
        [[piece(0, "a", "get", OSLO)], [piece(0, "b", "get", ROME)]],
        [
            [piece(0, "a", "get", OSLO), piece(0, "b", "get", ROME[:4])],
            [piece(0, arguments=ROME[4:])],
        ],
        # Id and name in each piece.
        [[piece(0, "a", "get", one)] for one in (OSLO[:4], OSLO[4:])]
        + [[piece(1, "b", "get", one)] for one in (ROME[:4], ROME[4:])],
        [[piece(None, "a", "get", one)] for one in (OSLO[:4], OSLO[4:])]
        + [[piece(None, "b", "get", one)] for one in (ROME[:4], ROME[4:])],
        # No index in what follows.
        [
            [piece(None, "a", "get", "")],
            [piece(None, arguments=OSLO)],
            [piece(None, "b", "get")],
            [piece(None, arguments=ROME)],
        ],
        # Numbers that begin elsewhere, arguments as an object.
        [[piece(7, "a", "get", json.loads(OSLO))], [piece(9, "b", "get", json.loads(ROME))]],
        # What is none is nothing.
        [
            *(None, "x", [None, {}, {"function": 7}]),
            [piece(0, "a", "get", OSLO), piece(1, "b", "get", ROME)],
        ],
    ],
)  # fmt: skip
def test_calls_are_told_apart(chunks: Any) -> None:
    assert read(*chunks) == BOTH


def test_a_call_without_an_id_is_given_one_of_its_own() -> None:
    (first, *_), (second, *_) = read([piece(0, None, "get", OSLO), piece(1, "", "get", ROME)])
    assert len({first, second, ""}) == 3
    assert [one[1:] for one in read([piece(None, None, "get", OSLO)], [piece(name="get")])] == [
        ("get", OSLO),
        ("get", "{}"),
    ]
    same = read([piece(0, "a", "get", OSLO), piece(1, "a", "get", ROME)])
    assert same[0][0] == "a" != same[1][0]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    for nothing in ("", None, {}):
        assert read([piece(0, "a", "now", nothing)]) == [("a", "now", "{}")]


JSONS = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["index", "id", "function", "name", "arguments"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSONS, max_size=6))
def test_whatever_is_said_is_no_error(chunks: list[Any]) -> None:
    read(*chunks)


def test_there_is_an_end_of_calls() -> None:
    assert len(read([piece(at, str(at), "get", "{}") for at in range(5_000)])) == 1_000


# --- whole answers ------------------------------------------------------------------------------


async def stream(
    client: http.SupplierClient, answer: RawAnswer, *, wire: str = "openai"
) -> list[StreamEvent]:
    adapter = OpenAIAdapter(client) if wire == "openai" else AnthropicAdapter(client)
    async with raw_supplier(answer) as supplier:
        call = ModelCall("m", (ChatMessage("user", "Why?"),), Tokens(500))
        target = CallTarget(supplier.url, SecretStr("sk-x"))
        return [event async for event in adapter.stream(target, call)]


USED = {"prompt_tokens": 3, "completion_tokens": 1}
CALLED = Finish("tool_calls", Usage(Tokens(3), Tokens(1)))


def bare(said: Any) -> RawAnswer:
    return RawAnswer([json.dumps(said).encode()], content_type="application/json")


@pytest.mark.parametrize("reason", ["tool_calls", "stop", "function_call"])
async def test_an_answer_that_comes_whole(client: http.SupplierClient, reason: str) -> None:
    message = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [piece(None, "a", "get", OSLO), piece(None, "b", "get", ROME)],
    }
    said = {"choices": [{"message": message, "finish_reason": reason}], "usage": USED}
    events = await stream(client, bare(said))
    assert events[0] == ReasoningDelta("Hm.")
    assert join(events) == BOTH
    assert events[-1] == CALLED


async def test_a_message_that_comes_whole(client: http.SupplierClient) -> None:
    said = {
        "type": "message",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "redacted_thinking", "data": "d"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "a", "name": "get", "input": json.loads(OSLO)},
            {"type": "tool_use", "id": "b", "name": "get", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    events = await stream(client, bare(said), wire="anthropic")
    assert events[:3] == [
        ReasoningDelta("Hm.", "s"),
        ReasoningDelta(redacted="d"),
        TextDelta("I look."),
    ]
    assert join(events) == [("a", "get", OSLO), ("b", "get", "{}")]
    assert events[-1] == CALLED


async def test_blocks_of_other_kinds_bring_no_arguments(client: http.SupplierClient) -> None:
    def event(kind: str, **more: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()

    def arguments(text: str) -> bytes:
        delta = {"type": "input_json_delta", "partial_json": text}
        return event("content_block_delta", index=0, delta=delta)

    use = {"type": "tool_use", "id": "a", "name": "get", "input": {}}
    pieces = [
        event("content_block_start", content_block=use),
        arguments(""),
        event("content_block_start", content_block={"type": "server_tool_use", "input": {}}),
        arguments("{}}"),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 1}),
        event("message_stop"),
    ]
    events = await stream(client, RawAnswer(pieces), wire="anthropic")
    assert join(events) == [("a", "get", "{}")]


async def test_thoughts_in_parts_of_their_own_are_told(client: http.SupplierClient) -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}, None]},
        {"type": "text", "text": "It."},
    ]
    said = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}], "usage": USED}
    assert (await stream(client, bare(said)))[:2] == [ReasoningDelta("Hm."), TextDelta("It.")]
