"""Links, formulas, emphasis in Chinese, code and tables are shown as a model wrote them."""

from __future__ import annotations

import re

import pytest
import regex

from bots.chat.types import Card
from bots.discord.streaming import STYLE as DISCORD
from bots.render.entity_style import EntityStyle, FormattedText
from bots.render.markdown import parse_markdown
from bots.render.markdown_style import MarkdownStyle
from bots.render.pieces import fit_progress, split_answer, split_card
from bots.telegram.streaming import STYLE as TELEGRAM
from tests.bots.render.discord_reader import read_message


def on_telegram(text: str) -> FormattedText:
    (piece,) = split_answer(text, TELEGRAM)
    return TELEGRAM.render_piece(piece)


def on_discord(text: str) -> str:
    (piece,) = split_answer(text, DISCORD)
    return DISCORD.render_piece(piece)


def bold_parts(shown: FormattedText) -> list[str]:
    units = shown.text.encode("utf-16-le")
    return [
        units[2 * each.offset : 2 * (each.offset + each.length)].decode("utf-16-le")
        for each in shown.entities
        if each.kind == "bold"
    ]


ADDRESSES = [
    "https://docs.python.org/3/library/re.html",
    "https://en.wikipedia.org/wiki/Foo_(bar)",
    "https://x.example/a_b_c?d=1&e=*f*#_g",
    "http://user@x.example:8080/~home/-/+~~x",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "around", ["See {}", "See {}.", "({})", "**{}**", "见{}。", "<{}>", "- {}"]
)
def test_an_address_stays_a_link(address: str, around: str) -> None:
    text = around.format(address)
    assert re.findall(r"<(https?://[^ >]+)>", on_discord(text)) == [address]
    assert address in on_telegram(text).text


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_link_with_a_label_shows_an_address_that_can_be_pressed(address: str) -> None:
    text = f"[the _label_]({address}), then"
    assert on_discord(text) == f"the *label* \\(<{address}>\\), then"
    assert on_telegram(text).text == f"the label ({address}), then"


def test_an_address_whose_end_is_open_is_written_so_that_it_ends() -> None:
    assert on_discord("[x](<https://x.example/a_(b>)") == "x \\(<https://x.example/a_%28b>\\)"


def test_a_card_keeps_its_addresses() -> None:
    card = Card("Pay", ("Open https://x.example/pay_me_(now)?a=1.",))
    (piece,) = split_card(card, DISCORD)
    assert "Open <https://x.example/pay_me_(now)?a=1>." in DISCORD.render_piece(piece)


FORMULAS = [
    r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}",
    r"\( \{x \mid x > 0\} \)",
    r"\(a*b*c\)",
    r"$P(A\,|\,B) = 50\%$",
    r"$a_1*b*c_2$",
    r"$$\{a\} \\ *b*$$",
    "\\[\na\n- b\n\\]",
    "\\[\na\n\n# b\n\\]",
    "$$\na\n= b\n$$",
    "\\begin{align}\na &= b \\\\\n- c\n1. d\n\\end{align}",
]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("around", ["{}", "before\n\n{}\n\nafter", "so {} holds", "设{}为"])
def test_a_formula_is_shown_as_written(formula: str, around: str) -> None:
    if "\n" in formula:
        around = around if around == "{}" else "before\n\n{}\n\nafter"
    assert formula in on_telegram(around.format(formula)).text
    # Between code's signs nothing is escaped, so it is copied as it was written.
    assert formula in on_discord(around.format(formula))


@pytest.mark.parametrize("formula", [each for each in FORMULAS if "\n\n" not in each])
def test_a_formula_that_grows_is_shown_as_written(formula: str) -> None:
    for end in range(3, len(formula)):
        so_far = formula[:end]
        if so_far[0] == "$" and so_far[1] != "$":
            continue  # a dollar is a price until there is a second one
        shown = TELEGRAM.render_piece(fit_progress(so_far, TELEGRAM)).text
        if so_far.startswith("\\begin") and "}" not in so_far:
            continue
        assert shown.strip() == so_far.strip(), so_far


@pytest.mark.parametrize(
    "text", ["It costs $5 (was $10).", "US$5 and US$6", "from $5-$6", "$5，$6", "**$5** or **$6**"]
)
def test_prices_are_no_formulas(text: str) -> None:
    assert not [each for each in on_telegram(text).entities if each.kind == "code"]


@pytest.mark.parametrize(
    ("text", "bold"),
    [
        ("**注意：**后面", "注意："),
        ("这是**“重点”**的内容", "“重点”"),
        ("他说**「重要」**的事", "「重要」"),
        ("请看**（一）**这里", "（一）"),
        ("**重要**です", "重要"),
        ("**注意：**Python 3", "注意："),
        ("调用**（f）**x", "（f）"),
        ("이것은 **'강조'**입니다", "'강조'"),
    ],
)
def test_emphasis_works_beside_chinese_japanese_and_korean(text: str, bold: str) -> None:
    shown = on_telegram(text)
    assert bold_parts(shown) == [bold]
    assert shown.text == text.replace("**", "")


