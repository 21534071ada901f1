"""The parser of models' Markdown: CommonMark with tables, and three rules of its own.

Formulas and addresses are taken as they stand, emphasis works beside Chinese, Japanese and Korean,
and what a text costs is in proportion to its length.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import escapedSplit, getLine, table
from markdown_it.rules_inline import StateInline, image, link
from markdown_it.rules_inline.state_inline import Scanned
from markdown_it.token import Token

from bots.render.plain_text import match_address

#: Deeper than this the parser would leave text out.
NESTING_MAX: Final = 60
#: A link that takes more than this is none: each bracket looks no farther.
_LINK_CHARS_MAX: Final = 2_000
#: A formula on lines of its own has at most so many.
_FORMULA_LINES_MAX: Final = 200
_CLOSERS: Final = {"\\(": "\\)", "\\[": "\\]", "$$": "$$"}
_ENVIRONMENT: Final = re.compile(r"\\begin\{([A-Za-z]{1,32}\*?)\}")
#: `$x$` in a line: no space inside its dollars and no digit behind, so that prices are none.
_IN_DOLLARS: Final = re.compile(r"\$(?![\s$])(?:\\[^\n]|[^$\\`\n]){1,400}(?<!\s)\$(?![0-9A-Za-z$])")
#: The line below a table's header.
_DELIMITERS: Final = re.compile(r"[\s>]*[-:|][-:|\s]*")
#: What stands in a table's row as it is: code, and formulas in a line.
_VERBATIM: Final = re.compile(
    r"(?<!`)(?P<ticks>`+)(?!`)[^\n]{1,400}?(?<!`)(?P=ticks)(?!`)"
    r"|\\\([^\n]{1,400}?\\\)|\\\[[^\n]{1,400}?\\\]|\$\$[^\n$]{1,400}\$\$"
    rf"|(?<![0-9A-Za-z]){_IN_DOLLARS.pattern}"
)
_BAR: Final = re.compile(r"(?<!\\)\|")
#: In its place while a table is split; no cleaned text holds it.
HIDDEN_BAR: Final = "\ufffe"
#: Letters and punctuation of scripts that put no space between words.
_CJK: Final = re.compile(
    "[\u1100-\u11ff\u2e80-\u303f\u3040-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff"
    "\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00016fe0-\U00018cff\U0001b000-\U0001b2ff"
    "\U00020000-\U000323af]"
)


@functools.cache
def get_parser() -> MarkdownIt:
    """The one parser; it keeps nothing of a text."""
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTING_MAX})
    # An address stays as it was written: people read it.
    parser.normalizeLink = lambda url: url  # type: ignore[method-assign]
    parser.inline = _InlineParser()
    parser.configure("commonmark", {"html": False, "maxNesting": NESTING_MAX})
    parser.enable(["table", "strikethrough"])
    parser.disable(["reference", "entity", "html_block", "html_inline"])
    parser.inline.ruler.before("escape", "formula", _read_formula)
    parser.inline.ruler.before("escape", "address", _read_address)
    parser.inline.ruler.at("link", _bound_link(link, 0))
    parser.inline.ruler.at("image", _bound_link(image, 1))
    parser.block.ruler.at("table", _read_table, {"alt": ["paragraph", "reference"]})
    parser.block.ruler.before(
        "fence", "formula", _read_formula_lines, {"alt": ["paragraph", "blockquote", "list"]}
    )
    return parser


class _InlineState(StateInline):
    """The state knows what stands beside a sign of emphasis.

    A sign beside a letter or punctuation of Chinese, Japanese or Korean opens and closes as one
    beside a space does: there is no space where one would stand in other scripts
    (commonmark/commonmark-spec#650).
    """

    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:  # noqa: N802, N803
        """What a run of signs can do; as the library's, but for the scripts named above."""
        marker, end = self.src[start], start
        while end < self.posMax and self.src[end] == marker:
            end += 1
        before = self.src[start - 1] if start > 0 else " "
        after = self.src[end] if end < self.posMax else " "
        opens = _is_flanking(outside=before, inside=after)
        closes = _is_flanking(outside=after, inside=before)
        if not canSplitWord:
            opens, closes = (
                opens and (not closes or _is_punctuation(before)),
                closes and (not opens or _is_punctuation(after)),
            )
        return Scanned(opens, closes, end - start)


class _InlineParser(ParserInline):
    """The library's parser of a line's inside, on the state above."""

    def parse(
        self, src: str, md: MarkdownIt, env: MutableMapping[str, Any], tokens: list[Token]
    ) -> list[Token]:
        """See the library."""
        state = _InlineState(src, md, env, tokens)
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens


def _is_flanking(*, outside: str, inside: str) -> bool:
    if isWhiteSpace(ord(inside)):
        return False
    if not _is_punctuation(inside) or _CJK.match(inside):
        return True
    return isWhiteSpace(ord(outside)) or _is_punctuation(outside) or _CJK.match(outside) is not None


def _is_punctuation(char: str) -> bool:
    return isMdAsciiPunct(ord(char)) or isPunctChar(char)


def _bound_link(
    rule: Callable[[StateInline, bool], bool], label_offset: int
) -> Callable[[StateInline, bool], bool]:
    """The rule, which looks no farther than a link may reach, and only where there may be one."""

    def read(state: StateInline, silent: bool) -> bool:
        start, whole = state.pos, state.posMax
        if not state.src.startswith("![" if label_offset else "[", start):
            return False
        reach = min(whole, start + _LINK_CHARS_MAX)
        if state.src.find("](", start, reach) < 0:
            return False
        state.posMax = reach
        try:
            return rule(state, silent)
        finally:
            state.posMax = whole

    return read


def _read_address(state: StateInline, silent: bool) -> bool:
    """An address of the web: its signs are no markup."""
    if state.src[state.pos] != ":":
        return False
    found = match_address(state.src, state.pos)
    if found is None:
        return False
    start, end = found
    scheme = state.src[start : state.pos]
    end = min(end, state.posMax)
    if not silent:
        if not state.pending.endswith(scheme):
            return False
        state.pending = state.pending[: -len(scheme)]
        state.push("text", "", 0).content = state.src[start:end]
    state.pos = end
    return True


def _read_formula(state: StateInline, silent: bool) -> bool:
    r"""`\(…\)`, `\[…\]`, `$$…$$`, `$…$` and environments, as they stand."""
    end = _find_formula_end(state)
    if end <= state.pos:
        return False
    if not silent:
        state.push("formula", "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _find_formula_end(state: StateInline) -> int:
    src, at = state.src, state.pos
    if src[at] not in "\\$":
        return -1
    opener, closer = _match_opener(src, at)
    if not closer:
        before = src[at - 1 : at]
        found = _IN_DOLLARS.match(src, at, state.posMax)
        if found is None or (before.isascii() and before.isalnum()):
            return -1
        return -1 if "**" in found.group() or "](" in found.group() else found.end()
    end = _find_closer(state, closer, at + len(opener), state.posMax)
    if end >= 0:
        return end
    if opener == "$$":
        return -1
    # It may still grow: until then it is what it will be.
    line_end = src.find("\n", at, state.posMax) if opener == "\\(" else -1
    return line_end if line_end >= 0 else state.posMax


def _match_opener(src: str, at: int) -> tuple[str, str]:
    """How a formula begins here, and how it will end; nothing where none begins."""
    opener = src[at : at + 2]
    if opener in _CLOSERS:
        return opener, _CLOSERS[opener]
    environment = _ENVIRONMENT.match(src, at)
    if environment is not None:
        return environment.group(), f"\\end{{{environment[1]}}}"
    return "", ""


def _find_closer(state: StateInline | StateBlock, closer: str, start: int, stop: int) -> int:
    """Where the text behind a closer begins, or -1; what is nowhere is looked for once."""
    absent = f"no {closer} in {id(state)}"
    if absent in state.env:
        return -1
    found = state.src.find(closer, start)
    if found < 0:
        state.env[absent] = True
        return -1
    end = found + len(closer)
    return end if end <= stop else -1


def _read_table(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """A table; cells that its header has no column for stand in the last one."""
    begun = len(state.tokens)
    if not table(state, start_line, end_line, silent):
        return False
    columns = sum(token.type == "th_open" for token in state.tokens[begun:])
    line, last = start_line, None
    for token in state.tokens[begun:]:
        if token.type == "tr_open" and token.map:
            line = token.map[0]
        elif token.type == "inline":
            last = token
        elif token.type == "tr_close" and last is not None and line > start_line:
            cells = _split_cells(getLine(state, line))
            if len(cells) > columns:
                last.content = " | ".join(cell.strip() for cell in cells[columns - 1 :])
    return True


def hide_bars(text: str) -> str:
    """The text with `HIDDEN_BAR` for each `|` of a formula or of code in a table's row that would
    have too many cells by it: written so, it ends none."""
    if "|" not in text:
        return text
    lines = text.split("\n")
    columns = 0
    for number, line in enumerate(lines):
        if not line.strip():
            columns = 0
        elif columns:
            lines[number] = _hide_bars_of_row(line, columns)
        elif number and "|" in line and _DELIMITERS.fullmatch(line):
            columns = len(_split_cells(line))
            lines[number - 1] = _hide_bars_of_row(lines[number - 1], columns)
    return "\n".join(lines)


def _hide_bars_of_row(row: str, columns: int) -> str:
    if len(_split_cells(row)) <= columns:
        return row
    return _VERBATIM.sub(lambda found: _BAR.sub(HIDDEN_BAR, found.group()), row)


def _split_cells(row: str) -> list[str]:
    cells = escapedSplit(row.strip())
    return cells[cells[0] == "" : len(cells) - (cells[-1] == "")]


def _read_formula_lines(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """A formula that begins a line: its lines are no lists, headings or rules."""
    at = state.bMarks[start_line] + state.tShift[start_line]
    line_end = state.eMarks[start_line]
    if state.is_code_block(start_line) or at >= line_end:
        return False
    opener, closer = _match_opener(state.src, at)
    if not closer or opener == "\\(":
        return False
    closed = state.src.find(closer, at + len(opener), line_end)
    if closed >= 0 and state.src[closed + len(closer) : line_end].strip():
        return False  # words follow: it stands in a sentence
    if silent:
        return True
    next_line = start_line + 1
    if closed < 0:
        next_line = _find_formula_last_line(state, closer, start_line, end_line) + 1
    token = state.push("formula_block", "", 0)
    token.content = state.getLines(start_line, next_line, state.sCount[start_line], False)
    token.map = [start_line, next_line]
    state.line = next_line
    return True


def _find_formula_last_line(state: StateBlock, closer: str, start_line: int, end_line: int) -> int:
    """The line that ends it, or, where none does, the last before an empty one."""
    is_closed = _find_closer(state, closer, state.eMarks[start_line], len(state.src)) >= 0
    paragraph_end = -1
    for line in range(start_line + 1, min(end_line, start_line + _FORMULA_LINES_MAX)):
        at, line_end = state.bMarks[line] + state.tShift[line], state.eMarks[line]
        if at >= line_end:
            paragraph_end = line - 1 if paragraph_end < 0 else paragraph_end
            if not is_closed:
                break
            continue
        if state.sCount[line] < state.blkIndent:
            paragraph_end = line - 1 if paragraph_end < 0 else paragraph_end
            break
        if is_closed and state.src.find(closer, at, line_end) >= 0:
            return line
    if paragraph_end >= 0:
        return paragraph_end
    return min(end_line, start_line + _FORMULA_LINES_MAX) - 1
