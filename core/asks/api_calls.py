"""What a program asks through the API in place of a chat's question, and its answer on the way.

An API ask belongs to no conversation and nothing of its words is kept: its messages are those of
the request. Its answer goes to the one program that asked, piece by piece, and whoever reads slowly
slows its supplier down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self

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
        self._unread: list[AnswerPiece] = []
        self._unread_bytes = 0
        self._came = asyncio.Event()
        #: Tells whoever waits until there is less to read; None while nobody does.
        self._taken: asyncio.Event | None = None
        self._is_closed, self._is_interrupted = False, False
        #: How long pieces waited for their reader, in seconds.
        self.held_up_seconds = 0.0

    async def add_piece(self, piece: AnswerPiece) -> bool:
        """Adds a piece, and waits while too much is unread; False where its reader is gone."""
        self._unread.append(piece)
        self._unread_bytes += len(read_text(piece)) + 16
        self._came.set()
        if self._unread_bytes <= UNREAD_BYTES_MAX:
            return True
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(READER_SECONDS):
                while self._unread_bytes > UNREAD_BYTES_MAX:
                    self._taken = asyncio.Event()
                    await self._taken.wait()
        except TimeoutError:
            return False
        finally:
            self.held_up_seconds += loop.time() - began
        return True

    def close(self) -> None:
        """Nothing more comes."""
        self._is_closed = True
        self._came.set()

    def interrupt(self) -> None:
        """Gives its reader a turn, though nothing came: an empty batch."""
        self._is_interrupted = True
        self._came.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[AnswerPiece]:
        """What came since the last time, all at once, until the end."""
        while True:
            if self._unread:
                pieces, self._unread, self._unread_bytes = self._unread, [], 0
                if self._taken is not None:
                    self._taken.set()
                return pieces
            if self._is_closed:
                raise StopAsyncIteration
            if self._is_interrupted:
                self._is_interrupted = False
                return ()
            self._came.clear()
            await self._came.wait()


def merge_pieces(pieces: Sequence[AnswerPiece]) -> list[AnswerPiece]:
    """The same with neighbours of one kind joined: texts, thoughts up to their signature, the
    pieces of one tool's call."""
    merged: list[AnswerPiece] = []
    run: list[AnswerPiece] = []
    for piece in pieces:
        if run and not _continues(run[-1], piece):
            merged.append(_join(run))
            run = []
        run.append(piece)
    return [*merged, _join(run)] if run else merged


def _continues(last: AnswerPiece, piece: AnswerPiece) -> bool:
    match last, piece:
        case TextDelta(), TextDelta():
            return True
        case ReasoningDelta(_, "", ""), ReasoningDelta(_, _, ""):
            return True
        case ToolCallDelta(index), ToolCallDelta(same):
            return index == same
    return False


def _join(run: Sequence[AnswerPiece]) -> AnswerPiece:
    """Neighbours of one kind as one; an answer of a hundred thousand pieces is joined at once."""
    if len(run) == 1:
        return run[0]
    match run[0]:
        case TextDelta():
            return TextDelta("".join(map(read_text, run)))
        case ReasoningDelta():
            last = run[-1]
            signature = last.signature if isinstance(last, ReasoningDelta) else ""
            return ReasoningDelta("".join(map(read_text, run)), signature)
        case ToolCallDelta(index, id, name):
            arguments = [one.arguments for one in run if isinstance(one, ToolCallDelta)]
            return ToolCallDelta(index, id, name, "".join(arguments))


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
