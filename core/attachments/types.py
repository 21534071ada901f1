"""What is read of a file, why it may not be readable, and how much is taken."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

#: As large as Telegram hands a file to bots.
FILE_BYTES_MAX: Final = 20 << 20
#: So many characters of a document's text are read: about a hundred thousand tokens.
TEXT_CHARS_MAX: Final = 400_000
#: So many pages of a document are looked at.
PAGES_MAX: Final = 2_000
#: What is offered of a long document in place of all.
BEGINNING_PAGES: Final = 20
#: A picture goes to models no larger than this on its longest side, in pixels: what most of them
#: see at most. With later questions it goes smaller.
PICTURE_SIDE_MAX: Final = 1_568
SMALL_SIDE_MAX: Final = 768
#: So many pixels of a picture are decoded.
PICTURE_PIXELS_MAX: Final = 50_000_000
#: A reduced picture has so many bytes at most, so that a question's are within 12 MB: suppliers
#: take 20 MB and more.
PICTURE_BYTES_MAX: Final = 1_200_000
#: So many pictures go with a question, and so many pages of a document are made into pictures.
PICTURES_MAX: Final = 10

_PDF_MARK: Final = b"%PDF-"
#: Where readers look for it: some writers put bytes before it.
_PDF_MARK_WITHIN: Final = 1_024
_ZIP_MARK: Final = b"PK\x03\x04"

DocumentFormat = Literal["PDF", "DOCX", "XLSX", "text"]


class FileProblem(enum.Enum):
    """Why nothing can be read of a file."""

    #: It opens only with a password.
    LOCKED = "locked"
    #: There is nothing in it.
    EMPTY = "empty"
    #: It has pages, but no words: they are pictures of pages.
    SCANNED = "scanned"
    #: It is of no format that is read, whatever its name says.
    UNKNOWN = "unknown"
    #: It is damaged, or made to do harm: it took too much work or memory.
    DAMAGED = "damaged"
    #: It took too long: it is made to, or the machine has too much else to do.
    SLOW = "slow"
    #: It unpacks to more than is read.
    TOO_LARGE = "too_large"
    #: A picture of more pixels than are decoded.
    TOO_MANY_PIXELS = "too_many_pixels"
    #: It came as a picture, but is of no format that is seen: JPEG, PNG, WebP or GIF.
    UNKNOWN_PICTURE = "unknown_picture"


class FileUnreadable(Exception):
    """Nothing can be read of a file; this isn't a `Refusal`: whoever asked says it by the file's
    name."""

    def __init__(self, problem: FileProblem) -> None:
        super().__init__(problem.value)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class DocumentText:
    """The words of a document, and how much of it they are."""

    text: str = field(repr=False)
    format: DocumentFormat
    #: Pages of a PDF, sheets of a table; 0 where there are none.
    pages: int = 0
    #: So many of them were read; fewer than there are where the text grew too long.
    pages_read: int = 0
    #: Whether something at its end was left out.
    is_cut: bool = False
    #: So many characters of it are its first `BEGINNING_PAGES`; 0 where there are no more.
    beginning_chars: int = 0


class PictureSize(NamedTuple):
    """The sides of a picture in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as models get it: a JPEG without metadata, upright, on white."""

    content: bytes = field(repr=False)
    size: PictureSize


@dataclass(frozen=True, slots=True)
class PictureReading:
    """A picture in both sizes in which it goes to models: at most `PICTURE_SIDE_MAX`, and at most
    `SMALL_SIDE_MAX` (the same where it isn't larger)."""

    whole: Picture
    small: Picture


@dataclass(frozen=True, slots=True)
class PageReading:
    """The first pages of a document as pictures, each with `PICTURE_SIDE_MAX` on its longest side,
    and smaller; and how many pages the document has."""

    pictures: tuple[PictureReading, ...]
    pages: int


def is_pdf(content: bytes) -> bool:
    """Whether a file is a PDF, by what is in it."""
    return _PDF_MARK in content[:_PDF_MARK_WITHIN]


def is_zip(content: bytes) -> bool:
    """Whether a file is a zip file, as those of Word and Excel are."""
    return content.startswith(_ZIP_MARK)


def is_document(content: bytes) -> bool:
    """Whether a file is a document, whatever its name: such are never read as plain text."""
    return is_pdf(content) or is_zip(content)
