"""The Anthropic wire format: Messages, streamed.

`input_tokens` leaves out what was read from or written to a cache, so the whole prompt is the three
together; counts in `message_delta` are running totals, the last ones are final.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from core.money import Tokens
from core.pool.providers import faults, http
from core.pool.providers.endings import AnswerEvents, FinishReason, read_finish_reason, require_end
from core.pool.providers.limits import parse_rate_limit
from core.pool.providers.message_content import mark_cached
from core.pool.providers.tool_messages import (
    build_anthropic_messages,
    build_anthropic_options,
    build_anthropic_system,
    has_unthought_call,
)
from core.pool.providers.types import (
    CallTarget,
    Fault,
    Finish,
    ListedModel,
    ModelCall,
    PromptCache,
    ReasoningDelta,
    StreamEvent,
    SupplierFault,
    TextDelta,
    ToolCallDelta,
    Usage,
)

VERSION = "2026-10-21"
_TOKENS_MAX = 100_000_000
_COUNT_FIELDS = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
)
#: Stands among the answer's details.
_THOUGHT_FIELD = "thinking_tokens"


@dataclass(frozen=True, slots=True)
class AnthropicAdapter:
    """The adapter for Anthropic's Messages implements `SupplierAdapter`."""

    client: http.SupplierClient

    async def stream(
        self, target: CallTarget, call: ModelCall
    ) -> AsyncGenerator[StreamEvent, None]:
        """See `SupplierAdapter`."""
        url, build = f"{target.base_url}/v1/messages", partial(_body, call)
        post = http.JsonPost(self.client, url, _headers(target), build, call.measure_size())
        async with post as answer:
            if (limits := parse_rate_limit(answer.headers)) is not None:
                yield limits
            events = AnswerEvents(answer)
            reading = _MessageReading(events)
            async for _, data in events:
                for stream_event in reading.read_event(data):
                    events.mark_progress()
                    yield stream_event
                if reading.is_over:
                    break
            require_end(events)
            await http.drain_body(answer)
            yield reading.build_finish()

    async def list_models(self, target: CallTarget) -> list[ListedModel]:
        """See `SupplierAdapter`."""
        url = f"{target.base_url}/v1/models"
        body = await http.get_json(self.client, url, _headers(target), limit="1000")
        rows = body.get("data") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            raise SupplierFault(Fault.UNAVAILABLE, code="not_json")
        return [
            ListedModel(row["id"], _parse_context(row.get("max_input_tokens")))
            for row in rows
            if isinstance(row, dict) and isinstance(row.get("id"), str)
        ]


def _headers(target: CallTarget) -> dict[str, str]:
    return {"x-api-key": target.key.get_secret_value(), "anthropic-version": VERSION}


def _body(call: ModelCall) -> dict[str, Any]:
    messages = build_anthropic_messages(call.messages)
    # Whoever sets options marks what shall be kept, too.
    cache = None if call.options is not None else call.cache
    if cache is not None and (at := _find_breakpoint(len(messages), cache)) is not None:
        messages[at]["content"] = mark_cached(messages[at]["content"])
    body: dict[str, Any] = {
        "model": call.model,
        "max_tokens": call.answer_limit.units,
        "messages": messages,
        "stream": True,
    }
    if system := build_anthropic_system(call.messages):
        body["system"] = system
    if call.end_user:
        body["metadata"] = {"user_id": call.end_user}
    if call.options is not None:
        options = call.options
        if options.thinking == "enabled" and has_unthought_call(call.messages):
            options = replace(options, thinking="disabled")
        body |= build_anthropic_options(options, call.answer_limit.units)
    return body


#: A question and its answer: what a turn adds to the messages.
_TURN_MESSAGES = 2


def _find_breakpoint(messages: int, cache: PromptCache) -> int | None:
    """The message up to which the prompt is kept for five minutes; None where that can't pay.

    Writing costs a quarter more and reading nine tenths less, so a first question is not written:
    most have no second one within five minutes. Where the next prompt won't begin with this one,
    what is kept of the last one is read, and nothing more is written. One breakpoint is enough: the
    last one is two messages before, and twenty are looked through. Prompts below a model's minimum
    (512 to 4,096 tokens) aren't written, whatever is marked.
    """
    if messages <= _TURN_MESSAGES:
        return None
    if cache.is_reusable:
        return messages - 1
    return messages - 1 - _TURN_MESSAGES if cache.is_warm else None


