"""Answers as messages, whole and as events, as Anthropic's clients read them.

An answer is blocks, one after the other: whatever comes of another kind ends the block before. A
tool's call ends when its arguments are whole: suppliers may weave the pieces of several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from bots.api.json_values import BadJson, dump_json, load_json
from bots.api.replies import (
    ReplyFacts,
    calculate_uncached,
    get_finish_reason,
    name_call,
)
from core.asks.types import AskResult
from core.pool.providers.types import AnswerPiece, ReasoningDelta, TextDelta, ToolCallDelta

_STOPS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "filtered": "refusal",
    "tool_calls": "tool_use",
}


class MessageReplyWriter:
    """Writes one answer as a message, or as its events."""

    def __init__(self, facts: ReplyFacts) -> None:
        self._facts = facts
        #: Of the next block; and what the one is that is open: text, thinking, a call's number.
        self._index = 0
        self._open: str | int | None = None
        self._ended_calls: set[int] = set()
        self._has_calls = False
        #: The arguments of the call that is open so far, and what came before they were whole.
        self._arguments: list[str] = []
        self._waiting: list[AnswerPiece] = []

    def begin(self) -> bytes:
        """See `ReplyWriter`. The prompt is told by our own count until its supplier's is there."""
        usage = _build_usage(self._facts.prompt_tokens, 0, 0, 0)
        message = self._build_message([], None, None, usage)
        return _write_event({"type": "message_start", "message": message})

    def write_pieces(self, pieces: Sequence[AnswerPiece]) -> bytes:
        """See `ReplyWriter`."""
        return b"".join(
            _write_event(event)
            for piece in pieces
            if self._takes_now(piece)
            for event in self._list_events(piece)
        )

    def keep_alive(self) -> bytes:
        """See `ReplyWriter`."""
        return _write_event({"type": "ping"})

    def end(self, result: AskResult) -> bytes:
        """See `ReplyWriter`."""
        waited = [event for piece in _unweave(self._waiting) for event in self._list_events(piece)]
        reason, sequence = self._find_stop(result, has_calls=self._has_calls)
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        events = [
            *waited,
            *self._end_block(),
            {"type": "message_delta", "delta": delta, "usage": _build_final_usage(result)},
            {"type": "message_stop"},
        ]
        return b"".join(_write_event(one) for one in events)

    def build_whole(self, pieces: Sequence[AnswerPiece], result: AskResult) -> dict[str, Any]:
        """See `ReplyWriter`."""
        blocks: list[dict[str, Any]] = []
        calls: dict[int, tuple[dict[str, Any], list[str]]] = {}
        thought: dict[str, Any] | None = None
        for piece in pieces:
            last = blocks[-1] if blocks else {"type": ""}
            match piece:
                case TextDelta(text) if text and last["type"] == "text":
                    last["text"] += text
                case TextDelta(text) if text:
                    blocks.append({"type": "text", "text": text, "citations": []})
                case ReasoningDelta(redacted=redacted) if redacted:
                    sealed = self._facts.seal_thought(piece.signature, redacted)
                    blocks.append({"type": "redacted_thinking", "data": sealed})
                    thought = None
                case ReasoningDelta(text=text, signature=signature) if text or signature:
                    if thought is None or last is not thought:
                        thought = {"type": "thinking", "thinking": "", "signature": ""}
                        blocks.append(thought)
                    thought["thinking"] += text
                    if signature:
                        thought["signature"] = self._facts.seal_thought(signature, "")
                        thought = None
                case ToolCallDelta(index=index):
                    if index not in calls:
                        calls[index] = (self._build_call(piece), [])
                        blocks.append(calls[index][0])
                    calls[index][1].append(piece.arguments)
        for block, arguments in calls.values():
            block["input"] = _parse_input("".join(arguments))
        reason, sequence = self._find_stop(result, has_calls=bool(calls))
        return self._build_message(blocks, reason, sequence, _build_final_usage(result))

    def _build_message(
        self,
        content: list[dict[str, Any]],
        reason: str | None,
        sequence: str | None,
        usage: dict[str, Any],
    ) -> dict[str, Any]:
        return {
            "id": f"msg_{self._facts.ask}",
            "type": "message",
            "role": "assistant",
            "model": self._facts.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": sequence,
            "stop_details": None,
            "container": None,
            "diagnostics": None,
            "usage": usage,
        }

    def _build_call(self, piece: ToolCallDelta) -> dict[str, Any]:
        return {
            "type": "tool_use",
            "id": name_call(self._facts.ask, piece),
            "name": piece.name,
            "input": {},
            "caller": {"type": "direct"},
        }

    def _takes_now(self, piece: AnswerPiece) -> bool:
        """Whether a piece is told as it comes. What comes before the open call is whole waits for
        the answer's end, for nothing else ends that; what comes for a call after its end can be no
        part of it."""
        if isinstance(piece, ToolCallDelta):
            if piece.index in self._ended_calls:
                return False
            if piece.index == self._open:
                return True
        if not isinstance(self._open, int) or _says_nothing(piece):
            return True
        if not self._waiting and _is_object("".join(self._arguments)):
            return True
        self._waiting.append(piece)
        return False

    def _list_events(self, piece: AnswerPiece) -> list[dict[str, Any]]:
        match piece:
            case TextDelta(text):
                if not text:
                    return []
                block = {"type": "text", "text": "", "citations": []}
                return [*self._open_block("text", block), self._delta("text_delta", text=text)]
            case ReasoningDelta():
                return self._list_thought_events(piece)
            case ToolCallDelta():
                self._has_calls = True
                events = self._open_block(piece.index, self._build_call(piece))
                self._arguments.append(piece.arguments)
                if piece.arguments:
                    events.append(self._delta("input_json_delta", partial_json=piece.arguments))
                return events

    def _list_thought_events(self, piece: ReasoningDelta) -> list[dict[str, Any]]:
        if piece.redacted:
            sealed = self._facts.seal_thought(piece.signature, piece.redacted)
            block = {"type": "redacted_thinking", "data": sealed}
            return [*self._open_block("redacted", block), *self._end_block()]
        if not (piece.text or piece.signature):
            return []
        block = {"type": "thinking", "thinking": "", "signature": ""}
        events = self._open_block("thinking", block)
        if piece.text:
            events.append(self._delta("thinking_delta", thinking=piece.text))
        if piece.signature:
            sealed = self._facts.seal_thought(piece.signature, "")
            events.append(self._delta("signature_delta", signature=sealed))
            events += self._end_block()
        return events

    def _open_block(self, kind: str | int, block: dict[str, Any]) -> list[dict[str, Any]]:
        """The events that lead to a block of this kind; none where it is open."""
        if self._open == kind:
            return []
        events = self._end_block()
        self._open = kind
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return [*events, start]

    def _end_block(self) -> list[dict[str, Any]]:
        if self._open is None:
            return []
        if isinstance(self._open, int):
            self._ended_calls.add(self._open)
        self._open, self._arguments = None, []
        self._index += 1
        return [{"type": "content_block_stop", "index": self._index - 1}]

    def _delta(self, kind: str, **content: str) -> dict[str, Any]:
        delta = {"type": kind, **content}
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    @staticmethod
    def _find_stop(result: AskResult, *, has_calls: bool) -> tuple[str, str | None]:
        reason = get_finish_reason(result, has_calls)
        if reason == "stop" and result.stop_sequence:
            return "stop_sequence", result.stop_sequence
        return _STOPS[reason], None


