"""The lines of Excel files, inside the reading process.

What people send was written by many programs: some tell a wrong size of a sheet, some write
formulas that they never compute.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime, time
from typing import Any, Final

from core.attachments.office_parts import find_name

#: What follows a sheet's rows: filters, checks, layout.
_AFTER_ROWS: Final = re.compile(
    rb"(</(?:\w+:)?sheetData>|<(?:\w+:)?sheetData ?/>).*(</(?:\w+:)?worksheet>)", re.DOTALL
)
#: Of styles, all that values need: which of them are dates.
_STYLES_KEPT: Final = frozenset({"numFmts", "cellXfs"})


def strip_formatting(content: bytes) -> bytes:
    """An Excel file with its values alone. Its library takes everything else as strictly, and many
    programs write colours, checks or dates of their own that it refuses."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(written, "w") as new:
        for name in old.namelist():
            if name == "xl/styles.xml":
                new.writestr(name, _strip_styles(old.read(name)))
            elif name.startswith("xl/worksheets/"):
                new.writestr(name, _AFTER_ROWS.sub(rb"\1\2", old.read(name)))
            elif not name.startswith("docProps/"):
                new.writestr(name, old.read(name))
    return written.getvalue()


def _strip_styles(part: bytes) -> bytes:
    from openpyxl.xml.functions import fromstring, tostring

    styles = fromstring(part)
    for child in list(styles):
        if find_name(child) not in _STYLES_KEPT:
            styles.remove(child)
            continue
        for one in child:
            for detail in list(one):
                one.remove(detail)
    stripped: bytes = tostring(styles)
    return stripped


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
            line = "\t".join(map(_format_value, row)).rstrip()
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


def _format_value(value: object) -> str:
    """A value as Excel shows it: 15 digits of a number, of a whole day its date alone."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime) and value.time() == time():
        return str(value.date())
    return str(value)


def _open_workbook(content: bytes, *, computed: bool) -> Any:
    import openpyxl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of formatting that it doesn't know or misses
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
