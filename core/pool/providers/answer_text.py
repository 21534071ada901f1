"""An answer's text as it comes, made fit to be shown: whole characters, without the thoughts that
some models write into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from core.pool.providers.types import Finish, ReasoningDelta, StreamEvent, TextDelta
from core.text import TextJoiner

#: DeepSeek's R1 and what imitates it (MiniMax, local models) begin their answer with their thoughts
#: between these. Anywhere else the words are the answer's own.
_OPENING: Final = "<think>"
_CLOSING: Final = "</think>"


class AnswerText:
    """The text of one answer: pieces go in, events come out; what may be the beginning of a tag is
    kept until it is known."""

    def __init__(self) -> None:
        self._joiner = TextJoiner()
        self._kept = ""
        self._is_at_start, self._is_thinking, self._was_thinking = True, False, False

    def read_event(self, event: StreamEvent) -> Iterable[StreamEvent]:
        """What a supplier's event comes to: its text, made fit to be shown; before its `Finish`
        what was kept."""
        if isinstance(event, TextDelta):
            return self.add_piece(event.text)
        return (*self.finish(), event) if isinstance(event, Finish) else (event,)

    def add_piece(self, piece: str) -> Iterable[StreamEvent]:
        """The events of a piece."""
        text = self._joiner.add_piece(piece)
        if self._is_at_start or self._is_thinking:
            return self._read(text)
        return (TextDelta(text),) if text else ()

    def finish(self) -> Iterator[StreamEvent]:
        """The events of what was kept, at the answer's end."""
        yield from self._read(self._joiner.finish())
        if self._kept and not self._is_thinking:
            yield TextDelta(self._kept)
        self._kept = ""

    def _read(self, text: str) -> Iterator[StreamEvent]:
        text, self._kept = self._kept + text, ""
        if self._is_at_start:
            text = self._find_opening(text)
        if self._is_thinking:
            yield ReasoningDelta()
            text = self._find_closing(text)
        if text:
            yield TextDelta(text)

    def _find_opening(self, text: str) -> str:
        """What can be said of the answer's beginning: blanks before its text are none of it while
        thoughts may come."""
        seen = text.lstrip()
        if len(seen) < len(_OPENING) and _OPENING.startswith(seen) and not self._was_thinking:
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
