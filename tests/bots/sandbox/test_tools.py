"""The sandbox calls tools, keeps to forms of an answer, and refuses what the real one refuses."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from bots.sandbox.supplier import SandboxSupplier
from bots.sandbox.tool_answers import build_value
from core.money import Tokens
from core.pool.providers import http
from core.pool.providers.message_parts import (
    CallOptions,
    JsonForm,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from core.pool.providers.openai import OpenAIAdapter
from core.pool.providers.types import (
    CallTarget,
    ChatMessage,
    Fault,
    Finish,
    ModelCall,
    SupplierFault,
    TextDelta,
    ToolCallDelta,
)
from core.pool.suppliers import SUPPLIERS

WEATHER = Tool(
    "get_weather",
    "Tells the weather.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "minimum": 1},
            "unit": {"enum": ["celsius", "kelvin"]},
        },
        "required": ["city", "days"],
    },
)
CLOCK = Tool("clock", "", {})
BOTH = CallOptions(tools=(WEATHER, CLOCK))


async def ask(
    client: http.SupplierClient,
    base: str,
    *messages: ChatMessage | str,
    options: CallOptions = BOTH,
    limit: int = 8_000,
) -> tuple[str, list[tuple[str, Any]], Finish]:
    """The text, the calls with their arguments, and the end."""
    said = [ChatMessage("user", one) if isinstance(one, str) else one for one in messages]
    call = ModelCall("gpt-6.1-sol", said, Tokens(limit), options=options)
    target = CallTarget(f"{base}/openai/v1", SecretStr(SandboxSupplier.DEMO_KEY))
    adapter = OpenAIAdapter(client, SUPPLIERS["openai"].dialect)
    text, calls = "", {}
    async for event in adapter.stream(target, call):
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, ToolCallDelta):
            name, arguments = calls.get(event.index, (event.name, ""))
            calls[event.index] = (name, arguments + event.arguments)
        elif isinstance(event, Finish):
            made = [(name, arguments) for name, arguments in calls.values()]
            return text, made, event
    raise AssertionError("a stream without an end")


@pytest.mark.parametrize(
    ("question", "called"),
    [
        ("Please use get_weather for Oslo!", ("get_weather", {"city": "Oslo", "days": 1})),
        ("get weather", ("get_weather", {"city": "get weather", "days": 1})),
        ("Look at the clock.", ("clock", {})),
        ("What do clocks do?", None),
        ("why is the sky blue?", None),
    ],
)
async def test_it_calls_the_tool_that_a_question_names(
    client: http.SupplierClient, base: str, question: str, called: Any
) -> None:
    text, calls, finish = await ask(client, base, question)
    assert [(name, json.loads(arguments)) for name, arguments in calls] == [called] * bool(called)
    assert finish.reason == ("tool_calls" if called else "stop")
    assert bool(text) == (called is None)
    assert finish.usage is not None
    bare = (await ask(client, base, question, options=CallOptions()))[2].usage
    assert bare is not None
    assert finish.usage.input > bare.input
    _, calls, _ = await ask(client, base, question, options=replace(BOTH, tool_choice="none"))
    assert not calls


async def test_what_programs_put_around_a_question_names_no_tool(
    client: http.SupplierClient, base: str
) -> None:
    context = TextPart("There is a clock, and get_weather for Rome.")
    question = ChatMessage("user", "", parts=(context, TextPart("use get_weather for Oslo")))
    told = ChatMessage("system", "You have a clock.")
    _, ((name, arguments),), _ = await ask(client, base, question, told)
    assert (name, json.loads(arguments)["city"]) == ("get_weather", "Oslo")
    called = ToolCallPart("call_1", "clock", "{}")
    result = ChatMessage("user", "", parts=(ToolResultPart("call_1", (TextPart("Noon"),)),))
    loop = (question, ChatMessage("assistant", "", parts=(called,)), result, told)
    text, calls, _ = await ask(client, base, *loop)
    assert ("> Noon" in text, calls) == (True, [])


async def test_it_calls_the_tool_that_must_be_called(
    client: http.SupplierClient, base: str
) -> None:
    named = replace(BOTH, tool_choice="named", named_tool="clock")
    _, calls, _ = await ask(client, base, "use get_weather", options=named)
    assert calls == [("clock", "{}")]
    required = replace(BOTH, tool_choice="required")
    _, ((name, _),), _ = await ask(client, base, "why is the sky blue?", options=required)
    assert name == "get_weather"


async def test_it_answers_with_what_the_tool_gave(client: http.SupplierClient, base: str) -> None:
    called = ToolCallPart("call_1", "get_weather", '{"city": "Oslo"}')
    result = ToolResultPart("call_1", (TextPart("Sunny,\n21 °C"),))
    text, calls, finish = await ask(
        client,
        base,
        "use get_weather for Oslo",
        ChatMessage("assistant", "", parts=(called,)),
        ChatMessage("user", "", parts=(result,)),
    )
    assert "> Sunny, 21 °C" in text
    assert not calls
    assert finish.reason == "stop"


async def test_it_keeps_to_the_form_of_an_answer(client: http.SupplierClient, base: str) -> None:
    form = JsonForm("weather", WEATHER.schema)
    text, _, _ = await ask(client, base, "Oslo, please", options=CallOptions(json_form=form))
    assert json.loads(text) == {"city": "Oslo, please", "days": 1}
    plain = CallOptions(json_form=JsonForm(), effort="low")
    text, _, _ = await ask(client, base, "JSON", options=plain)
    assert json.loads(text) == {"answer": "JSON"}


async def test_a_call_past_the_limit_is_cut(client: http.SupplierClient, base: str) -> None:
    question = "use get_weather for " + "a very long name of a town " * 9
    _, ((_, arguments),), finish = await ask(client, base, question, limit=9)
    assert finish.reason == "length"
    assert finish.usage is not None
    assert finish.usage.output.units <= 9
    assert arguments


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, "Oslo"),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 0),
        ({"type": "integer", "minimum": 3, "multipleOf": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "integer", "maximum": -2}, -2),
        ({"type": "number", "minimum": 0.5}, 0.5),
        ({"type": "string", "maxLength": 2}, "Os"),
        ({"type": "string", "minLength": 6}, "Oslo.."),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"const": 7}, 7),
        ({"enum": ["a", "b"]}, "a"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, False),
        ({"allOf": [{"type": "object"}, {"required": ["a"]}]}, {"a": "Oslo"}),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"type": "array"}, []),
        ({"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"a": 0}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "integer"}}}, 0),
        ({"$ref": "#/nowhere"}, "Oslo"),
    ],
)
def test_the_least_that_a_schema_takes(schema: dict[str, Any], value: Any) -> None:
    assert build_value(schema, "Oslo") == value


def test_a_schema_that_holds_itself_has_an_end() -> None:
    loop: dict[str, Any] = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    assert "a" in build_value(loop, "x")
    assert build_value({"$ref": "#"}, "x") is None


CALL = {"id": "a", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOLD = {"role": "tool", "tool_call_id": "a", "content": "Noon"}
ASK = {"role": "user", "content": "hi"}
CLOCKS = [{"type": "function", "function": {"name": "clock"}}]


async def post(client: http.SupplierClient, base: str, **body: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {SandboxSupplier.DEMO_KEY}"}
    url, whole = f"{base}/openai/v1/chat/completions", {"model": "gpt-6.1-sol", **body}
    sent = json.dumps(whole).encode()
    async with aclosing(await client.send("POST", url, body=sent, headers=headers)) as answer:
        return answer.status, json.loads(await http.read_body(answer))


async def test_a_call_may_come_at_once(client: http.SupplierClient, base: str) -> None:
    status, said = await post(client, base, messages=[ASK], tools=CLOCKS, tool_choice="required")
    (choice,) = said["choices"]
    assert (status, choice["finish_reason"], choice["message"]["content"]) == (
        200,
        "tool_calls",
        None,
    )
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "clock", "arguments": "{}"}
    status, said = await post(
        client, base, messages=[ASK, choice["message"], {**TOLD, "tool_call_id": call["id"]}]
    )
    assert (status, "> Noon" in said["choices"][0]["message"]["content"]) == (200, True)


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [ASK, CALLS]},
        {"messages": [ASK, CALLS, ASK, TOLD]},
        {"messages": [ASK, TOLD]},
        {"messages": [ASK, CALLS, {**TOLD, "tool_call_id": "b"}]},
        {"messages": [ASK, CALLS, TOLD, TOLD]},
        {"messages": [ASK, CALLS, {**TOLD, "content": None}]},
        {"messages": [ASK, CALLS, {"role": "tool", "content": "x"}]},
        {"messages": [ASK, {**CALLS, "tool_calls": []}]},
        {"messages": [ASK, {**CALLS, "tool_calls": [{**CALL, "id": "x" * 41}]}]},
        {"messages": [ASK, {**CALLS, "tool_calls": [{**CALL, "function": {"name": "x"}}]}]},
        {"messages": [ASK], "tool_choice": "auto"},
        {"messages": [ASK], "parallel_tool_calls": True},
        {"messages": [ASK], "tools": []},
        {"messages": [ASK], "tools": [{"type": "custom"}]},
        {"messages": [ASK], "tools": [{"type": "function", "function": {"name": "a b"}}]},
        {"messages": [ASK], "tools": CLOCKS, "tool_choice": "always"},
        {
            "messages": [ASK],
            "tools": CLOCKS,
            "tool_choice": {"type": "function", "function": {"name": "x"}},
        },
        {"messages": [ASK], "response_format": {"type": "xml"}},
        {"messages": [ASK], "response_format": {"type": "json_schema"}},
        {"messages": [ASK], "reasoning_effort": "most"},
        {"messages": [ASK], "stop": ["END"]},
    ],
)
async def test_what_the_real_one_refuses_is_refused(
    client: http.SupplierClient, base: str, body: dict[str, Any]
) -> None:
    status, said = await post(client, base, **body)
    assert status == 400
    assert said["error"]["type"] == "invalid_request_error"


async def test_a_supplier_fault_says_that_the_request_is_wrong(
    client: http.SupplierClient, base: str
) -> None:
    called = ChatMessage("assistant", "", parts=(ToolCallPart("a", "clock", "{}"),))
    with pytest.raises(SupplierFault) as refused:
        await ask(client, base, "hi", called)
    assert refused.value.kind is Fault.BAD_REQUEST
