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
from core.pool.providers import faults, http, sse, transcription
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

#: More tokens than any call has: a larger count is no count.
_TOKENS_MAX = 100_000_000
_MODELS_MAX = 5_000

_REASONS: Mapping[str, Literal["stop", "length", "filtered"]] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "filtered",
    "sensitive": "filtered",
}
_CONTEXT_FIELDS = ("context_length", "context_window", "max_context_length", "max_model_len")


@dataclass(frozen=True, slots=True)
class Dialect:
    """A dialect says which fields a server of this wire format takes."""

    #: The name of the field with the answer's limit.
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    #: Whether usage must be asked for, in `stream_options`, which some servers refuse.
    asks_usage: bool = True
    #: Whether it is OpenAI itself, which takes `store`, `safety_identifier`, `include_obfuscation`.
    is_openai: bool = False


#: The dialect that nearly all servers take.
PLAIN = Dialect()


@dataclass(frozen=True, slots=True)
class OpenAI:
    """The adapter for OpenAI's chat completions and audio implements `SupplierAdapter`."""

    client: aiohttp.ClientSession
    dialect: Dialect = PLAIN

    def stream(self, target: Target, call: Call) -> AsyncGenerator[Piece, None]:
        """See `SupplierAdapter`."""
        if call.clip is not None:
            url, headers = f"{target.base_url}/audio/transcriptions", _headers(target)
            return transcription.pieces(self.client, url, headers, call.model, call.clip)
        return self._answer(target, call)

    async def _answer(self, target: Target, call: Call) -> AsyncGenerator[Piece, None]:
        url = f"{target.base_url}/chat/completions"
        body = self._body(call)
        async with http.posted(self.client, url, _headers(target), body) as response:
            if (limits := told(response.headers)) is not None:
                yield limits
            if response.content_type == "application/json":
                for piece in _whole(http.parsed(await http.read(response))):
                    yield piece
                return
            reason: Literal["stop", "length", "filtered"] | None = None
            used: Usage | None = None
            async for _, data in sse.events(response.content):
                if data == b"[DONE]":
                    break
                chunk = http.parsed(data)
                if not isinstance(chunk, dict) or chunk.get("error"):
                    raise faults.of_event(chunk)
                used = _usage_of(chunk) or used
                choices = chunk.get("choices")
                if not choices:
                    continue
                choice = choices[0]
                for piece in _pieces(choice.get("delta") or {}):
                    yield piece
                if ended := choice.get("finish_reason"):
                    if ended == "error":
                        raise faults.of_event(chunk)
                    reason = _REASONS.get(ended, "stop")
            if reason is None:
                raise SupplierFault(Fault.NETWORK, code="cut")
            await http.drained(response)
            yield Finish(reason, used)

    async def models(self, target: Target) -> list[ListedModel]:
        """See `SupplierAdapter`."""
        said = await http.got(self.client, f"{target.base_url}/models", _headers(target))
        rows = said.get("data") if isinstance(said, dict) else said
        if not isinstance(rows, list):
            raise SupplierFault(Fault.UNWELL, code="not_json")
        return [
            ListedModel(row["id"].removeprefix("models/"), _context(row))
            for row in rows[:_MODELS_MAX]
            if isinstance(row, dict) and isinstance(row.get("id"), str)
        ]

    def _body(self, call: Call) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": call.model,
            "messages": [{"role": one.role, "content": one.text} for one in call.messages],
            "stream": True,
            self.dialect.limit: call.answer_limit.units,
        }
        if self.dialect.asks_usage:
            body["stream_options"] = {"include_usage": True}
        if self.dialect.is_openai:
            body["store"] = False
            body["stream_options"] = {"include_usage": True, "include_obfuscation": False}
            if call.end_user:
                body["safety_identifier"] = call.end_user
        return body


def _headers(target: Target) -> dict[str, str]:
    return {"Authorization": f"Bearer {target.key.get_secret_value()}"}


