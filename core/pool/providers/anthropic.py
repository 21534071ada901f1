"""The Anthropic wire format: Messages, streamed.

`input_tokens` leaves out what was read from or written to a cache, so the whole prompt is the three
together; counts in `message_delta` are running totals, the last ones are final.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from core.money import Tokens
from core.pool.providers import faults, http
from core.pool.providers.limits import parse_rate_limit
from core.pool.providers.types import (
    CallTarget,
    Fault,
    Finish,
    ListedModel,
    ModelCall,
    ReasoningDelta,
    StreamEvent,
    SupplierFault,
    TextDelta,
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
_FINISH_REASONS: Mapping[str, Literal["stop", "length", "filtered"]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "filtered",
}


@dataclass(frozen=True, slots=True)
class AnthropicAdapter:
    """The adapter for Anthropic's Messages implements `SupplierAdapter`."""

    client: aiohttp.ClientSession

    async def stream(
        self, target: CallTarget, call: ModelCall
    ) -> AsyncGenerator[StreamEvent, None]:
        """See `SupplierAdapter`."""
        url = f"{target.base_url}/v1/messages"
        counts: dict[str, int] = {}
        reason: Literal["stop", "length", "filtered"] | None = None
        async with http.post_json(self.client, url, _headers(target), _body(call)) as response:
            if (limits := parse_rate_limit(response.headers)) is not None:
                yield limits
            async for _, data in http.read_events(response.content):
                event = http.parse_json(data)
                kind = event.get("type") if isinstance(event, dict) else "error"
                if kind == "content_block_delta":
                    if (stream_event := _to_stream_event(event.get("delta") or {})) is not None:
                        yield stream_event
                elif kind == "message_start":
                    _update_counts(counts, (event.get("message") or {}).get("usage"))
                elif kind == "message_delta":
                    _update_counts(counts, event.get("usage"))
                    if stop_reason := (event.get("delta") or {}).get("stop_reason"):
                        reason = _FINISH_REASONS.get(stop_reason, "stop")
                elif kind == "message_stop":
                    break
                elif kind == "error":
                    raise faults.fault_from_event(event)
            if reason is None:
                raise SupplierFault(Fault.NETWORK, code="cut")
            await http.drain_body(response)
        yield Finish(reason, _to_usage(counts))

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
    body: dict[str, Any] = {
        "model": call.model,
        "max_tokens": call.answer_limit.units,
        "messages": [
            {"role": one.role, "content": one.text}
            for one in call.messages
            if one.role != "system" and one.text
        ],
        "stream": True,
    }
    if system := "\n\n".join(one.text for one in call.messages if one.role == "system"):
        body["system"] = system
    if call.end_user:
        body["metadata"] = {"user_id": call.end_user}
    return body


def _to_stream_event(delta: Mapping[str, Any]) -> StreamEvent | None:
    if isinstance(text := delta.get("text"), str):
        return TextDelta(text) if text else None
    return ReasoningDelta() if delta.get("type") == "thinking_delta" else None


def _update_counts(counts: dict[str, int], reported: Any) -> None:
    if isinstance(reported, dict):
        for name in _COUNT_FIELDS:
            if type(value := reported.get(name)) is int and 0 <= value <= _TOKENS_MAX:
                counts[name] = value


def _to_usage(counts: Mapping[str, int]) -> Usage | None:
    if "input_tokens" not in counts or "output_tokens" not in counts:
        return None
    uncached, cached, written, output = (counts.get(name, 0) for name in _COUNT_FIELDS)
    return Usage(
        input=Tokens(uncached + cached + written),
        output=Tokens(output),
        cached=Tokens(cached),
        cache_written=Tokens(written),
    )


def _parse_context(value: Any) -> Tokens | None:
    return Tokens(value) if type(value) is int and 0 < value <= _TOKENS_MAX else None