def _write_event(event: dict[str, Any]) -> bytes:
    # Clients drop what has no line with its name.
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), dump_json(event))


def _parse_input(arguments: str) -> dict[str, Any]:
    """A call's arguments as an object; an answer that was cut off may hold less than one."""
    value = _read_object(arguments)
    return {} if value is None else value


def _is_object(arguments: str) -> bool:
    """Whether a call's arguments are whole."""
    return _read_object(arguments) is not None


def _read_object(arguments: str) -> dict[str, Any] | None:
    try:
        value = load_json(arguments)
    except BadJson:
        return None
    return value if isinstance(value, dict) else None


def _says_nothing(piece: AnswerPiece) -> bool:
    match piece:
        case TextDelta(text):
            return not text
        case ReasoningDelta(text, signature, redacted):
            return not (text or signature or redacted)
    return False


def _unweave(pieces: Sequence[AnswerPiece]) -> Iterator[AnswerPiece]:
    """The same with the pieces of each call together, where its first one stands."""
    calls: dict[int, list[AnswerPiece]] = {}
    runs: list[list[AnswerPiece]] = []
    for piece in pieces:
        if not isinstance(piece, ToolCallDelta):
            runs.append([piece])
        elif piece.index in calls:
            calls[piece.index].append(piece)
        else:
            calls[piece.index] = [piece]
            runs.append(calls[piece.index])
    for run in runs:
        yield from run


def _build_usage(uncached: int, cached: int, written: int, output: int) -> dict[str, Any]:
    return {
        "input_tokens": uncached,
        "output_tokens": output,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": written,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens_details": None,
        "server_tool_use": None,
        "inference_geo": None,
        "service_tier": "standard",
        "speed": None,
    }


def _build_final_usage(result: AskResult) -> dict[str, Any]:
    cached, written = result.cached_tokens.units, result.cache_written_tokens.units
    usage = _build_usage(calculate_uncached(result), cached, written, result.output_tokens.units)
    if not result.reasoning_tokens.is_zero:
        usage["output_tokens_details"] = {"thinking_tokens": result.reasoning_tokens.units}
    return {**usage, "credits": result.charge.units}
