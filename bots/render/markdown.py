"""A model's Markdown → blocks. Nothing that it says is lost, and nothing that it writes can act.

HTML, entities and reference definitions are shown as the text they are. A link shows its address;
an address that is not http or https is no link. Text that nests deeper than any person reads is
shown as it stands.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.escape import escape
from markdown_it.token import Token

from bots.render.blocks import Block, Mark, MarkKind, table_text
from bots.render.plain_text import clean

#: Deeper than this the parser would leave text out.
_NESTING_MAX = 60
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.\-]{1,32}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_KINDS: dict[str, MarkKind] = {"strong": "bold", "em": "italic", "s": "strike"}
_RULE = "———"
_INDENT = "  "


def _escape_but_math(state: StateInline, silent: bool) -> bool:
    r"""Backslash escapes, but `\( … \)` and `\[ … \]` are mathematics and keep their backslash."""
    if state.src[state.pos + 1 : state.pos + 2] in ("(", ")", "[", "]") and state.src.startswith(
        "\\", state.pos
    ):
        if not silent:
            state.pending += state.src[state.pos : state.pos + 2]
        state.pos += 2
        return True
    return escape(state, silent)


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _NESTING_MAX})
    parser.enable(["table", "strikethrough"])
    parser.disable(["reference", "entity", "html_block", "html_inline"])
    parser.inline.ruler.at("escape", _escape_but_math)
    return parser


def blocks_of(markdown: str) -> list[Block]:
    """The blocks of a model's text; an unclosed fence is code to its end."""
    text = clean(markdown)
    tokens = _parser().parse(text)
    if any(token.level >= _NESTING_MAX - 2 for token in tokens):
        return [Block(text.strip("\n"))]
    walk = _Walk()
    for token in tokens:
        walk.take(token)
    return [block for block in walk.blocks if block.text.strip()]


@dataclass(slots=True)
class _List:
    """A list that is still open: `number` is that of its next item, or None for dots."""

    number: int | None
    #: Whether the sign of the present item is still to be written.
    fresh: bool = False
    #: Whether an item stands before.
    begun: bool = False


@dataclass(slots=True)
class _Walk:
    """The builder turns the parser's tokens into blocks, one after the other."""

    blocks: list[Block] = field(default_factory=list)
    lists: list[_List] = field(default_factory=list)
    quotes: int = 0
    heading: bool = False
    row: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    cell: bool = False

    def take(self, token: Token) -> None:
        match token.type:
            case "inline":
                self._inline(token)
            case "fence" | "code_block":
                self._code(token)
            case "hr":
                self._add(_RULE, ())
            case "heading_open" | "heading_close":
                self.heading = token.nesting == 1
            case "blockquote_open" | "blockquote_close":
                self.quotes += token.nesting
            case "bullet_list_open" | "ordered_list_open":
                first = int(token.attrs.get("start", 1)) if token.tag == "ol" else None
                self.lists.append(_List(first))
            case "bullet_list_close" | "ordered_list_close":
                self.lists.pop()
            case "list_item_open":
                self.lists[-1].fresh = True
            case "list_item_close":
                self._end_item()
            case _:
                self._table(token)

    def _table(self, token: Token) -> None:
        match token.type:
            case "tr_open":
                self.row = []
            case "tr_close":
                self.rows.append(self.row)
            case "th_open" | "td_open":
                self.cell = True
            case "th_close" | "td_close":
                self.cell = False
            case "table_close":
                text = table_text(self.rows, header=True)
                self.rows = []
                self.blocks.append(Block(text, code=True, gap=self._code_gap()))
            case _:
                pass

    def _end_item(self) -> None:
        last = self.lists[-1]
        if last.fresh:  # an item that says nothing still counts
            self._add("", ())
        if last.number is not None:
            last.number += 1

    def _inline(self, token: Token) -> None:
        text, marks = _Inline().read(token.children or [])
        if self.cell:
            self.row.append(" ".join(text.split()))
            return
        if self.heading and text:
            plain = tuple(mark for mark in marks if mark.kind not in ("bold", "code"))
            marks = (Mark(0, len(text), "bold"), *plain)
        self._add(text, marks)

    def _add(self, text: str, marks: tuple[Mark, ...]) -> None:
        before = self.blocks[-1] if self.blocks else None
        gap = 1 if before is not None and before.code else 2
        if self.lists:
            last = self.lists[-1]
            gap = 1 if len(self.lists) > 1 or (last.fresh and last.begun) else gap
            last.begun = True
            text, marks = self._as_item(text, marks)
        self.blocks.append(Block(text, marks, quote=self.quotes > 0, gap=gap))

    def _as_item(self, text: str, marks: tuple[Mark, ...]) -> tuple[str, tuple[Mark, ...]]:
        depth, last = len(self.lists), self.lists[-1]
        prefix = _INDENT * depth
        if last.fresh:
            last.fresh = False
            sign = "• " if last.number is None else f"{last.number}. "
            prefix = _INDENT * (depth - 1) + sign
        return _indented(text, marks, prefix, _INDENT * depth)

    def _code(self, token: Token) -> None:
        text = token.content.removesuffix("\n")
        language = ""
        info = token.info.strip()
        if info:
            first, _, rest = info.partition(" ")
            if _LANGUAGE.fullmatch(first):
                language = first.lower()
            else:
                rest = info
            # What stands behind the language is nobody's option here: it is text.
            text = f"{rest.strip()}\n{text}" if rest.strip() else text
        if self.lists:
            self.lists[-1].fresh, self.lists[-1].begun = False, True
        self.blocks.append(Block(text, code=True, language=language, gap=self._code_gap()))

    def _code_gap(self) -> int:
        return 2 if self.blocks and self.blocks[-1].code else 1


