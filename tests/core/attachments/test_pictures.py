"""Each picture comes out in the one form that models take, or its problem is named."""

from __future__ import annotations

import asyncio
import collections
import json
import os
import random
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from core.attachments import reader
from core.attachments.pictures import pack_picture, read_picture
from core.attachments.reader import FileReader
from core.attachments.types import (
    FILE_BYTES_MAX,
    PICTURE_BYTES_MAX,
    PICTURE_SIDE_MAX,
    SMALL_SIDE_MAX,
    FileProblem,
    FileUnreadable,
    Picture,
    PictureReading,
)
from core.attachments.wire import PICTURE_JOB, parse_answer, parse_picture
from tests.support.documents import make_pdf
from tests.support.pictures import (
    GREEN,
    RED,
    WHITE,
    Colour,
    list_segments,
    make_blank_png,
    make_empty_png,
    make_gif,
    make_grey_png,
    make_jpeg,
    make_noise,
    make_photo,
    make_png,
    make_text_bomb_png,
    make_vast_gif,
    make_vast_webp,
    make_webp,
    open_picture,
    save,
)
from tests.support.process_descriptors import list_inherited, read_environment
from tests.support.random_pictures import make_random_picture
from tests.support.size import size
from tests.support.waiting_readers import WAITING

#: What packing changes of a colour at most, of 255.
_NEAR = 6
CANARY = "canary-" + "of-a-camera"
BLACK: Colour = (0, 0, 0)
#: What stands in a JPEG without metadata: marks, its form, tables, and the packed picture.
BARE_SEGMENTS = {0xD8, 0xE0, 0xDB, 0xC0, 0xC4, 0xDA}


@pytest_asyncio.fixture
async def files() -> AsyncIterator[FileReader]:
    made = FileReader()
    yield made
    await made.close()


def _see(picture: Picture, across: float = 0.5, down: float = 0.5) -> Colour:
    """The colour at a place, in parts of the sides."""
    image = open_picture(picture.content)
    at = int(across * (image.width - 1)), int(down * (image.height - 1))
    seen = image.getpixel(at)
    assert isinstance(seen, tuple)
    red, green, blue = seen
    return int(red), int(green), int(blue)


def _are_near(seen: Colour, wanted: Colour) -> bool:
    return all(abs(one - other) <= _NEAR for one, other in zip(seen, wanted, strict=True))


def _make_indexed(index: int) -> Image.Image:
    """Of a palette in which each colour is a grey of its number."""
    image = Image.new("P", (9, 9), index)
    image.putpalette([grey for grey in range(256) for _ in range(3)])
    return image


def _check_form(reading: PictureReading) -> None:
    for picture, side in ((reading.whole, PICTURE_SIDE_MAX), (reading.small, SMALL_SIDE_MAX)):
        image = open_picture(picture.content)
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", tuple(picture.size))
        assert 1 <= min(picture.size) <= max(picture.size) <= side
        assert len(picture.content) <= PICTURE_BYTES_MAX
        assert list_segments(picture.content) <= BARE_SEGMENTS


# --- sides --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sides", "whole", "small"),
    [
        ((1, 1), (1, 1), (1, 1)),
        ((768, 20), (768, 20), (768, 20)),
        ((769, 769), (769, 769), (768, 768)),
        ((1_568, 1_000), (1_568, 1_000), (768, 490)),
        ((1_000, 2_000), (784, 1_568), (384, 768)),
        ((3_137, 3_137), (1_568, 1_568), (768, 768)),
        ((20_000, 3), (1_568, 1), (768, 1)),
        ((2, 30_000), (1, 1_568), (1, 768)),
    ],
)
@pytest.mark.parametrize("make", [make_jpeg, make_png])
def test_sides_are_reduced_and_never_enlarged(
    make: Callable[[int, int], bytes],
    sides: tuple[int, int],
    whole: tuple[int, int],
    small: tuple[int, int],
) -> None:
    found = read_picture(make(*sides))
    assert (found.whole.size, found.small.size) == (whole, small)
    assert _are_near(_see(found.whole), RED)
    assert _are_near(_see(found.small), RED)
    _check_form(found)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_the_camera_was_held(orientation: int) -> None:
    # Where the first row and the first column of pixels are seen, by EXIF's own table.
    row, column = (
        *(("top", "left"), ("top", "right"), ("bottom", "right"), ("bottom", "left")),
        *(("left", "top"), ("right", "top"), ("right", "bottom"), ("left", "bottom")),
    )[orientation - 1]
    sides = (1_600, 800)
    found = read_picture(make_jpeg(*sides, corner=GREEN, exif_orientation=orientation))
    is_lying = row in {"left", "right"}
    assert found.whole.size == ((784, 1_568) if is_lying else (1_568, 784))
    for picture in (found.whole, found.small):
        for across, down in ((0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)):
            edges = {"left" if across < 0.5 else "right", "top" if down < 0.5 else "bottom"}
            wanted = GREEN if edges == {row, column} else RED
            assert _are_near(_see(picture, across, down), wanted)


