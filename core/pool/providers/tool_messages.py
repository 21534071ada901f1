"""Messages of a tool loop, and what such a call asks for, as each wire format writes them.

On OpenAI's wire a tool's result is a message of its own, and only of text: pictures in it follow in
a message of the person. On Anthropic's it is a block, first in the message after the call.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from core.pool.providers.message_content import (
    CACHED,
    as_blocks,
    build_anthropic_content,
    build_anthropic_picture,
    build_openai_picture,
)
from core.pool.providers.message_parts import (
    CallOptions,
    MessagePart,
    PicturePart,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from core.pool.providers.types import ChatMessage

#: A supplier refuses a tool's result without a text.
_NO_RESULT: Final = "(no output)"
#: Ids of calls as either maker takes them; other suppliers' may be of any shape.
_OPENAI_ID_CHARS: Final = 40
_ANTHROPIC_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
#: Anthropic takes no budget of thoughts below.
_BUDGET_LEAST: Final = 1_024
#: Anthropic's models know no less than low.
_ANTHROPIC_EFFORTS: Final = {"none": "low", "minimal": "low"}
#: Of a schema without properties.
_EMPTY_SCHEMA: Final[Mapping[str, Any]] = {"type": "object", "properties": {}}


# --- OpenAI's chat completions ------------------------------------------------------------------


def join_results(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages, those of one turn's results joined: pictures of the first would part them."""
    joined: list[ChatMessage] = []
    for message in messages:
        if joined and _has_results(message) and _has_results(joined[-1]):
            joined[-1] = replace(joined[-1], parts=joined[-1].parts + message.parts)
        else:
            joined.append(message)
    return joined


def _has_results(message: ChatMessage) -> bool:
    return any(isinstance(part, ToolResultPart) for part in message.parts)


def build_openai_messages(
    message: ChatMessage, *, sends_detail: bool, sends_bare_urls: bool
) -> list[dict[str, Any]]:
    """A message made of parts as one or several of OpenAI's chat completions. Thoughts stay here:
    this wire has no place for signed ones."""
    if message.role == "system":
        return [{"role": "system", "content": _join_texts(message.parts)}]
    if message.role == "assistant":
        return [_build_openai_answer(message.parts)]

    def build_content(parts: Iterable[MessagePart]) -> list[dict[str, Any]]:
        return [
            build_openai_picture(
                one.picture, sends_detail=sends_detail, sends_bare_urls=sends_bare_urls
            )
            if isinstance(one, PicturePart)
            else {"type": "text", "text": one.text}
            for one in parts
            if isinstance(one, PicturePart) or (isinstance(one, TextPart) and one.text)
        ]

    messages: list[dict[str, Any]] = []
    shown: list[MessagePart] = []
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            text = part.text or _NO_RESULT
            call = _to_openai_id(part.call)
            messages.append({"role": "tool", "tool_call_id": call, "content": text})
            shown += [one for one in part.content if isinstance(one, PicturePart)]
        else:
            shown.append(part)
    content = build_content(shown)
    if content and all(one["type"] == "text" for one in content):
        messages.append({"role": "user", "content": "\n\n".join(one["text"] for one in content)})
    elif content:
        messages.append({"role": "user", "content": content})
    return messages


def _build_openai_answer(parts: Sequence[MessagePart]) -> dict[str, Any]:
    calls = [
        {
            "id": _to_openai_id(one.id),
            "type": "function",
            "function": {"name": one.name, "arguments": one.arguments or "{}"},
        }
        for one in parts
        if isinstance(one, ToolCallPart)
    ]
    text = _join_texts(parts)
    answer: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else "")}
    return answer | ({"tool_calls": calls} if calls else {})


