"""The fake suppliers refuse of tools and thoughts what the real ones refuse: each of these was
reported of one, and a fake that took it would hide the fault."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.peers.supplier_tools import sign
from tests.peers.suppliers import GOOD_KEY, FakeSupplier, Wire

ASK = {"role": "user", "content": "What is the weather in JSON?"}
USE = {"type": "tool_use", "id": "a", "name": "get_weather", "input": {}}
USES = {"role": "assistant", "content": [USE]}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": sign(GOOD_KEY, "Hm.")}
THINKS = {"role": "assistant", "content": [THOUGHT, USE]}
GIVES = {"type": "tool_result", "tool_use_id": "a", "content": "Sunny"}
TEXT = {"type": "text", "text": "And?"}
TOOL = {"name": "get_weather", "input_schema": {"type": "object"}}
BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 1_024}}

CALL = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOLD = {"role": "tool", "tool_call_id": "a", "content": "Sunny"}
FUNCTION = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": TOOL["input_schema"]},
}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


async def send(wire: Wire, messages: list[Any], **more: Any) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {GOOD_KEY}"}
    path = "/v1/messages" if wire == "anthropic" else "/chat/completions"
    body = {"model": "gpt-6-luna", "messages": messages, "max_tokens": 4_000, **more}
    if wire == "openai":
        body["max_completion_tokens"] = body.pop("max_tokens")
    async with FakeSupplier(wire) as fake, aiohttp.ClientSession() as session:
        response = await session.post(fake.url + path, json=body, headers=headers)
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("messages", "more"),
    [
        ([ASK, USES, user(GIVES)], {}),
        ([ASK, USES, user(GIVES, TEXT)], {}),
        ([ASK, USES, user(GIVES), user(TEXT)], {}),
        ([ASK, ASK, USES, user(GIVES), USES, user(GIVES)], {}),
        ([ASK, THINKS, user(GIVES)], BUDGET),
        (
            [ASK, THINKS, user(GIVES), {"role": "assistant", "content": [THOUGHT, TEXT]}, ASK],
            BUDGET,
        ),
        ([ASK, USES, user(GIVES)], {"thinking": {"type": "adaptive"}}),
        ([ASK], {"tools": [TOOL], "tool_choice": {"type": "any"}}),
    ],
)
async def test_anthropics_takes(messages: list[Any], more: dict[str, Any]) -> None:
    status, said = await send("anthropic", messages, **more)
    assert status == 200, said


@pytest.mark.parametrize(
    ("messages", "more", "words"),
    [
        ([ASK, USES], {}, "without `tool_result`"),
        ([ASK, USES, ASK], {}, "without `tool_result`"),
        ([ASK, USES, user(TEXT, GIVES)], {}, "without `tool_result`"),
        ([ASK, USES, user(TEXT), user(GIVES)], {}, "without `tool_result`"),
        ([ASK, user(GIVES)], {}, "unexpected `tool_use_id`"),
        ([ASK, USES, user(GIVES | {"tool_use_id": "b"})], {}, "unexpected `tool_use_id`"),
        ([ASK, USES, user(GIVES), user(GIVES)], {}, "single result"),
        ([user(TEXT | {"text": " "})], {}, "non-whitespace"),
        ([{"role": "user", "content": ""}], {}, "not permitted"),
        ([ASK, USES, user(GIVES | {"content": [TEXT | {"text": ""}]})], {}, "non-"),
        ([ASK, {"role": "assistant", "content": [USE | {"input": "{}"}]}], {}, "dictionary"),
        ([ASK, {"role": "assistant", "content": [USE | {"id": "a.b:0"}]}], {}, "pattern"),
        ([ASK, USES, user(GIVES)], BUDGET, "must start with a thinking block"),
        ([ASK, THINKS, user(GIVES), USES, user(GIVES)], BUDGET, "must start with a thinking"),
        (
            [ASK, {"role": "assistant", "content": [THOUGHT | {"signature": "x"}, TEXT]}, ASK],
            {},
            "Invalid `signature`",
        ),
        ([ASK], {"thinking": {"type": "enabled", "budget_tokens": 4_000}}, "must be greater"),
        ([ASK], {"thinking": {"type": "enabled", "budget_tokens": 100}}, "greater than or equal"),
        ([ASK], {"tools": [TOOL], "tool_choice": {"type": "any"}, **BUDGET}, "forces tool use"),
        ([ASK], {"tool_choice": {"type": "auto"}}, "while providing tools"),
        ([ASK], {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "not found"),
        ([ASK], {"tools": [TOOL | {"input_schema": {}}]}, "Field required"),
        ([ASK], {"stop_sequences": ["\n"]}, "whitespace"),
        ([ASK], {"temperature": 0.5}, "Extra inputs"),
        ([user(*[TEXT | {"cache_control": {}}] * 5)], {}, "maximum of 4"),
    ],
)
async def test_anthropics_refuses(messages: list[Any], more: dict[str, Any], words: str) -> None:
    status, said = await send("anthropic", messages, **more)
    assert (status, words in said) == (400, True), said


@pytest.mark.parametrize(
    ("messages", "more"),
    [
        ([ASK, CALLS, TOLD], {}),
        ([ASK, CALLS, TOLD, CALLS, TOLD, ASK], {"tools": [FUNCTION], "tool_choice": "none"}),
        ([ASK], {"response_format": {"type": "json_object"}}),
    ],
)
async def test_openais_takes(messages: list[Any], more: dict[str, Any]) -> None:
    status, said = await send("openai", messages, **more)
    assert status == 200, said


@pytest.mark.parametrize(
    ("messages", "more", "words"),
    [
        ([ASK, CALLS], {}, "did not have response"),
        ([ASK, CALLS, ASK, TOLD], {}, "did not have response"),
        ([ASK, TOLD], {}, "preceeding message"),
        ([ASK, CALLS, TOLD, ASK, TOLD], {}, "preceeding message"),
        ([ASK, CALLS, TOLD | {"tool_call_id": "b"}], {}, "not found"),
        ([ASK, CALLS, TOLD, TOLD], {}, "not found"),
        ([ASK, CALLS, TOLD | {"content": None}], {}, "expected a string"),
        ([ASK, {"role": "assistant", "content": None}], {}, "expected a string"),
        ([ASK, CALLS | {"tool_calls": []}], {}, "empty array"),
        ([ASK, CALLS | {"tool_calls": [CALL | {"id": "x" * 41}]}, TOLD], {}, "too long"),
        ([ASK], {"tool_choice": "auto"}, "only allowed when"),
        ([ASK], {"parallel_tool_calls": True}, "only allowed when"),
        ([ASK], {"tools": []}, "empty array"),
        (
            [ASK],
            {
                "tools": [FUNCTION],
                "tool_choice": {"type": "function", "function": {"name": "get_time"}},
            },
            "not found",
        ),
        ([ASK], {"stop": ["END"]}, "'stop' is not supported"),
        ([ASK], {"temperature": 0.5}, "temperature"),
        ([ASK | {"content": "Hi"}], {"response_format": {"type": "json_object"}}, "'json'"),
        (
            [ASK],
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True},
                }
            },
            "additionalProperties",
        ),
    ],
)
async def test_openais_refuses(messages: list[Any], more: dict[str, Any], words: str) -> None:
    status, said = await send("openai", messages, **more)
    assert (status, words in said) == (400, True), said
