"""Blocks: what a text is made of, as every platform can show it: lines with marks, and code.

A block is the unit of splitting. Marks are ranges of the block's text in characters; they carry no
markup, so text that looks like markup is only text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import regex

from bots.render.plain_text import display_width

MarkKind = Literal["bold", "italic", "strike", "code"]

#: Columns beyond which padding a table's cell helps nobody.
_CELL_COLUMNS_MAX = 60
#: What a column of numbers has: amounts, per cents, times; a dash for none.
_NUMBER: Final = regex.compile(r"[≈~$+−–-]? ?\d|–?$")
#: How far to look back from a limit for a line's end or a space, as a share of the limit.
_LOOK_BACK_SHARE = 2
#: What is read as one sign, of however many code points (Unicode's grapheme clusters).
_CLUSTER: Final = regex.compile(r"\X")
_LAST_ASCII: Final = regex.compile(r"(?r)[\x00-\x7f]")
_REGION: Final = regex.compile(r"\p{Regional_Indicator}")
_LAST_NOT_REGION: Final = regex.compile(r"(?r)\P{Regional_Indicator}")
#: No sign that anybody reads is longer.
_SIGN_CHARS_MAX: Final = 500


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


def cut_out_marks(marks: Iterable[Mark], holes: Iterable[Mark]) -> tuple[Mark, ...]:
    """The marks without what lies in the holes, and the holes, in order; the holes don't
    overlap."""
    holes = sorted(holes, key=lambda hole: hole.start)
    ends = [hole.end for hole in holes]
    apart: list[Mark] = list(holes)
    for mark in marks:
        start = mark.start
        for hole in holes[bisect_right(ends, start) :]:
            if hole.start >= mark.end:
                break
            if start < hole.start:
                apart.append(Mark(start, hole.start, mark.kind))
            start = hole.end
        if start < mark.end:
            apart.append(Mark(start, mark.end, mark.kind))
    return tuple(sorted(apart, key=lambda mark: (mark.start, -mark.end)))


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
            if at > 0 and _is_whole(text, at + len(stop)):
                return at + 1, at + len(stop)
    space = text.rfind(" ", floor, limit + 1)
    if space > 0 and _is_whole(text, space + 1):
        # A space of code is kept: it may be all there is in a line.
        return (space, space) if code else (space, space + 1)
    at = 0
    for cluster in _CLUSTER.finditer(text[: limit + _SIGN_CHARS_MAX]):
        if cluster.end() > limit:
            break
        at = cluster.end()
    return (at, at) if at else (limit, limit)


def find_sign_start(text: str, position: int) -> int:
    """Where the first sign begins that stands at `position` or behind it."""
    known = _LAST_ASCII.search(text, max(0, position - _SIGN_CHARS_MAX), position)
    start = known.start() if known else max(0, position - _SIGN_CHARS_MAX)
    if _REGION.match(text, start):
        # Flags are pairs: they are counted from the first of their row.
        before = _LAST_NOT_REGION.search(text, 0, start)
        start -= (start - (before.end() if before else 0)) % 2
    # Apart: beside a flag the pattern looks back as far as there are flags.
    for cluster in _CLUSTER.finditer(text[start : position + _SIGN_CHARS_MAX]):
        if start + cluster.start() >= position:
            return int(start + cluster.start())
    return len(text)


def _is_whole(text: str, position: int) -> bool:
    """Whether nothing that follows belongs to the sign before `position`."""
    cluster = _CLUSTER.match(text[position - 1 : position + 1])
    return cluster is not None and cluster.end() == 1


def format_table(rows: list[list[str]] | tuple[tuple[str, ...], ...], *, header: bool) -> str:
    """Rows as aligned columns for a monospaced font; a rule below the header. Without one, columns
    of numbers are aligned at their right.

    A cell of several lines makes its row as high.
    """
    split = [[cell.split("\n") for cell in row] for row in rows]
    widths = [0] * max((len(row) for row in rows), default=0)
    for row in split:
        for at, cell in enumerate(row):
            widths[at] = max(widths[at], *map(display_width, cell))
    widths = [min(_CELL_COLUMNS_MAX, width) for width in widths]
    numbers = frozenset() if header else _find_number_columns(rows)
    lines = []
    for number, row in enumerate(split):
        height = max(map(len, row), default=1)
        lines += [_format_line(row, widths, line, numbers) for line in range(height)]
        if header and number == 0:
            lines.append("  ".join("─" * width for width in widths))
    return "\n".join(lines)


def _find_number_columns(rows: Sequence[Sequence[str]]) -> frozenset[int]:
    """The columns behind the first whose cells, but for a heading, are all numbers."""
    columns = range(1, max(map(len, rows), default=0))
    return frozenset(
        at
        for at in columns
        if len(rows) > 2 and all(_NUMBER.match(row[at]) for row in rows[1:] if at < len(row))
    )


def _format_line(
    row: Sequence[Sequence[str]], widths: Sequence[int], line: int, numbers: Collection[int]
) -> str:
    padded = []
    for at, (cell, width) in enumerate(zip(row, widths, strict=False)):
        part = cell[line] if line < len(cell) else ""
        space = " " * max(0, width - display_width(part))
        padded.append(space + part if at in numbers else part + space)
    return "  ".join(padded).rstrip()
