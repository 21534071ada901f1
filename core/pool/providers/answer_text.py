"""An answer's text as it comes, made fit to be shown: whole characters, without the thoughts that
some models write into it, up to a stop sequence, and no more than its limit can have made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from core.money import Tokens
from core.pool.providers.stop_sequences import StopFinder
from core.pool.providers.types import (
    Finish,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
)
from core.text import TextJoiner, repair_text

#: DeepSeek's R1 and what imitates it (MiniMax, local models) begin their answer with their thoughts
#: between these. Anywhere else the words are the answer's own.
_OPENING: Final = "<think>"
_CLOSING: Final = "</think>"
#: Thoughts begin after so many characters at most: more blanks are the answer's own.
_BLANKS_MAX: Final = 256
#: Twice as many bytes as a token has in any language on average (8), and some for short answers,
#: of which one long token may be the most: a server that sends more doesn't heed the limit.
_BYTES_PER_TOKEN, _BYTES_LEAST = 16, 4_096

#: How an answer ends that is longer than its limit can have made.
_CUT: Final = Finish("length", None)


def max_answer_bytes(limit: Tokens) -> int:
    """The most bytes of text that are taken of an answer of so many tokens at most."""
    return _BYTES_LEAST + _BYTES_PER_TOKEN * limit.units


class AnswerText:
    """The text of one answer: pieces go in, events come out; what may be the beginning of a tag, or
    of a stop sequence, is kept until it is known."""

    def __init__(
        self, max_bytes: int | None = None, stop: tuple[str, ...] = (), *, tells_all: bool = True
    ) -> None:
        """`max_bytes` bounds the text, tools' calls and thoughts that are told, together; where not
        `tells_all`, only texts are told, and whatever else comes has no bound here."""
        self._room, self._tells_all = max_bytes, tells_all
        #: Whether there was more than is taken: the rest is of no use.
        self.is_cut = False
        self._stops = StopFinder(stop)
        self._stop_sequence = ""
        self._joiner, self._thought_joiner = TextJoiner(), TextJoiner()
        #: Of each call's arguments.
        self._call_joiners: defaultdict[int, TextJoiner] = defaultdict(TextJoiner)
        self._kept = ""
        self._is_at_start, self._is_thinking, self._was_thinking = True, False, False

    def read_event(self, event: StreamEvent) -> Iterable[StreamEvent]:
        """What a supplier's event comes to: its text, made fit to be shown; before its `Finish`, or
        a tool's call, what was kept. What is beyond the bound ends the answer by its length, a stop
        sequence as the model's own end does."""
        shown: Iterable[StreamEvent]
        end = _CUT
        match event:
            case TextDelta():
                shown = self.add_piece(event.text)
            case ToolCallDelta() | ReasoningDelta() if not self._tells_all:
                return (ReasoningDelta(),) if isinstance(event, ReasoningDelta) else ()
            case ToolCallDelta():
                shown = (*self.finish(), *self._take_call(event))
            case ReasoningDelta():
                shown = self._take_thoughts(event)
            case Finish():
                shown, end = tuple(self.finish()), event
                if not self.is_cut:
                    return (*shown, event)
            case _:
                return (event,)
        if not self.is_cut:
            return shown
        if self._stop_sequence:
            return (*shown, replace(end, reason="stop", stop_sequence=self._stop_sequence))
        return (*shown, replace(end, reason="length"))

    def add_piece(self, piece: str) -> Iterable[StreamEvent]:
        """The events of a piece."""
        text = self._joiner.add_piece(piece)
        if self._is_at_start or self._is_thinking:
            return tuple(self._read(text))
        return self._show(text)

    def finish(self) -> Iterator[StreamEvent]:
        """The events of what was kept, at the answer's end."""
        yield from self._read(self._joiner.finish())
        if not self._is_thinking:
            yield from self._show(self._kept)
        self._kept = ""
        if not self.is_cut:
            yield from self._take_text(self._stops.finish())

    def _read(self, text: str) -> Iterator[StreamEvent]:
        text, self._kept = self._kept + text, ""
        if self._is_at_start:
            text = self._find_opening(text)
        if self._is_thinking:
            yield ReasoningDelta()
            text = self._find_closing(text)
        yield from self._show(text)

    def _show(self, text: str) -> Iterable[StreamEvent]:
        if self.is_cut:
            return ()
        text, met = self._stops.add_piece(text)
        shown = self._take_text(text)
        if met and not self.is_cut:
            self.is_cut, self._stop_sequence = True, met
        return shown

    def _take_text(self, text: str) -> Iterable[StreamEvent]:
        """As much of a text as there is room for."""
        room = self._room
        if not self._has_room(text):
            text = text.encode()[:room].decode(errors="ignore")
        return (TextDelta(text),) if text else ()

    def _take_call(self, call: ToolCallDelta) -> Iterable[StreamEvent]:
        fit = replace(
            call,
            id=repair_text(call.id),
            name=repair_text(call.name),
            arguments=self._call_joiners[call.index].add_piece(call.arguments),
        )
        return (fit,) if self._has_room(fit.id, fit.name, fit.arguments) else ()

    def _take_thoughts(self, told: ReasoningDelta) -> Iterable[StreamEvent]:
        fit = ReasoningDelta(
            self._thought_joiner.add_piece(told.text),
            repair_text(told.signature),
            repair_text(told.redacted),
        )
        return (fit,) if self._has_room(fit.text, fit.signature, fit.redacted) else ()

    def _has_room(self, *texts: str) -> bool:
        """Takes the room of texts; where there isn't as much, the answer is cut."""
        if self.is_cut:
            return False
        if self._room is None:
            return True
        size = 0
        for one in texts:
            size += len(one) if one.isascii() else len(one.encode())
        self.is_cut = size > self._room
        self._room = max(0, self._room - size)
        return not self.is_cut

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
