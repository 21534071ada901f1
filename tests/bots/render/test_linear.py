"""What a model writes costs time in proportion to its length, whatever it is made of."""

from __future__ import annotations

import sys
import time

import pytest

from bots.discord.streaming import STYLE as DISCORD
from bots.render.pieces import fit_progress, split_answer
from bots.telegram.streaming import STYLE as TELEGRAM
from tests.support.size import size

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.gettrace() is not None, reason="what follows each line costs more than what is measured"
    ),
]

#: Twice the text may take three times as long: twice, and what a busy machine adds.
RATIO_MAX = 3.2
SHORT_CHARS = size(small=4_000, full=8_000)
#: Plain words, of which everything adversarial is allowed some multiple.
WORDS = "some plain words, nothing else. "
#: A frame looks at a bounded part: its cost against that of as many plain words.
FRAME_RATIO_MAX = 60

UNITS = {
    "images": "![",
    "brackets": "[",
    "stars": "*",
    "mixed emphasis": "*a **b ",
    "emphasis": "**a ",
    "strikes": "~~a ",
    "code": "`a``b",
    "code and bold": "`a` **b** ",
    "footer marks": "◈",
    "names": "@abcd ",
    "links": "[a](http://b) ",
    "open formulas": "\\(",
    "open displays": "\\[\n\n",
    "dollars": "$a ",
    "environments": "\\begin{a}",
    "addresses": "https://a_(",
    "bold lines": "**a**\n",
    "list": "* a\n",
    "flags": "🇩🇪",
    "quotes": "> ",
    "fences": "```\n",
    "tables": "| $|a|$ | `|` |\n|---|---|\n",
    "headers of no table": "$|a|$|b\n|---|---|-\n\n",
}


def cpu_seconds(text: str, *, frame: bool) -> float:
    best = float("inf")
    for _ in range(2):
        begun = time.process_time()
        for style in (TELEGRAM, DISCORD):
            pieces = [fit_progress(text, style)] if frame else split_answer(text, style)
            for piece in pieces:
                style.render_piece(piece)
        best = min(best, time.process_time() - begun)
    return best


def repeated(unit: str, chars: int) -> str:
    return (unit * (chars // len(unit) + 1))[:chars]


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS.keys())
def test_twice_the_text_takes_about_twice_the_time(unit: str) -> None:
    short = cpu_seconds(repeated(unit, SHORT_CHARS), frame=False)
    long = cpu_seconds(repeated(unit, 4 * SHORT_CHARS), frame=False)
    # Two doublings; what takes no time at all can't be compared.
    assert long < max(RATIO_MAX**2 * short, 30 * cpu_seconds(WORDS * 1_000, frame=False))


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS.keys())
def test_a_frame_costs_little_more_than_one_of_words(unit: str) -> None:
    words = cpu_seconds(repeated(WORDS, 100_000), frame=True)
    assert cpu_seconds(repeated(unit, 100_000), frame=True) < FRAME_RATIO_MAX * words
