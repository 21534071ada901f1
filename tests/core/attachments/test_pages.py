"""Pages of PDFs become pictures: the first ones, of any size, on white."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import pytest_asyncio

from core.attachments.pdf_pages import render_pages
from core.attachments.reader import FileReader
from core.attachments.types import (
    PICTURE_BYTES_MAX,
    PICTURE_SIDE_MAX,
    PICTURES_MAX,
    FileProblem,
    FileUnreadable,
    PageReading,
)
from tests.support.documents import make_bomb_pdf, make_docx, make_locked_pdf, make_pdf
from tests.support.pictures import (
    GREEN,
    WHITE,
    list_segments,
    make_jpeg,
    make_pdf_of_size,
    make_scanned_pdf,
    open_picture,
)


@pytest_asyncio.fixture
async def files() -> AsyncIterator[FileReader]:
    made = FileReader()
    yield made
    await made.close()


def _check_form(reading: PageReading) -> None:
    for picture in (one.whole for one in reading.pictures):
        image = open_picture(picture.content)
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", tuple(picture.size))
        assert max(picture.size) == PICTURE_SIDE_MAX
        assert min(picture.size) >= 1
        assert len(picture.content) <= PICTURE_BYTES_MAX
        assert list_segments(picture.content) <= {0xD8, 0xE0, 0xDB, 0xC0, 0xC4, 0xDA}


async def test_the_first_pages_are_rendered(files: FileReader) -> None:
    content = make_pdf([f"Page {number}." for number in range(20)])
    found = await files.read_pages(content, 3)
    assert (len(found.pictures), found.pages) == (3, 20)
    assert [one.whole.size for one in found.pictures] == [(1_212, 1_568)] * 3
    _check_form(found)
    # Each is another page, with something dark on white.
    assert len({one.whole.content for one in found.pictures}) == 3
    extremes = [open_picture(one.whole.content).convert("L").getextrema() for one in found.pictures]
    assert all(dark < 100 and light >= 250 for dark, light in extremes)  # type: ignore[operator]


async def test_no_more_pages_than_there_are_or_may_go(files: FileReader) -> None:
    found = await files.read_pages(make_pdf(["One.", "Two."]), PICTURES_MAX)
    assert (len(found.pictures), found.pages) == (2, 2)
    assert len(render_pages(make_pdf(["Page."] * 20), 20).pictures) == PICTURES_MAX


async def test_pages_that_are_pictures_are_seen(files: FileReader) -> None:
    found = await files.read_pages(make_scanned_pdf(2), 2)
    _check_form(found)
    image = open_picture(found.pictures[1].whole.content)
    for (across, down), wanted in (((9, 9), GREEN), ((image.width - 9, 9), WHITE)):
        seen = image.getpixel((across, down))
        assert isinstance(seen, tuple)
        assert all(abs(a - b) < 8 for a, b in zip(seen, wanted, strict=True))


@pytest.mark.parametrize(
    ("width", "height"),
    [
        ("1000000000", "1000000000"),
        ("0.001", "0.001"),
        ("14400", "0.1"),
        ("-300", "-200"),
        ("0", "0"),
        ("9" * 39, "5"),
        ("1e999", "nan"),
    ],
)
async def test_a_page_of_any_size_takes_no_more_than_another(
    files: FileReader, width: str, height: str
) -> None:
    found = await files.read_pages(make_pdf_of_size(width, height), 1)
    assert found.pages == 1
    _check_form(found)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: b"", FileProblem.EMPTY),
        (lambda: b"only words", FileProblem.UNKNOWN),
        (lambda: make_docx(["Words."]), FileProblem.UNKNOWN),
        (lambda: make_jpeg(9, 9), FileProblem.UNKNOWN),
        (make_locked_pdf, FileProblem.LOCKED),
        (lambda: b"%PDF-1.7 and nothing more", FileProblem.DAMAGED),
        (lambda: make_pdf([]), FileProblem.DAMAGED),
        (partial(make_bomb_pdf, 1_200), FileProblem.DAMAGED),
    ],
)
async def test_what_has_no_pages_is_named(
    files: FileReader, make: Callable[[], bytes], problem: FileProblem
) -> None:
    with pytest.raises(FileUnreadable) as raised:
        await files.read_pages(make(), 2)
    assert raised.value.problem is problem
    # The next file is read as ever.
    assert (await files.read_pages(make_pdf(["Next."]), 1)).pages == 1


def test_a_damaged_page_loses_no_other() -> None:
    """The second of three objects that are pages is none."""
    content = make_pdf(["One.", "Two.", "Three."])
    first, second, third = content.split(b"/Type /Page /Parent")[1:]
    head = content.split(b"/Type /Page /Parent")[0]
    broken = b"/Type /Page /Parent".join([head, first, b"X" + second[1:], third])
    broken = broken.replace(b"6 0 obj\n<< /Type /Page /Parent", b"6 0 obj\n[] /Type /Page /Parent")
    found = render_pages(broken, 3)
    assert len(found.pictures) == 2
    assert found.pages == 3