@pytest.mark.parametrize("sign", ["🇩🇪", "ที่", "\u1112\u1161\u11ab", "नि", "தி", "שָ", "👩🏽‍🚀"])
def test_no_grapheme_cluster_is_cut(sign: str) -> None:
    text = "x" + sign * 1_500
    whole = set(regex.findall(r"\X", text))
    for style in (EntityStyle(301), MarkdownStyle(301)):
        for piece in split_answer(text, style):
            assert set(regex.findall(r"\X", "".join(block.text for block in piece))) <= whole
        newest = "".join(block.text for block in fit_progress(text * 3, style)).removeprefix("…")
        assert set(regex.findall(r"\X", newest)) <= whole


def test_steps_that_begin_with_code_keep_their_numbers() -> None:
    text = "1. ```sh\n   ls\n   ```\n2. ```sh\n   pwd\n   ```"
    assert on_telegram(text).text == "1.\nls\n2.\npwd"
    assert on_discord(text) == "1.\n```sh\nls\n```\n2.\n```sh\npwd\n```"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Run `` echo `date` ``", "Run ``echo `date` ``"),
        ("Use `` a`b ``", "Use ``a`b``"),
        ("Use ` a``b `", "Use `a``b`"),
        ("Use ```` ``` ````", "Use \\`\\`\\`"),
    ],
)
def test_a_backtick_in_code_is_a_backtick(text: str, shown: str) -> None:
    assert on_discord(text) == shown


def test_a_fence_in_code_is_a_fence() -> None:
    text = "````md\n# A\n```py\nx = 1\n```\nend\n````"
    assert on_discord(text) == (
        "```md\n# A\n```\n\\`\\`\\`py\n```md\nx = 1\n```\n\\`\\`\\`\n```md\nend\n```"
    )


def test_a_bar_of_a_formula_or_of_code_ends_no_cell() -> None:
    source = (
        "| $|x|$ | meaning |\n|---|---|\n| `a|b` | $P(A|B)$ |\n| $5 | $6 |\n"
        "| \\(|y|\\) | a | b |\n\n> | a | b |\n> |---|---|\n> | $|x|$ | 1 |"
    )
    blocks = parse_markdown(source)
    rows = [" ".join(line.split()) for line in blocks[0].text.split("\n")]
    assert rows == [
        "$|x|$ meaning",
        "─────── ────────",
        "a|b $P(A|B)$",
        "$5 $6",
        "\\(|y|\\) a | b",
    ]
    assert "$|x|$  1" in blocks[1].text


@pytest.mark.parametrize("code", ["a ``` b", "```", "x ` y `` z", "`` ` ``", "f(```)"])
def test_code_in_a_line_that_no_backticks_can_hold_is_read_as_it_was(code: str) -> None:
    ticks = "`" * 5
    (piece,) = split_answer(f"before {ticks} {code} {ticks} after", DISCORD)
    read = read_message(DISCORD.render_piece(piece))
    assert read.text == f"before {code} after"
    assert read.acting == []
    assert [part for part in read.codes if "```" in part] == []


def test_a_line_break_in_a_table_is_one() -> None:
    text = "| a | b |\n|---|---|\n| x<br>y | `c\\|d` |\n| 1 <br/> 2 | 3 |"
    assert on_telegram(text).text == "a  b\n─  ───\nx  c|d\ny\n1  3\n2"


def test_a_cell_without_a_column_is_not_lost() -> None:
    text = "| a | b |\n|---|---|\n| 1 | 2 | **3** | 4 |"
    assert on_telegram(text).text == "a  b\n─  ─────────\n1  2 | 3 | 4"


@pytest.mark.slow
def test_formatting_is_left_out_before_messages_multiply() -> None:
    glossary = "\n".join(f"**word {n}**: `code` and *more* of it" for n in range(400))
    pieces = split_answer(glossary, TELEGRAM)
    plain = "\n".join(f"word {n}: code and more of it" for n in range(400))
    assert len(pieces) == -(-len(plain) // 4_000)
    assert all(len(TELEGRAM.render_piece(piece).entities) <= 100 for piece in pieces)
    assert len(split_answer("**a** " * 12_000, TELEGRAM)) == 6


def test_names_are_no_mentions_however_many_they_are() -> None:
    (piece,) = split_answer(" ".join(f"@name{n}" for n in range(150)), TELEGRAM)
    shown = TELEGRAM.render_piece(piece)
    assert len(shown.entities) == 100
    assert shown.text.count("@") == 100
    assert shown.text.count("＠") == 50