def build_openai_options(options: CallOptions) -> dict[str, Any]:
    """The fields of a request by which OpenAI's chat completions are asked for more than text. Stop
    sequences aren't among them: models that reason refuse them, so answers are cut here."""
    fields: dict[str, Any] = {}
    if options.tools:
        fields["tools"] = [_build_openai_tool(tool) for tool in options.tools]
        if options.tool_choice:
            named = {"type": "function", "function": {"name": options.named_tool}}
            is_named = options.tool_choice == "named"
            fields["tool_choice"] = named if is_named else options.tool_choice
        if not options.calls_in_parallel:
            fields["parallel_tool_calls"] = False
    if (form := options.json_form) is not None:
        fields["response_format"] = {"type": "json_object"}
        if form.schema is not None:
            told = {
                "name": form.name or "answer",
                "schema": form.schema,
                "strict": form.is_strict,
                "description": form.description or None,
            }
            schema = {name: value for name, value in told.items() if value is not None}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    if options.effort:
        fields["reasoning_effort"] = options.effort
    sampling = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "presence_penalty": options.presence_penalty,
        "frequency_penalty": options.frequency_penalty,
        "seed": options.seed,
    }
    return fields | {name: value for name, value in sampling.items() if value is not None}


def _build_openai_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.schema or _EMPTY_SCHEMA}
    if tool.description:
        function["description"] = tool.description
    if tool.is_strict is not None:
        function["strict"] = tool.is_strict
    return {"type": "function", "function": function}


def _to_openai_id(id_: str) -> str:
    return id_ if 0 < len(id_) <= _OPENAI_ID_CHARS else _hash_id(id_)


def _hash_id(id_: str) -> str:
    """An id of a call that every supplier takes, the same for the same one."""
    return "call_" + hashlib.sha256(id_.encode(errors="replace")).hexdigest()[:24]


def _join_texts(parts: Iterable[MessagePart]) -> str:
    return "\n\n".join(one.text for one in parts if isinstance(one, TextPart) and one.text)


# --- Anthropic's Messages -----------------------------------------------------------------------


def build_anthropic_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """The messages of a call on Anthropic's wire, without those of the system that stand in front.
    What the system says later on is said in a message of the person's, before what that holds."""
    built: list[dict[str, Any]] = []
    for message in drop_leading_system(messages):
        role = "assistant" if message.role == "assistant" else "user"
        content: Any = build_anthropic_content(message)
        if message.parts:
            content = [_build_block(part) for part in _order_blocks(message.parts)]
        # Neither a text of blanks nor an empty list is taken.
        if not content or (isinstance(content, str) and not content.strip()):
            continue
        if built and message.parts and built[-1]["role"] == role:
            blocks = as_blocks(built[-1]["content"]) + as_blocks(content)
            built[-1]["content"] = sorted(blocks, key=lambda one: one["type"] != "tool_result")
            continue
        built.append({"role": role, "content": content})
    return built


def drop_leading_system(messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    """The messages after those of the system with which they begin."""
    at = next((at for at, one in enumerate(messages) if one.role != "system"), len(messages))
    return messages[at:]


def build_anthropic_system(messages: Sequence[ChatMessage]) -> str | list[dict[str, Any]]:
    """What the system says in front: a text, or blocks where some of it shall be kept."""
    leading = messages[: len(messages) - len(drop_leading_system(messages))]
    parts = [one for message in leading for one in message.content if isinstance(one, TextPart)]
    if any(one.ends_prefix for one in parts):
        return [_build_block(one) for one in parts if one.text.strip()]
    return "\n\n".join(one.text for one in parts if one.text.strip())


def build_anthropic_options(options: CallOptions, answer_limit: int) -> dict[str, Any]:
    """The fields of a request by which Messages are asked for more than text."""
    fields: dict[str, Any] = {}
    if options.tools:
        fields["tools"] = [_build_anthropic_tool(tool) for tool in options.tools]
        if options.tool_choice or not options.calls_in_parallel:
            fields["tool_choice"] = _build_anthropic_choice(options)
    output: dict[str, Any] = {}
    if options.effort:
        output["effort"] = _ANTHROPIC_EFFORTS.get(options.effort, options.effort)
    if options.json_form is not None and options.json_form.schema is not None:
        output["format"] = {"type": "json_schema", "schema": options.json_form.schema}
    if output:
        fields["output_config"] = output
    if options.thinking:
        fields["thinking"] = _build_thinking(options, answer_limit)
    if stops := [one for one in options.stop if one.strip()]:  # blanks alone aren't taken
        fields["stop_sequences"] = stops
    sampling = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "top_k": options.top_k,
    }
    return fields | {name: value for name, value in sampling.items() if value is not None}


