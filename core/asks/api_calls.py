"""What a program asks through the API in place of a chat's question, and its answer on the way.

An API ask belongs to no conversation and nothing of its words is kept: its messages are those of
the request. Its answer goes to the one program that asked, piece by piece, and whoever reads slowly
slows its supplier down.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from core.asks.types import AskRefusal
from core.money import Credits, Tokens
from core.pool.providers.message_parts import CallOptions
from core.pool.providers.types import (
    AnswerPiece,
    ChatMessage,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)

#: So many bytes of an answer wait for their reader; then its supplier waits.
UNREAD_BYTES_MAX: Final = 64 << 10
#: A reader who takes nothing for so long is gone.
READER_SECONDS: Final = 60.0
#: An unset limit is shrunk to what can be paid, but never below this and a quarter of the usual.
SHRUNK_ANSWER_MIN: Final = Tokens(1_024)


@dataclass(frozen=True, slots=True)
class TokenCap:
    """What a token may spend: so many Credits on a UTC day (its number since 1970)."""

    token: str
    day: int
    per_day: Credits


@dataclass(frozen=True, slots=True)
class ReplyKey:
    """The request came with an idempotency key: its answer is kept under the digest of what was
    asked."""

    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """What a program asks of a model."""

    cap: TokenCap
    messages: tuple[ChatMessage, ...] = field(repr=False)
    options: CallOptions = field(repr=False)
    #: The longest answer that it asked for; None: the model's usual one.
    answer_limit: Tokens | None = None
    #: What of the request counts beside its messages: tools and forms of the answer, as JSON.
    extra_text: str = field(default="", repr=False)
    #: What its prompt begins with, by a digest: calls with the same one go to the key that has it
    #: in a cache. Empty: nowhere.
    prefix: str = ""
    reply_key: ReplyKey | None = None


class TokenCapReached(AskRefusal):
    """A token's Credits of this UTC day are spent or held, or this ask may cost more than is left
    of them."""

    code: ClassVar[str] = "token_cap_reached"

    def __init__(self, per_day: Credits, needed: Credits) -> None:
        self.per_day, self.needed = per_day, needed


def read_text(piece: AnswerPiece) -> str:
    """What of a piece counts as output."""
    match piece:
        case TextDelta(text):
            return text
        case ToolCallDelta(name=name, arguments=arguments):
            return f"{name}{arguments}"
        case ReasoningDelta(text=text):
            return text


class AnswerFeed:
    """The pieces of one answer, from the task that serves it to the one reader."""

    def __init__(self) -> None:
        self._unread: deque[AnswerPiece] = deque()
        self._unread_bytes = 0
        self._came, self._taken = asyncio.Event(), asyncio.Event()
        self._is_closed = False

    async def add_piece(self, piece: AnswerPiece) -> bool:
        """Adds a piece, and waits while too much is unread; False where its reader is gone."""
        self._unread.append(piece)
        self._unread_bytes += len(read_text(piece)) + 16
        self._came.set()
        while self._unread_bytes > UNREAD_BYTES_MAX:
            self._taken.clear()
            try:
                async with asyncio.timeout(READER_SECONDS):
                    await self._taken.wait()
            except TimeoutError:
                return False
        return True

    def close(self) -> None:
        """Nothing more comes."""
        self._is_closed = True
        self._came.set()

    async def read_pieces(self) -> AsyncIterator[Sequence[AnswerPiece]]:
        """Yields what came since the last time, all at once, until the end."""
        while True:
            if self._unread:
                pieces = tuple(self._unread)
                self._unread.clear()
                self._unread_bytes = 0
                self._taken.set()
                yield pieces
            elif self._is_closed:
                return
            else:
                self._came.clear()
                await self._came.wait()


def merge_pieces(pieces: Sequence[AnswerPiece]) -> list[AnswerPiece]:
    """The same with neighbours of one kind joined: texts, thoughts up to their signature, the
    pieces of one tool's call."""
    merged: list[AnswerPiece] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        match last, piece:
            case TextDelta(before), TextDelta(text):
                merged[-1] = TextDelta(before + text)
            case ReasoningDelta(before, "", ""), ReasoningDelta(text, signature, ""):
                merged[-1] = ReasoningDelta(before + text, signature)
            case ToolCallDelta(index, id, name, before), ToolCallDelta(same, _, _, arguments) if (
                index == same
            ):
                merged[-1] = ToolCallDelta(index, id, name, before + arguments)
            case _:
                merged.append(piece)
    return merged


def encode_pieces(pieces: Sequence[AnswerPiece]) -> list[dict[str, Any]]:
    """An answer's pieces as JSON, to be kept."""
    encoded: list[dict[str, Any]] = []
    for piece in pieces:
        match piece:
            case TextDelta(text):
                encoded.append({"text": text})
            case ReasoningDelta(text, signature, redacted):
                encoded.append({"thought": text, "signature": signature, "redacted": redacted})
            case ToolCallDelta(index, id, name, arguments):
                call = {"id": id, "name": name, "arguments": arguments}
                encoded.append({"call": index, **call})
    return encoded


def decode_pieces(encoded: Sequence[dict[str, Any]]) -> list[AnswerPiece]:
    """Pieces as `encode_pieces` made them."""
    pieces: list[AnswerPiece] = []
    for one in encoded:
        if "text" in one:
            pieces.append(TextDelta(one["text"]))
        elif "thought" in one:
            pieces.append(ReasoningDelta(one["thought"], one["signature"], one["redacted"]))
        else:
            pieces.append(ToolCallDelta(one["call"], one["id"], one["name"], one["arguments"]))
    return pieces