class _MessageReading:
    """What the events of one message have said so far."""

    def __init__(self, events: AnswerEvents) -> None:
        self._events = events
        self._reason: FinishReason = "stop"
        self._counts: dict[str, int] = {}
        self._stop_sequence = ""
        #: How many tools are called so far; whether the last call is being told, and its arguments
        #: have begun.
        self._calls, self._is_in_call, self._has_arguments = 0, False, False
        #: Whether `message_stop` came: nothing follows it.
        self.is_over = False

    def read_event(self, data: bytes) -> Iterator[StreamEvent]:
        """The stream events of one of the server's; raises `SupplierFault`. After the message's end
        was told, only usage counts of what still comes."""
        try:
            event = http.parse_json(data)
            if not isinstance(event, dict):
                raise faults.fault_from_event(event)
            yield from self._read(event)
        except (SupplierFault, *faults.MALFORMED_ERRORS):
            if not self._events.has_ended:
                raise

    def build_finish(self) -> Finish:
        """The answer's end."""
        return Finish(self._reason, _to_usage(self._counts), self._stop_sequence)

    def _read(self, event: Mapping[str, Any]) -> Iterator[StreamEvent]:
        match event.get("type"):
            case "content_block_start":
                yield from self._read_block(event.get("content_block") or {})
            case "content_block_delta":
                delta = event.get("delta") or {}
                if isinstance(piece := delta.get("partial_json"), str):
                    yield from self._read_arguments(piece)
                yield from _to_stream_events(delta)
            case "content_block_stop":
                yield from self._end_call()
            case "message_start":
                # Its output is a beginning, not a count.
                reported = (event.get("message") or {}).get("usage")
                _update_counts(self._counts, reported, _COUNT_FIELDS[:-1])
            case "message_delta":
                self._read_usage(event.get("usage"))
                self._read_reason(event.get("delta") or {})
            case "message_stop":
                self.is_over = True
                self._events.mark_end(has_usage=True)
            case "message":  # a whole answer, though a stream was asked for
                for block in event.get("content") or ():
                    yield from self._read_block(block)
                    yield from self._end_call()
                self._read_usage(event.get("usage"))
                self._read_reason({"stop_reason": "end_turn"} | _without_nulls(event))
            case "error" | None:
                raise faults.fault_from_event(event)

    def _read_block(self, block: Mapping[str, Any]) -> Iterator[StreamEvent]:
        """A block's beginning, or a whole one: a tool's call has its arguments there, or in the
        deltas that follow."""
        yield from self._end_call()
        if block.get("type") != "tool_use":
            yield from _to_stream_events(block)
            return
        self._calls, self._is_in_call, self._has_arguments = self._calls + 1, True, False
        name, given = block.get("name"), block.get("input")
        call = block.get("id")
        yield ToolCallDelta(
            self._calls - 1,
            call if isinstance(call, str) else "",
            name if isinstance(name, str) else "",
        )
        if given:
            yield from self._read_arguments(json.dumps(given))

    def _read_arguments(self, piece: str) -> Iterator[StreamEvent]:
        """A piece of the arguments of the call that is being told; other blocks' are none."""
        if piece and self._is_in_call:
            self._has_arguments = True
            yield ToolCallDelta(self._calls - 1, arguments=piece)

    def _end_call(self) -> Iterator[StreamEvent]:
        """A call without arguments has an empty object of them."""
        if self._is_in_call and not self._has_arguments:
            yield ToolCallDelta(self._calls - 1, arguments="{}")
        self._is_in_call = False

    def _read_usage(self, reported: Any) -> None:
        _update_counts(self._counts, reported, _COUNT_FIELDS)
        if isinstance(reported, dict):
            details = reported.get("output_tokens_details")
            _update_counts(self._counts, details, (_THOUGHT_FIELD,))

    def _read_reason(self, said: Mapping[str, Any]) -> None:
        if reason := said.get("stop_reason"):
            self._reason = read_finish_reason(reason)
            met = said.get("stop_sequence")
            self._stop_sequence = met if isinstance(met, str) else ""
            self._events.mark_end(has_usage="output_tokens" in self._counts)


def _without_nulls(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if value is not None}


#: Blocks and deltas that show nothing: thoughts, and their signature alone where they are omitted.
_THINKING = frozenset(("thinking", "redacted_thinking", "thinking_delta", "signature_delta"))


def _to_stream_events(part: Mapping[str, Any]) -> Iterator[StreamEvent]:
    if part.get("type") in _THINKING:
        told = (part.get("thinking"), part.get("signature"), part.get("data"))
        yield ReasoningDelta(*(one if isinstance(one, str) else "" for one in told))
    elif isinstance(text := part.get("text"), str) and text:
        yield TextDelta(text)


def _update_counts(counts: dict[str, int], reported: Any, names: Sequence[str]) -> None:
    """Takes counts over; they only grow: a zero that follows a count undoes nothing."""
    if isinstance(reported, dict):
        for name in names:
            if type(value := reported.get(name)) is int and 0 <= value <= _TOKENS_MAX:
                counts[name] = max(value, counts.get(name, 0))


def _to_usage(counts: Mapping[str, int]) -> Usage | None:
    if not {"input_tokens", "output_tokens"} <= counts.keys() or not any(counts.values()):
        return None
    uncached, cached, written, output = (counts.get(name, 0) for name in _COUNT_FIELDS)
    return Usage(
        input=Tokens(uncached + cached + written),
        output=Tokens(output),
        cached=Tokens(cached),
        cache_written=Tokens(written),
        reasoning=Tokens(min(counts.get(_THOUGHT_FIELD, 0), output)),
    )


def _parse_context(value: Any) -> Tokens | None:
    return Tokens(value) if type(value) is int and 0 < value <= _TOKENS_MAX else None
