"""What both wires' answers are made of: the facts of an answer, how it ended, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bots.api.errors import ApiError
from core.asks.types import AskFailure, AskResult, Outcome
from core.pool.providers.types import AnswerPiece, ToolCallDelta

#: Seals what a supplier signed, and what it hid, of a thought: a text that may be handed out.
SealThought = Callable[[str, str], str]

#: How an answer can end that is one.
_ANSWERED = {Outcome.DONE: "stop", Outcome.LENGTH: "length", Outcome.FILTERED: "filtered"}
#: Suppliers that fail are asked again by us; clients had better wait a little.
_SUPPLIER_RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """What is known of an answer before any of it is there."""

    ask: str
    #: The model by the name that was asked for.
    model: str
    #: In seconds UTC.
    created: int
    #: The prompt by our own count.
    prompt_tokens: int
    #: Whether a stream ends with its usage, where its wire leaves that to the client.
    includes_usage: bool
    seal_thought: SealThought = field(repr=False)


class ReplyWriter(Protocol):
    """Writes one answer in a wire's shape: in pieces, in this order, or whole."""

    def begin(self) -> bytes:
        """What stands before the first piece."""
        ...

    def write_pieces(self, pieces: Sequence[AnswerPiece]) -> bytes:
        """The next pieces, or as many of them as can be told yet."""
        ...

    def keep_alive(self) -> bytes:
        """What says that there is more to come."""
        ...

    def end(self, result: AskResult) -> bytes:
        """All that stands after the last piece."""
        ...

    def build_whole(self, pieces: Sequence[AnswerPiece], result: AskResult) -> dict[str, Any]:
        """The answer that isn't streamed."""
        ...


def get_finish_reason(result: AskResult, pieces_have_calls: bool) -> str:
    """How an answer ended: stop, length, filtered or tool_calls."""
    if result.finish_reason:
        return result.finish_reason
    reason = _ANSWERED[result.outcome]
    return "tool_calls" if reason == "stop" and pieces_have_calls else reason


def find_failure(result: AskResult) -> ApiError | None:
    """Why an ask has no whole answer; None where it has."""
    if result.outcome in _ANSWERED and result.failure is AskFailure.NONE:
        return None
    if result.failure is AskFailure.TOO_LONG:
        text = "The messages are too long for this model's context."
        return ApiError(400, text, code="context_length_exceeded", param="messages")
    if result.failure is AskFailure.CONTENT:
        text = "The rules of the model's maker refuse what was asked."
        return ApiError(400, text, code="content_filter")
    if result.failure is AskFailure.UNSUPPORTED:
        text = "The model's supplier refuses this request: a field, a tool or a value of it."
        return ApiError(400, text, code="unsupported_parameter")
    if result.outcome is Outcome.REFUSED:
        text = "No supplier of this model answers now. Try again."
        return ApiError(503, text, code="overloaded", retry_seconds=_SUPPLIER_RETRY_SECONDS)
    status, text, code = _ENDS.get(result.outcome, (500, "The answer broke off.", "broken_off"))
    return ApiError(status, text, code=code, is_final=True)


#: What is told of an answer that isn't whole.
_ENDS = {
    Outcome.STOPPED: (503, "The answer was stopped before its end.", "stopped"),
    Outcome.TIMED_OUT: (504, "The model took too long.", "timeout"),
}


#: What the request itself caused: asked anew it would be refused anew.
_OF_REQUEST = frozenset({AskFailure.TOO_LONG, AskFailure.CONTENT, AskFailure.UNSUPPORTED})


def may_ask_anew(result: AskResult) -> bool:
    """Whether the same request with the same key asks anew: it came to nothing by no doing of its
    own, and nothing was charged. What was charged is told again, however it ended."""
    is_charged = not result.charge.is_zero
    return find_failure(result) is not None and not is_charged and result.failure not in _OF_REQUEST


def name_call(ask: str, piece: ToolCallDelta) -> str:
    """The id of a tool's call: its supplier's, which clients send back; made up where it has
    none."""
    return piece.id or f"call_{ask}_{piece.index}"


def calculate_uncached(result: AskResult) -> int:
    """What of the prompt was neither read from a cache nor written to one."""
    parts = result.cached_tokens.units + result.cache_written_tokens.units
    return max(0, result.prompt_tokens.units - parts)
