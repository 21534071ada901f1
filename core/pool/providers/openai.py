"""The OpenAI wire format: chat completions, as OpenAI and the suppliers that imitate it have them.

What they vary is an `OpenAIDialect`. Sampling parameters are never sent: current models refuse
them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import aiohttp

from core.money import Tokens
from core.pool.providers import faults, http, transcription
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

#: More tokens than any call has: a larger count is no count.
_TOKENS_MAX = 100_000_000
_MODELS_MAX = 5_000

_FINISH_REASONS: Mapping[str, Literal["stop", "length", "filtered"]] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "filtered",
    "sensitive": "filtered",
}
_CONTEXT_FIELDS = ("context_length", "context_window", "max_context_length", "max_model_len")


@dataclass(frozen=True, slots=True)
class OpenAIDialect:
    """A dialect says which fields a server of this wire format takes."""

    #: The name of the field with the answer's limit.
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    #: Whether usage must be asked for, in `stream_options`, which some servers refuse.
    asks_usage: bool = True
    #: Whether it is OpenAI itself, which takes `store`, `safety_identifier`, `include_obfuscation`.
    is_openai: bool = False


#: The dialect that nearly all servers take.
PLAIN_DIALECT = OpenAIDialect()


@dataclass(frozen=True, slots=True)
class OpenAIAdapter:
    """The adapter for OpenAI's chat completions and audio implements `SupplierAdapter`."""

    client: aiohttp.ClientSession
    dialect: OpenAIDialect = PLAIN_DIALECT

    def stream(self, target: CallTarget, call: ModelCall) -> AsyncGenerator[StreamEvent, None]:
        """See `SupplierAdapter`."""
        if call.clip is not None:
            url, headers = f"{target.base_url}/audio/transcriptions", _headers(target)
            return transcription.transcribe(self.client, url, headers, call.model, call.clip)
        return self._stream_chat(target, call)

    async def _stream_chat(
        self, target: CallTarget, call: ModelCall
    ) -> AsyncGenerator[StreamEvent, None]:
        url = f"{target.base_url}/chat/completions"
        body = self._build_body(call)
        async with http.post_json(self.client, url, _headers(target), body) as response:
            if (limits := parse_rate_limit(response.headers)) is not None:
                yield limits
            if response.content_type == "application/json":
                for event in _events_of_whole_answer(
                    http.parse_json(await http.read_body(response))
                ):
                    yield event
                return
            reason: Literal["stop", "length", "filtered"] | None = None
            used_tokens: Usage | None = None
            async for _, data in http.read_events(response.content):
                if data == b"[DONE]":
                    break
                chunk = http.parse_json(data)
                if not isinstance(chunk, dict) or chunk.get("error"):
                    raise faults.fault_from_event(chunk)
                used_tokens = _find_usage(chunk) or used_tokens
                choices = chunk.get("choices")
                if not choices:
                    continue
                choice = choices[0]
                for event in _to_stream_events(choice.get("delta") or {}):
                    yield event
                if finish_reason := choice.get("finish_reason"):
                    if finish_reason == "error":
                        raise faults.fault_from_event(chunk)
                    reason = _FINISH_REASONS.get(finish_reason, "stop")
            if reason is None:
                raise SupplierFault(Fault.NETWORK, code="cut")
            await http.drain_body(response)
            yield Finish(reason, used_tokens)

    async def list_models(self, target: CallTarget) -> list[ListedModel]:
        """See `SupplierAdapter`."""
        body = await http.get_json(self.client, f"{target.base_url}/models", _headers(target))
        rows = body.get("data") if isinstance(body, dict) else body
        if not isinstance(rows, list):
            raise SupplierFault(Fault.UNAVAILABLE, code="not_json")
        return [
            ListedModel(row["id"].removeprefix("models/"), _parse_context(row))
            for row in rows[:_MODELS_MAX]
            if isinstance(row, dict) and isinstance(row.get("id"), str)
        ]

    def _build_body(self, call: ModelCall) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": call.model,
            "messages": [
                {"role": message.role, "content": message.text} for message in call.messages
            ],
            "stream": True,
            self.dialect.limit_field: call.answer_limit.units,
        }
        if self.dialect.asks_usage:
            body["stream_options"] = {"include_usage": True}
        if self.dialect.is_openai:
            body["store"] = False
            body["stream_options"] = {"include_usage": True, "include_obfuscation": False}
            if call.end_user:
                body["safety_identifier"] = call.end_user
        return body


