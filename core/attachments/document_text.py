"""What is read of a stranger's document, inside the reading process.

Formats are told by content, never by name: `%PDF-`, a zip file with Word's or Excel's folders, else
text in some encoding. Nothing here may run in the service's own process: PDFium ends its process on
some damaged files, and small files can unpack to gigabytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from typing import Final

from core.attachments.excel_text import Workbook, strip_formatting
from core.attachments.pdf_pages import open_pdf
from core.attachments.pdf_text import read_page
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
from core.attachments.word_text import list_word_lines

#: An office file unpacks to so many bytes at most, and to so many times its size.
_UNPACKED_BYTES_MAX: Final = 200_000_000
_UNPACKED_RATIO_MAX: Final = 200
#: Below so many bytes no ratio is suspicious: a table of equal cells packs well.
_UNPACKED_BYTES_FREE: Final = 10_000_000

#: Office files of before 2007, and in such a one those of today that have a password:
#: https://learn.microsoft.com/openspecs/office_file_formats/ms-offcrypto
_OLE_MARK: Final = bytes.fromhex("d0cf11e0a1b11ae1")
_ENCRYPTED_PACKAGE: Final = "EncryptedPackage".encode("utf-16-le")


def read_document(content: bytes) -> DocumentText:
    """The words of a file; raises `FileUnreadable`."""
    if not content.strip():
        raise FileUnreadable(FileProblem.EMPTY)
    if is_pdf(content):
        return _read_pdf(content)
    if is_zip(content):
        return _read_office(content)
    if content.startswith(_OLE_MARK):
        is_locked = _ENCRYPTED_PACKAGE in content
        raise FileUnreadable(FileProblem.LOCKED if is_locked else FileProblem.UNKNOWN)
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
        raise FileUnreadable(FileProblem.EMPTY)
    is_cut = text.is_full or pages_read < pages
    return DocumentText(words, format_, pages, pages_read, is_cut, len(beginning))


# --- PDF ----------------------------------------------------------------------------------------


def _read_pdf(content: bytes) -> DocumentText:
    document, pages = open_pdf(content)
    text, read, is_printed = _Text(), 0, False
    for number in range(min(pages, PAGES_MAX)):
        words = read_page(document, number)
        read, is_printed = read + 1, is_printed or bool(words.printed)
        if not text.add(words.join_lines()):
            break
    if not is_printed:  # whatever was put upon it
        raise FileUnreadable(FileProblem.SCANNED)
    beginning = text.join("\n\n", BEGINNING_PAGES) if read > BEGINNING_PAGES else ""
    return _finish(text, "\n\n", "PDF", pages=pages, pages_read=read, beginning=beginning)


# --- office -------------------------------------------------------------------------------------


def _read_office(content: bytes) -> DocumentText:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_unpacked(archive, len(content))
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise FileUnreadable(FileProblem.DAMAGED) from None
    # The document itself may have another name in either.
    if any(name.startswith("word/") for name in names):
        return _read_word(content)
    if any(name.startswith("xl/") for name in names) and "xl/workbook.bin" not in names:
        return _read_excel(content)
    raise FileUnreadable(FileProblem.UNKNOWN)


def _check_unpacked(archive: zipfile.ZipFile, packed: int) -> None:
    """By what the archive says of itself: no reader takes more of a member than that."""
    unpacked = sum(member.file_size for member in archive.infolist())
    is_bomb = unpacked > max(packed * _UNPACKED_RATIO_MAX, _UNPACKED_BYTES_FREE)
    if unpacked > _UNPACKED_BYTES_MAX or is_bomb:
        raise FileUnreadable(FileProblem.TOO_LARGE)


def _read_word(content: bytes) -> DocumentText:
    text = _Text()
    _add_lines(text, list_word_lines(content))
    return _finish(text, "\n", "DOCX")


def _read_excel(content: bytes) -> DocumentText:
    try:
        return _read_workbook(Workbook(content))
    except FileUnreadable:
        raise
    except Exception:  # noqa: BLE001 - its library refuses something beside the values
        return _read_workbook(Workbook(strip_formatting(content)))


def _read_workbook(book: Workbook) -> DocumentText:
    text, read = _Text(), 0
    for at in range(book.sheet_count):
        read += 1
        if not _add_lines(text, book.list_sheet_lines(at)):
            break
    return _finish(text, "\n", "XLSX", pages=book.sheet_count, pages_read=read)


def _add_lines(text: _Text, lines: Iterable[str]) -> bool:
    return all(text.add(line) for line in lines)


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
