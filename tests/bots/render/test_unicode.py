"""Any characters at all, half pairs and unassigned ones too, in answers, answers that grow and
cards, on both platforms: they fit, no letter is lost or out of order, no fence stays open."""

from __future__ import annotations

import re
import unicodedata

from hypothesis import given, settings, strategies as st

from bots.chat.types import Card
from bots.discord.streaming import STYLE as DISCORD
from bots.render.entity_style import EntityStyle
from bots.render.markdown_style import MarkdownStyle
from bots.render.pieces import fit_progress, split_answer, split_card
from bots.render.plain_text import clean_text, to_one_line, utf16_len
from bots.telegram.streaming import STYLE as TELEGRAM
from tests.support.size import size

LIMIT = 120
#: Every code point is as likely as its category; surrogates are among them.
ANY = st.characters(exclude_categories=())
#: Right to left, joined, wide, with marks, of several code points; direction marks; half pairs.
SCRIPTS = st.sampled_from(
    [
        *"שלוםمرحباनमस्ते漢字かな한글ไทยабв\u202e\u2067\u200f\ud83d\udc4d",
        "👩\u200d💻",
        "🇩🇪",
        "👍🏽",
        "e\u0301",
    ]
)
MARKS = st.sampled_from([*"*_`~#>|@-+.:\\\n ", "**", "```\n", "\n\n", "\n```py\n", "1. "])
TEXT = st.lists(st.one_of(ANY, SCRIPTS, MARKS), max_size=600).map("".join)
LINES = st.lists(st.one_of(ANY, SCRIPTS, st.just(" ")), max_size=200).map("".join)


def letters(text: str) -> str:
    """What is read, whatever the marks around it."""
    return "".join(each for each in text if unicodedata.category(each)[0] == "L")


#: Where a fence opens, in lists and quotes too.
FENCE = re.compile(r"^[-+*>\d. ]*(`{3,}|~{3,}).*$", re.MULTILINE)


def spoken(text: str) -> str:
    """The letters of a text, but those that name a fence's language."""
    return letters(FENCE.sub("", clean_text(text)))


def assert_fits(style: MarkdownStyle | EntityStyle, limit: int, rendered: list[object]) -> str:
    """Each message fits and can be encoded; gives all that is read."""
    texts = [each if isinstance(each, str) else each.text for each in rendered]  # type: ignore[attr-defined]
    for text in texts:
        assert 0 < utf16_len(text) <= limit
        text.encode()
        if isinstance(style, MarkdownStyle):
            fences = re.findall(r"^```", text, re.MULTILINE)
            assert len(fences) % 2 == 0
            assert len(fences) == text.count("```")
    return "\n".join(texts)


@settings(max_examples=size(small=150, full=5_000))
@given(TEXT, st.integers(1, 20))
def test_an_answer_loses_no_letter(text: str, times: int) -> None:
    text *= times
    for style in (MarkdownStyle(LIMIT), EntityStyle(LIMIT, entities_max=5)):
        pieces = split_answer(text, style, footer="◈")
        read = letters(assert_fits(style, LIMIT, [style.render_piece(piece) for piece in pieces]))
        every = iter(read)
        assert all(letter in every for letter in spoken(text)), "in their order"


@settings(max_examples=size(small=50, full=1_000))
@given(TEXT, st.integers(1, 40))
def test_an_answer_that_grows_is_one_message(text: str, times: int) -> None:
    for style, limit in ((DISCORD, 2_000), (TELEGRAM, 4_096)):
        assert_fits(
            style, limit, [style.render_piece(fit_progress(text * times, style, note=text))]
        )


@settings(max_examples=size(small=100, full=2_000))
@given(LINES, st.lists(LINES, max_size=8), st.lists(st.lists(LINES, max_size=3), max_size=3))
def test_a_card_loses_no_letter(title: str, lines: list[str], rows: list[list[str]]) -> None:
    screen = Card(title, tuple(lines), tuple(tuple(row) for row in rows))
    wanted = letters(
        to_one_line(title) + "".join(map(to_one_line, [c for row in rows for c in row]))
    )
    wanted += "".join(letters(clean_text(line)) for line in lines)
    for style in (MarkdownStyle(LIMIT), EntityStyle(LIMIT, entities_max=5)):
        pieces = split_card(screen, style)
        read = assert_fits(style, LIMIT, [style.render_piece(piece) for piece in pieces])
        assert letters(read) == wanted
