"""Blocks: what a text is made of, as every platform can show it: lines with marks, and code.

A block is the unit of splitting. Marks are ranges of the block's text in characters; they carry no
markup, so text that looks like markup is only text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bots.render.plain_text import display_width

MarkKind = Literal["bold", "italic", "strike", "code"]

#: Columns beyond which padding a table's cell helps nobody.
_CELL_COLUMNS_MAX = 60
#: How far to look back from a limit for a line's end or a space, as a share of the limit.
_LOOK_BACK_SHARE = 2
#: Signs that belong to the one before: a cut never parts them.
_JOINED_CHARS_MAX = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark makes the text bold, or the like, from `start` up to `end` (in characters)."""

    start: int
    end: int
    kind: MarkKind


@dataclass(frozen=True, slots=True)
class Block:
    """A block is some lines that belong together, and the unit of splitting."""

    text: str
    marks: tuple[Mark, ...] = ()
    #: Monospaced, exactly as it stands: a program or a table. Has no marks.
    code: bool = False
    #: Of code, as the model named it; may be empty.
    language: str = ""
    #: Set apart as somebody's words.
    quote: bool = False
    #: Line ends before it, unless it comes first.
    gap: int = 2
    #: Ours, not the model's: only such a block may look like a footer.
    from_service: bool = False

    def slice_text(self, start: int, end: int) -> Block:
        """The block with a part of its text, and what is left there of its marks."""
        marks = tuple(
            Mark(max(mark.start, start) - start, min(mark.end, end) - start, mark.kind)
            for mark in self.marks
            if mark.start < end and mark.end > start
        )
        return replace(self, text=self.text[start:end], marks=marks)


def find_cut(text: str, limit: int, *, code: bool) -> tuple[int, int]:
    """Where to cut a text that may keep `limit` characters: its new end, and where the rest begins.

    At a line's end if one is near, else (outside code) after a sentence or at a space, else between
    two signs that do not belong together. What is left out between is one line's end or space.
    """
    floor = limit // _LOOK_BACK_SHARE
    line_end = text.rfind("\n", floor, limit + 1)
    if line_end > 0:
        return line_end, line_end + 1
    if not code:
        for stop in (". ", "。", "! ", "? ", "！", "？", "; ", "；", "，"):
            at = text.rfind(stop, floor, limit)
            if at > 0:
                return at + 1, at + len(stop)
    space = text.rfind(" ", floor, limit + 1)
    if space > 0:
        # A space of code is kept: it may be all there is in a line.
        return (space, space) if code else (space, space + 1)
    at = limit
    for _ in range(_JOINED_CHARS_MAX):
        if at <= 1 or not _is_joined(text, at):
            break
        at -= 1
    return (at, at) if at >= 1 else (limit, limit)


def _is_joined(text: str, position: int) -> bool:
    after, before = text[position : position + 1], text[position - 1]
    return (
        after in "\u200c\u200d\ufe0e\ufe0f\u20e3"
        or before in "\u200c\u200d"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or "\U0001f1e6" <= after <= "\U0001f1ff"
        or "\U000e0020" <= after <= "\U000e007f"
        or "\u0300" <= after <= "\u036f"
    )


def format_table(rows: list[list[str]] | tuple[tuple[str, ...], ...], *, header: bool) -> str:
    """Rows as aligned columns for a monospaced font; a rule below the header."""
    count = max((len(row) for row in rows), default=0)
    widths = [
        min(
            _CELL_COLUMNS_MAX, max((display_width(row[at]) if at < len(row) else 0) for row in rows)
        )
        for at in range(count)
    ]
    lines = []
    for number, row in enumerate(rows):
        cells = [
            cell + " " * max(0, width - display_width(cell))
            for cell, width in zip(row, widths, strict=False)
        ]
        lines.append("  ".join(cells).rstrip())
        if header and number == 0:
            lines.append("  ".join("─" * width for width in widths))
    return "\n".join(lines)