@pytest.mark.parametrize(
    "note",
    [
        b"Exif\0\0MM\0\x2a\xff\xff\xff\xff",
        # The field says a word, and a number of none of the eight.
        b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04lie\0\0\0\0\0",
        b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0",
    ],
)
async def test_a_damaged_note_of_the_camera_loses_no_picture(
    files: FileReader, note: bytes
) -> None:
    content = save(Image.new("RGB", (9, 9), RED), "JPEG", exif=note)
    assert _are_near(_see((await files.read_picture(content)).whole), RED)


# --- colours ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "format_", "options", "wanted"),
    [
        (Image.new("RGBA", (9, 9), (*RED, 0)), "PNG", {}, WHITE),
        (Image.new("RGBA", (9, 9), (0, 0, 0, 128)), "PNG", {}, (127, 127, 127)),
        (Image.new("RGBA", (9, 9), (0, 0, 0, 0)), "WEBP", {"lossless": True}, WHITE),
        (Image.new("LA", (9, 9), (0, 128)), "PNG", {}, (127, 127, 127)),
        (_make_indexed(3), "PNG", {"transparency": 3}, WHITE),
        (_make_indexed(3), "PNG", {"transparency": bytes([9, 9, 9, 0])}, WHITE),
        (_make_indexed(3), "PNG", {}, (3, 3, 3)),
        (_make_indexed(3), "GIF", {"transparency": 3}, WHITE),
        (Image.new("L", (9, 9), 40), "PNG", {"transparency": 40}, WHITE),
        (Image.new("RGB", (9, 9), RED), "PNG", {"transparency": RED}, WHITE),
        (Image.new("L", (9, 9), 40), "PNG", {}, (40, 40, 40)),
        (Image.new("L", (9, 9), 40), "JPEG", {}, (40, 40, 40)),
        (Image.new("1", (9, 9), 0), "PNG", {}, BLACK),
        (Image.new("1", (9, 9), 1), "PNG", {}, WHITE),
        (Image.new("RGB", (9, 9), RED).quantize(4), "PNG", {}, RED),
        (Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "JPEG", {"quality": 95}, (255, 0, 0)),
        (Image.new("I;16", (9, 9), 40 << 8), "PNG", {}, (40, 40, 40)),
        (Image.new("I;16", (9, 9), 65_535), "PNG", {}, WHITE),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_every_mode_is_seen_as_it_looks_on_white(
    image: Image.Image, format_: str, options: dict[str, object], wanted: Colour
) -> None:
    found = read_picture(save(image, format_, **options))
    assert _are_near(_see(found.whole), wanted), _see(found.whole)
    _check_form(found)


def test_deep_grey_keeps_its_steps_and_its_hole() -> None:
    found = read_picture(make_grey_png([0, 60_000, 20_000, 300, 40_000], clear=300))
    wide = open_picture(found.whole.content).get_flattened_data()
    for seen, wanted in zip(wide, (0, 234, 78, 255, 156), strict=True):
        assert isinstance(seen, tuple)
        assert abs(seen[0] - wanted) <= _NEAR


def test_what_is_clear_casts_no_colour_when_reduced() -> None:
    """Red that isn't seen, beside white that is."""
    image = Image.new("RGBA", (4_000, 40), (*RED, 0))
    image.paste((*WHITE, 255), (0, 0, 4_000, 21))
    found = read_picture(save(image, "PNG"))
    assert all(_are_near(_see(found.whole, 0.5, down / 10), WHITE) for down in range(11))


@pytest.mark.parametrize("make", [make_gif, partial(make_webp, colours=(RED, GREEN))])
def test_of_an_animation_the_first_frame_is_taken(make: Callable[[int, int], bytes]) -> None:
    content = make(900, 300)
    assert open_picture(content).is_animated  # type: ignore[attr-defined]
    found = read_picture(content)
    assert found.whole.size == (900, 300)
    assert _are_near(_see(found.small), RED)


# --- what goes out ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [make_jpeg, make_png, make_webp, make_gif])
def test_nothing_but_the_picture_goes_out(make: Callable[..., bytes]) -> None:
    content = make(1_000, 500, canary=CANARY)
    assert CANARY.encode() in content
    found = read_picture(content)
    for picture in (found.whole, found.small):
        assert CANARY.encode() not in picture.content
    _check_form(found)


def test_the_same_picture_gives_the_same_bytes() -> None:
    for content in (make_photo(2_000, 1_500), make_png(900, 900), make_gif(9, 9)):
        assert read_picture(content) == read_picture(content)


def test_noise_is_packed_until_it_fits() -> None:
    side = PICTURE_SIDE_MAX
    noise = random.Random(3).randbytes(side * side * 3)
    harsh = noise.translate(bytes([0] * 128 + [255] * 128))
    image = Image.frombytes("RGB", (side, side), harsh)
    assert len(save(image, "JPEG", quality=85)) > PICTURE_BYTES_MAX
    packed = pack_picture(image).whole
    assert 0.4 * PICTURE_BYTES_MAX < len(packed.content) <= PICTURE_BYTES_MAX
    assert packed.size == (side, side)


# --- what cannot be read ------------------------------------------------------------------------


def _make_cut(make: Callable[[], bytes], share: float) -> bytes:
    content = make()
    return content[: int(len(content) * share)]


def _make_other(format_: str) -> bytes:
    return save(Image.new("RGB", (9, 9), RED), format_)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: b"", FileProblem.EMPTY),
        (lambda: b" \n", FileProblem.EMPTY),
        (lambda: b"nothing but words", FileProblem.UNKNOWN_PICTURE),
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", FileProblem.UNKNOWN_PICTURE),
        (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", FileProblem.UNKNOWN_PICTURE),
        (lambda: make_pdf(["Words."]), FileProblem.UNKNOWN_PICTURE),
        (partial(_make_other, "TIFF"), FileProblem.UNKNOWN_PICTURE),
        (partial(_make_other, "BMP"), FileProblem.UNKNOWN_PICTURE),
        (partial(_make_other, "PPM"), FileProblem.UNKNOWN_PICTURE),
        (partial(_make_other, "AVIF"), FileProblem.UNKNOWN_PICTURE),
        (lambda: b"\x89PNG\r\n\x1a\n and nothing more", FileProblem.DAMAGED),
        (lambda: b"\xff\xd8\xff and nothing more", FileProblem.DAMAGED),
        (lambda: b"RIFF\0\0\0\0WEBP and nothing more", FileProblem.DAMAGED),
        (lambda: b"GIF89a", FileProblem.DAMAGED),
        (partial(_make_cut, lambda: make_photo(640, 480), 0.5), FileProblem.DAMAGED),
        (partial(_make_cut, lambda: save(make_noise(300, 300), "PNG"), 0.5), FileProblem.DAMAGED),
        (partial(_make_cut, lambda: save(make_noise(300, 300), "WEBP"), 0.5), FileProblem.DAMAGED),
        (partial(_make_cut, lambda: save(make_noise(300, 300), "GIF"), 0.5), FileProblem.DAMAGED),
        (partial(make_empty_png, 60_000, 60_000), FileProblem.TOO_MANY_PIXELS),
        (partial(make_empty_png, 2**31 - 1, 2**31 - 1), FileProblem.TOO_MANY_PIXELS),
        (partial(make_empty_png, 5_000, 5_000), FileProblem.DAMAGED),
        (partial(make_blank_png, 16_000, 11_000), FileProblem.TOO_MANY_PIXELS),
        (partial(make_blank_png, 10_000, 5_001), FileProblem.TOO_MANY_PIXELS),
        (make_vast_gif, FileProblem.TOO_MANY_PIXELS),
        (partial(make_vast_webp, 16_383, 16_383), FileProblem.TOO_MANY_PIXELS),
        (partial(make_vast_webp, 6_000, 5_001), FileProblem.TOO_MANY_PIXELS),
        (partial(make_vast_webp, 6_000, 5_001, kind="VP8L"), FileProblem.TOO_MANY_PIXELS),
        (partial(make_vast_webp, 6_000, 5_001, kind="VP8 "), FileProblem.TOO_MANY_PIXELS),
        (partial(make_vast_webp, 600, 500, kind="VP8 "), FileProblem.DAMAGED),
        (partial(make_text_bomb_png, 300), FileProblem.DAMAGED),
        (partial(bytes, FILE_BYTES_MAX + 1), FileProblem.TOO_LARGE),
    ],
)
async def test_what_cannot_be_read_is_named(
    files: FileReader, make: Callable[[], bytes], problem: FileProblem
) -> None:
    with pytest.raises(FileUnreadable) as raised:
        await files.read_picture(make())
    assert raised.value.problem is problem


