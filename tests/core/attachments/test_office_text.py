"""Word and Excel files are read as their readers see them, whatever wrote them."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import date, datetime, time
from typing import Any

import docx
import openpyxl
import pytest
from openpyxl.worksheet.formula import ArrayFormula

from core.attachments.document_text import read_document
from core.attachments.types import FileProblem, FileUnreadable
from tests.support.documents import add_to_docx, edit_part, make_docx, make_xlsx

_FORMATS = "http://schemas.openxmlformats.org"
_W = f"{_FORMATS}/wordprocessingml/2006/main"
_RELATIONS = "word/_rels/document.xml.rels"
_SHEET = "xl/worksheets/sheet1.xml"


def _save(document: Any) -> bytes:
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


# --- Word ---------------------------------------------------------------------------------------


def _wrap(words: str, *names: str) -> str:
    """Words in elements of Word's, the innermost first."""
    for name in names:
        words = f"<w:{name}>{words}</w:{name.partition(' ')[0]}>"
    return words


def _run(words: str) -> str:
    return _wrap(words, 't xml:space="preserve"', "r")


def _make_word(xml: str) -> bytes:
    """A Word file with a paragraph, and what is given behind it."""
    return add_to_docx(make_docx(["First."]), xml)


def _relate(content: bytes, kind: str, target: str) -> bytes:
    """A Word file that says that it has one more part."""
    more = f'<Relationship Id="r{kind}" Type="{_FORMATS}/x/{kind}" Target="{target}"/>'
    end = b"</Relationships>"
    return edit_part(content, _RELATIONS, lambda old: old.replace(end, more.encode() + end))


_DELETED = _wrap("5", "delText", "r", "del")
_BOX = _wrap(_run("Of a box"), "p", "txbxContent")
_BOX_TWICE = (
    f'<mc:AlternateContent xmlns:mc="{_FORMATS}/markup-compatibility/2006">'
    f'<mc:Choice Requires="wps">{_BOX}</mc:Choice><mc:Fallback>{_BOX}</mc:Fallback>'
    "</mc:AlternateContent>"
)
_FORMULA = f'<m:oMath xmlns:m="{_FORMATS}/officeDocument/2006/math"><m:t>a=b</m:t></m:oMath>'
_ROWS = _wrap(_run("1"), "p", "tc", "tr") + _wrap(_run("2"), "p", "tc", "tr", "sdtContent", "sdt")


@pytest.mark.parametrize(
    ("xml", "lines"),
    [
        (_wrap(_run("It costs ") + _DELETED + _wrap(_run("6"), "ins"), "p"), ["It costs 6"]),
        (_wrap(_run("Moved."), "moveFrom", "p"), []),
        (_wrap(_run("A new one."), "p", "ins"), ["A new one."]),
        (_wrap(_run("Of a control"), "p", "sdtContent", "sdt"), ["Of a control"]),
        (_wrap(_run("I, ") + _wrap(_run("Ann"), "sdtContent", "sdt"), "p"), ["I, Ann"]),
        (_wrap(_run("Of a field"), 'fldSimple w:instr="REF a"', "p"), ["Of a field"]),
        (_wrap(_run("Of a tag"), "smartTag", "p"), ["Of a tag"]),
        (_wrap(_run("a") + "<w:r><w:tab/></w:r>" + _run("b"), "p"), ["a\tb"]),
        (_wrap(_run("a") + "<w:r><w:br/></w:r>" + _run("b"), "p"), ["a", "b"]),
        (_wrap(_run("non") + "<w:r><w:noBreakHyphen/></w:r>" + _run("stop"), "p"), ["non-stop"]),
        (_wrap(_wrap(_BOX_TWICE, "r") + _run("Beside it"), "p"), ["Beside it", "Of a box"]),
        (_wrap(_FORMULA, "p"), ["a=b"]),
        (_wrap(_wrap(_run("かん"), "rt") + _wrap(_run("漢"), "rubyBase"), "ruby", "p"), ["漢"]),
        (_wrap(_ROWS, "tbl"), ["1", "2"]),
        ("<!-- a remark --><w:p/>", []),
    ],
)
def test_whatever_wraps_words_in_word(xml: str, lines: list[str]) -> None:
    assert read_document(_make_word(xml)).text.split("\n") == ["First.", *lines]


