"""An answer's text as it comes, made fit to be shown: whole characters, without the thoughts that
some models write into it, and no more than its limit can have made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from core.money import Tokens
from core.pool.providers.types import Finish, ReasoningDelta, StreamEvent, TextDelta
from core.text import TextJoiner

#: DeepSeek's R1 and what imitates it (MiniMax, local models) begin their answer with their thoughts
#: between these. Anywhere else the words are the answer's own.
_OPENING: Final = "<think>"
_CLOSING: Final = "</think>"
#: Thoughts begin after so many characters at most: more blanks are the answer's own.
_BLANKS_MAX: Final = 256
#: Twice as many bytes as a token has in any language on average (8), and some for short answers,
#: of which one long token may be the most: a server that sends more doesn't heed the limit.
_BYTES_PER_TOKEN, _BYTES_LEAST = 16, 4_096


def max_answer_bytes(limit: Tokens) -> int:
    """The most bytes of text that are taken of an answer of so many tokens at most."""
    return _BYTES_LEAST + _BYTES_PER_TOKEN * limit.units


class AnswerText:
    """The text of one answer: pieces go in, events come out; what may be the beginning of a tag is
    kept until it is known."""

    def __init__(self, max_bytes: int | None = None) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        #: Whether there was more text than is taken: the rest is of no use.
        self.is_cut = False
        self._joiner = TextJoiner()
        self._kept = ""
        self._is_at_start, self._is_thinking, self._was_thinking = True, False, False

    def read_event(self, event: StreamEvent) -> Iterable[StreamEvent]:
        """What a supplier's event comes to: its text, made fit to be shown; before its `Finish`
        what was kept. Text beyond the bound ends the answer by its length."""
        if isinstance(event, TextDelta):
            shown = tuple(self.add_piece(event.text))
            return (*shown, Finish("length", None)) if self.is_cut else shown
        return (*self.finish(), event) if isinstance(event, Finish) else (event,)

    def add_piece(self, piece: str) -> Iterable[StreamEvent]:
        """The events of a piece."""
        text = self._joiner.add_piece(piece)
        if self._is_at_start or self._is_thinking:
            return self._read(text)
        return self._show(text)

    def finish(self) -> Iterator[StreamEvent]:
        """The events of what was kept, at the answer's end."""
        yield from self._read(self._joiner.finish())
        if not self._is_thinking:
            yield from self._show(self._kept)
        self._kept = ""

    def _read(self, text: str) -> Iterator[StreamEvent]:
        text, self._kept = self._kept + text, ""
        if self._is_at_start:
            text = self._find_opening(text)
        if self._is_thinking:
            yield ReasoningDelta()
            text = self._find_closing(text)
        yield from self._show(text)

    def _show(self, text: str) -> Iterable[StreamEvent]:
        self._bytes += len(text) if text.isascii() else len(text.encode())
        if self._max_bytes is not None and self._bytes > self._max_bytes:
            kept = text.encode()[: self._max_bytes - self._bytes]
            text, self.is_cut = kept.decode(errors="ignore"), True
            self._bytes = self._max_bytes
        return (TextDelta(text),) if text else ()

    def _find_opening(self, text: str) -> str:
        """What can be said of the answer's beginning: blanks before its text are none of it while
        thoughts may come."""
        seen = text.lstrip()
        is_open = len(seen) < len(_OPENING) and len(text) <= _BLANKS_MAX
        if is_open and _OPENING.startswith(seen) and not self._was_thinking:
            self._kept = text
            return ""
        if seen.startswith(_OPENING) and not self._was_thinking:
            self._is_thinking = True
            return seen.removeprefix(_OPENING)
        text = seen if self._was_thinking else text
        self._is_at_start = not text
        return text

    def _find_closing(self, text: str) -> str:
        """What follows the thoughts; of them only as much is kept as may begin the tag."""
        _, found, rest = text.partition(_CLOSING)
        if not found:
            self._kept = text[-(len(_CLOSING) - 1) :]
            return ""
        self._is_thinking, self._was_thinking = False, True
        return self._find_opening(rest)