def _indented(
    text: str, marks: tuple[Mark, ...], prefix: str, hanging: str
) -> tuple[str, tuple[Mark, ...]]:
    """The lines with a prefix before the first and `hanging` before the others; marks follow."""
    shifted = [
        Mark(
            mark.start + len(prefix) + len(hanging) * text.count("\n", 0, mark.start),
            mark.end + len(prefix) + len(hanging) * text.count("\n", 0, mark.end),
            mark.kind,
        )
        for mark in marks
    ]
    return prefix + text.replace("\n", "\n" + hanging), tuple(shifted)


@dataclass(slots=True)
class _Inline:
    """The builder turns the parser's inline tokens into text and marks."""

    parts: list[str] = field(default_factory=list)
    length: int = 0
    marks: list[Mark] = field(default_factory=list)
    open: list[tuple[str, int]] = field(default_factory=list)
    links: list[tuple[str, int]] = field(default_factory=list)

    def read(self, tokens: list[Token]) -> tuple[str, tuple[Mark, ...]]:
        for token in tokens:
            self._take(token)
        return "".join(self.parts), _without_code(self.marks)

    def _say(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)

    def _take(self, token: Token) -> None:
        match token.type:
            case "text" | "text_special":
                self._say(token.content)
            case "softbreak" | "hardbreak":
                self._say("\n")
            case "code_inline":
                self.marks.append(Mark(self.length, self.length + len(token.content), "code"))
                self._say(token.content)
            case "image":
                alt, _ = _Inline().read(token.children or [])
                self._say(alt + _address(str(token.attrs.get("src", "")), alt))
                self._title(token)
            case "link_open":
                self.links.append((str(token.attrs.get("href", "")), len(self.parts)))
                self._title(token)
            case "link_close":
                href, since = self.links.pop()
                self._say(_address(href, "".join(self.parts[since:])))
            case _:
                self._mark(token)

    def _title(self, token: Token) -> None:
        title = token.attrs.get("title")
        if title:
            self._say(f"“{title}” ")

    def _mark(self, token: Token) -> None:
        kind = _KINDS.get(token.tag)
        if kind is None:
            self._say(token.content)
        elif token.nesting == 1:
            self.open.append((token.tag, self.length))
        else:
            _, start = self.open.pop()
            if start < self.length:
                self.marks.append(Mark(start, self.length, kind))


def _address(href: str, label: str) -> str:
    """What to show behind a label: its address, unless that is what the label says already."""
    label = label.strip()
    shown = _parser().normalizeLinkText(href)
    bare = href.removeprefix("https://").removeprefix("http://").removesuffix("/")
    if not href or label in (href, shown, bare) or f"mailto:{label}" == href:
        return ""
    scheme = _SCHEME.match(href)
    if scheme and scheme.group().lower() not in ("http:", "https:", "mailto:"):
        return ""
    return f" ({href})" if label else href


def _without_code(marks: list[Mark]) -> tuple[Mark, ...]:
    """The marks with code taken out of the others: platforms let code lie in nothing else."""
    codes = sorted((mark for mark in marks if mark.kind == "code"), key=lambda mark: mark.start)
    apart: list[Mark] = []
    for mark in marks:
        if mark.kind == "code":
            apart.append(mark)
            continue
        start = mark.start
        for code in codes:
            if start < code.end and mark.end > code.start:
                if start < code.start:
                    apart.append(Mark(start, code.start, mark.kind))
                start = max(start, code.end)
        if start < mark.end:
            apart.append(Mark(start, mark.end, mark.kind))
    return tuple(sorted(apart, key=lambda mark: (mark.start, -mark.end)))
