"""Tools and thoughts in the messages that fake suppliers get: refused as strictly as by real ones.

    Answer("", calls=(Called("get_weather", ('{"city":', '"Oslo"}')),))   # asks for a tool
    Answer("Sunny.", thoughts=("Let me see",), redacted=True)             # thinks before it speaks

`find_refusal` says what a supplier refuses of a body, in its own words. Anthropic's thoughts are
signed for the organisation behind the key: `sign` and `hide` make what it takes back.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.peers.suppliers import Refuse

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_ID_CHARS_MAX = 40
_MARKS_MAX = 4
_BUDGET_LEAST = 1_024
#: Models that think, by their names' beginnings.
THINKING = ("o1", "o3", "o4", "gpt-5", "gpt-6")


@dataclass(frozen=True)
class Called:
    """A tool that an answer calls; the JSON text of its arguments in pieces."""

    name: str = "get_weather"
    arguments: tuple[str, ...] = ('{"city": "Oslo"}',)
    id: str = "call_1"


class _Wrong(Exception):
    """Something isn't as it must be."""


def sign(organisation: str, thoughts: str) -> str:
    """The signature of thoughts that an organisation's key was told."""
    return "sig-" + hashlib.sha256(f"{organisation}\0{thoughts}".encode()).hexdigest()[:24]


def hide(organisation: str) -> str:
    """Thoughts of which nothing is told."""
    return "hidden-" + sign(organisation, "hidden")


def find_refusal(wire: str, body: dict[str, Any], organisation: str) -> Refuse | None:
    """What a supplier refuses of a body's tools and of the messages of a tool loop; None where it
    takes them."""
    from tests.peers.suppliers import Refuse

    try:
        if wire == "anthropic":
            _check_marks(body)
            _check_anthropic_options(body)
            _check_blocks(_merge(body["messages"]), organisation)
            _check_thinking(body, _merge(body["messages"]))
        else:
            _check_openai_options(body)
            _check_openai_messages(body["messages"])
    except _Wrong as wrong:
        return Refuse(400, code="" if wire == "anthropic" else "invalid_value", message=str(wrong))
    return None


# --- Anthropic ----------------------------------------------------------------------------------


