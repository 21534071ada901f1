"""The OpenAI wire format: chat completions, as OpenAI and the suppliers that imitate it have them.

What they vary is an `OpenAIDialect`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self

from core.money import Tokens
from core.pool.providers import faults, http, transcription
from core.pool.providers.endings import (
    AnswerEvents,
    FinishReason,
    is_failure,
    read_finish_reason,
    require_end,
)
from core.pool.providers.limits import parse_rate_limit
from core.pool.providers.message_content import build_openai_content
from core.pool.providers.tool_calls import ToolCallReading
from core.pool.providers.tool_messages import (
    build_openai_messages,
    build_openai_options,
    join_results,
)
from core.pool.providers.types import (
    CallTarget,
    ChatMessage,
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

#: As OpenRouter and Together, Groq, Mistral, vLLM, LiteLLM and Gemini, llama.cpp's router list it.
_CONTEXT_FIELDS = (
    *("context_length", "context_window", "max_context_length", "max_model_len"),
    *("max_input_tokens", "input_token_limit", "inputTokenLimit", "n_ctx"),
)


@dataclass(frozen=True, slots=True)
class OpenAIDialect:
    """A dialect says which fields a server of this wire format takes."""

    #: The name of the field with the answer's limit.
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    #: Whether usage must be asked for, in `stream_options`, which some servers refuse.
    asks_usage: bool = True
    #: Whether it is OpenAI itself, which takes `store`, `safety_identifier`, `include_obfuscation`
    #: and `prompt_cache_key`.
    is_openai: bool = False
    #: The header by which a server finds the cache of a conversation; empty: it has none.
    conversation_header: str = ""
    #: Whether it takes `detail` beside a picture's URL.
    sends_detail: bool = False
    #: Whether a picture's URL stands alone, not in an object.
    sends_bare_urls: bool = False
    #: What isn't taken of a call's options.
    left_out: frozenset[str] = frozenset()

    def without(self, field: str) -> Self | None:
        """The dialect of a server that doesn't take a field; None where this one doesn't send it,
        or can't do without."""
        if field == self.limit_field:
            return replace(self, limit_field=_OTHER_LIMIT[field])
        if field in {"stream_options", "include_usage"} and self.asks_usage:
            return replace(self, asks_usage=False)
        if field in _OPENAI_FIELDS and self.is_openai:
            return replace(self, is_openai=False)
        if field == "detail" and self.sends_detail:
            return replace(self, sends_detail=False)
        if field in (_SAMPLING_FIELDS | _OTHER_OPTIONS) - self.left_out:
            fields = _SAMPLING_FIELDS if field in _SAMPLING_FIELDS else {field}
            return replace(self, left_out=self.left_out | fields)
        return None


_OTHER_LIMIT: Mapping[str, Literal["max_tokens", "max_completion_tokens"]] = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
}
_OPENAI_FIELDS = frozenset(
    ("store", "safety_identifier", "prompt_cache_key", "include_obfuscation")
)

#: Whoever refuses one of these takes none of them.
_SAMPLING_FIELDS = frozenset(
    ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed")
)
#: Options without which a call asks for the same.
_OTHER_OPTIONS = frozenset(("parallel_tool_calls", "reasoning_effort"))

#: The dialect that nearly all servers take.
PLAIN_DIALECT = OpenAIDialect()


@dataclass(frozen=True, slots=True)
class OpenAIAdapter:
    """The adapter for OpenAI's chat completions and audio implements `SupplierAdapter`."""

    client: http.SupplierClient
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
        headers = _headers(target)
        if self.dialect.conversation_header and call.cache is not None:
            headers[self.dialect.conversation_header] = call.cache.key
        build = partial(self._build_body, call)
        async with http.JsonPost(self.client, url, headers, build, call.measure_size()) as answer:
            if (limits := parse_rate_limit(answer.headers)) is not None:
                yield limits
            events = AnswerEvents(answer)
            reading = _ChatReading(events)
            async for _, data in events:
                if data.strip() == b"[DONE]":
                    events.mark_end(has_usage=True)
                    break
                for event in reading.read_chunk(data):
                    events.mark_progress()
                    yield event
            require_end(events)
            await http.drain_body(answer)
            for event in reading.tool_calls.finish():
                yield event
            yield reading.build_finish()

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
                built
                for message in join_results(call.messages)
                for built in self._build_messages(message)
            ],
            "stream": True,
            self.dialect.limit_field: call.answer_limit.units,
        }
        if self.dialect.asks_usage:
            body["stream_options"] = {"include_usage": True}
        if self.dialect.is_openai:
            body["store"] = False
            if self.dialect.asks_usage:
                body["stream_options"] |= {"include_obfuscation": False}
            if call.end_user:
                body["safety_identifier"] = call.end_user
            if call.cache is not None:
                body["prompt_cache_key"] = call.cache.key
        if call.options is not None:
            options = build_openai_options(call.options).items()
            body |= {name: value for name, value in options if name not in self.dialect.left_out}
        return body

    def _build_messages(self, message: ChatMessage) -> list[dict[str, Any]]:
        how = {
            "sends_detail": self.dialect.sends_detail,
            "sends_bare_urls": self.dialect.sends_bare_urls,
        }
        if message.parts:
            return build_openai_messages(message, **how)
        return [{"role": message.role, "content": build_openai_content(message, **how)}]


