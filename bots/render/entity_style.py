"""Blocks → plain text with entities: for platforms that take formatting as ranges, not as markup.

Since no markup is sent, none can be broken or forged, and nothing can fail to parse.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Final, Literal, final

from bots.render.blocks import Block, Mark, cut_out_marks
from bots.render.plain_text import Utf16Offsets, defuse_footer_marks, utf16_len
from bots.render.splitter import Piece

EntityKind = Literal["bold", "italic", "strike", "code", "pre", "quote"]

#: A name that the platform would turn into a mention, and the person behind it be called.
_MENTION: Final = re.compile(r"(?<![A-Za-z0-9_@./])@[A-Za-z0-9_]{3,32}")


@dataclass(frozen=True, slots=True)
class TextEntity:
    """An entity formats a range of the text; offset and length are in UTF-16 units."""

    kind: EntityKind
    offset: int
    length: int
    language: str = ""


@dataclass(frozen=True, slots=True)
class FormattedText:
    """The text of one message, with the entities that say how parts of it look."""

    text: str
    entities: tuple[TextEntity, ...] = ()


#: From where to where (in characters), what it is, and of code the language.
_Range = tuple[int, int, EntityKind, str]
#: What is left out last: code and struck words lose their meaning, other words only their weight.
_WEIGHTS: Final[dict[EntityKind, int]] = {
    "pre": 5,
    "code": 4,
    "quote": 3,
    "strike": 2,
    "bold": 1,
    "italic": 0,
}
_MENTION_WEIGHT: Final = 6


@final
class EntityStyle:
    """The style makes messages of `units` UTF-16 units and at most `entities_max` entities."""

    def __init__(self, units: int, entities_max: int = 100) -> None:
        self._limit = units
        self._entities_max = entities_max

    @property
    def limit(self) -> int:
        """See `MessageStyle`."""
        return self._limit

    def measure(self, block: Block) -> int:
        """See `MessageStyle`."""
        return utf16_len(block.text) + block.gap

    def render_piece(self, piece: Piece) -> FormattedText:
        """One message's text and entities; the least of these are left out where there are too
        many."""
        parts: list[str] = []
        ranges: list[_Range] = []
        at = 0
        for number, block in enumerate(piece):
            if number:
                parts.append("\n" * block.gap)
                at += block.gap
            text = block.text if block.from_service else defuse_footer_marks(block.text)
            if block.code:
                ranges.append((at, at + len(text), "pre", block.language))
            elif block.quote:
                ranges.append((at, at + len(text), "quote", ""))
            ranges += [(at + m.start, at + m.end, m.kind, "") for m in block.marks]
            parts.append(text)
            at += len(text)
        whole = "".join(parts)
        # A platform drops an entity of spaces alone, or refuses it.
        ranges = [each for each in _merge_quotes(ranges) if whole[each[0] : each[1]].strip()]
        if len(ranges) > self._entities_max:
            ranges, whole = _leave_out(ranges, whole, self._entities_max)
        units = Utf16Offsets(whole)
        return FormattedText(
            whole,
            tuple(
                TextEntity(kind, units(start), units(end) - units(start), language)
                for start, end, kind, language in ranges
            ),
        )


def _leave_out(ranges: list[_Range], text: str, entities_max: int) -> tuple[list[_Range], str]:
    """The ranges that matter most, in their order, and the text, in which no name becomes a mention
    that is not code any more."""

    def weigh(at: int) -> int:
        start, _, kind, _ = ranges[at]
        return _MENTION_WEIGHT if kind == "code" and text[start] == "@" else _WEIGHTS[kind]

    by_weight = sorted(range(len(ranges)), key=lambda at: -weigh(at))
    chars = list(text)
    for at in by_weight[entities_max:]:
        start, end, kind, _ = ranges[at]
        if kind in ("code", "pre"):
            chars[start:end] = text[start:end].replace("@", "＠")
    return [ranges[at] for at in sorted(by_weight[:entities_max])], "".join(chars)


def _merge_quotes(
    ranges: list[_Range],
) -> list[_Range]:
    """Quotes that follow each other are one quote; the outer range comes first."""
    joined: list[_Range] = []
    quote = -1
    for each in ranges:
        if each[2] == "quote":
            if quote >= 0 and each[0] - joined[quote][1] <= 2:
                start, _, kind, language = joined[quote]
                joined[quote] = (start, each[1], kind, language)
                continue
            quote = len(joined)
        joined.append(each)
    return joined


def disable_mentions(block: Block) -> Block:
    """The block with every @name as inline code, which no platform turns into a mention.

    Nothing is inserted, so what is copied is what was said.
    """
    if block.code or "@" not in block.text:
        return block
    codes = [mark for mark in block.marks if mark.kind == "code"]
    ends = [mark.end for mark in codes]
    names = []
    for name in _MENTION.finditer(block.text):
        code = bisect_right(ends, name.start())
        if code == len(codes) or codes[code].start >= name.end():
            names.append((name.start(), name.end()))
    if not names:
        return block
    marks = cut_out_marks(block.marks, [Mark(start, end, "code") for start, end in names])
    return replace(block, marks=marks)
