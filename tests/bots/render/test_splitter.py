"""Random Markdown in every script: nothing is lost, everything fits, no fence stays open."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings, strategies as st

from bots.render.entity_style import EntityStyle, FormattedText, TextEntity
from bots.render.markdown_style import MarkdownStyle
from bots.render.pieces import fit_progress, split_answer
from bots.render.plain_text import FOOTER_MARK, clean_text, utf16_len
from tests.support.size import size

LIMIT = 300
TELEGRAM = EntityStyle(LIMIT, entities_max=12)
MARKDOWN = MarkdownStyle(LIMIT)

ODD = [
    *(
        "💎",
        "👨‍👩‍👧",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "مرحبا بكم",
        "中文字",
        "\u202e",
        "\u200b",
        "\ud83d",
        "\x00",
        "é",
        "👍🏽",
    ),
    *("◈ GPT-4", "— 8 Credits", "@someone", "&amp;", "<b>", "\\(x\\)", "\\", "***", "`", "~~"),
    *("_", "[", "](", "|", "  \n", "\t", ">", "#", "\r\n", "1. ", "- ", "```", "~~~py"),
]
SHAPES = [
    *("{}", "**{}**", "*{}*", "~~{}~~", "`{}`", "[{}](https://x.example/p)", "# {}", "- {}"),
    *("> {}", "1. {}\n2. {}", "- a\n  - {}\n\n    {}", "```py\n{}\n\n{}\n```", "```\n{}"),
    *("| {} | b |\n|-|-|", "{} {} {}", "***{} `{}`***", "![{}](x.png)", "    {}"),
    *("[{}]: /x 'y'", "<{}@x.example>"),
]
LONG = ["x" * 700, "ab " * 200, "y\n" * 250, "👨‍👩‍👧" * 60]


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text, and the words in it that must be shown, in their order."""
    parts, words = [], list[str]()
    for _ in range(draw(st.integers(0, 25))):
        shape = draw(st.sampled_from(SHAPES))
        new = [f"w{len(words) + n}w" for n in range(shape.count("{}"))]
        words += new
        filled = (
            shape.format(*new) if draw(st.booleans()) else shape.replace(" ", "\n").format(*new)
        )
        parts.append(filled + draw(st.sampled_from(ODD)) * draw(st.integers(0, 3)))
        if draw(st.integers(0, 9)) == 0:
            parts.append(draw(st.sampled_from(LONG)))
    return draw(st.sampled_from(["\n\n", "\n", " "])).join(parts), words


def words_in(text: str) -> list[str]:
    return re.findall(r"w\d+w", text)


#: What follows a fence's opening is no text: its language is shown by the platform, if at all.
INFO = re.compile(r"(?:```|~~~).*")


def assert_nothing_lost(words: list[str], shown: str, text: str) -> None:
    """Each word once and in order, but those that may be a fence's info."""
    said = words_in(shown)
    assert said == [word for word in words if word in set(said)]
    assert set(words) - set(said) <= set(words_in("\n".join(INFO.findall(text))))


def covered(shown: FormattedText, entity: TextEntity) -> str:
    units = shown.text.encode("utf-16-le")
    return units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le")


MARKED = [f"w{number}w" for number in range(13)]
#: A heading that moves to the next piece, where it leaves no room for what it heads.
HEADED = "# w0w\n" + "\n".join(f"**{word}**" for word in MARKED[1:])


@pytest.mark.slow
@settings(max_examples=size(small=300, full=5000))
@example((HEADED, MARKED))
@given(documents())
def test_pieces_fit_and_lose_nothing(document: tuple[str, list[str]]) -> None:
    text, words = document
    pieces = split_answer(text, TELEGRAM, note="a note", footer="GPT-4 · 8 Credits")
    shown = [TELEGRAM.render_piece(piece) for piece in pieces]
    assert_nothing_lost(words, "\n".join(each.text for each in shown), text)
    for each in shown:
        assert 0 < utf16_len(each.text) <= LIMIT
        assert each.text.strip()
        assert len(each.entities) <= 12
        assert clean_text(each.text) == each.text
        for entity in each.entities:
            assert covered(each, entity).strip()
        codes = [entity for entity in each.entities if entity.kind in ("code", "pre")]
        for code in codes:
            for other in each.entities:
                apart = (
                    other.offset + other.length <= code.offset
                    or code.offset + code.length <= other.offset
                )
                assert other is code or apart or other.kind == "quote"
    lines = "\n".join(each.text for each in shown).split("\n")
    assert [line for line in lines if line.startswith(FOOTER_MARK)] == ["◈ GPT-4 · 8 Credits"]
    assert lines[-1] == "◈ GPT-4 · 8 Credits"


