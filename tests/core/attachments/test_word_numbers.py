"""Clauses and items have the numbers that Word shows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core.attachments.document_text import read_document
from core.attachments.word_numbers import Numbering
from tests.support.documents import add_to_docx, edit_part, make_docx

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def _level(at: int, format_: str, pattern: str, more: str = "", start: int = 1) -> str:
    return (
        f'<w:lvl w:ilvl="{at}"><w:start w:val="{start}"/><w:numFmt w:val="{format_}"/>{more}'
        f'<w:lvlText w:val="{pattern}"/></w:lvl>'
    )


_CLAUSES = "".join(
    (
        _level(0, "decimal", "%1."),
        _level(1, "decimal", "%1.%2"),
        _level(2, "lowerLetter", "(%3)"),
        _level(3, "upperRoman", "%4"),
        _level(4, "decimal", "%1.%4.%5", "<w:isLgl/>"),
    )
)
_BULLETS = _level(0, "bullet", "\uf0b7")
_OTHERS = "".join(
    (_level(0, "decimalZero", "No. %1", start=9), _level(1, "chineseCounting", "%2、"))
)


def _num(id_: int, definition: int, more: str = "") -> str:
    return f'<w:num w:numId="{id_}"><w:abstractNumId w:val="{definition}"/>{more}</w:num>'


def _restart(at: int, start: int) -> str:
    return f'<w:lvlOverride w:ilvl="{at}"><w:startOverride w:val="{start}"/></w:lvlOverride>'


_NUMBERING = (
    f'<w:numbering xmlns:w="{_W}">'
    + "".join(
        f'<w:abstractNum w:abstractNumId="{at}">{levels}</w:abstractNum>'
        for at, levels in enumerate((_CLAUSES, _BULLETS, _OTHERS))
    )
    + _num(1, 0)
    + _num(2, 0)
    + _num(3, 0, _restart(0, 1))
    + _num(4, 1)
    + _num(5, 2)
    + _num(6, 99)
    + "</w:numbering>"
)
_STYLES = (
    f'<w:styles xmlns:w="{_W}">'
    '<w:style w:styleId="Heading1"><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr>'
    '</w:style><w:style w:styleId="Heading2"><w:basedOn w:val="Heading1"/>'
    '<w:pPr><w:numPr><w:ilvl w:val="1"/></w:numPr></w:pPr></w:style>'
    '<w:style w:styleId="Around"><w:basedOn w:val="Around"/></w:style></w:styles>'
)


def _in_list(list_: int, level: int = 0) -> str:
    return f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{list_}"/></w:numPr>'


def _style(name: str, more: str = "") -> str:
    return f'<w:pStyle w:val="{name}"/>{more}'


def _read(properties: Sequence[str]) -> list[str]:
    """What stands before the word in paragraphs with these properties."""
    paragraphs = "".join(
        f"<w:p><w:pPr>{one}</w:pPr><w:r><w:t>word</w:t></w:r></w:p>" for one in properties
    )
    content = add_to_docx(make_docx([]), paragraphs)
    content = edit_part(content, "word/numbering.xml", lambda old: _NUMBERING.encode())
    content = edit_part(content, "word/styles.xml", lambda old: _STYLES.encode())
    lines = read_document(content).text.split("\n")
    return [line.removesuffix("word").rstrip() for line in lines]


@pytest.mark.parametrize(
    ("properties", "numbers"),
    [
        (
            [_in_list(1), _in_list(1, 1), _in_list(1, 1), _in_list(1, 2), _in_list(1, 2)],
            ["1.", "1.1", "1.2", "(a)", "(b)"],
        ),
        # What is deeper begins anew below each item, and one that is left out counts as the first.
        (
            [_in_list(1), _in_list(1, 1), _in_list(1), _in_list(1, 1), _in_list(1, 3)],
            ["1.", "1.1", "2.", "2.1", "I"],
        ),
        ([_in_list(1), _in_list(1, 3), _in_list(1, 4)], ["1.", "I", "1.1.1"]),
        # Two lists of one definition count on, one that is to begin anew does so once.
        ([_in_list(1), "", _in_list(2), _in_list(3), _in_list(3)], ["1.", "", "2.", "1.", "2."]),
        ([_in_list(4), _in_list(4)], ["•", "•"]),
        ([_in_list(5), _in_list(5), _in_list(5, 1)], ["No. 09", "No. 10", "1、"]),
        (
            [_style("Heading1"), _style("Heading2"), _style("Heading2"), _style("Heading1")],
            ["1.", "1.1", "1.2", "2."],
        ),
        # A paragraph may leave its style's list.
        ([_style("Heading1", _in_list(0)), _style("Heading1")], ["", "1."]),
        ([_in_list(6), _in_list(77), _in_list(1, 8), _style("Around"), _style("None")], [""] * 5),
    ],
)
def test_numbers_are_counted_as_word_does(properties: list[str], numbers: list[str]) -> None:
    assert _read(properties) == numbers


def test_letters_and_roman_numbers_go_on() -> None:
    items = [_in_list(1, 2)] * 54
    assert [_read(items)[at - 1] for at in (26, 27, 28, 53)] == ["(z)", "(aa)", "(bb)", "(aaa)"]
    items = [_in_list(1, 3)] * 49
    assert [_read(items)[at - 1] for at in (4, 9, 14, 49)] == ["IV", "IX", "XIV", "XLIX"]


def test_a_file_without_lists_has_no_numbers() -> None:
    content = edit_part(make_docx(["word"]), "word/numbering.xml", lambda old: b"")
    assert read_document(content).text == "word"
    assert Numbering(None, None).count_paragraph(None) == ""
