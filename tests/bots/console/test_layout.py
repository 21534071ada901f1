"""An answer on a terminal while it grows: what is printed stays as it is, whatever follows."""

from __future__ import annotations

import re

import pytest

from bots.console.layout import fit_table, format_growing, format_markdown

ANSWERS = (
    "One *emphasised sentence that goes on over several lines of the terminal* and more of it.",
    "_All of it is emphasised, over several lines of the terminal, to its very end._",
    "White, and grey.\n\n*I am the sandbox: nothing here came from a real one.*",
    "Some **bold words that go on over the end of a line** and `code that does so, too` here.",
    "2 * 3 * 4 is 24, snake_case_names stay, and * so does a lonely star * in a long sentence.",
    "* an item with *emphasis in it that is quite long* and more words\n* another item, too",
    "| a | b |\n|---|---|\n| a cell | another cell |\n\nAnd what *follows it* is text again.",
)


@pytest.mark.parametrize("columns", [20, 40])
@pytest.mark.parametrize("answer", ANSWERS)
def test_what_is_printed_stays(answer: str, columns: int) -> None:
    whole = format_markdown(answer, columns)
    for end in range(len(answer) + 1):
        shown = format_growing(answer[:end], columns)
        assert shown == whole[: len(shown)], answer[:end]


def test_no_mark_is_left() -> None:
    plain = re.sub(r"\x1b\[\d*m", "", "\n".join(format_markdown(ANSWERS[0], 20)))
    assert "*" not in plain


def test_a_table_with_a_word_that_is_too_long_becomes_lines() -> None:
    """An id of thirty signs stands below what it belongs to, and is copied whole."""
    rows = [("02:33", "$132.19", "paid", "out_" + "x" * 26), ("02:34", "$1.00", "rejected", "–")]
    assert len(fit_table(rows, 60)) == 2, "where there is room it is a table"
    assert fit_table(rows, 50) == [
        "02:33  $132.19  paid",
        "  out_" + "x" * 26,
        "02:34  $1.00  rejected  –",
    ]
