"""Blocks → Markdown: for platforms that take formatting as markup.

Everything that is only text is escaped; marks and fences are the only markup, and each piece closes
what it opens.
"""

from __future__ import annotations

import re
from itertools import chain, groupby
from typing import Final, final

from bots.render.blocks import Block, Mark, MarkKind
from bots.render.plain_text import defuse_footer_marks, find_addresses, utf16_len
from bots.render.splitter import Piece

_SPECIAL: Final = re.compile(r"[\\`*_~|<>\[\]()#@:]|(?<=^)[-+](?= )|(?<=\d)\.(?= )", re.MULTILINE)
_FENCE: Final = "```"
_BACKTICKS: Final = re.compile("`+")
_SIGNS: Final = {"bold": "**", "italic": "*", "strike": "~~"}


@final
class MarkdownStyle:
    """The style makes messages of `units` UTF-16 units, markup included."""

    def __init__(self, units: int) -> None:
        self._limit = units

    @property
    def limit(self) -> int:
        """See `MessageStyle`."""
        return self._limit

    def measure(self, block: Block) -> int:
        """See `MessageStyle`."""
        return utf16_len(_to_markdown(block)) + block.gap

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
        return _format_code(text, block.language)
    marked = _apply_marks(text, _join_marks(text, block.marks))
    return "\n".join(f"> {line}" for line in marked.split("\n")) if block.quote else marked


def _format_code(text: str, language: str) -> str:
    """Fenced code. There is no longer fence where this is read: lines that hold one stand as text
    between two parts of the code, so that what is read and copied is what was written."""
    if _FENCE not in text:
        return f"{_FENCE}{language}\n{text}\n{_FENCE}"
    parts: list[str] = []
    for is_fence, lines in groupby(text.split("\n"), key=lambda line: _FENCE in line):
        part = "\n".join(lines)
        if is_fence or not part.strip():
            parts.append(_escape(part))
        else:
            parts.append(f"{_FENCE}{language}\n{part}\n{_FENCE}")
    return "\n".join(parts)


def _join_marks(text: str, marks: tuple[Mark, ...]) -> list[Mark]:
    """The marks, outer ones first: without spaces at their edges, where signs mean nothing, and as
    one where two of a kind touch."""
    joined: dict[MarkKind, list[Mark]] = {}
    for mark in sorted(marks, key=lambda each: (each.start, -each.end)):
        start, end = mark.start, mark.end
        if mark.kind != "code":
            inside = text[start:end]
            start += len(inside) - len(inside.lstrip())
            end -= len(inside) - len(inside.rstrip())
        if not text[start:end].strip():
            continue
        alike = joined.setdefault(mark.kind, [])
        if alike and start <= alike[-1].end:
            alike[-1] = Mark(alike[-1].start, max(end, alike[-1].end), mark.kind)
        else:
            alike.append(Mark(start, end, mark.kind))
    return sorted(chain(*joined.values()), key=lambda each: (each.start, -each.end))


def _apply_marks(text: str, marks: list[Mark]) -> str:
    parts: list[str] = []
    open_marks: list[Mark] = []
    at = begun = 0
    for edge in sorted({0, len(text), *(m.start for m in marks), *(m.end for m in marks)}):
        in_code = bool(open_marks) and open_marks[-1].kind == "code"
        parts.append(_format_inline_code(text[at:edge]) if in_code else _escape(text[at:edge]))
        at = edge
        while open_marks and open_marks[-1].end <= edge:
            parts.append(_SIGNS.get(open_marks.pop().kind, ""))
        while begun < len(marks) and marks[begun].start <= edge:
            mark = marks[begun]
            begun += 1
            # A mark that would reach beyond the one it lies in ends with it.
            end = min(mark.end, open_marks[-1].end) if open_marks else mark.end
            if end > edge:
                open_marks.append(Mark(edge, end, mark.kind))
                parts.append(_SIGNS.get(mark.kind, ""))
    return "".join(parts)


def _format_inline_code(text: str) -> str:
    """Code in a line, between more backticks than any run in it. Three are a fence, so that there
    may be no such number: then the runs stand as text between two parts of the code."""
    runs = {len(run) for run in _BACKTICKS.findall(text)}
    signs = "`" if 1 not in runs else "``"
    if len(signs) in runs or max(runs, default=0) >= len(_FENCE):
        parts = _BACKTICKS.split(text)
        between = [_escape(run) for run in _BACKTICKS.findall(text)]
        shown = [f"`{part}`" if part.strip() else part for part in parts]
        return "".join(chain.from_iterable(zip(shown, [*between, ""], strict=True)))
    before = " " if text.startswith("`") else ""
    after = " " if text.endswith("`") else ""
    return f"{signs}{before}{text}{after}{signs}"


def _escape(text: str) -> str:
    """Text in which nothing acts but the addresses, in the brackets that say where they end."""
    parts: list[str] = []
    at = 0
    for start, end in find_addresses(text):
        parts += [_escape_signs(text[at:start]), f"<{text[start:end]}>"]
        at = end
    return "".join([*parts, _escape_signs(text[at:])])


def _escape_signs(text: str) -> str:
    return _SPECIAL.sub(lambda match: "\\" + match.group(), text)
