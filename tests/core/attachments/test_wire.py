"""A reading process that a file took hold of can't say anything that harms: what isn't as it must
be is a damaged file."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from core.attachments import reader as module
from core.attachments.reader import FileReader
from core.attachments.types import (
    PICTURE_BYTES_MAX,
    PICTURE_SIDE_MAX,
    PICTURES_MAX,
    TEXT_CHARS_MAX,
    DocumentText,
    FileProblem,
    FileUnreadable,
    PageReading,
    Picture,
    PictureReading,
    PictureSize,
)
from core.attachments.wire import (
    ANSWER_BYTES_MAX,
    JOB_BYTES_MAX,
    describe_problem,
    describe_reading,
    name_pages_job,
    parse_answer,
    parse_document,
    parse_pages,
    parse_picture,
)
from tests.peers.supplier_pictures import build_jpeg

JPEG = build_jpeg(1_000, 500)
WHOLE = Picture(JPEG, PictureSize(1_000, 500))
SMALL = Picture(build_jpeg(768, 384), PictureSize(768, 384))


def _pass(told: dict[str, object]) -> dict[str, Any]:
    """What the service gets of what a process says."""
    return parse_answer(json.dumps(told).encode())


def test_readings_pass_whole() -> None:
    text = DocumentText("Words.", "PDF", pages=3, pages_read=2, is_cut=True, beginning_chars=4)
    assert parse_document(_pass(describe_reading(text))) == text
    for picture in (PictureReading(WHOLE, SMALL), PictureReading(SMALL, SMALL)):
        assert parse_picture(_pass(describe_reading(picture))) == picture
    pages = PageReading((PictureReading(WHOLE, SMALL), PictureReading(SMALL, SMALL)), 9)
    assert parse_pages(_pass(describe_reading(pages)), 2) == pages


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": "x" * (4 * TEXT_CHARS_MAX)},
        {"text": 7},
        {"pages": "9"},
        {"pages_read": 10**300},
        {"beginning_chars": -1},
        {"is_cut": "no"},
    ],
)
def test_no_document_is_longer_than_what_is_read(wrong: dict[str, object]) -> None:
    told = describe_reading(DocumentText("Words.", "PDF", pages=3)) | wrong
    with pytest.raises(FileUnreadable) as raised:
        parse_document(_pass(told))
    assert raised.value.problem is FileProblem.DAMAGED


@pytest.mark.parametrize("problem", FileProblem)
def test_problems_pass(problem: FileProblem) -> None:
    with pytest.raises(FileUnreadable) as raised:
        _pass(describe_problem(problem))
    assert raised.value.problem is problem


def test_the_largest_answers_fit() -> None:
    side = PICTURE_SIDE_MAX
    largest = Picture(
        build_jpeg(side, side).ljust(PICTURE_BYTES_MAX, b"\xff"), PictureSize(side, side)
    )
    small = Picture(JPEG.ljust(PICTURE_BYTES_MAX, b"\xfe"), PictureSize(768, 768))
    pages = PageReading((PictureReading(largest, small),) * PICTURES_MAX, 10**9)
    words = DocumentText("\x01" * TEXT_CHARS_MAX, "text")
    for reading in (pages, words, PictureReading(largest, WHOLE)):
        assert len(json.dumps(describe_reading(reading))) <= ANSWER_BYTES_MAX
    assert len(name_pages_job(PICTURES_MAX)) < JOB_BYTES_MAX


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no JSON",
        b"[]",
        b"7",
        b"null",
        b'"problem"',
        b"\xff\xfe",
        b"[" * 100_000,
        b"9" * 10_000,
        b'{"problem": "of its own"}',
        b'{"problem": ["locked"]}',
        b'{"problem": null}',
        b"{}",
        b'{"pictures": {}, "pages": 1, "whole": [], "text": "", "more": 1}',
    ],
)
@pytest.mark.parametrize(
    "parse", [parse_document, parse_picture, lambda told: parse_pages(told, 1)]
)
def test_answers_that_are_none_are_damaged(answer: bytes, parse: Any) -> None:
    with pytest.raises(FileUnreadable) as raised:
        parse(parse_answer(answer))
    assert raised.value.problem is FileProblem.DAMAGED


def _tell(**changes: object) -> dict[str, object]:
    content = base64.b64encode(JPEG).decode()
    return {"content": content, "width": 1_000, "height": 500, **changes}


def _tell_small() -> dict[str, object]:
    content = base64.b64encode(build_jpeg(9, 9)).decode()
    return {"content": content, "width": 9, "height": 9}


def _tell_both() -> dict[str, object]:
    return {"whole": _tell(), "small": _tell_small()}


@pytest.mark.parametrize(
    "told",
    [
        *(_tell(width=side) for side in (0, -1, PICTURE_SIDE_MAX + 1, 10**30)),
        *(_tell(height=side) for side in (True, 5.0, "5", None, [5])),
        # Its own header says other sides, or none: a supplier bills by that.
        *(_tell(width=1, height=1), _tell(content=base64.b64encode(JPEG[:8]).decode())),
        _tell(content=base64.b64encode(b"<script>").decode()),
        _tell(content=base64.b64encode(JPEG.ljust(PICTURE_BYTES_MAX + 1)).decode()),
        *(_tell(content=one) for one in ("", "****", "/9j/\n", "é", None, 5, ["/9j/"])),
        {"width": 5, "height": 5},
        *([], "picture", 5, None),
    ],
    ids=lambda told: str(told)[-60:],
)
def test_what_is_no_picture_is_damaged(told: object) -> None:
    assert parse_picture(_pass({"whole": _tell(), "small": _tell_small()}))
    assert parse_pages(_pass({"pictures": [_tell_both()], "pages": 1}), 1)
    for answer in ({"whole": told, "small": _tell_small()}, {"whole": told}):
        with pytest.raises(FileUnreadable):
            parse_picture(_pass(answer))
    with pytest.raises(FileUnreadable):
        parse_pages(_pass({"pictures": [_tell_both(), {"whole": told}], "pages": 2}), 2)


def test_a_small_picture_is_small() -> None:
    for small in (_tell(), None):
        with pytest.raises(FileUnreadable):
            parse_picture(_pass({"whole": _tell(), "small": small}))


@pytest.mark.parametrize("pages", [0, 1, -3, None, "2", 2.0, True])
def test_pages_are_counted(pages: object) -> None:
    with pytest.raises(FileUnreadable):
        parse_pages(_pass({"pictures": [_tell_both(), _tell_both()], "pages": pages}), 2)


def test_no_more_pages_come_than_were_asked_for() -> None:
    for count in (0, 3):
        with pytest.raises(FileUnreadable):
            parse_pages(_pass({"pictures": [_tell_both()] * count, "pages": 9}), 2)


async def test_an_answer_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys\nwhile True: sys.stdout.buffer.write(bytes(1 << 20))"
    monkeypatch.setattr(module, "_COMMAND", (module.sys.executable, "-c", script))
    files = FileReader()
    with pytest.raises(FileUnreadable) as raised:
        await files.read_picture(JPEG)
    assert raised.value.problem is FileProblem.DAMAGED
    await files.close()
