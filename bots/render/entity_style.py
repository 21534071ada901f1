"""Blocks → plain text with entities: for platforms that take formatting as ranges, not as markup.

Since no markup is sent, none can be broken or forged, and nothing can fail to parse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, final

from bots.render.blocks import Block, Mark
from bots.render.plain_text import Utf16Offsets, defuse_footer_marks, utf16_len
from bots.render.splitter import BlockSize, Piece

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


@final
class EntityStyle:
    """The style makes messages of `units` UTF-16 units and at most `entities_max` entities."""

    def __init__(self, units: int, entities_max: int = 100) -> None:
        self._limit = BlockSize(units, entities_max)

    @property
    def limit(self) -> BlockSize:
        """See `MessageStyle`."""
        return self._limit

    def measure(self, block: Block) -> BlockSize:
        """See `MessageStyle`."""
        extra = int(block.code) + int(block.quote)
        return BlockSize(utf16_len(block.text) + block.gap, len(block.marks) + extra)

    def render_piece(self, piece: Piece) -> FormattedText:
        """One message's text and entities."""
        parts: list[str] = []
        ranges: list[tuple[int, int, EntityKind, str]] = []
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
        units = Utf16Offsets(whole)
        return FormattedText(
            whole,
            tuple(
                TextEntity(kind, units(start), units(end) - units(start), language)
                for start, end, kind, language in _merge_quotes(ranges)
                # A platform drops an entity of spaces alone, or refuses it.
                if whole[start:end].strip()
            ),
        )


def _merge_quotes(
    ranges: list[tuple[int, int, EntityKind, str]],
) -> list[tuple[int, int, EntityKind, str]]:
    """Quotes that follow each other are one quote; the outer range comes first."""
    joined: list[tuple[int, int, EntityKind, str]] = []
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
    names = [
        (match.start(), match.end())
        for match in _MENTION.finditer(block.text)
        if not any(
            mark.kind == "code" and mark.start < match.end() and mark.end > match.start()
            for mark in block.marks
        )
    ]
    if not names:
        return block
    marks = list(block.marks)
    for start, end in names:
        marks = [part for mark in marks for part in _cut_out(mark, start, end)]
        marks.append(Mark(start, end, "code"))
    marks.sort(key=lambda mark: (mark.start, -mark.end))
    return Block(
        block.text,
        tuple(marks),
        quote=block.quote,
        gap=block.gap,
        from_service=block.from_service,
    )


def _cut_out(mark: Mark, start: int, end: int) -> list[Mark]:
    if mark.start >= end or mark.end <= start:
        return [mark]
    around = [Mark(mark.start, start, mark.kind), Mark(end, mark.end, mark.kind)]
    return [part for part in around if part.start < part.end]