def test_a_cell_over_several_columns_is_read_once() -> None:
    document = docx.Document()
    table = document.add_table(2, 2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "over both"
    table.cell(1, 0).text, table.cell(1, 1).text = "a", "b"
    assert read_document(_save(document)).text == "over both\na\tb"


def test_what_heads_and_foots_pages_and_remarks_are_read() -> None:
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "Contract 17"
    document.sections[0].footer.paragraphs[0].text = "Confidential"
    document.add_section().header.is_linked_to_previous = False
    document.sections[1].header.paragraphs[0].text = "Contract 17"
    run = document.add_paragraph("It costs 6.").runs[0]
    document.add_comment(run, "Too dear", author="Bob")
    assert read_document(_save(document)).text.split("\n") == [
        "Contract 17",
        "It costs 6.[^c0]",
        "Confidential",
        "[^c0]: Bob: Too dear",
    ]


def test_footnotes_are_read_with_what_refers_to_them() -> None:
    line = _wrap("", 'footnote w:id="-1"')  # what separates them from the text
    note = _wrap(_run("As of May."), "p", 'footnote w:id="2"')
    notes = _wrap(line + note, f'footnotes xmlns:w="{_W}"')
    content = _make_word(_wrap(_run("6") + '<w:r><w:footnoteReference w:id="2"/></w:r>', "p"))
    content = _relate(content, "footnotes", "styles.xml")
    content = edit_part(content, "word/styles.xml", lambda old: notes.encode())
    assert read_document(content).text == "First.\n6[^2]\n[^2]: As of May."


def test_a_word_file_that_lacks_what_it_says_it_has() -> None:
    content = _relate(_relate(make_docx(["First."]), "image", "NULL"), "header", "header9.xml")
    assert read_document(content).text == "First."
    bare = edit_part(content, _RELATIONS, lambda old: b"")
    assert read_document(bare).text == "First."


@pytest.mark.parametrize(
    "kind",
    [
        b"application/vnd.ms-word.document.macroEnabled.main+xml",
        b"application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml",
    ],
)
def test_a_word_file_with_macros_and_a_template(kind: bytes) -> None:
    usual = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    content = make_docx(["First."])
    content = edit_part(content, "[Content_Types].xml", lambda old: old.replace(usual, kind))
    assert read_document(content).text == "First."


def test_a_word_file_of_the_strict_form() -> None:
    """https://www.iso.org/standard/71691.html: its namespaces have other addresses."""
    content = make_docx(["First."], ["a", "b"])
    usual = re.compile(rb"http://schemas\.openxmlformats\.org/(\w+)/2006/")
    for part in ("word/document.xml", "_rels/.rels", _RELATIONS):
        content = edit_part(
            content, part, lambda old: usual.sub(rb"http://purl.oclc.org/ooxml/\1/", old)
        )
    # The relations' own namespace is the same in both.
    for part in ("_rels/.rels", _RELATIONS):
        own = (b"http://purl.oclc.org/ooxml/package/", f"{_FORMATS}/package/2006/".encode())
        content = edit_part(content, part, lambda old, own=own: old.replace(*own))
    assert read_document(content).text == "First.\na\tb"


# --- Excel --------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [b"A1", b"A1:XFD1048576"])
def test_a_table_is_as_large_as_it_is_whatever_it_tells(told: bytes) -> None:
    content = edit_part(
        make_xlsx("Sums", [["tea", 120], [], ["milk", 90]]),
        _SHEET,
        lambda old: re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="%s"' % told, old),
    )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert told in archive.read(_SHEET)
    assert read_document(content).text == "Sums:\ntea\t120\nmilk\t90"


def test_a_formula_stands_where_no_value_was_computed() -> None:
    content = make_xlsx("Sums", [["tea", 120], ["milk", 90], ["sum", "=SUM(B1:B2)"]])
    assert read_document(content).text.endswith("sum\t=SUM(B1:B2)")
    computed = edit_part(
        content, _SHEET, lambda old: re.sub(rb"</f><v ?/>|</f><v></v>", b"</f><v>210</v>", old)
    )
    assert read_document(computed).text.endswith("sum\t210")


def test_values_are_as_excel_shows_them() -> None:
    row = [
        0.1 + 0.2,
        59.97000000000001,
        1200.0,
        datetime.combine(date(2026, 5, 1), time(9, 30)),
        date(2026, 5, 1),
    ]
    text = read_document(make_xlsx("Sums", [row])).text
    assert text == "Sums:\n0.3\t59.97\t1200\t2026-05-01 09:30:00\t2026-05-01"


def test_formulas_of_several_cells_and_hidden_sheets() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet["A1"], sheet["B1"] = date(2026, 5, 1), ArrayFormula("B1:B2", "=A1:A2*2")
    hidden = book.create_sheet("Hidden")
    hidden.sheet_state = "hidden"
    hidden["A1"] = "x"
    found = read_document(_save(book))
    assert found.text == "Sheet:\n2026-05-01\t=A1:A2*2\nHidden:\nx"
    assert found.pages == 2


@pytest.mark.parametrize(
    ("part", "usual", "other"),
    [
        ("xl/styles.xml", rb"<fills.*?</fills>", b"<fills><!-- none --><fill/><fill/></fills>"),
        ("xl/styles.xml", rb'<family val="2"', b'<family val="99"'),
        ("xl/styles.xml", rb"<cellXfs", b"<!-- a remark --><cellXfs"),
        ("docProps/core.xml", rb">\d{4}-[^<]*<", b">yesterday<"),
        (_SHEET, rb"<pageMargins", b'<pageSetup orientation="askew"/><pageMargins'),
        (
            _SHEET,
            rb"<pageMargins",
            (
                b'<dataValidations><dataValidation type="any" sqref="A1"/></dataValidations>'
                b"<pageMargins"
            ),
        ),
        (
            _SHEET,
            rb"<pageMargins",
            (
                b'<conditionalFormatting sqref="A1"><cfRule type="any" priority="1"/>'
                b"</conditionalFormatting><pageMargins"
            ),
        ),
    ],
)
def test_values_are_read_beside_whatever_formatting(part: str, usual: bytes, other: bytes) -> None:
    content = make_xlsx("Sums", [["tea", date(2026, 5, 1)], ["milk", 1.5]])
    changed = edit_part(content, part, lambda old: re.sub(usual, other, old, flags=re.DOTALL))
    assert changed != edit_part(content, part, lambda old: old)
    assert read_document(changed).text == "Sums:\ntea\t2026-05-01\nmilk\t1.5"


def test_an_empty_sheet_has_formatting_too() -> None:
    book = openpyxl.load_workbook(io.BytesIO(make_xlsx("Sums", [["tea", 1.5]])))
    book.create_sheet("Empty", 0)
    rows = re.compile(rb"<sheetData ?/>|<sheetData></sheetData>")
    askew = b'<sheetData/><pageSetup orientation="askew"/>'
    content = edit_part(_save(book), _SHEET, lambda old: rows.sub(askew, old))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert askew in archive.read(_SHEET)
    assert read_document(content).text == "Sums:\ntea\t1.5"


# --- neither ------------------------------------------------------------------------------------

_OLD = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)


@pytest.mark.parametrize(
    ("stream", "problem"),
    [("EncryptedPackage", FileProblem.LOCKED), ("WordDocument", FileProblem.UNKNOWN)],
)
def test_files_with_a_password_and_of_old_versions(stream: str, problem: FileProblem) -> None:
    with pytest.raises(FileUnreadable) as raised:
        read_document(_OLD + stream.encode("utf-16-le") + bytes(500))
    assert raised.value.problem is problem
