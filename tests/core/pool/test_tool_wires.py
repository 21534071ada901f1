"""Tools, thoughts and options on both wires: the bodies that are sent, and the events that come.

The suppliers are strict: whatever one of them took, the real one takes.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from core.attachments.types import Picture, PictureSize
from core.money import Tokens
from core.pool.providers import http
from core.pool.providers.anthropic import AnthropicAdapter
from core.pool.providers.message_parts import (
    CallOptions,
    JsonForm,
    PicturePart,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from core.pool.providers.openai import OpenAIAdapter, OpenAIDialect
from core.pool.providers.types import (
    CallTarget,
    ChatMessage,
    Finish,
    ModelCall,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
)
from tests.peers.supplier_pictures import build_jpeg
from tests.peers.supplier_tools import Called, hide, sign
from tests.peers.suppliers import GOOD_KEY, Answer, FakeSupplier

MODELS = {"openai": "gpt-6.1-sol", "anthropic": "claude-opus-5-5"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
STRICT = {**SCHEMA, "additionalProperties": False}
WEATHER = Tool("get_weather", "Tells the weather.", SCHEMA)
CLOCK = Tool("get_time", "", {})
CALLED = ToolCallPart("call_1", "get_weather", '{"city": "Oslo"}')
RESULT = ToolResultPart("call_1", (TextPart("Sunny"),))
PICTURE = Picture(build_jpeg(8, 8), PictureSize(8, 8))


def says(role: Any, *parts: Any) -> ChatMessage:
    return ChatMessage(role, "", parts=parts)


QUESTION = ChatMessage("user", "What is the weather in Oslo?")
LOOP = (QUESTION, says("assistant", CALLED), says("user", RESULT))


@pytest.fixture
async def openai() -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier("openai") as supplier:
        yield supplier


@pytest.fixture
async def anthropic() -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier("anthropic") as supplier:
        yield supplier


@pytest.fixture(params=["openai", "anthropic"])
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier(request.param) as supplier:
        yield supplier


async def ask(
    fake: FakeSupplier,
    client: http.SupplierClient,
    *messages: ChatMessage,
    options: CallOptions | None = None,
    limit: int = 4_000,
) -> list[StreamEvent]:
    """The events of an answer, without empty thoughts; what was sent is the fake's last call."""
    dialect = OpenAIDialect("max_completion_tokens", is_openai=True)
    adapter = (
        AnthropicAdapter(client) if fake.wire == "anthropic" else OpenAIAdapter(client, dialect)
    )
    call = ModelCall(
        MODELS[fake.wire], messages or LOOP, Tokens(limit), options=options or CallOptions()
    )
    target = CallTarget(fake.url, SecretStr(GOOD_KEY))
    events = [event async for event in adapter.stream(target, call)]
    return [event for event in events if event != ReasoningDelta()]


async def sent(
    fake: FakeSupplier, client: http.SupplierClient, *messages: ChatMessage, **more: Any
) -> dict[str, Any]:
    await ask(fake, client, *messages, **more)
    return fake.calls[-1].body


# --- messages -----------------------------------------------------------------------------------


async def test_a_tool_loop_on_openais_wire(
    openai: FakeSupplier, client: http.SupplierClient
) -> None:
    body = await sent(openai, client, ChatMessage("system", "Be kind."), *LOOP)
    function = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
    assert body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": QUESTION.text},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny"},
    ]


async def test_a_tool_loop_on_anthropics_wire(
    anthropic: FakeSupplier, client: http.SupplierClient
) -> None:
    thought = ThinkingPart("Hm.", sign(GOOD_KEY, "Hm."), "key")
    hidden = ThinkingPart("", "", "key", redacted=hide(GOOD_KEY))
    failed = ToolResultPart("call_2", (TextPart("no"), PicturePart(PICTURE)), is_error=True)
    body = await sent(
        anthropic,
        client,
        ChatMessage("system", "Be kind."),
        QUESTION,
        says(
            "assistant", thought, hidden, TextPart("I look."), CALLED, replace(CALLED, id="call_2")
        ),
        says("user", TextPart("  "), TextPart("And?"), RESULT, failed),
    )
    assert body["system"] == "Be kind."
    _, answer, results = body["messages"]
    use = {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Oslo"}}
    assert answer["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": thought.signature},
        {"type": "redacted_thinking", "data": hidden.redacted},
        {"type": "text", "text": "I look."},
        use,
        {**use, "id": "call_2"},
    ]
    sunny, no, more = results["content"]
    text = {"type": "text", "text": "Sunny"}
    assert sunny == {"type": "tool_result", "tool_use_id": "call_1", "content": [text]}
    assert no["is_error"] is True
    assert [one["type"] for one in no["content"]] == ["text", "image"]
    assert more == {"type": "text", "text": "And?"}