@pytest.mark.slow
@settings(max_examples=size(small=200, full=3000))
@given(documents())
def test_markdown_pieces_close_every_fence(document: tuple[str, list[str]]) -> None:
    text, words = document
    pieces = [MARKDOWN.render_piece(piece) for piece in split_answer(text, MARKDOWN, footer="x")]
    opening = re.compile(r"^```(\S*)\n", re.MULTILINE)
    assert_nothing_lost(words, "\n".join(opening.sub("", piece) for piece in pieces), text)
    for piece in pieces:
        assert utf16_len(piece) <= LIMIT
        assert len(re.findall(r"^```", piece, re.MULTILINE)) % 2 == 0
        assert piece.count("```") == len(re.findall(r"^```", piece, re.MULTILINE))


@pytest.mark.slow
@settings(max_examples=size(small=100, full=1000))
@given(documents(), st.integers(0, 400))
def test_a_growing_answer_is_one_piece_that_fits(document: tuple[str, list[str]], cut: int) -> None:
    text = (document[0] * 8)[: cut * 20]
    shown = TELEGRAM.render_piece(fit_progress(text, TELEGRAM, note="a note"))
    assert 0 < utf16_len(shown.text) <= LIMIT


def test_code_goes_on_in_the_next_piece_in_the_same_language() -> None:
    code = "\n".join(f"line {n}" for n in range(90))
    pieces = split_answer(f"Look:\n```python\n{code}\n```\nDone.", TELEGRAM)
    shown = [TELEGRAM.render_piece(piece) for piece in pieces]
    assert len(shown) == 3
    parts = []
    for each in shown:
        (entity,) = each.entities
        assert (entity.kind, entity.language) == ("pre", "python")
        parts.append(covered(each, entity))
    assert "\n".join(parts) == code
    markdown = [
        MARKDOWN.render_piece(piece) for piece in split_answer(f"```python\n{code}", MARKDOWN)
    ]
    assert all(each.startswith("```python\n") and each.endswith("\n```") for each in markdown)


def test_a_block_that_fits_a_message_is_not_cut() -> None:
    first, second = "a " * 100, "b " * 100
    assert [piece[0].text for piece in split_answer(f"{first}\n\n{second}", TELEGRAM)] == [
        first.strip(),
        second.strip(),
    ]


def test_a_heading_goes_with_what_it_heads() -> None:
    pieces = split_answer("a " * 130 + "\n\n# Head\n\n" + "b " * 100, TELEGRAM)
    assert [[block.text[:4] for block in piece] for piece in pieces] == [["a a "], ["Head", "b b "]]


def test_a_heading_at_the_end_is_shown() -> None:
    (piece,) = split_answer("a\n\n# Head", TELEGRAM)
    assert [block.text for block in piece] == ["a", "Head"]
    assert [block.text for block in fit_progress("a\n\n**Head**", TELEGRAM)] == ["a", "Head"]


def test_families_and_flags_are_not_parted() -> None:
    pieces = split_answer("👨‍👩‍👧" * 100, TELEGRAM)
    assert all(set(TELEGRAM.render_piece(p).text.split("👨‍👩‍👧")) == {""} for p in pieces)


def test_marks_are_left_out_rather_than_take_more_messages() -> None:
    (piece,) = split_answer(" ".join(f"**b{n}** `c{n}`" for n in range(20)), TELEGRAM)
    entities = TELEGRAM.render_piece(piece).entities
    assert [entity.kind for entity in entities] == ["code"] * 12
