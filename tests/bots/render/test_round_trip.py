"""What a model writes, as each platform shows it, read back by a reader that knows nothing of what
wrote it: the same text, the same links, the same code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings, strategies as st

from bots.discord.streaming import STYLE as DISCORD
from bots.render.pieces import split_answer
from bots.telegram.streaming import STYLE as TELEGRAM
from tests.bots.render.discord_reader import read_message
from tests.support.size import size


@dataclass
class Written:
    """Markdown, and what a reader is to see of it."""

    source: str
    text: str
    links: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)


def plain(text: str) -> Written:
    return Written(text, text)


def linked(address: str) -> Written:
    return Written(address, address, links=[address])


def labelled(address: str) -> Written:
    return Written(f"[label]({address})", f"label ({address})", links=[address])


def coded(code: str) -> Written:
    longest = max(map(len, re.findall("`+", code)), default=0)
    signs = "`" * (longest + 1)
    space = " " if code.startswith("`") or code.endswith("`") else ""
    return Written(f"{signs}{space}{code}{space}{signs}", code, codes=[code])


def formula(text: str) -> Written:
    return Written(text, text, codes=[text])


def marked(sign: str, inside: Written) -> Written:
    return Written(f"{sign}{inside.source}{sign}", inside.text, inside.links, inside.codes)


WORDS = st.sampled_from(
    [
        "word",
        "中文字",
        "注意：",
        "“重点”",
        "「引用」",
        "مرحبا",
        "שלום",
        "हिन्दी",
        "👩🏽‍🚀",
        "🇩🇪🇫🇷",
        "2 > 1",
        "a@b",
        "50%",
        "5 < 6",
        "C:\\dir",
        "a_b_c",
        "price $5",
        "ไทย",
        "e\u0301",
        "&amp;",
        "#tag",
        "x|y",
        "<b>",
    ]
).map(plain)
LINKS = st.sampled_from(
    [
        "https://x.example/a_b_(c)",
        "https://docs.python.org/3/library/re.html#re.sub",
        "http://x.example/?a=*b*&c=~~d",
        "https://例え.example/路径?q=中文",
        "https://x.example/__init__.py#L1-L2",
    ]
)
CODES = st.sampled_from(
    [
        *("a_b", "f(*args)", "echo `date` now", "x**y**z", "a\\b", "<@1>", "\\", "a|b", "中文"),
        *("`", "``", "a `` b", "x\\`", "$x$", "https://x.example/a_b", "||", "- a"),
    ]
).map(coded)
#: Discord has no sign for code that holds these: they stand as text, and what is around them as
#: code.
FENCES_IN_LINE = st.sampled_from(["a ``` b", "```", "x ` y `` z", "`` ` ``", "f(```)"]).map(coded)
FORMULAS = st.sampled_from(
    [r"\(a*b*c_1_2\)", r"$x_1*y_2*z$", r"\[ \{x \mid x\} \\ y \]", r"$$50\%$$"]
).map(formula)
SIGNS = st.sampled_from(["**", "*", "~~"])
INLINE = st.one_of(
    WORDS,
    FENCES_IN_LINE,
    LINKS.map(linked),
    LINKS.map(labelled),
    CODES,
    FORMULAS,
    st.builds(marked, SIGNS, st.one_of(WORDS, CODES)),
)
FENCED = st.sampled_from(
    ["x = 1\n\n    y = '`'", "ls *.py  # https\\", "\\begin{a}\n- b\n\\end{a}", "中文 = **1**"]
)
DISPLAYS = st.sampled_from(
    [
        "\\[\na *b* \\\\\n- c\n\\]",
        "$$\nx_1\n= y_1\n$$",
        "\\begin{align}\n1. a &= b \\\\\n\\end{align}",
    ]
)


def line(parts: list[Written]) -> Written:
    return Written(
        " ".join(part.source for part in parts),
        " ".join(part.text for part in parts),
        [each for part in parts for each in part.links],
        [each for part in parts for each in part.codes],
    )


PARAGRAPHS = st.lists(INLINE, min_size=1, max_size=6).map(line)


def items(lines: list[Written], sign: str) -> Written:
    """A list, of dots or of numbers from 7 on."""
    signs = [sign if sign == "-" else f"{number}." for number, _ in enumerate(lines, 7)]
    shown = ["•" if each == "-" else each for each in signs]
    pairs = list(zip(signs, lines, strict=True))
    return Written(
        "\n".join(f"{each} {one.source}" for each, one in pairs),
        " ".join(f"{each} {one.text}" for each, one in zip(shown, lines, strict=True)),
        line(lines).links,
        line(lines).codes,
    )


def prefixed(sign: str, one: Written) -> Written:
    return Written(f"{sign} {one.source}", one.text, one.links, one.codes)


BLOCKS = st.one_of(
    PARAGRAPHS,
    st.builds(items, st.lists(PARAGRAPHS, min_size=1, max_size=3), st.sampled_from(["-", "1."])),
    st.builds(prefixed, st.just(">"), PARAGRAPHS),
    FENCED.map(lambda code: Written(f"```python\n{code}\n```", code, codes=[code])),
    DISPLAYS.map(formula),
)


def apart(blocks: list[Written]) -> list[Written]:
    """Two lists of a kind, one after the other, would be one."""
    return [part for block in blocks for part in (block, plain("word"))]


def parts_on_discord(code: str) -> list[str]:
    """What is code there of a code in a line that is between backticks of no number."""
    runs = set(map(len, re.findall("`+", code)))
    if "\n" in code or (max(runs, default=0) < 3 and runs != {1, 2}):
        return [code]
    return [part for part in re.split("`+", code) if part.strip()]


@pytest.mark.slow
@settings(max_examples=size(small=100, full=5_000))
@given(st.lists(BLOCKS, min_size=1, max_size=6).map(apart))
def test_what_is_read_is_what_was_written(blocks: list[Written]) -> None:
    source = "\n\n".join(block.source for block in blocks)
    text = "".join("".join(block.text.split()) for block in blocks)
    links = [each for block in blocks for each in block.links]
    codes = [each for block in blocks for each in block.codes]
    on_discord = [part for code in codes for part in parts_on_discord(code)]

    read = [read_message(DISCORD.render_piece(piece)) for piece in split_answer(source, DISCORD)]
    assert "".join("".join(each.text.split()) for each in read) == text
    assert [each for message in read for each in message.links] == links
    assert [each for message in read for each in message.codes] == on_discord
    assert not [each for message in read for each in message.acting]

    shown = [TELEGRAM.render_piece(piece) for piece in split_answer(source, TELEGRAM)]
    assert "".join("".join(each.text.split()) for each in shown) == text
    assert all(address in "".join(each.text for each in shown) for address in links)
    seen = []
    for each in shown:
        units = each.text.encode("utf-16-le")
        seen += [
            units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le")
            for entity in each.entities
            if entity.kind in ("code", "pre")
        ]
    assert seen == codes


CELLS = st.one_of(
    WORDS.filter(lambda word: "|" not in word.text),
    LINKS.map(linked),
    CODES.filter(lambda code: not code.text.endswith("\\")),
    FORMULAS,
    st.sampled_from(["$|x|$", "$P(A | B)$", r"\(|y|\)", "$$|z|$$"]).map(formula),
    st.builds(marked, SIGNS, WORDS.filter(lambda word: "|" not in word.text)),
)


@settings(max_examples=size(small=40, full=5_000))
@given(
    st.integers(1, 4).flatmap(
        lambda columns: st.lists(
            st.lists(CELLS, min_size=columns, max_size=columns), min_size=1, max_size=5
        )
    )
)
def test_a_tables_rows_hold_what_was_written_in_them(rows: list[list[Written]]) -> None:
    lines = ["| " + " | ".join(cell.source for cell in row) + " |" for row in rows]
    source = "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
    for style in (TELEGRAM, DISCORD):
        shown = [style.render_piece(piece) for piece in split_answer(source, style)]
        texts = [one if isinstance(one, str) else one.text for one in shown]
        read = [line for text in texts for line in text.replace("```", "").split("\n")]
        seen = ["".join(line.split()) for line in read if line.strip(" ─")]
        if not any("```" in cell.text for row in rows for cell in row):
            assert seen == ["".join("".join(cell.text.split()) for cell in row) for row in rows]
