"""What is read of a stranger's document, inside the reading process.

Formats are told by content, never by name: `%PDF-`, a zip file with Word's or Excel's folders, else
text in some encoding. Nothing here may run in the service's own process: PDFium ends its process on
some damaged files, and small files can unpack to gigabytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any, Final

from core.attachments.pdf_pages import open_pdf
from core.attachments.plain_text import decode_text, guess_text
from core.attachments.types import (
    BEGINNING_PAGES,
    PAGES_MAX,
    TEXT_CHARS_MAX,
    DocumentFormat,
    DocumentText,
    FileProblem,
    FileUnreadable,
    is_pdf,
    is_zip,
)

#: An office file unpacks to so many bytes at most, and to so many times its size.
_UNPACKED_BYTES_MAX: Final = 200_000_000
_UNPACKED_RATIO_MAX: Final = 200
#: Below so many bytes no ratio is suspicious: a table of equal cells packs well.
_UNPACKED_BYTES_FREE: Final = 10_000_000


def read_document(content: bytes) -> DocumentText:
    """The words of a file; raises `FileUnreadable`."""
    if not content.strip():
        raise FileUnreadable(FileProblem.EMPTY)
    if is_pdf(content):
        return _read_pdf(content)
    if is_zip(content):
        return _read_office(content)
    return _read_text(content)


class _Text:
    """Words that are gathered until there are too many."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._chars = 0
        self.is_full = False

    def add(self, piece: str) -> bool:
        """Adds a piece, or as much of it as fits; whether more fits."""
        left = TEXT_CHARS_MAX - self._chars
        if len(piece) > left:
            piece, self.is_full = piece[:left], True
        self._pieces.append(piece)
        self._chars += len(piece)
        return not self.is_full

    def join(self, separator: str, count: int | None = None) -> str:
        """All pieces, or the first `count`."""
        return separator.join(self._pieces[:count]).lstrip()


def _finish(
    text: _Text,
    separator: str,
    format_: DocumentFormat,
    *,
    pages: int = 0,
    pages_read: int = 0,
    beginning: str = "",
) -> DocumentText:
    words = text.join(separator)
    if not words.strip():
        raise FileUnreadable(FileProblem.SCANNED if format_ == "PDF" else FileProblem.EMPTY)
    is_cut = text.is_full or pages_read < pages
    return DocumentText(words, format_, pages, pages_read, is_cut, len(beginning))


# --- PDF ----------------------------------------------------------------------------------------


def _read_pdf(content: bytes) -> DocumentText:
    import pypdfium2

    document, pages = open_pdf(content)
    text, read = _Text(), 0
    for number in range(min(pages, PAGES_MAX)):
        try:
            words = document[number].get_textpage().get_text_bounded()
        except pypdfium2.PdfiumError:  # this page is damaged; others may not be
            words = ""
        read += 1
        if not text.add(_clean(words)):
            break
    beginning = text.join("\n\n", BEGINNING_PAGES) if read > BEGINNING_PAGES else ""
    return _finish(text, "\n\n", "PDF", pages=pages, pages_read=read, beginning=beginning)


def _clean(words: str) -> str:
    """A page's words without what PDFium gives for signs that it can't name."""
    return words.replace("\r\n", "\n").replace("￾", "").replace("\0", "").strip()


# --- office -------------------------------------------------------------------------------------


def _read_office(content: bytes) -> DocumentText:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_unpacked(archive, len(content))
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise FileUnreadable(FileProblem.DAMAGED) from None
    if "word/document.xml" in names:
        return _read_word(content)
    if "xl/workbook.xml" in names:
        return _read_excel(content)
    raise FileUnreadable(FileProblem.UNKNOWN)


def _check_unpacked(archive: zipfile.ZipFile, packed: int) -> None:
    """By what the archive says of itself: no reader takes more of a member than that."""
    unpacked = sum(member.file_size for member in archive.infolist())
    is_bomb = unpacked > max(packed * _UNPACKED_RATIO_MAX, _UNPACKED_BYTES_FREE)
    if unpacked > _UNPACKED_BYTES_MAX or is_bomb:
        raise FileUnreadable(FileProblem.TOO_LARGE)


def _read_word(content: bytes) -> DocumentText:
    import docx

    text = _Text()
    for line in _list_word_lines(docx.Document(io.BytesIO(content))):
        if not text.add(line):
            break
    return _finish(text, "\n", "DOCX")


def _list_word_lines(container: Any) -> Iterator[str]:
    """Paragraphs and tables in their order; a table's row is a line with tabs."""
    for part in container.iter_inner_content():
        if hasattr(part, "rows"):
            for row in part.rows:
                cells = (" ".join(_list_word_lines(cell)) for cell in row.cells)
                yield "\t".join(cells).rstrip()
        elif part.text.strip():
            yield part.text


def _read_excel(content: bytes) -> DocumentText:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    text, read = _Text(), 0
    for sheet in book.worksheets:
        read += 1
        if not _add_lines(text, _list_sheet_lines(sheet)):
            break
    return _finish(text, "\n", "XLSX", pages=len(book.worksheets), pages_read=read)


def _add_lines(text: _Text, lines: Iterable[str]) -> bool:
    return all(text.add(line) for line in lines)


def _list_sheet_lines(sheet: Any) -> Iterator[str]:
    """The sheet's name, where it holds anything, and each row with tabs between its cells."""
    is_named = False
    for row in sheet.iter_rows(values_only=True):
        line = "\t".join("" if value is None else str(value) for value in row).rstrip()
        if not line:
            continue
        if not is_named:
            is_named = True
            yield f"{sheet.title}:"
        yield line


# --- text ---------------------------------------------------------------------------------------


def _read_text(content: bytes) -> DocumentText:
    words = decode_text(content)
    if words is None:
        words = guess_text(content)
    if words is None:
        raise FileUnreadable(FileProblem.UNKNOWN)
    text = _Text()
    text.add(words)
    return _finish(text, "", "text")
