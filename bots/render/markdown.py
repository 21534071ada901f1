"""A model's Markdown → blocks. Nothing that it says is lost, and nothing that it writes can act.

HTML, entities and reference definitions are shown as the text they are. A link shows its address;
an address that is not http or https is no link. Text that nests deeper than any person reads is
shown as it stands.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field, replace

from markdown_it.common.normalize_url import normalizeLink
from markdown_it.token import Token

from bots.render.blocks import Block, Mark, MarkKind, cut_out_marks, format_table
from bots.render.markdown_parser import HIDDEN_BAR, NESTING_MAX, get_parser, hide_bars
from bots.render.plain_text import clean_text, find_addresses

_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.\-]{1,32}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_KINDS: dict[str, MarkKind] = {"strong": "bold", "em": "italic", "s": "strike"}
_RULE = "———"
_INDENT = "  "
#: A break inside a table's cell, where Markdown has none.
_LINE_BREAK = re.compile(r"<br\s?/?>", re.IGNORECASE)
#: Signs that a reader of addresses may take for what stands around one, or for its end.
_OPEN_ENDED = str.maketrans({sign: f"%{ord(sign):02X}" for sign in "()[]*~'!,;^|"})
_LAST_SIGNS = ".:?_"


def parse_markdown(markdown: str) -> list[Block]:
    """The blocks of a model's text; an unclosed fence is code to its end."""
    text = clean_text(markdown)
    tokens = get_parser().parse(hide_bars(text))
    if any(token.level >= NESTING_MAX - 2 for token in tokens):
        return [Block(text.strip("\n"))]
    builder = _BlockBuilder()
    for token in tokens:
        builder.add_token(token)
    return [_show_bars(block) for block in builder.blocks if block.text.strip()]


def _show_bars(block: Block) -> Block:
    if HIDDEN_BAR not in block.text:
        return block
    return replace(block, text=block.text.replace(HIDDEN_BAR, "|"))


@dataclass(slots=True)
class _OpenList:
    """A list that is still open: `number` is that of its next item, or None for dots."""

    number: int | None
    #: Whether the sign of the present item is still to be written.
    at_item_start: bool = False
    #: Whether an item stands before.
    has_items: bool = False


@dataclass(slots=True)
class _BlockBuilder:
    """The builder turns the parser's tokens into blocks, one after the other."""

    blocks: list[Block] = field(default_factory=list)
    lists: list[_OpenList] = field(default_factory=list)
    quote_depth: int = 0
    in_heading: bool = False
    row: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    in_cell: bool = False

    def add_token(self, token: Token) -> None:
        match token.type:
            case "inline":
                self._add_inline(token)
            case "fence" | "code_block":
                self._add_code(token)
            case "formula_block":
                self._add_formula(token)
            case "hr":
                self._add_block(_RULE, ())
            case "heading_open" | "heading_close":
                self.in_heading = token.nesting == 1
            case "blockquote_open" | "blockquote_close":
                self.quote_depth += token.nesting
            case "bullet_list_open" | "ordered_list_open":
                first = int(token.attrs.get("start", 1)) if token.tag == "ol" else None
                self.lists.append(_OpenList(first))
            case "bullet_list_close" | "ordered_list_close":
                self.lists.pop()
            case "list_item_open":
                self.lists[-1].at_item_start = True
            case "list_item_close":
                self._end_item()
            case _:
                self._add_table_token(token)

    def _add_table_token(self, token: Token) -> None:
        match token.type:
            case "tr_open":
                self.row = []
            case "tr_close":
                self.rows.append(self.row)
            case "th_open" | "td_open":
                self.in_cell = True
            case "th_close" | "td_close":
                self.in_cell = False
            case "table_close":
                text = format_table(self.rows, header=True)
                self.rows = []
                self.blocks.append(Block(text, code=True, gap=self._code_gap()))
            case _:
                pass

    def _end_item(self) -> None:
        last = self.lists[-1]
        if last.at_item_start:  # an item that says nothing still counts
            self._add_block("", ())
        if last.number is not None:
            last.number += 1

    def _add_inline(self, token: Token) -> None:
        text, marks = _InlineBuilder().read_tokens(token.children or [])
        if self.in_cell:
            lines = _LINE_BREAK.sub("\n", text.replace(HIDDEN_BAR, "|")).split("\n")
            self.row.append("\n".join(" ".join(line.split()) for line in lines))
            return
        if self.in_heading and text:
            plain = tuple(mark for mark in marks if mark.kind not in ("bold", "code"))
            marks = (Mark(0, len(text), "bold"), *plain)
        self._add_block(text, marks)

    def _add_block(self, text: str, marks: tuple[Mark, ...]) -> None:
        before = self.blocks[-1] if self.blocks else None
        gap = 1 if before is not None and before.code else 2
        if self.lists:
            last = self.lists[-1]
            gap = 1 if len(self.lists) > 1 or (last.at_item_start and last.has_items) else gap
            last.has_items = True
            text, marks = self._as_item(text, marks)
            text = text if marks else text.rstrip(" ")
        self.blocks.append(Block(text, marks, quote=self.quote_depth > 0, gap=gap))

    def _as_item(self, text: str, marks: tuple[Mark, ...]) -> tuple[str, tuple[Mark, ...]]:
        depth, last = len(self.lists), self.lists[-1]
        prefix = _INDENT * depth
        if last.at_item_start:
            last.at_item_start = False
            sign = "• " if last.number is None else f"{last.number}. "
            prefix = _INDENT * (depth - 1) + sign
        return _indent(text, marks, prefix, _INDENT * depth)

    def _add_code(self, token: Token) -> None:
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
        self._add_verbatim(text, language)

    def _add_formula(self, token: Token) -> None:
        self._add_verbatim(token.content, "latex")

    def _add_verbatim(self, text: str, language: str) -> None:
        if self.lists and self.lists[-1].at_item_start:
            self._add_block("", ())  # the item's sign, which code can't hold
        self.blocks.append(Block(text, code=True, language=language, gap=self._code_gap()))

    def _code_gap(self) -> int:
        return 2 if self.blocks and self.blocks[-1].code else 1