@pytest.mark.parametrize(
    "make",
    [
        partial(make_blank_png, 10_000, 5_000, colour_type=2),
        partial(make_blank_png, 10_000, 5_000, colour_type=6),
        partial(make_blank_png, 50_000_000, 1, colour_type=2),
        partial(make_photo, 8_000, 6_000, quality=30),
        partial(make_webp, 6_000, 5_000),
    ],
    ids=["RGB", "RGBA", "a line", "JPEG", "WebP"],
)
async def test_as_many_pixels_as_are_decoded_fit_into_the_process(
    files: FileReader, make: Callable[[], bytes]
) -> None:
    found = await files.read_picture(make())
    assert max(found.whole.size) == PICTURE_SIDE_MAX
    _check_form(found)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no count of the peak")
async def test_bombs_take_nothing_of_the_service(files: FileReader) -> None:
    bombs = [
        *(make_empty_png(60_000, 60_000), make_blank_png(16_000, 11_000), make_vast_gif()),
        *(make_blank_png(10_000, 5_000, colour_type=6), make_text_bomb_png(300)),
    ]
    await files.read_picture(make_jpeg(9, 9))
    before = _begin_peak_kb()
    for bomb in bombs:
        try:
            await files.read_picture(bomb)
        except FileUnreadable:
            continue
    assert _read_peak_kb() - before < 40 << 10