async def test_results_that_come_one_by_one_stay_together(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    """A picture of the first, or a word of the system's, would part them."""
    body = await sent(
        fake,
        client,
        QUESTION,
        says("assistant", CALLED, replace(CALLED, id="call_2")),
        says("user", ToolResultPart("call_1", (PicturePart(PICTURE),))),
        says("user", ToolResultPart("call_2", ())),
        ChatMessage("user", "Go on."),
    )
    if fake.wire == "openai":
        *_, first, second, shown, last = body["messages"]
        assert (first["content"], second["content"]) == ("(no output)", "(no output)")
        assert [one["type"] for one in shown["content"]] == ["image_url"]
        assert last == {"role": "user", "content": "Go on."}


async def test_what_the_system_says_late_stands_behind_results(
    anthropic: FakeSupplier, client: http.SupplierClient
) -> None:
    note = ChatMessage("system", "Be short.")
    body = await sent(anthropic, client, *LOOP[:2], note, LOOP[2])
    assert [one["type"] for one in body["messages"][-1]["content"]] == ["tool_result", "text"]
    await sent(anthropic, client, *LOOP, note, ChatMessage("assistant", " "), QUESTION)


async def test_what_models_wrote_is_taken_back_whatever_it_is(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    """Ids of other suppliers' shapes, arguments that are no object, answers of blanks."""
    for id_ in ("functions.get_weather:0", "é" * 50, "x" * 64, "", "\ud800"):
        for arguments in ("", "{", "[1]", "7", '{"a": 1}', "[" * 100_000):
            called = ToolCallPart(id_, "get_weather", arguments)
            result = ToolResultPart(id_, (TextPart("Sunny"),))
            await ask(fake, client, QUESTION, says("assistant", called), says("user", result))
    await ask(fake, client, QUESTION, says("assistant", TextPart(" ")), says("user", TextPart("x")))


# --- options ------------------------------------------------------------------------------------

JSON = JsonForm("city", STRICT, is_strict=True, description="A city.")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (CallOptions(), {}),
        (
            CallOptions(tools=(WEATHER, CLOCK)),
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "get_weather",
                            "description": "Tells the weather.",
                            "parameters": SCHEMA,
                        },
                    },
                    {
                        "type": "function",
                        "function": {
                            "name": "get_time",
                            "parameters": {"type": "object", "properties": {}},
                        },
                    },
                ]
            },
        ),
        (
            CallOptions(tools=(replace(WEATHER, schema=STRICT, is_strict=True),)),
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "get_weather",
                            "description": "Tells the weather.",
                            "parameters": STRICT,
                            "strict": True,
                        },
                    }
                ]
            },
        ),
        (CallOptions(tool_choice="none", calls_in_parallel=False), {}),
        (CallOptions(effort="minimal", stop=("END",)), {"reasoning_effort": "minimal"}),
        (CallOptions(thinking="enabled", thinking_tokens=2_000), {}),
        (CallOptions(json_form=JsonForm()), {"response_format": {"type": "json_object"}}),
        (
            CallOptions(json_form=JSON),
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "city",
                        "schema": STRICT,
                        "strict": True,
                        "description": "A city.",
                    },
                }
            },
        ),
    ],
)
async def test_options_on_openais_wire(
    openai: FakeSupplier,
    client: http.SupplierClient,
    options: CallOptions,
    expected: dict[str, Any],
) -> None:
    question = ChatMessage("user", "Answer in JSON.")
    usual = await sent(openai, client, question)
    body = await sent(openai, client, question, options=options)
    assert body == usual | expected


