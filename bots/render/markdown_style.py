"""Blocks → Markdown: for platforms that take formatting as markup.

Everything that is only text is escaped; marks and fences are the only markup, and each piece closes
what it opens.
"""

from __future__ import annotations

import re
from typing import Final, final

from bots.render.blocks import Block, Mark
from bots.render.plain_text import defuse_footer_marks, utf16_len
from bots.render.splitter import BlockSize, Piece

_SPECIAL: Final = re.compile(r"[\\`*_~|<>\[\]()#@:]|(?<=^)[-+](?= )|(?<=\d)\.(?= )", re.MULTILINE)
_FENCE: Final = "```"
#: Backticks that would close a fence: there is no longer fence where this is read.
_BACKTICK_RUNS: Final = re.compile("`{3,}")
_SIGNS: Final = {"bold": "**", "italic": "*", "strike": "~~", "code": "`"}


@final
class MarkdownStyle:
    """The style makes messages of `units` UTF-16 units, markup included."""

    def __init__(self, units: int) -> None:
        self._limit = BlockSize(units, units)

    @property
    def limit(self) -> BlockSize:
        """See `MessageStyle`."""
        return self._limit

    def measure(self, block: Block) -> BlockSize:
        """See `MessageStyle`."""
        return BlockSize(utf16_len(_to_markdown(block)) + block.gap, 0)

    def render_piece(self, piece: Piece) -> str:
        """One message's Markdown."""
        parts: list[str] = []
        for number, block in enumerate(piece):
            if number:
                parts.append("\n" * block.gap)
            parts.append(_to_markdown(block))
        return "".join(parts)


def _to_markdown(block: Block) -> str:
    text = block.text if block.from_service else defuse_footer_marks(block.text)
    if block.code:
        inside = _BACKTICK_RUNS.sub(lambda match: "\u200b".join(match.group()), text)
        return f"{_FENCE}{block.language}\n{inside}\n{_FENCE}"
    marks = tuple(mark for mark in block.marks if text[mark.start : mark.end].strip())
    marked = _apply_marks(text, marks)
    return "\n".join(f"> {line}" for line in marked.split("\n")) if block.quote else marked


def _apply_marks(text: str, marks: tuple[Mark, ...]) -> str:
    parts: list[str] = []
    at = 0
    open_marks: list[Mark] = []
    for edge in sorted({0, len(text), *(m.start for m in marks), *(m.end for m in marks)}):
        code = any(mark.kind == "code" for mark in open_marks)
        parts.append(_escape(text[at:edge], in_code=code))
        at = edge
        while open_marks and open_marks[-1].end <= edge:
            parts.append(_SIGNS[open_marks.pop().kind])
        for mark in sorted(marks, key=lambda each: -each.end):
            if mark.start == edge < mark.end:
                # A mark that would reach beyond the one it lies in ends with it.
                end = min([mark.end, *(outer.end for outer in open_marks)])
                open_marks.append(Mark(mark.start, end, mark.kind))
                parts.append(_SIGNS[mark.kind])
    return "".join(parts)


def _escape(text: str, *, in_code: bool) -> str:
    if in_code:
        return text.replace("`", "ˋ")
    return _SPECIAL.sub(lambda match: "\\" + match.group(), text)
