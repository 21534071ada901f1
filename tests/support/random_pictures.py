"""Pictures at random: of every format and mode that is read, of sides from one pixel on, turned by
the camera, and damaged in the ways that files are."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image

from tests.support.pictures import save
from tests.support.random_documents import damage

#: Which modes each format has.
_MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("1", "L", "P", "RGB"),
}
_SHORT_SIDE_MAX = 2_000
_LONG_SIDE_MAX = 9_000
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class RandomPicture:
    """A picture, what it is, and its sides as they are seen; `is_whole` where nothing of it was
    damaged."""

    content: bytes
    name: str
    size: tuple[int, int]
    is_whole: bool


def make_random_picture(chance: random.Random) -> RandomPicture:
    """One of any kind; half are damaged."""
    format_ = chance.choice(list(_MODES))
    mode = chance.choice(_MODES[format_])
    size = _choose_side(chance, _LONG_SIDE_MAX), _choose_side(chance, _SHORT_SIDE_MAX)
    if chance.random() < 0.5:
        size = size[::-1]
    orientation = 1 if format_ == "GIF" else chance.choice((1, 1, *range(1, 9), 77))
    content = _make(chance, format_, mode, size, orientation)
    is_whole = chance.random() < 0.5
    if not is_whole:
        content = damage(chance, content)
    seen = size[::-1] if 5 <= orientation <= 8 else size
    return RandomPicture(content, f"{format_} {mode} {size} {orientation}", seen, is_whole)


def _choose_side(chance: random.Random, most: int) -> int:
    """Small ones mostly, and every tenth as small as there is."""
    return 1 if chance.random() < 0.1 else 1 + int(most * chance.random() ** 3)


def _make(
    chance: random.Random, format_: str, mode: str, size: tuple[int, int], orientation: int
) -> bytes:
    bands = {"I;16": 2, "1": 1}.get(mode) or len(Image.new(mode, (1, 1)).getbands())
    base = Image.frombytes("L" if mode == "1" else mode, (16, 16), chance.randbytes(256 * bands))
    if mode == "P":
        base.putpalette(chance.randbytes(768))
    image = base.convert(mode).resize(size, Image.Resampling.NEAREST)
    options: dict[str, object] = {}
    if mode == "P" and chance.random() < 0.5:
        options["transparency"] = chance.randrange(256)
    if orientation != 1:
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        options["exif"] = exif
    if format_ == "JPEG":
        options["progressive"] = chance.random() < 0.5
    if format_ in {"GIF", "WEBP"} and chance.random() < 0.3:
        options |= {
            "save_all": True,
            "append_images": [image.transpose(Image.Transpose.ROTATE_180)],
        }
    return save(image, format_, **options)
