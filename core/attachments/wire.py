"""What the service and its reading process say to each other: a line that names the job, the file,
and one line of JSON for an answer.

A file may have taken hold of the process that answers: whatever isn't as it must be is damaged.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import struct
from typing import Any, Final

from core.attachments.types import (
    PICTURE_BYTES_MAX,
    PICTURE_SIDE_MAX,
    PICTURES_MAX,
    SMALL_SIDE_MAX,
    TEXT_CHARS_MAX,
    DocumentText,
    FileProblem,
    FileUnreadable,
    PageReading,
    Picture,
    PictureReading,
    PictureSize,
)

DOCUMENT_JOB: Final = "document"
PICTURE_JOB: Final = "picture"
#: With how many of them after a space.
PAGES_JOB: Final = "pages"
#: No line of a job is longer.
JOB_BYTES_MAX: Final = 32

#: What stands around the words, and around each picture: names, numbers and signs.
_FRAME_BYTES: Final = 4_096
#: Base64 has four signs for three bytes; each picture comes in two sizes.
_PICTURE_ANSWER_BYTES_MAX: Final = 2 * ((PICTURE_BYTES_MAX + 2) // 3 * 4 + _FRAME_BYTES)
#: The largest answer, in bytes: of words, each character as six; of pictures, all pages.
ANSWER_BYTES_MAX: Final = max(
    6 * TEXT_CHARS_MAX + _FRAME_BYTES, PICTURES_MAX * _PICTURE_ANSWER_BYTES_MAX
)

#: What joins rows and pages comes beside the characters that are read.
_DOCUMENT_CHARS_MAX: Final = 3 * TEXT_CHARS_MAX
#: No document has so many pages or characters.
_COUNT_MAX: Final = 1 << 31

_JPEG_MARK: Final = b"\xff\xd8\xff"
#: Frames of all kinds, and where pixels begin.
_FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN_MARKER: Final = 0xDA

Reading = DocumentText | PictureReading | PageReading


def name_pages_job(count: int) -> str:
    """The line for the first `count` pages."""
    return f"{PAGES_JOB} {count}"


def describe_reading(reading: Reading) -> dict[str, object]:
    """What was read, as the answer says it."""
    if isinstance(reading, DocumentText):
        return dataclasses.asdict(reading)
    if isinstance(reading, PageReading):
        pictures = [describe_reading(one) for one in reading.pictures]
        return {"pictures": pictures, "pages": reading.pages}
    small = None if reading.small == reading.whole else _describe_picture(reading.small)
    return {"whole": _describe_picture(reading.whole), "small": small}


def describe_problem(problem: FileProblem) -> dict[str, object]:
    """Why nothing was read, as the answer says it."""
    return {"problem": problem.value}


def parse_answer(answer: bytes) -> dict[str, Any]:
    """What an answer says of a reading; raises `FileUnreadable`."""
    try:
        told = json.loads(answer)
        problem = FileProblem(told["problem"]) if "problem" in told else None
    except (ValueError, TypeError, RecursionError):
        raise FileUnreadable(FileProblem.DAMAGED) from None
    if problem is not None or not isinstance(told, dict):
        raise FileUnreadable(problem or FileProblem.DAMAGED)
    return told


def parse_document(told: dict[str, Any]) -> DocumentText:
    """The words of a document; raises `FileUnreadable`."""
    try:
        document = DocumentText(**told)
    except TypeError:
        raise FileUnreadable(FileProblem.DAMAGED) from None
    counts = (document.pages, document.pages_read, document.beginning_chars)
    are_counts = all(type(one) is int and 0 <= one <= _COUNT_MAX for one in counts)
    is_text = type(document.text) is str and len(document.text) <= _DOCUMENT_CHARS_MAX
    if not (are_counts and is_text and type(document.is_cut) is bool):
        raise FileUnreadable(FileProblem.DAMAGED)
    return document


def parse_picture(told: object) -> PictureReading:
    """A picture in both sizes; raises `FileUnreadable`."""
    if not isinstance(told, dict):
        raise FileUnreadable(FileProblem.DAMAGED)
    whole = _parse_picture(told.get("whole"), PICTURE_SIDE_MAX)
    if told.get("small") is None:
        return PictureReading(whole, _check_small(whole))
    return PictureReading(whole, _parse_picture(told["small"], SMALL_SIDE_MAX))


def parse_pages(told: dict[str, Any], count: int) -> PageReading:
    """Pages, as many as were asked for at most; raises `FileUnreadable`."""
    pictures, pages = told.get("pictures"), told.get("pages")
    is_right = isinstance(pictures, list) and 1 <= len(pictures) <= count
    if not is_right or type(pages) is not int or pages < len(pictures or ()):
        raise FileUnreadable(FileProblem.DAMAGED)
    parsed = (parse_picture(one) for one in pictures or ())
    return PageReading(tuple(parsed), pages)


def _describe_picture(picture: Picture) -> dict[str, object]:
    content = base64.b64encode(picture.content).decode("ascii")
    return {"content": content, "width": picture.size.width, "height": picture.size.height}


def _parse_picture(told: object, side_max: int) -> Picture:
    """A picture that could be one: the service decodes none."""
    try:
        width, height = told["width"], told["height"]  # type: ignore[index]
        content = binascii.a2b_base64(told["content"], strict_mode=True)  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        raise FileUnreadable(FileProblem.DAMAGED) from None
    are_sides = all(type(side) is int and 1 <= side <= side_max for side in (width, height))
    is_jpeg = content.startswith(_JPEG_MARK) and len(content) <= PICTURE_BYTES_MAX
    # Its own header counts: a supplier bills by that, whatever is said of it here.
    if not are_sides or not is_jpeg or _read_jpeg_size(content) != (width, height):
        raise FileUnreadable(FileProblem.DAMAGED)
    return Picture(content, PictureSize(width, height))


def _read_jpeg_size(content: bytes) -> tuple[int, int] | None:
    """The sides by a JPEG's header (ITU-T T.81, B.2): that of its one frame, before its pixels."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        if marker == _SCAN_MARKER or length < 2:
            return None
        at += 2 + length
    return None


def _check_small(picture: Picture) -> Picture:
    if max(picture.size) > SMALL_SIDE_MAX:
        raise FileUnreadable(FileProblem.DAMAGED)
    return picture