def _headers(target: CallTarget) -> dict[str, str]:
    return {"Authorization": f"Bearer {target.key.get_secret_value()}"}


def _to_stream_events(delta: Mapping[str, Any]) -> list[StreamEvent]:
    content = delta.get("content") or delta.get("refusal")
    if isinstance(content, str):
        return [TextDelta(content)]
    if isinstance(content, list):
        return [_part_to_event(part) for part in content if isinstance(part, dict)]
    if delta.get("reasoning_content") or delta.get("reasoning"):
        return [ReasoningDelta()]
    return []


def _part_to_event(part: Mapping[str, Any]) -> StreamEvent:
    text = part.get("text")
    return (
        TextDelta(text)
        if part.get("type") == "text" and isinstance(text, str)
        else ReasoningDelta()
    )


def _events_of_whole_answer(body: Any) -> list[StreamEvent]:
    """The events of an answer that came all at once, though a stream was asked for."""
    choices = body.get("choices") if isinstance(body, dict) else None
    if not choices or body.get("error"):
        raise faults.fault_from_event(body)
    reason = _FINISH_REASONS.get(choices[0].get("finish_reason") or "", "stop")
    return [*_to_stream_events(choices[0].get("message") or {}), Finish(reason, _find_usage(body))]


def _find_usage(chunk: Mapping[str, Any]) -> Usage | None:
    reported = chunk.get("usage")
    if reported is None and (choices := chunk.get("choices")):
        reported = choices[0].get("usage")
    return parse_usage(reported) if isinstance(reported, dict) else None


def parse_usage(reported: Mapping[str, Any]) -> Usage | None:
    """The usage as any supplier of this wire format reports it; None where it makes no sense.

    Some count reasoning in the total only, so what the total has above the prompt is output.
    """
    prompt, answer = (
        _parse_count(reported.get("prompt_tokens")),
        _parse_count(reported.get("completion_tokens")),
    )
    if prompt is None or answer is None:
        return None
    details = reported.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    cached = _parse_count(
        details.get("cached_tokens")
        or reported.get("prompt_cache_hit_tokens")
        or reported.get("cached_tokens")
        or 0
    )
    cache_written = _parse_count(details.get("cache_write_tokens") or 0)
    cached = min(cached or 0, prompt)
    total = _parse_count(reported.get("total_tokens")) or 0
    return Usage(
        input=Tokens(prompt),
        output=Tokens(max(answer, total - prompt)),
        cached=Tokens(cached),
        cache_written=Tokens(min(cache_written or 0, prompt - cached)),
    )


def _parse_count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _TOKENS_MAX else None


def _parse_context(row: Mapping[str, Any]) -> Tokens | None:
    for field in _CONTEXT_FIELDS:
        if found := _parse_count(row.get(field)):
            return Tokens(found)
    return None


_PAGE = 100
_PAGES_MAX = 10


@dataclass(frozen=True, slots=True)
class CloudflareAdapter:
    """The adapter for Cloudflare implements `SupplierAdapter`. A target without an account id can't
    be called."""

    client: aiohttp.ClientSession
    dialect: OpenAIDialect = PLAIN_DIALECT

    def stream(self, target: CallTarget, call: ModelCall) -> AsyncGenerator[StreamEvent, None]:
        """See `SupplierAdapter`."""
        address = f"{_account_url(target)}/v1"
        return OpenAIAdapter(self.client, self.dialect).stream(
            replace(target, base_url=address), call
        )

    async def list_models(self, target: CallTarget) -> list[ListedModel]:
        """See `SupplierAdapter`."""
        url = f"{_account_url(target)}/models/search"
        headers = {"Authorization": f"Bearer {target.key.get_secret_value()}"}
        found: list[ListedModel] = []
        for page in range(1, _PAGES_MAX + 1):
            body = await http.get_json(
                self.client, url, headers, page=str(page), per_page=str(_PAGE)
            )
            rows = body.get("result") if isinstance(body, dict) else None
            if not isinstance(rows, list):
                raise SupplierFault(Fault.UNAVAILABLE, code="not_json")
            names = [row.get("name") for row in rows if isinstance(row, dict)]
            found += [ListedModel(name) for name in names if isinstance(name, str)]
            if len(rows) < _PAGE:
                break
        return found


def _account_url(target: CallTarget) -> str:
    if not target.account:
        raise SupplierFault(Fault.BAD_REQUEST, code="no_account")
    return f"{target.base_url}/accounts/{target.account}/ai"
