"""How an answer ends: what servers say of it in any spelling, and that nothing after it matters.

An answer is whole once its end was told: by a reason, by `[DONE]`, by `message_stop`. Servers then
close badly, send keep-alives for ever, or are silent; usage may still come for a moment.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, Literal, Self

from core.pool.providers import sse
from core.pool.providers.transport import BROKEN, SupplierAnswer
from core.pool.providers.types import Fault, SupplierFault

FinishReason = Literal["stop", "length", "filtered", "tool_calls"]

#: How long is waited after the end was told, in seconds: for the connection's own end where usage
#: is known, and for usage where it isn't.
_AFTER_USAGE_SECONDS: Final = 2.0
_FOR_USAGE_SECONDS: Final = 10.0

#: So many events may come one after another that bring no text and no thought: keep-alives of
#: the longest answer are some thousand.
EMPTY_EVENTS_MAX: Final = 10_000

#: Words in reasons of OpenAI's and Anthropic's wires and of those whose reasons gateways hand on
#: (Gemini's `MAX_TOKENS` and `PROHIBITED_CONTENT`, Bedrock's `guardrail_intervened`, Cohere's).
_LENGTH_WORDS: Final = re.compile(r"length|max_?(output_?)?tokens|token_?limit|context_window")
_FILTERED_WORDS: Final = re.compile(
    r"content_?filter|sensitive|safety|prohibited|blocklist|spii|recitation|refusal|refused|block"
    r"|guardrail|moderat|toxic|policy"
)
_TOOL_WORDS: Final = re.compile(r"tool|function_call")
#: Reasons that are none: the supplier failed midway (Mistral's and OpenRouter's `error`, Cohere's
#: `ERROR`, Z.ai's `network_error`, DeepSeek's `insufficient_system_resource`, vLLM's `abort`).
_FAILURE_WORDS: Final = re.compile(r"error|network_error|insufficient_system_resource|abort")


def is_failure(reason: object) -> bool:
    """Whether a reason says that the supplier failed before the answer was whole."""
    return _FAILURE_WORDS.fullmatch(str(reason).strip().lower()) is not None


def read_finish_reason(reason: object) -> FinishReason:
    """What a server's reason means, however it is spelt; an unknown one is a plain end."""
    words = re.sub(r"[\s-]+", "_", str(reason).strip().lower())
    if _FILTERED_WORDS.search(words):
        return "filtered"
    if _LENGTH_WORDS.search(words):
        return "length"
    return "tool_calls" if _TOOL_WORDS.search(words) else "stop"


class AnswerEvents:
    """The events of one answer's response. After `mark_end` they go on for a moment only, and no
    fault of the connection is one any more. Events that bring nothing come to an end too."""

    def __init__(self, answer: SupplierAnswer) -> None:
        self._events = sse.EventReader(answer)
        self._deadline: float | None = None
        #: How many came since the last one that brought something.
        self._empty = 0

    @property
    def has_ended(self) -> bool:
        """Whether the end was told."""
        return self._deadline is not None

    def mark_end(self, *, has_usage: bool) -> None:
        """The end was told; usage may have been, or may still come. Waits only get shorter."""
        wait = _AFTER_USAGE_SECONDS if has_usage else _FOR_USAGE_SECONDS
        at = asyncio.get_running_loop().time() + wait
        self._deadline = at if self._deadline is None else min(at, self._deadline)

    def mark_progress(self) -> None:
        """The event at hand brought a piece of the answer."""
        self._empty = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> sse.Event:
        """(Name, data) of each event until the stream's end, or until enough was waited. Raises
        `SupplierFault` where too many bring nothing (`mark_progress`)."""
        try:
            event = self._events.take_parsed() or await self._wait_for_event()
        except (*BROKEN, SupplierFault):
            if self.has_ended:
                raise StopAsyncIteration from None
            raise
        self._empty += 1
        if self._empty > EMPTY_EVENTS_MAX:
            if self.has_ended:
                raise StopAsyncIteration
            raise SupplierFault(Fault.UNAVAILABLE, code="empty")
        return event

    async def _wait_for_event(self) -> sse.Event:
        if self._deadline is None:
            return await anext(self._events)
        async with asyncio.timeout_at(self._deadline):
            return await anext(self._events)


def require_end(events: AnswerEvents) -> None:
    """Raises `SupplierFault` when the stream is over and no end was told: it was cut."""
    if not events.has_ended:
        raise SupplierFault(Fault.NETWORK, code="cut")
