"""How text is laid out on a terminal of so many columns: words stay whole, Chinese breaks between
signs but never before a full stop, and a model's Markdown becomes bold, italic and indented lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from bots.render.blocks import Block, format_table
from bots.render.markdown import parse_markdown
from bots.render.plain_text import defuse_footer_marks, display_width

_STYLES: Final = {"bold": "1", "italic": "3", "strike": "9", "code": "36"}
_CODE_STYLE: Final = "36"
_QUOTE_STYLE: Final = "2"
_CODE_INDENT: Final = "    "
_OPENING: Final = "（《「『【“‘〈"
_CLOSING: Final = "，。、；：？！）》」』】”’〉…"
_WIDE: Final = "\u2e80-\u2fff\u3001-\u9fff\uac00-\ud7af\uf900-\ufaff\uff01-\uff60"
#: What a line may end after: a word with its space, or a sign of Chinese with its punctuation.
_UNIT: Final = re.compile(
    rf"[{_OPENING}]*(?:[{_WIDE}]|[^\s{_WIDE}{_OPENING}]+)?[{_CLOSING}]*[^\S\n]*", re.UNICODE
)
#: What the lines of an item after its first are indented by.
_ITEM_START: Final = re.compile(r"\s*(?:(?:[•◦▪\-–]|\d+[.)])\s+)?")
#: An emphasis that began and isn't closed yet, with all behind it.
_OPEN_EMPHASIS: Final = re.compile(
    r"(?<![*_\w])([*_])(?=[^*_\s])(?:(?!(?<=[^\s*_])\1(?!\w)).)*\Z", re.DOTALL
)
_COLUMN_LEAST: Final = 8
_GAP: Final = 2


def end_label(label: str) -> str:
    """A label with the colon of its script behind it."""
    return f"{label}: " if label[-1:].isascii() else f"{label}："


def wrap_text(text: str, columns: int) -> list[str]:
    """The text's lines, none broken inside a word; a longer word has a line of its own."""
    return [
        indent + line[start:end]
        for line in text.split("\n")
        for indent, start, end in _wrap_line(line, columns)
    ]


def _wrap_line(line: str, columns: int) -> Iterator[tuple[str, int, int]]:
    """The indent, beginning and end of each line that a line becomes."""
    opening = _ITEM_START.match(line)
    indent = " " * min(display_width(opening[0]) if opening else 0, columns // 2)
    first, start, at, width = "", 0, 0, 0
    for unit in _UNIT.finditer(line):
        whole = unit[0]
        if width and width + display_width(whole.rstrip()) > columns:
            yield first, start, start + len(line[start:at].rstrip())
            first, start, width = indent, unit.start(), len(indent)
        width += display_width(whole)
        at = unit.end()
    yield first, start, len(line.rstrip()) if line.strip() else start


def format_markdown(markdown: str, columns: int) -> list[str]:
    """A model's Markdown as lines for a terminal, styled by its escape sequences."""
    lines: list[str] = []
    for block in parse_markdown(markdown):
        if lines:
            lines += [""] * (block.gap - 1)
        lines += _format_block(block, columns)
    return lines


def format_growing(markdown: str, columns: int) -> list[str]:
    """The lines of an answer so far that won't change any more, whatever follows."""
    head, gap, last = markdown.rpartition("\n\n")
    if "```" not in last:
        if last.lstrip().startswith("|"):  # a table's columns are as wide as all of its cells
            return format_markdown(head, columns)
        for mark in ("**", "`"):
            if last.count(mark) % 2:
                last = last.rpartition(mark)[0]
        last = _OPEN_EMPHASIS.sub("", last)
    return format_markdown(head + gap + last, columns)[:-1]


def _format_block(block: Block, columns: int) -> Iterator[str]:
    if block.code:
        for line in block.text.split("\n"):
            yield style_text(_CODE_INDENT + line, _CODE_STYLE)
        return
    text, bar = defuse_footer_marks(block.text), "│ " if block.quote else ""
    offset = 0
    for line in text.split("\n"):
        for indent, start, end in _wrap_line(line, columns - len(bar)):
            styled = _style_part(block, text, offset + start, offset + end)
            yield style_text(bar, _QUOTE_STYLE) + indent + styled
        offset += len(line) + 1


def _style_part(block: Block, text: str, start: int, end: int) -> str:
    """A part of the block's text with its marks; where they overlap, all of them count."""
    marks = [mark for mark in block.marks if mark.start < end and mark.end > start]
    edges = {start, end}
    for mark in marks:
        edges |= {max(start, mark.start), min(end, mark.end)}
    places = sorted(edges)
    return "".join(
        style_text(
            text[left:right],
            ";".join(_STYLES[each.kind] for each in marks if each.start <= left < each.end),
        )
        for left, right in pairwise(places)
    )


def style_text(text: str, style: str) -> str:
    """The text in a style, by its number; as it stands without one."""
    return f"\x1b[{style}m{text}\x1b[0m" if style and text else text


def fit_table(rows: Sequence[Sequence[str]], columns: int) -> list[str]:
    """A table's lines; where it is too wide, the cells of its widest columns have several; where a
    word is too long for that, each row is lines of its own."""
    widths = [
        max((display_width(row[at]) for row in rows if at < len(row)), default=0)
        for at in range(max(map(len, rows), default=0))
    ]
    while widths and sum(widths) + _GAP * (len(widths) - 1) > columns:
        widest = widths.index(max(widths))
        if widths[widest] <= _COLUMN_LEAST:
            break
        widths[widest] -= 1
    fitted = tuple(
        tuple("\n".join(wrap_text(cell, widths[at])) for at, cell in enumerate(row)) for row in rows
    )
    lines = format_table(fitted, header=False).split("\n")
    if all(display_width(line) <= columns for line in lines):
        return lines
    flowing = (flow([cell for cell in row if cell], columns - _GAP) for row in rows)
    return [f"{' ' * _GAP if at else ''}{line}" for row in flowing for at, line in enumerate(row)]


def flow(units: Sequence[str], columns: int) -> list[str]:
    """Units beside each other with two spaces between, as many as fit a line."""
    lines: list[str] = []
    for unit in units:
        joined = f"{lines[-1]}{' ' * _GAP}{unit}" if lines else unit
        if lines and display_width(joined) <= columns:
            lines[-1] = joined
        else:
            lines.append(unit)
    return lines