def _merge(messages: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Neighbours of one role are one message."""
    merged: list[tuple[str, list[dict[str, Any]]]] = []
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if merged and merged[-1][0] == message["role"]:
            merged[-1][1].extend(blocks)
        else:
            merged.append((message["role"], list(blocks)))
    return merged


def _check_blocks(messages: list[tuple[str, list[dict[str, Any]]]], organisation: str) -> None:
    asked: list[str] = []
    for at, (role, blocks) in enumerate(messages):
        results = [one["tool_use_id"] for one in blocks if one["type"] == "tool_result"]
        first = [one["tool_use_id"] for one in blocks[: len(results)] if "tool_use_id" in one]
        for number, result in enumerate(results):
            if result not in asked:
                raise _Wrong(
                    f"messages.{at}.content.{number}: unexpected `tool_use_id` found in"
                    f" `tool_result` blocks: {result}. Each `tool_result` block must have a"
                    " corresponding `tool_use` block in the previous message."
                )
        if len(set(results)) != len(results):
            raise _Wrong("each tool_use must have a single result")
        if missing := [one for one in asked if one not in first]:
            raise _Wrong(
                f"messages.{at - 1}: `tool_use` ids were found without `tool_result` blocks"
                f" immediately after: {', '.join(missing)}."
            )
        for block in blocks:
            _check_block(role, block, organisation)
        asked = [one["id"] for one in blocks if one["type"] == "tool_use"]
        if len(set(asked)) != len(asked):
            raise _Wrong("`tool_use` ids must be unique")
    if asked:
        raise _Wrong(f"`tool_use` ids were found without `tool_result` blocks: {', '.join(asked)}.")


def _check_block(role: str, block: dict[str, Any], organisation: str) -> None:
    kind = block["type"]
    if kind == "text" and not block["text"].strip():
        raise _Wrong("messages: text content blocks must contain non-whitespace text")
    if kind in {"tool_use", "thinking", "redacted_thinking"} and role != "assistant":
        raise _Wrong(f"messages: `{kind}` blocks can only be in `assistant` messages")
    if kind in {"tool_result", "image"} and role != "user":
        raise _Wrong(f"messages: `{kind}` blocks can only be in `user` messages")
    if kind == "tool_use":
        if not isinstance(block["input"], dict):
            raise _Wrong("messages: tool_use.input: Input should be a valid dictionary")
        if not _ID.fullmatch(block["id"]) or not _NAME.fullmatch(block["name"]):
            raise _Wrong("messages: tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if kind == "tool_result":
        content = block.get("content", [])
        for inner in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if inner["type"] not in {"text", "image"}:
                raise _Wrong("messages: tool_result.content: Input tag is not valid")
            _check_block("user", inner, organisation)
    if kind in {"thinking", "redacted_thinking"} and "cache_control" in block:
        raise _Wrong("messages: thinking.cache_control: Extra inputs are not permitted")
    if kind == "thinking" and block["signature"] != sign(organisation, block["thinking"]):
        raise _Wrong("messages: Invalid `signature` in `thinking` block")
    if kind == "redacted_thinking" and block["data"] != hide(organisation):
        raise _Wrong("messages: Invalid `data` in `redacted_thinking` block")


def _check_marks(body: dict[str, Any]) -> None:
    marks = json.dumps(body).count('"cache_control"')
    if marks > _MARKS_MAX:
        raise _Wrong(f"A maximum of 4 blocks with cache_control may be provided. Found {marks}.")


def _check_anthropic_options(body: dict[str, Any]) -> None:
    tools = body.get("tools", [])
    for tool in tools:
        if not _NAME.fullmatch(tool["name"]) or tool["input_schema"].get("type") != "object":
            raise _Wrong("tools.0.custom.input_schema.type: Field required")
    if (choice := body.get("tool_choice")) is not None:
        if not tools:
            raise _Wrong("tool_choice may only be specified while providing tools")
        if choice["type"] == "tool" and choice["name"] not in [one["name"] for one in tools]:
            raise _Wrong(f"Tool '{choice['name']}' not found in provided tools")
        if choice["type"] == "none" and "disable_parallel_tool_use" in choice:
            raise _Wrong("tool_choice.none.disable_parallel_tool_use: Extra inputs")
    if any(not one.strip() for one in body.get("stop_sequences", ())):
        raise _Wrong("stop_sequences: each stop sequence must contain non-whitespace")


def _check_thinking(body: dict[str, Any], messages: list[tuple[str, list[dict[str, Any]]]]) -> None:
    if (thinking := body.get("thinking", {"type": "disabled"}))["type"] != "enabled":
        if "budget_tokens" in thinking:
            raise _Wrong("thinking.budget_tokens: Extra inputs are not permitted")
        return
    if thinking["budget_tokens"] < _BUDGET_LEAST:
        raise _Wrong(
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
        )
    if thinking["budget_tokens"] >= body["max_tokens"]:
        raise _Wrong("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.get("tool_choice", {"type": "auto"})["type"] in {"any", "tool"}:
        raise _Wrong("Thinking may not be enabled when tool_choice forces tool use.")
    for role, blocks in reversed(messages):
        is_of_loop = role == "assistant" or blocks[0]["type"] == "tool_result"
        if role == "assistant" and blocks[0]["type"] not in {"thinking", "redacted_thinking"}:
            raise _Wrong(
                "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found"
                f" `{blocks[0]['type']}`. When `thinking` is enabled, a final `assistant` message"
                " must start with a thinking block."
            )
        if role == "assistant" or not is_of_loop:
            return


# --- OpenAI -------------------------------------------------------------------------------------


def _check_openai_messages(messages: list[dict[str, Any]]) -> None:
    open_ids: list[str] = []
    is_after_calls = False
    for message in messages:
        if message["role"] == "tool":
            if not is_after_calls:
                raise _Wrong(
                    "Invalid parameter: messages with role 'tool' must be a response to a"
                    " preceeding message with 'tool_calls'."
                )
            if message["tool_call_id"] not in open_ids:
                raise _Wrong("Invalid parameter: 'tool_call_id' not found in 'tool_calls'.")
            open_ids.remove(message["tool_call_id"])
            if not _is_text(message["content"]):
                raise _Wrong("Invalid value for 'content': expected a string, got null.")
            continue
        _check_answered(open_ids)
        calls = message.get("tool_calls")
        is_after_calls = calls is not None
        open_ids = [] if calls is None else list(_list_call_ids(message["role"], calls))
        if message.get("content") is None and not calls:
            raise _Wrong("Invalid value for 'content': expected a string, got null.")
    _check_answered(open_ids)


def _check_answered(open_ids: list[str]) -> None:
    if open_ids:
        raise _Wrong(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to"
            " each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            + ", ".join(open_ids)
        )


def _list_call_ids(role: str, calls: list[dict[str, Any]]) -> Iterator[str]:
    if role != "assistant" or not calls:
        raise _Wrong("Invalid 'tool_calls': empty array.")
    for call in calls:
        function = call["function"]
        if call["type"] != "function" or not isinstance(function["arguments"], str):
            raise _Wrong("Invalid type for 'tool_calls[0].function.arguments': expected a string")
        if len(call["id"]) > _ID_CHARS_MAX:
            raise _Wrong("Invalid 'tool_calls[0].id': string too long. Expected 40 at most.")
        if not _NAME.fullmatch(function["name"]):
            raise _Wrong("Invalid 'tool_calls[0].function.name': string does not match pattern.")
        yield call["id"]


def _is_text(content: Any) -> bool:
    if isinstance(content, list):
        return bool(content) and all(part["type"] == "text" for part in content)
    return isinstance(content, str)


def _check_openai_options(body: dict[str, Any]) -> None:
    if "stop" in body and str(body["model"]).startswith(THINKING):
        raise _Wrong("Unsupported parameter: 'stop' is not supported with this model.")
    tools = body.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in body:
                raise _Wrong(f"'{name}' is only allowed when 'tools' are specified.")
    elif not tools:
        raise _Wrong("Invalid 'tools': empty array.")
    names = []
    for tool in tools or ():
        function = tool["function"]
        names.append(function["name"])
        if not _NAME.fullmatch(function["name"]):
            raise _Wrong("Invalid 'tools[0].function.name': string does not match pattern.")
        if function["parameters"].get("type") != "object":
            raise _Wrong(f"Invalid schema for function '{names[-1]}': schema must be an object")
        if function.get("strict"):
            _check_strict(f"function '{names[-1]}'", function["parameters"])
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice["function"]["name"] not in names:
        raise _Wrong("Tool choice not found in 'tools'.")
    form = body.get("response_format", {"type": "text"})
    if form["type"] == "json_object" and "json" not in json.dumps(body["messages"]).lower():
        raise _Wrong("'messages' must contain the word 'json' in some form.")
    if form["type"] == "json_schema":
        described = form["json_schema"]
        if not _NAME.fullmatch(described["name"]):
            raise _Wrong("Invalid 'response_format.json_schema.name'.")
        if described.get("strict"):
            _check_strict(f"response_format '{described['name']}'", described["schema"])


def _check_strict(what: str, schema: dict[str, Any]) -> None:
    if schema.get("additionalProperties") is not False:
        raise _Wrong(f"Invalid schema for {what}: 'additionalProperties' must be false.")
    if set(schema.get("required", ())) != set(schema.get("properties", {})):
        raise _Wrong(f"Invalid schema for {what}: 'required' must name every property.")
