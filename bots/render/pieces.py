"""What is shown → pieces: an answer, an answer so far, a card; for any style of platform."""

from __future__ import annotations

import re
from typing import Final

from bots.chat.types import Screen
from bots.render.blocks import Block, Mark, table_text
from bots.render.entity_style import without_pings
from bots.render.markdown import blocks_of
from bots.render.plain_text import clean, footer_lines, one_line
from bots.render.splitter import Piece, Style, split

#: Of a growing answer at most so many characters are looked at: what is newest.
_TAIL_CHARS: Final = 2_800
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_MORE: Final = "…"


def answer_pieces(text: str, style: Style, *, note: str = "", footer: str = "") -> list[Piece]:
    """A whole answer: the note first, the footer as the last line; at least one piece."""
    blocks = _noted(note) + [without_pings(block) for block in blocks_of(text)]
    if footer:
        blocks.append(Block(footer_lines(footer), ours=True))
    return split(blocks, style) or [(Block(_MORE),)]


def progress_piece(text: str, style: Style, *, note: str = "") -> Piece:
    """An answer so far, in one piece: its newest part when it is long."""
    tail = _tail(text)
    front = _noted(note) if tail is text else [Block(_MORE)]
    blocks = front + [without_pings(block) for block in blocks_of(tail)]
    pieces = split(blocks, style)
    return pieces[-1] if pieces else (Block(_MORE),)


def screen_pieces(screen: Screen, style: Style) -> list[Piece]:
    """A card: its title, its table, its lines; no piece when it has none of them."""
    blocks: list[Block] = []
    title = one_line(screen.title)
    if title:
        blocks.append(Block(title, (Mark(0, len(title), "bold"),), ours=True))
    if screen.table:
        rows = tuple(tuple(one_line(cell) for cell in row) for row in screen.table)
        blocks.append(Block(table_text(rows, header=False), code=True, ours=True))
    for number, line in enumerate(screen.lines):
        gap = 1 if number else 2
        blocks.append(without_pings(Block(clean(line), ours=True, gap=gap)))
    return split(_spaced(blocks), style)


def _spaced(blocks: list[Block]) -> list[Block]:
    """An empty line of a card is a wider gap, not a block of nothing."""
    spaced: list[Block] = []
    wide = False
    for block in blocks:
        if not block.text.strip():
            wide = True
            continue
        gap = 2 if wide else block.gap
        spaced.append(Block(block.text, block.marks, code=block.code, gap=gap, ours=block.ours))
        wide = False
    return spaced


def _noted(note: str) -> list[Block]:
    text = one_line(note)
    return [Block(text, (Mark(0, len(text), "italic"),), ours=True)] if text else []


def _tail(text: str) -> str:
    """The newest part of a long text, from a line's start, its open fence opened again."""
    if len(text) <= _TAIL_CHARS:
        return text
    start = len(text) - _TAIL_CHARS
    line = text.find("\n", start, start + _TAIL_CHARS // 2)
    start = line + 1 if line >= 0 else start
    fence = _open_fence(text, start)
    return f"{fence}\n{text[start:]}" if fence else text[start:]


def _open_fence(text: str, end: int) -> str:
    """The opening line of the fence that is still open at `end`, or nothing."""
    opened: re.Match[str] | None = None
    for line in _FENCE.finditer(text, 0, end):
        marks, info = line[1], line[2].strip()
        if opened is None:
            opened = line if "`" not in info or marks[0] == "~" else None
        elif marks[0] == opened[1][0] and len(marks) >= len(opened[1]) and not info:
            opened = None
    return opened[0].strip() if opened else ""