def _indent(
    text: str, marks: tuple[Mark, ...], prefix: str, hanging: str
) -> tuple[str, tuple[Mark, ...]]:
    """The lines with a prefix before the first and `hanging` before the others; marks follow."""
    ends = [at for at, char in enumerate(text) if char == "\n"]

    def shift(position: int) -> int:
        return position + len(prefix) + len(hanging) * bisect_left(ends, position)

    shifted = [Mark(shift(mark.start), shift(mark.end), mark.kind) for mark in marks]
    return prefix + text.replace("\n", "\n" + hanging), tuple(shifted)


@dataclass(slots=True)
class _InlineBuilder:
    """The builder turns the parser's inline tokens into text and marks."""

    parts: list[str] = field(default_factory=list)
    length: int = 0
    marks: list[Mark] = field(default_factory=list)
    open_marks: list[tuple[str, int]] = field(default_factory=list)
    links: list[tuple[str, int]] = field(default_factory=list)

    def read_tokens(self, tokens: list[Token]) -> tuple[str, tuple[Mark, ...]]:
        for token in tokens:
            self._add_token(token)
        return "".join(self.parts), _split_around_code(self.marks)

    def _append(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)

    def _add_token(self, token: Token) -> None:
        match token.type:
            case "text" | "text_special":
                self._append(token.content)
            case "softbreak" | "hardbreak":
                self._append("\n")
            case "code_inline" | "formula":
                self.marks.append(Mark(self.length, self.length + len(token.content), "code"))
                self._append(token.content)
            case "image":
                alt, _ = _InlineBuilder().read_tokens(token.children or [])
                self._append(alt + _format_address(str(token.attrs.get("src", "")), alt))
                self._append_title(token)
            case "link_open":
                self.links.append((str(token.attrs.get("href", "")), len(self.parts)))
                self._append_title(token)
            case "link_close":
                href, since = self.links.pop()
                self._append(_format_address(href, "".join(self.parts[since:])))
            case _:
                self._add_mark(token)

    def _append_title(self, token: Token) -> None:
        title = token.attrs.get("title")
        if title:
            self._append(f"“{title}” ")

    def _add_mark(self, token: Token) -> None:
        kind = _KINDS.get(token.tag)
        if kind is None:
            self._append(token.content)
        elif token.nesting == 1:
            self.open_marks.append((token.tag, self.length))
        else:
            _, start = self.open_marks.pop()
            if start < self.length:
                self.marks.append(Mark(start, self.length, kind))


def _format_address(href: str, label: str) -> str:
    """What to show behind a label: its address, unless that is what the label says already."""
    label = label.strip()
    shown = get_parser().normalizeLinkText(href)
    bare = href.removeprefix("https://").removeprefix("http://").removesuffix("/")
    if not href or label in (href, shown, bare) or f"mailto:{label}" == href:
        return ""
    scheme = _SCHEME.match(href)
    if scheme and scheme.group().lower() not in ("http:", "https:", "mailto:"):
        return ""
    return f" ({_close_address(href)})" if label else href


def _close_address(href: str) -> str:
    """The address, written so that whoever finds addresses in a text finds all of this one."""
    if not href.startswith(("http://", "https://")) or find_addresses(f"{href})") == [
        (0, len(href))
    ]:
        return href
    href = normalizeLink(href).translate(_OPEN_ENDED)
    return f"{href[:-1]}%{ord(href[-1]):02X}" if href[-1] in _LAST_SIGNS else href


def _split_around_code(marks: list[Mark]) -> tuple[Mark, ...]:
    """The marks with code taken out of the others: platforms let code lie in nothing else."""
    codes = [mark for mark in marks if mark.kind == "code"]
    others = [mark for mark in marks if mark.kind != "code"]
    return cut_out_marks(others, codes)
