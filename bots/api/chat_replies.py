"""Answers as chat completions, whole and in chunks, as OpenAI's clients read them.

What a reader may take for absent or a list is never null: some clients refuse that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from bots.api.json_values import dump_json
from bots.api.replies import ReplyFacts, get_finish_reason, name_call
from core.asks.types import AskResult
from core.pool.providers.types import AnswerPiece, ReasoningDelta, TextDelta, ToolCallDelta

_FINISHES: Final = {"filtered": "content_filter"}
_DONE: Final = b"data: [DONE]\n\n"
_COMMENT: Final = b": keep-alive\n\n"


class ChatReplyWriter:
    """Writes one answer as a chat completion, or as its chunks."""

    def __init__(self, facts: ReplyFacts) -> None:
        self._facts = facts
        # What stands around each delta is made once, and put together as text.
        head = dump_json({**self._name("chat.completion.chunk"), "choices": []})
        self._head = b"data: " + head.removesuffix(b"[]}") + b'[{"index":0,"delta":'
        self._tail = b'}],"usage":null}\n\n' if facts.includes_usage else b"}]}\n\n"
        self._begun_calls: set[int] = set()

    def begin(self) -> bytes:
        """See `ReplyWriter`."""
        return self._write_chunk(b'{"role":"assistant","content":""}')

    def write_pieces(self, pieces: Sequence[AnswerPiece]) -> bytes:
        """See `ReplyWriter`."""
        return b"".join(
            self._write_chunk(delta) for piece in pieces for delta in self._list_deltas(piece)
        )

    def keep_alive(self) -> bytes:
        """See `ReplyWriter`: a comment, which every client skips."""
        return _COMMENT

    def end(self, result: AskResult) -> bytes:
        """See `ReplyWriter`."""
        finish = self._name_finish(result, bool(self._begun_calls))
        last = self._write_chunk(b"{}", dump_json(finish))
        if not self._facts.includes_usage:
            return last + _DONE
        named = self._name("chat.completion.chunk")
        told = dump_json({**named, "choices": [], "usage": _build_usage(result)})
        return b"%sdata: %s\n\n%s" % (last, told, _DONE)

    def build_whole(self, pieces: Sequence[AnswerPiece], result: AskResult) -> dict[str, Any]:
        """See `ReplyWriter`."""
        text = "".join(one.text for one in pieces if isinstance(one, TextDelta))
        thoughts = "".join(one.text for one in pieces if isinstance(one, ReasoningDelta))
        calls = self._gather_calls(pieces)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text if text or not calls else None,
            "refusal": None,
            "annotations": [],
        }
        if thoughts:
            message["reasoning_content"] = thoughts
        if calls:
            message["tool_calls"] = calls
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": self._name_finish(result, bool(calls)),
        }
        return {
            **self._name("chat.completion"),
            "choices": [choice],
            "usage": _build_usage(result),
        }

    def _name(self, kind: str) -> dict[str, Any]:
        facts = self._facts
        return {
            "id": f"chatcmpl-{facts.ask}",
            "object": kind,
            "created": facts.created,
            "model": facts.model,
        }

    def _write_chunk(self, delta: bytes, finish: bytes = b"null") -> bytes:
        return b'%s%s,"logprobs":null,"finish_reason":%s%s' % (
            self._head,
            delta,
            finish,
            self._tail,
        )

    def _list_deltas(self, piece: AnswerPiece) -> list[bytes]:
        match piece:
            case TextDelta(text):
                return [b'{"content":%s}' % dump_json(text)] if text else []
            case ReasoningDelta(text=text):
                return [b'{"reasoning_content":%s}' % dump_json(text)] if text else []
            case ToolCallDelta(index=index, name=name, arguments=arguments):
                deltas: list[dict[str, Any]] = []
                if index not in self._begun_calls:
                    self._begun_calls.add(index)
                    function = {"name": name, "arguments": ""}
                    call = {"index": index, "id": name_call(self._facts.ask, piece)}
                    deltas.append({**call, "type": "function", "function": function})
                if arguments:
                    deltas.append({"index": index, "function": {"arguments": arguments}})
                return [b'{"tool_calls":[%s]}' % dump_json(one) for one in deltas]

    def _gather_calls(self, pieces: Sequence[AnswerPiece]) -> list[dict[str, Any]]:
        """The calls of tools in their order, each whole."""
        calls: dict[int, dict[str, Any]] = {}
        for piece in pieces:
            if not isinstance(piece, ToolCallDelta):
                continue
            call = calls.get(piece.index)
            if call is None:
                function = {"name": piece.name, "arguments": piece.arguments}
                call = {"id": name_call(self._facts.ask, piece), "type": "function"}
                calls[piece.index] = {**call, "function": function}
            else:
                call["function"]["arguments"] += piece.arguments
        return list(calls.values())

    @staticmethod
    def _name_finish(result: AskResult, has_calls: bool) -> str:
        reason = get_finish_reason(result, has_calls)
        return _FINISHES.get(reason, reason)


def _build_usage(result: AskResult) -> dict[str, Any]:
    prompt, output = result.prompt_tokens.units, result.output_tokens.units
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {
            "cached_tokens": result.cached_tokens.units,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": result.reasoning_tokens.units,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        "credits": result.charge.units,
    }