class _ChatReading:
    """What the chunks of one answer have said so far."""

    def __init__(self, events: AnswerEvents) -> None:
        self._events = events
        self._reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._had_choice = False
        self.tool_calls = ToolCallReading()

    def read_chunk(self, data: bytes) -> Iterator[StreamEvent]:
        """The events of a chunk, or of a whole answer that came at once; raises `SupplierFault`.
        After the answer's end was told, only usage counts of what still comes."""
        try:
            chunk = http.parse_json(data)
            if not isinstance(chunk, dict) or chunk.get("error") or _is_minimax_error(chunk):
                raise faults.fault_from_event(chunk)
            if (found := _find_usage(chunk)) is not None:
                self._take_usage(found)
            if choices := chunk.get("choices"):
                yield from self._read_choice(choices[0], chunk)
            elif "choices" not in chunk and "usage" not in chunk and _is_error(chunk):
                raise faults.fault_from_event(chunk)
        except (SupplierFault, *faults.MALFORMED_ERRORS):
            if not self._events.has_ended:
                raise

    def build_finish(self) -> Finish:
        """The answer's end. A prompt that is blocked has usage and no choice (Gemini's do)."""
        blocked = not self._had_choice and self._usage is not None and self._usage.output.is_zero
        reason = self._reason or ("filtered" if blocked else "stop")
        if reason == "stop" and self.tool_calls.has_calls:  # as some servers end such an answer
            reason = "tool_calls"
        return Finish(reason, self._usage)

    def _read_choice(
        self, choice: Mapping[str, Any], chunk: Mapping[str, Any]
    ) -> Iterator[StreamEvent]:
        self._had_choice = True
        whole = choice.get("message") if "delta" not in choice else None
        said = choice.get("delta") or whole or {}
        yield from _to_stream_events(said)
        if calls := said.get("tool_calls"):
            yield from self.tool_calls.read(calls)
        reason = choice.get("finish_reason")
        if reason:
            if is_failure(reason):
                raise faults.fault_from_event(chunk)
            self._reason = read_finish_reason(reason)
        if reason or whole:
            self._events.mark_end(has_usage=self._usage is not None)

    def _take_usage(self, found: Usage) -> None:
        self._usage = found if self._usage is None else _merge_usage(self._usage, found)
        if self._events.has_ended:
            self._events.mark_end(has_usage=True)


def _is_minimax_error(chunk: Mapping[str, Any]) -> bool:
    base = chunk.get("base_resp")
    return isinstance(base, dict) and bool(base.get("status_code"))


def _is_error(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk that is no part of an answer says what is wrong."""
    return any(isinstance(chunk.get(name), (str, int)) for name in ("message", "detail", "code"))


def _headers(target: CallTarget) -> dict[str, str]:
    return {"Authorization": f"Bearer {target.key.get_secret_value()}"}


def _to_stream_events(delta: Mapping[str, Any]) -> list[StreamEvent]:
    content = delta.get("content") or delta.get("refusal")
    if content and len(delta) == 1 and isinstance(content, str):  # as nearly all come
        return [TextDelta(content)]
    events: list[StreamEvent] = []
    if thought := (delta.get("reasoning_content") or delta.get("reasoning")):
        events.append(ReasoningDelta(thought if isinstance(thought, str) else ""))
    if isinstance(content, str) and content:
        events.append(TextDelta(content))
    elif isinstance(content, list):
        events += [_part_to_event(part) for part in content if isinstance(part, dict)]
    return events


def _part_to_event(part: Mapping[str, Any]) -> StreamEvent:
    text = part.get("text")
    if part.get("type") == "text" and isinstance(text, str):
        return TextDelta(text)
    thoughts = part.get("thinking")  # Mistral's, in parts of their own
    told = [one.get("text") for one in thoughts or () if isinstance(one, dict)]
    return ReasoningDelta("".join(one for one in told if isinstance(one, str)))


def _find_usage(chunk: Mapping[str, Any]) -> Usage | None:
    reported = chunk.get("usage")
    if reported is None and (choices := chunk.get("choices")):
        reported = choices[0].get("usage")
    return parse_usage(reported) if isinstance(reported, dict) else None


def _merge_usage(before: Usage, after: Usage) -> Usage:
    """Counts only grow: a smaller one that follows undoes nothing."""
    return Usage(
        input=max(before.input, after.input),
        output=max(before.output, after.output),
        cached=max(before.cached, after.cached),
        cache_written=max(before.cache_written, after.cache_written),
        reasoning=max(before.reasoning, after.reasoning),
    )


def parse_usage(reported: Mapping[str, Any]) -> Usage | None:
    """The usage as any supplier of this wire format reports it; None where it makes no sense, or is
    all zero: nothing was counted.

    Some count reasoning in the total only, so what the total has above the prompt is output.
    """
    prompt, answer = (
        _parse_count(reported.get("prompt_tokens")),
        _parse_count(reported.get("completion_tokens")),
    )
    if prompt is None or answer is None or not prompt + answer:
        return None
    details, told = (
        one if isinstance(one := reported.get(name), dict) else {}
        for name in ("prompt_tokens_details", "completion_tokens_details")
    )
    cached = _parse_count(
        details.get("cached_tokens")
        or reported.get("prompt_cache_hit_tokens")
        or reported.get("cached_tokens")
        or 0
    )
    cache_written = _parse_count(details.get("cache_write_tokens") or 0)
    cached = min(cached or 0, prompt)
    total = _parse_count(reported.get("total_tokens")) or 0
    output = max(answer, total - prompt)
    return Usage(
        input=Tokens(prompt),
        output=Tokens(output),
        cached=Tokens(cached),
        cache_written=Tokens(min(cache_written or 0, prompt - cached)),
        reasoning=Tokens(min(_parse_count(told.get("reasoning_tokens")) or 0, output)),
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

    client: http.SupplierClient
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
    if not target.account_id:
        raise SupplierFault(Fault.BAD_REQUEST, code="no_account")
    return f"{target.base_url}/accounts/{target.account_id}/ai"