def _pieces(delta: Mapping[str, Any]) -> list[Piece]:
    said = delta.get("content") or delta.get("refusal")
    if isinstance(said, str):
        return [Text(said)]
    if isinstance(said, list):
        return [_part(part) for part in said if isinstance(part, dict)]
    if delta.get("reasoning_content") or delta.get("reasoning"):
        return [Thinking()]
    return []


def _part(part: Mapping[str, Any]) -> Piece:
    text = part.get("text")
    return Text(text) if part.get("type") == "text" and isinstance(text, str) else Thinking()


def _whole(said: Any) -> list[Piece]:
    """The events of an answer that came all at once, though a stream was asked for."""
    choices = said.get("choices") if isinstance(said, dict) else None
    if not choices or said.get("error"):
        raise faults.of_event(said)
    reason = _REASONS.get(choices[0].get("finish_reason") or "", "stop")
    return [*_pieces(choices[0].get("message") or {}), Finish(reason, _usage_of(said))]


def _usage_of(chunk: Mapping[str, Any]) -> Usage | None:
    said = chunk.get("usage")
    if said is None and (choices := chunk.get("choices")):
        said = choices[0].get("usage")
    return usage(said) if isinstance(said, dict) else None


def usage(said: Mapping[str, Any]) -> Usage | None:
    """The usage as any supplier of this wire format reports it; None where it makes no sense.

    Some count reasoning in the total only, so what the total has above the prompt is output.
    """
    prompt, answer = _count(said.get("prompt_tokens")), _count(said.get("completion_tokens"))
    if prompt is None or answer is None:
        return None
    details = said.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    cached = _count(
        details.get("cached_tokens")
        or said.get("prompt_cache_hit_tokens")
        or said.get("cached_tokens")
        or 0
    )
    written = _count(details.get("cache_write_tokens") or 0)
    cached = min(cached or 0, prompt)
    total = _count(said.get("total_tokens")) or 0
    return Usage(
        input=Tokens(prompt),
        output=Tokens(max(answer, total - prompt)),
        cached=Tokens(cached),
        cache_written=Tokens(min(written or 0, prompt - cached)),
    )


def _count(said: Any) -> int | None:
    return said if type(said) is int and 0 <= said <= _TOKENS_MAX else None


def _context(row: Mapping[str, Any]) -> Tokens | None:
    for field in _CONTEXT_FIELDS:
        if found := _count(row.get(field)):
            return Tokens(found)
    return None


_PAGE = 100
_PAGES_MAX = 10


@dataclass(frozen=True, slots=True)
class Cloudflare:
    """The adapter for Cloudflare implements `SupplierAdapter`. A target without an account id can't
    be called."""

    client: aiohttp.ClientSession
    dialect: Dialect = PLAIN

    def stream(self, target: Target, call: Call) -> AsyncGenerator[Piece, None]:
        """See `SupplierAdapter`."""
        address = f"{_address(target)}/v1"
        return OpenAI(self.client, self.dialect).stream(replace(target, base_url=address), call)

    async def models(self, target: Target) -> list[ListedModel]:
        """See `SupplierAdapter`."""
        url = f"{_address(target)}/models/search"
        headers = {"Authorization": f"Bearer {target.key.get_secret_value()}"}
        found: list[ListedModel] = []
        for page in range(1, _PAGES_MAX + 1):
            said = await http.got(self.client, url, headers, page=str(page), per_page=str(_PAGE))
            rows = said.get("result") if isinstance(said, dict) else None
            if not isinstance(rows, list):
                raise SupplierFault(Fault.UNWELL, code="not_json")
            names = [row.get("name") for row in rows if isinstance(row, dict)]
            found += [ListedModel(name) for name in names if isinstance(name, str)]
            if len(rows) < _PAGE:
                break
        return found


def _address(target: Target) -> str:
    if not target.account:
        raise SupplierFault(Fault.BAD_REQUEST, code="no_account")
    return f"{target.base_url}/accounts/{target.account}/ai"