@pytest.mark.parametrize(
    ("choice", "parallel", "openai_choice", "anthropic_choice"),
    [
        ("", True, None, None),
        ("auto", True, "auto", {"type": "auto"}),
        ("none", False, "none", {"type": "none"}),
        ("required", True, "required", {"type": "any"}),
        (
            "named",
            False,
            {"type": "function", "function": {"name": "get_time"}},
            {"type": "tool", "name": "get_time", "disable_parallel_tool_use": True},
        ),
        ("", False, None, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
async def test_which_tool_is_called(
    fake: FakeSupplier,
    client: http.SupplierClient,
    choice: Any,
    parallel: bool,
    openai_choice: Any,
    anthropic_choice: Any,
) -> None:
    options = CallOptions((WEATHER, CLOCK), choice, "get_time", parallel)
    body = await sent(fake, client, options=options)
    is_openai = fake.wire == "openai"
    assert body.get("tool_choice") == (openai_choice if is_openai else anthropic_choice)
    assert body.get("parallel_tool_calls") == (False if is_openai and not parallel else None)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (CallOptions(), {}),
        (
            CallOptions(tools=(replace(WEATHER, is_strict=True, ends_prefix=True), CLOCK)),
            {
                "tools": [
                    {
                        "name": "get_weather",
                        "description": "Tells the weather.",
                        "input_schema": SCHEMA,
                        "strict": True,
                        "cache_control": {"type": "ephemeral"},
                    },
                    {"name": "get_time", "input_schema": {"type": "object", "properties": {}}},
                ]
            },
        ),
        (CallOptions(effort="none"), {"output_config": {"effort": "low"}}),
        (
            CallOptions(effort="max", json_form=JSON),
            {
                "output_config": {
                    "effort": "max",
                    "format": {"type": "json_schema", "schema": STRICT},
                }
            },
        ),
        (CallOptions(json_form=JsonForm()), {}),
        (CallOptions(stop=("END", "\n")), {"stop_sequences": ["END"]}),
        (
            CallOptions(thinking="adaptive", thinking_display="omitted"),
            {"thinking": {"type": "adaptive", "display": "omitted"}},
        ),
        (
            CallOptions(thinking="enabled", thinking_tokens=2_000, thinking_display="summarized"),
            {"thinking": {"type": "enabled", "budget_tokens": 2_000, "display": "summarized"}},
        ),
        # The limit may have shrunk to what can be paid.
        (
            CallOptions(thinking="enabled", thinking_tokens=32_000),
            {"thinking": {"type": "enabled", "budget_tokens": 3_999}},
        ),
        (
            CallOptions(thinking="enabled", thinking_tokens=200, thinking_display="omitted"),
            {"thinking": {"type": "disabled"}},
        ),
        (
            CallOptions(thinking="disabled", thinking_display="omitted"),
            {"thinking": {"type": "disabled"}},
        ),
    ],
)
async def test_options_on_anthropics_wire(
    anthropic: FakeSupplier,
    client: http.SupplierClient,
    options: CallOptions,
    expected: dict[str, Any],
) -> None:
    usual = await sent(anthropic, client, QUESTION)
    body = await sent(anthropic, client, QUESTION, options=options)
    assert body == usual | expected


async def test_a_tool_that_must_be_called_is_called_without_a_budget_of_thoughts(
    anthropic: FakeSupplier, client: http.SupplierClient
) -> None:
    forced = CallOptions((WEATHER,), "required", thinking="enabled", thinking_tokens=2_000)
    assert (await sent(anthropic, client, options=forced))["thinking"] == {"type": "disabled"}
    free = replace(forced, thinking="adaptive", thinking_tokens=0)
    assert (await sent(anthropic, client, options=free))["thinking"] == {"type": "adaptive"}


async def test_a_loop_whose_thoughts_are_gone_goes_on_without_a_budget_of_them(
    anthropic: FakeSupplier, client: http.SupplierClient
) -> None:
    thinks = CallOptions((WEATHER,), thinking="enabled", thinking_tokens=2_000)
    assert (await sent(anthropic, client, options=thinks))["thinking"] == {"type": "disabled"}
    thought = ThinkingPart("Hm.", sign(GOOD_KEY, "Hm."), "key")
    whole = (QUESTION, says("assistant", thought, CALLED), says("user", RESULT))
    assert (await sent(anthropic, client, *whole, options=thinks))["thinking"]["type"] == "enabled"
    # A new question begins another turn.
    over = (*LOOP, says("assistant", TextPart("Sunny.")), QUESTION)
    with_thought = (*over[:-2], says("assistant", thought, TextPart("Sunny.")), QUESTION)
    body = await sent(anthropic, client, *with_thought, options=thinks)
    assert body["thinking"]["type"] == "enabled"


async def test_marks_of_what_shall_be_kept_are_handed_on(
    anthropic: FakeSupplier, client: http.SupplierClient
) -> None:
    kept = {"cache_control": {"type": "ephemeral"}}
    body = await sent(
        anthropic,
        client,
        says("system", TextPart("Be kind.", ends_prefix=True), TextPart("")),
        QUESTION,
        says("assistant", replace(CALLED, ends_prefix=True)),
        says("user", replace(RESULT, ends_prefix=True), TextPart("Well?", ends_prefix=True)),
    )
    assert body["system"] == [{"type": "text", "text": "Be kind.", **kept}]
    assert json.dumps(body).count('"cache_control"') == 4


async def test_sampling_is_sent_where_it_is_asked_for(client: http.SupplierClient) -> None:
    options = CallOptions(temperature=0.0, top_p=1.0, top_k=4, presence_penalty=0.5, seed=7)
    async with FakeSupplier("openai", strict=False) as own:
        body = await sent(own, client, options=options)
        assert (body["temperature"], body["top_p"], body["seed"]) == (0.0, 1.0, 7)
        bare = await sent(own, client, options=options.without_sampling())
        assert bare == await sent(own, client)


# --- answers ------------------------------------------------------------------------------------


def join_calls(events: list[StreamEvent]) -> list[tuple[str, str, str]]:
    """Each call's id, name and arguments; its id and name must come once and first."""
    calls: dict[int, tuple[str, str, str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            if event.index not in calls:
                assert event.id
                assert event.name
                calls[event.index] = (event.id, event.name, event.arguments)
            else:
                assert (event.id, event.name) == ("", "")
                id_, name, arguments = calls[event.index]
                calls[event.index] = (id_, name, arguments + event.arguments)
    assert list(calls) == list(range(len(calls)))
    return list(calls.values())


@pytest.mark.parametrize("arguments", [('{"city": "Oslo"}',), ('{"ci', 'ty": ', '"Oslo"}')])
async def test_a_call_comes_in_one_piece_or_many(
    fake: FakeSupplier, client: http.SupplierClient, arguments: tuple[str, ...]
) -> None:
    fake.script(Answer("", calls=(Called(arguments=arguments),)))
    events = await ask(fake, client, QUESTION, options=CallOptions((WEATHER,)))
    assert join_calls(events) == [("call_1", "get_weather", '{"city": "Oslo"}')]
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "tool_calls"


async def test_thoughts_text_and_several_calls_of_one_answer(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    calls = (Called(), Called("get_time", ("{}",), "call_2"))
    fake.script(Answer("I look.", thoughts=("Let me ", "see"), redacted=True, calls=calls))
    *events, end = await ask(fake, client, QUESTION, options=CallOptions((WEATHER, CLOCK)))
    thoughts = [event for event in events if isinstance(event, ReasoningDelta)]
    assert "".join(one.text for one in thoughts) == "Let me see"
    if fake.wire == "anthropic":
        assert thoughts[-2:] == [
            ReasoningDelta(signature=sign(GOOD_KEY, "Let me see")),
            ReasoningDelta(redacted=hide(GOOD_KEY)),
        ]
    assert events[len(thoughts)] == TextDelta("I look.")
    assert join_calls(events) == [
        ("call_1", "get_weather", '{"city": "Oslo"}'),
        ("call_2", "get_time", "{}"),
    ]
    assert isinstance(end, Finish)
    assert end.reason == "tool_calls"


async def test_what_came_can_be_sent_back(
    anthropic: FakeSupplier, client: http.SupplierClient
) -> None:
    """Thoughts by their signature, the call by its id, as a loop goes on."""
    options = CallOptions((WEATHER,), thinking="enabled", thinking_tokens=2_000)
    anthropic.script(Answer("", thoughts=("Let me see",), redacted=True, calls=(Called(),)))
    events = await ask(anthropic, client, QUESTION, options=options)
    told = [event for event in events if isinstance(event, ReasoningDelta)]
    thought = ThinkingPart("Let me see", next(one.signature for one in told if one.signature), "k")
    hidden = ThinkingPart("", "", "k", next(one.redacted for one in told if one.redacted))
    ((id_, name, arguments),) = join_calls(events)
    answered = says("assistant", thought, hidden, ToolCallPart(id_, name, arguments))
    result = says("user", ToolResultPart(id_, (TextPart("Sunny"),)))
    body = await sent(anthropic, client, QUESTION, answered, result, options=options)
    assert body["thinking"]["type"] == "enabled"


async def test_which_stop_sequence_was_met(
    anthropic: FakeSupplier, client: http.SupplierClient
) -> None:
    anthropic.script(Answer("It", stop_sequence="END"))
    *_, end = await ask(anthropic, client, QUESTION, options=CallOptions(stop=("END",)))
    assert isinstance(end, Finish)
    assert (end.reason, end.stop_sequence) == ("stop", "END")


async def test_refusals_are_filtered(fake: FakeSupplier, client: http.SupplierClient) -> None:
    fake.script(Answer("I", finish="filtered", calls=(Called(),)))
    *_, end = await ask(fake, client, QUESTION)
    assert isinstance(end, Finish)
    assert end.reason == "filtered"
