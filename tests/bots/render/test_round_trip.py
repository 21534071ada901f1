"""What a model writes, as each platform shows it, read back by a reader that knows nothing of what
wrote it: the same text, the same links, the same code."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings, strategies as st

from bots.discord.streaming import STYLE as DISCORD
from bots.render.pieces import split_answer
from bots.telegram.streaming import STYLE as TELEGRAM
from tests.bots.render.discord_reader import read_message
from tests.size import size


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
    signs = "`" if "`" not in code else "``"
    return Written(f"{signs}{code}{signs}", code, codes=[code])


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
    ]
).map(plain)
LINKS = st.sampled_from(
    [
        "https://x.example/a_b_(c)",
        "https://docs.python.org/3/library/re.html#re.sub",
        "http://x.example/?a=*b*&c=~~d",
    ]
)
CODES = st.sampled_from(["a_b", "f(*args)", "echo `date` now", "x**y**z", "a\\b", "<@1>"]).map(
    coded
)
FORMULAS = st.sampled_from(
    [r"\(a*b*c_1_2\)", r"$x_1*y_2*z$", r"\[ \{x \mid x\} \\ y \]", r"$$50\%$$"]
).map(formula)
SIGNS = st.sampled_from(["**", "*", "~~"])
INLINE = st.one_of(
    WORDS,
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
BLOCKS = st.one_of(
    PARAGRAPHS,
    FENCED.map(lambda code: Written(f"```python\n{code}\n```", code, codes=[code])),
    DISPLAYS.map(formula),
)


@settings(max_examples=size(small=200, full=5_000), deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=6))
def test_what_is_read_is_what_was_written(blocks: list[Written]) -> None:
    source = "\n\n".join(block.source for block in blocks)
    text = "".join("".join(block.text.split()) for block in blocks)
    links = [each for block in blocks for each in block.links]
    codes = [each for block in blocks for each in block.codes]

    read = [read_message(DISCORD.render_piece(piece)) for piece in split_answer(source, DISCORD)]
    assert "".join("".join(each.text.split()) for each in read) == text
    assert [each for message in read for each in message.links] == links
    assert [each for message in read for each in message.codes] == codes
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
