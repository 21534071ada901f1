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
from core.pool.providers import faults, http, sse
from core.pool.providers.limits import told
from core.pool.providers.types import (
    Call,
    Fault,
    Finish,
    ListedModel,
    Piece,
    SupplierFault,
    Target,
    Text,
    Thinking,
    Usage,
)

VERSION = "2026-10-21"
_TOKENS_MAX = 100_000_000
_COUNTS = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
)
_REASONS: Mapping[str, Literal["stop", "length", "filtered"]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "filtered",
}


@dataclass(frozen=True, slots=True)
class Anthropic:
    """The adapter for Anthropic's Messages implements `SupplierAdapter`."""

    client: aiohttp.ClientSession

    async def stream(self, target: Target, call: Call) -> AsyncGenerator[Piece, None]:
        """See `SupplierAdapter`."""
        url = f"{target.base_url}/v1/messages"
        counts: dict[str, int] = {}
        reason: Literal["stop", "length", "filtered"] | None = None
        async with http.posted(self.client, url, _headers(target), _body(call)) as response:
            if (limits := told(response.headers)) is not None:
                yield limits
            async for _, data in sse.events(response.content):
                event = http.parsed(data)
                kind = event.get("type") if isinstance(event, dict) else "error"
                if kind == "content_block_delta":
                    if (piece := _piece(event.get("delta") or {})) is not None:
                        yield piece
                elif kind == "message_start":
                    _learn(counts, (event.get("message") or {}).get("usage"))
                elif kind == "message_delta":
                    _learn(counts, event.get("usage"))
                    if ended := (event.get("delta") or {}).get("stop_reason"):
                        reason = _REASONS.get(ended, "stop")
                elif kind == "message_stop":
                    break
                elif kind == "error":
                    raise faults.of_event(event)
            if reason is None:
                raise SupplierFault(Fault.NETWORK, code="cut")
            await http.drained(response)
        yield Finish(reason, _usage(counts))

    async def models(self, target: Target) -> list[ListedModel]:
        """See `SupplierAdapter`."""
        url = f"{target.base_url}/v1/models"
        said = await http.got(self.client, url, _headers(target), limit="1000")
        rows = said.get("data") if isinstance(said, dict) else None
        if not isinstance(rows, list):
            raise SupplierFault(Fault.UNWELL, code="not_json")
        return [
            ListedModel(row["id"], _context(row.get("max_input_tokens")))
            for row in rows
            if isinstance(row, dict) and isinstance(row.get("id"), str)
        ]


def _headers(target: Target) -> dict[str, str]:
    return {"x-api-key": target.key.get_secret_value(), "anthropic-version": VERSION}


def _body(call: Call) -> dict[str, Any]:
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


def _piece(delta: Mapping[str, Any]) -> Piece | None:
    if isinstance(text := delta.get("text"), str):
        return Text(text) if text else None
    return Thinking() if delta.get("type") == "thinking_delta" else None


def _learn(counts: dict[str, int], said: Any) -> None:
    if isinstance(said, dict):
        for name in _COUNTS:
            if type(value := said.get(name)) is int and 0 <= value <= _TOKENS_MAX:
                counts[name] = value


def _usage(counts: Mapping[str, int]) -> Usage | None:
    if "input_tokens" not in counts or "output_tokens" not in counts:
        return None
    plain, cached, written, output = (counts.get(name, 0) for name in _COUNTS)
    return Usage(
        input=Tokens(plain + cached + written),
        output=Tokens(output),
        cached=Tokens(cached),
        cache_written=Tokens(written),
    )


def _context(said: Any) -> Tokens | None:
    return Tokens(said) if type(said) is int and 0 < said <= _TOKENS_MAX else None