def _build_anthropic_choice(options: CallOptions) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "named": {"type": "tool", "name": options.named_tool},
        "required": {"type": "any"},
        "none": {"type": "none"},
    }.get(options.tool_choice, {"type": "auto"})
    if not options.calls_in_parallel and options.tool_choice != "none":
        choice["disable_parallel_tool_use"] = True
    return choice


def _build_thinking(options: CallOptions, answer_limit: int) -> dict[str, Any]:
    """How the model shall think. A budget of thoughts must leave room for the answer, and none is
    taken where a tool must be called."""
    thinking: dict[str, Any] = {"type": options.thinking}
    if options.thinking == "enabled":
        budget = min(options.thinking_tokens, answer_limit - 1)
        if budget < _BUDGET_LEAST or options.tool_choice in {"required", "named"}:
            return {"type": "disabled"}
        thinking["budget_tokens"] = budget
    if options.thinking_display and options.thinking != "disabled":
        thinking["display"] = options.thinking_display
    return thinking


def _build_anthropic_tool(tool: Tool) -> dict[str, Any]:
    built: dict[str, Any] = {"name": tool.name, "input_schema": tool.schema or _EMPTY_SCHEMA}
    if tool.description:
        built["description"] = tool.description
    if tool.is_strict is not None:
        built["strict"] = tool.is_strict
    return built | (CACHED if tool.ends_prefix else {})


def _order_blocks(parts: Sequence[MessagePart]) -> list[MessagePart]:
    """Tools' results first, as this wire wants them; texts of blanks left out."""
    results = [one for one in parts if isinstance(one, ToolResultPart)]
    others = [
        one
        for one in parts
        if not isinstance(one, ToolResultPart)
        and not (isinstance(one, TextPart) and not one.text.strip())
    ]
    return [*results, *others]


def _build_block(part: MessagePart) -> dict[str, Any]:
    block: dict[str, Any]
    match part:
        case TextPart():
            block = {"type": "text", "text": part.text}
        case ThinkingPart():
            if part.redacted:
                return {"type": "redacted_thinking", "data": part.redacted}
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case PicturePart():
            block = build_anthropic_picture(part.picture)
        case ToolCallPart():
            block = {
                "type": "tool_use",
                "id": _to_anthropic_id(part.id),
                "name": part.name,
                "input": _read_arguments(part.arguments),
            }
        case ToolResultPart():
            content = [_build_block(one) for one in _order_blocks(part.content)]
            block = {"type": "tool_result", "tool_use_id": _to_anthropic_id(part.call)}
            block |= {"content": content} if content else {}
            block |= {"is_error": True} if part.is_error else {}
    return block | (CACHED if part.ends_prefix else {})


def _to_anthropic_id(id_: str) -> str:
    return id_ if _ANTHROPIC_ID.fullmatch(id_) else _hash_id(id_)


def _read_arguments(arguments: str) -> dict[str, Any]:
    """A call's arguments as an object, whatever a model wrote."""
    try:
        read = json.loads(arguments.strip() or "{}")
    except (ValueError, RecursionError):
        read = None
    return read if isinstance(read, dict) else {"arguments": arguments}


# --- both ---------------------------------------------------------------------------------------


def keep_own_thinking(messages: Sequence[ChatMessage], key: str) -> Sequence[ChatMessage]:
    """The messages with the thoughts alone that a key signed: others can't be read there."""
    if not any(isinstance(part, ThinkingPart) for one in messages for part in one.parts):
        return messages
    kept = (
        replace(
            one,
            parts=tuple(
                part for part in one.parts if not isinstance(part, ThinkingPart) or part.key == key
            ),
        )
        if one.parts
        else one
        for one in messages
    )
    return [one for one in kept if one.parts or one.text or one.pictures]


def has_unthought_call(messages: Sequence[ChatMessage]) -> bool:
    """Whether the tool loop at the end goes on from a call whose thoughts aren't there: Anthropic's
    models can't think on from it."""
    for message in reversed(messages):
        if message.role == "assistant":
            calls = any(isinstance(part, ToolCallPart) for part in message.parts)
            return calls and not isinstance(message.parts[0], ThinkingPart)
        if not any(isinstance(part, ToolResultPart) for part in message.parts):
            return False
    return False
