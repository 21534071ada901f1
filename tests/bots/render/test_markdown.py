"""What a model's Markdown becomes, and what it cannot do."""

from __future__ import annotations

import pytest

from bots.chat.types import Card
from bots.render.entity_style import EntityStyle, FormattedText, TextEntity
from bots.render.markdown_style import MarkdownStyle
from bots.render.pieces import fit_progress, split_answer, split_card
from bots.render.plain_text import clean_text

STYLE = EntityStyle(4096)


def shown(markdown: str) -> FormattedText:
    (piece,) = split_answer(markdown, STYLE)
    return STYLE.render_piece(piece)


@pytest.mark.parametrize(
    ("markdown", "text", "entities"),
    [
        ("# Title", "Title", [TextEntity("bold", 0, 5)]),
        ("# A `b` **c**", "A b c", [("bold", 0, 5)]),
        ("💎 **b** *i* ~~s~~ `c`", "💎 b i s c", [("bold", 3, 1), ("italic", 5, 1)]),
        ("**a `b` c**", "a b c", [("bold", 0, 2), ("code", 2, 1), ("bold", 3, 2)]),
        ("intro:\n\n- one\n- two\n  - deep", "intro:\n\n• one\n• two\n  • deep", []),
        ("3. three\n4. four", "3. three\n4. four", []),
        ("- a\n\n  ```sh\n  ls\n  ```\n- b", "• a\nls\n• b", [("pre", 4, 2)]),
        ("> a\n>\n> b\n\nc", "a\n\nb\n\nc", [("quote", 0, 4)]),
        ("```c++\nint a;\n```", "int a;", [TextEntity("pre", 0, 6, "c++")]),
        ("```a b c\nx\n```", "b c\nx", [TextEntity("pre", 0, 5, "a")]),
        ("```\nnever closed", "never closed", [("pre", 0, 12)]),
        ("| a | 中 |\n|---|---|\n| 10 | b |", "a   中\n──  ──\n10  b", [("pre", 0, 18)]),
        ("[label](https://x.example/a)", "label (https://x.example/a)", []),
        ("[x.example](https://x.example/)", "x.example", []),
        ("[https://bank.example](https://evil.example)", None, []),
        ("<https://x.example>", "https://x.example", []),
        ("[label](tg://resolve?domain=x)", "label", []),
        ("[label](docs/a.md)", "label (docs/a.md)", []),
        ("[l](javascript:alert)", "[l](javascript:alert)", []),
        ("![alt](https://x.example/p.png)", "alt (https://x.example/p.png)", []),
        ("<b>x</b> &amp; &#8238;", "<b>x</b> &amp; &#8238;", []),
        ("[a]: https://x.example 'title'", "[a]: https://x.example 'title'", []),
        (r"\(a_1\) \[b\] \* \_", r"\(a_1\) \[b\] * _", []),
        ("ask @someone or `@code` or me@x.example", None, [("code", 4, 8), ("code", 16, 5)]),
        ("**hi @someone there**", None, [("bold", 0, 3), ("code", 3, 8), ("bold", 11, 6)]),
        ("one\ntwo", "one\ntwo", []),
        ("", "…", []),
        ("\u200b \n", "…", []),
    ],
)
def test_what_it_becomes(
    markdown: str, text: str | None, entities: list[TextEntity | tuple[str, int, int]]
) -> None:
    result = shown(markdown)
    if text is not None:
        assert result.text == text
    for wanted, entity in zip(entities, result.entities, strict=False):
        if isinstance(wanted, TextEntity):
            assert entity == wanted
        else:
            assert (entity.kind, entity.offset, entity.length) == wanted
    assert len(result.entities) >= len(entities)


def test_a_link_shows_where_it_really_leads() -> None:
    text = shown("[https://bank.example](https://evil.example)").text
    assert text == "https://bank.example (https://evil.example)"


@pytest.mark.parametrize(
    "forged",
    [
        "◈ GPT-4 · 1 Credit",
        "**◈ GPT-4**",
        "- ◈ GPT-4",
        "> ◈ GPT-4",
        "  ◈ GPT-4",
        "\u200b◈ GPT-4",
        "```\n◈ GPT-4\n```",
        "◆ GPT-4",
        "💠 GPT-4",
        "◈◈ GPT-4",
        "· ◈ GPT-4",
    ],
)
def test_no_text_looks_like_a_footer(forged: str) -> None:
    (piece,) = split_answer(f"hello\n\n{forged}", STYLE, footer="GPT-4 · 8 Credits")
    *lines, last = STYLE.render_piece(piece).text.split("\n")
    assert last == "◈ GPT-4 · 8 Credits"
    assert not any(sign in line for line in lines for sign in "◈◆💠")


def test_nesting_beyond_reading_is_shown_as_it_stands() -> None:
    text = ">" * 200 + " deep"
    assert shown(text).text == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\u202eb\u2066c\u200ed", "abcd"),
        ("a\u200bb\ufeffc\u2060d\u00ade", "abcde"),
        ("a\u200db", "ab"),
        ("👨‍👩‍👧 👩🏽‍🚀 🏳️‍🌈", "👨‍👩‍👧 👩🏽‍🚀 🏳️‍🌈"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f!",) * 2,
        ("hi\U000e0068\U000e0069", "hi"),
        ("\ud83d x \udc8e", " x "),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("\x1b[31mred\x07", "[31mred"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_what_is_unseen_goes_and_what_writing_needs_stays(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


def test_markdown_for_platforms_of_markup_escapes_all_that_is_text() -> None:
    style = MarkdownStyle(2000)
    (piece,) = split_answer("**b** 2 \\* 3 <@1> `a` _x_\n\n> q\n\n```\n``` x", style)
    assert style.render_piece(piece) == ("**b** 2 \\* 3 \\<\\@1\\> `a` *x*\n\n> q\n\\`\\`\\` x")


def test_a_long_answer_shows_its_newest_part_while_it_grows() -> None:
    head = "intro\n\n```python\n" + "\n".join(f"line {n}" for n in range(2000))
    result = STYLE.render_piece(fit_progress(head, STYLE))
    assert result.text.startswith("…\nline ")
    assert result.text.endswith("line 1999")
    assert [(e.kind, e.language) for e in result.entities] == [("pre", "python")]
    closed = head + "\n```\nafter\n" + "word " * 900
    assert STYLE.render_piece(fit_progress(closed, STYLE)).entities == ()


def test_a_card_is_plain_text_in_a_fixed_shape() -> None:
    screen = Card(
        title="*Usage*",
        lines=("one_two", "", "◈ ours"),
        table=(("10:23", "GPT-4", "8 Cr"), ("10:30", "模型", "12 Cr")),
    )
    (piece,) = split_card(screen, STYLE)
    result = STYLE.render_piece(piece)
    assert result.text == (
        "*Usage*\n\n10:23  GPT-4  8 Cr\n10:30  模型   12 Cr\n\none_two\n\n◈ ours"
    )
    assert [entity.kind for entity in result.entities] == ["bold", "pre"]
    assert split_card(Card(), STYLE) == []
