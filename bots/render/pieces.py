"""What is shown → pieces: an answer, an answer so far, a card; for any style of platform."""

from __future__ import annotations

import re
from textwrap import shorten
from typing import Final

from bots.chat.types import Card
from bots.render.blocks import Block, Mark, find_sign_start, format_table
from bots.render.entity_style import disable_mentions
from bots.render.markdown import parse_markdown
from bots.render.plain_text import clean_text, format_footer, to_one_line
from bots.render.splitter import MessageStyle, Piece, split_blocks

#: Of a growing answer at most so many characters are looked at: what is newest.
_TAIL_CHARS: Final = 2_800
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_MORE: Final = "…"
_ASKED_CHARS_MAX: Final = 300


def split_answer(
    text: str, style: MessageStyle, *, asked: str = "", note: str = "", footer: str = ""
) -> list[Piece]:
    """A whole answer: what was asked and the note first, the footer as the last line; at least one
    piece."""
    blocks = (
        _asked_blocks(asked)
        + _note_blocks(note)
        + [disable_mentions(block) for block in parse_markdown(text)]
    )
    if footer:
        blocks.append(Block(format_footer(footer), from_service=True))
    return split_blocks(blocks, style) or [(Block(_MORE),)]


def fit_progress(text: str, style: MessageStyle, *, asked: str = "", note: str = "") -> Piece:
    """An answer so far, in one piece: its newest part when it is long."""
    tail = _newest_part(text)
    front = _asked_blocks(asked) + _note_blocks(note) if tail is text else [Block(_MORE)]
    blocks = front + [disable_mentions(block) for block in parse_markdown(tail)]
    pieces = split_blocks(blocks, style)
    return pieces[-1] if pieces else (Block(_MORE),)


def split_card(card: Card, style: MessageStyle) -> list[Piece]:
    """A card: its title, its table, its lines; no piece when it has none of them."""
    blocks: list[Block] = []
    title = to_one_line(card.title)
    if title:
        blocks.append(Block(title, (Mark(0, len(title), "bold"),), from_service=True))
    if card.table:
        rows = tuple(tuple(to_one_line(cell) for cell in row) for row in card.table)
        blocks.append(Block(format_table(rows, header=False), code=True, from_service=True))
    for number, line in enumerate(card.lines):
        gap = 1 if number else 2
        blocks.append(disable_mentions(Block(clean_text(line), from_service=True, gap=gap)))
    return split_blocks(_widen_gaps(blocks), style)


def _widen_gaps(blocks: list[Block]) -> list[Block]:
    """An empty line of a card is a wider gap, not a block of nothing."""
    spaced: list[Block] = []
    wide = False
    for block in blocks:
        if not block.text.strip():
            wide = True
            continue
        gap = 2 if wide else block.gap
        spaced.append(
            Block(
                block.text, block.marks, code=block.code, gap=gap, from_service=block.from_service
            )
        )
        wide = False
    return spaced


def _asked_blocks(asked: str) -> list[Block]:
    """The question above its answer, on one line; where it is long, its beginning."""
    text = shorten(to_one_line(asked), _ASKED_CHARS_MAX, placeholder="…")
    if not text:
        return []
    return [disable_mentions(Block(text, (Mark(0, len(text), "bold"),), from_service=True))]


def _note_blocks(note: str) -> list[Block]:
    text = to_one_line(note)
    return [Block(text, (Mark(0, len(text), "italic"),), from_service=True)] if text else []


def _newest_part(text: str) -> str:
    """The newest part of a long text, from a line's start, its open fence opened again."""
    if len(text) <= _TAIL_CHARS:
        return text
    start = len(text) - _TAIL_CHARS
    line = text.find("\n", start, start + _TAIL_CHARS // 2)
    start = line + 1 if line >= 0 else find_sign_start(text, start)
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