def _begin_peak_kb() -> int:
    """What the process has now, from which its peak is counted anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return _read_peak_kb()


def _read_peak_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


async def test_who_reads_a_picture_knows_nothing_of_the_service(
    files: FileReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_WARM", WAITING)
    monkeypatch.setenv("CREDITBOT_MASTER_KEY", "canary-of-the-environment")
    held = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(held, True)
    await files.read_picture(make_jpeg(9, 9))
    assert files._warming is not None
    await files._warming
    process = files._warm.popleft()
    stdin, stdout = process._process.stdin, process._process.stdout
    assert stdin is not None
    assert stdout is not None
    content = make_photo(2_000, 1_500)
    # More than a pipe holds: when this returns, the process has begun to read.
    stdin.write(f"{PICTURE_JOB}\n".encode() + content[:-9])
    stdin.flush()
    assert read_environment(process.pid) == b""
    assert list_inherited(process.pid) == []
    os.close(held)
    stdin.write(content[-9:])
    stdin.close()
    answer = stdout.read()
    await process.end(grace_seconds=60)
    assert parse_picture(parse_answer(answer)).whole.size == (1_568, 1_176)
    assert set(json.loads(answer)) == {"whole", "small"}


async def test_pictures_and_documents_are_read_side_by_side(files: FileReader) -> None:
    sides = [(10 * number, 7) for number in range(1, 5)]
    pictures, words = await asyncio.gather(
        asyncio.gather(*(files.read_picture(make_png(*one)) for one in sides)),
        files.read_document(make_pdf(["Words."])),
    )
    assert [one.whole.size for one in pictures] == sides
    # Where a picture isn't larger than the small one is, it is kept once.
    assert all(one.whole is one.small for one in pictures)
    assert words.text == "Words."


async def test_random_pictures_end_in_a_picture_or_a_problem(files: FileReader) -> None:
    count = size(small=16, full=3_000)
    chance = random.Random(count)
    counts: collections.Counter[str] = collections.Counter()
    for _ in range(count):
        sent = make_random_picture(chance)
        found, problem = await _read(files, sent.content)
        counts[problem.value if problem else "read"] += 1
        assert problem is None or not sent.is_whole, (sent.name, problem)
        if found is not None:
            _check_form(found)
            assert not sent.is_whole or _is_of(found.whole, sent.size), sent.name
    print(f"{count} random pictures: {dict(counts)}")
    assert counts["read"] > count // 3


async def _read(
    files: FileReader, content: bytes
) -> tuple[PictureReading | None, FileProblem | None]:
    try:
        return await files.read_picture(content), None
    except FileUnreadable as unreadable:
        return None, unreadable.problem


def _is_of(picture: Picture, size: tuple[int, int]) -> bool:
    """Whether it is a picture of this size, reduced."""
    longest = max(picture.size)
    wanted = [max(1.0, side * longest / max(size)) for side in size]
    are_near = all(abs(a - b) <= 1 for a, b in zip(picture.size, wanted, strict=True))
    return are_near and longest == min(max(size), PICTURE_SIDE_MAX)
