"""The lines of Word and Excel files, inside the reading process.

What people send was written by many programs and has passed through many hands: words stand in
tracked changes, content controls, text boxes, fields and notes, a table tells a wrong size of
itself, and what computes its cells may never have run.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

# --- Word ---------------------------------------------------------------------------------------

#: Words that were deleted or moved away, how signs are read, and older twins of text boxes.
_SKIPPED: Final = frozenset({"del", "moveFrom", "rt", "Fallback"})
_SIGNS: Final = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
#: Kinds of notes, each with what tells its numbers from those of the others.
_NOTES: Final = {"footnote": "", "endnote": "e", "comment": "c"}
_REFERENCES: Final = {f"{kind}Reference": letter for kind, letter in _NOTES.items()}


def list_word_lines(content: bytes) -> Iterator[str]:
    """What a Word file says, in its order: paragraphs, rows of tables with tabs between cells, and
    behind each paragraph the boxes that hang on it. What heads its pages comes first, what foots
    them and the notes last; a note is referred to as in Markdown. Raises whatever its libraries
    raise of a damaged one."""
    package = _WordPackage(content)
    yield from dict.fromkeys(_list_lines(package.list_parts("header")))
    yield from _list_lines((package.document,))
    yield from dict.fromkeys(_list_lines(package.list_parts("footer")))
    for kind, letter in _NOTES.items():
        for notes in package.list_parts(f"{kind}s"):
            yield from _list_notes(notes, letter)


class _WordPackage:
    """The parts of a Word file that hold words. What else it says that it has may be missing."""

    def __init__(self, content: bytes) -> None:
        from docx.opc.packuri import PACKAGE_URI
        from docx.opc.phys_pkg import PhysPkgReader

        make_reader: Any = PhysPkgReader
        self._reader = make_reader(io.BytesIO(content))
        self._main = self._list_names(PACKAGE_URI, "officeDocument")[0]
        #: The document itself.
        self.document = self._parse(self._main)

    def list_parts(self, kind: str) -> Iterator[Any]:
        """Those of a kind, as elements."""
        for name in self._list_names(self._main, kind):
            with suppress(KeyError):
                yield self._parse(name)

    def _list_names(self, source: Any, kind: str) -> list[Any]:
        from docx.opc.oxml import parse_xml
        from docx.opc.packuri import PackURI

        relations = self._reader.rels_xml_for(source)
        # Kinds are the ends of addresses, which differ between the two forms of the format.
        return [
            PackURI.from_rel_ref(source.baseURI, relation.get("Target"))
            for relation in (() if relations is None else parse_xml(relations))
            if relation.get("Type").rpartition("/")[2] == kind
        ]

    def _parse(self, name: Any) -> Any:
        from docx.opc.oxml import parse_xml

        return parse_xml(self._reader.blob_for(name))


def _name(element: Any) -> str:
    """An element's name, whichever form of the format it is of; empty for a remark."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _find(element: Any, attribute: str) -> str:
    return next((value for key, value in element.items() if key.endswith(attribute)), "")


def _list_lines(elements: Iterable[Any]) -> Iterator[str]:
    """The paragraphs and tables within, however they are wrapped."""
    for element in elements:
        name = _name(element)
        if name == "p":
            yield from _list_paragraph_lines(element)
        elif name == "tr":
            cells = (" ".join(_list_lines(cell)) for cell in _list_cells(element))
            line = "\t".join(cells).replace("\n", " ").rstrip()
            if line:
                yield line
        elif name not in _SKIPPED:
            yield from _list_lines(element)


def _list_cells(element: Any) -> Iterator[Any]:
    for child in element:
        if _name(child) == "tc":
            yield child
        elif _name(child) not in _SKIPPED:
            yield from _list_cells(child)


def _list_paragraph_lines(paragraph: Any) -> Iterator[str]:
    pieces: list[str] = []
    boxes: list[Any] = []
    _add_pieces(paragraph, pieces, boxes)
    line = "".join(pieces)
    if line.strip():
        yield line
    yield from _list_lines(boxes)


def _add_pieces(element: Any, pieces: list[str], boxes: list[Any]) -> None:
    for child in element:
        name = _name(child)
        if name == "t":
            pieces.append(child.text or "")
        elif name in _SIGNS:
            pieces.append(_SIGNS[name])
        elif name in _REFERENCES:
            pieces.append(f"[^{_REFERENCES[name]}{_find(child, '}id')}]")
        elif name == "txbxContent":
            boxes.append(child)
        elif name not in _SKIPPED and not name.endswith("Pr"):
            _add_pieces(child, pieces, boxes)


def _list_notes(notes: Any, letter: str) -> Iterator[str]:
    for note in notes:
        words = " ".join(_list_lines(note))
        if words:
            author = _find(note, "}author")
            yield f"[^{letter}{_find(note, '}id')}]: {author + ': ' if author else ''}{words}"


# --- Excel --------------------------------------------------------------------------------------

#: A cell with a formula and no value: whatever wrote it computes nothing.
_UNCOMPUTED: Final = re.compile(rb"(?:</f>|<f[^<>]*/>)(?:<v></v>|<v */>)?</c>")
_CHUNK_BYTES: Final = 1 << 20
#: No sign of such a cell is longer.
_OVERLAP_BYTES: Final = 200


class Workbook:
    """An Excel file's sheets. Raises whatever its library raises of a damaged one."""

    def __init__(self, content: bytes) -> None:
        self._values = _open_workbook(content, computed=True)
        self._formulas = None
        if _has_uncomputed(content):
            self._formulas = _open_workbook(content, computed=False)

    @property
    def sheet_count(self) -> int:
        """How many sheets it has, those that are hidden among them."""
        return len(self._values.worksheets)

    def list_sheet_lines(self, at: int) -> Iterator[str]:
        """A sheet's name, where it holds anything, and each row with tabs between its cells: their
        values, or where there are none their formulas."""
        is_named = False
        for row in self._list_rows(at):
            line = "\t".join("" if value is None else str(value) for value in row).rstrip()
            if not line:
                continue
            if not is_named:
                is_named = True
                yield f"{self._values.worksheets[at].title}:"
            yield line

    def _list_rows(self, at: int) -> Iterator[Iterable[object]]:
        rows = _open_sheet(self._values, at)
        if self._formulas is None:
            yield from rows
            return
        for values, formulas in zip(rows, _open_sheet(self._formulas, at), strict=False):
            cells = zip(values, formulas, strict=False)
            yield [_choose_value(value, formula) for value, formula in cells]


def _choose_value(value: object, formula: object) -> object:
    """A formula of several cells is an object that has its text."""
    return getattr(formula, "text", formula) if value is None else value


def _open_workbook(content: bytes, *, computed: bool) -> Any:
    import openpyxl

    return openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=computed)


def _open_sheet(book: Any, at: int) -> Iterator[tuple[object, ...]]:
    sheet = book.worksheets[at]
    # What it tells of its own size is not what is in it: some writers tell its first cell alone.
    sheet.reset_dimensions()
    rows: Iterator[tuple[object, ...]] = sheet.iter_rows(values_only=True)
    return rows


def _has_uncomputed(content: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return any(
            _has_uncomputed_cell(archive, name)
            for name in archive.namelist()
            if name.startswith("xl/worksheets/")
        )


def _has_uncomputed_cell(archive: zipfile.ZipFile, name: str) -> bool:
    with archive.open(name) as member:
        before = b""
        while chunk := member.read(_CHUNK_BYTES):
            if _UNCOMPUTED.search(before + chunk):
                return True
            before = chunk[-_OVERLAP_BYTES:]
    return False
