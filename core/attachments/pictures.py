"""What is made of a stranger's picture, inside the reading process: a form that every model takes.

The form is a JPEG in RGB: upright, on white, reduced to what models see, without a word of where or
by whom it was taken. Colour profiles are left out like all else about the file: models take numbers
as sRGB. Nothing here may run in the service's own process: decoders take memory by what a header
says, and their faults are known to be used.
"""

from __future__ import annotations

import importlib
import io
import warnings
from typing import Final

from PIL import Image

from core.attachments.types import (
    PICTURE_BYTES_MAX,
    PICTURE_PIXELS_MAX,
    PICTURE_SIDE_MAX,
    SMALL_SIDE_MAX,
    FileProblem,
    FileUnreadable,
    Picture,
    PictureReading,
    PictureSize,
)

#: Of a WebP: its decoder takes 20 bytes for each, and the process has no more memory.
_WEBP_PIXELS_MAX: Final = 30_000_000
#: The first is how pictures for models are usually packed; the others are for what stays too large,
#: as noise does. The last packs any picture of `PICTURE_SIDE_MAX` into half of what it may be.
_QUALITIES: Final = (85, 75, 60, 40, 20)
#: Lanczos's window grows with what it reduces: what is larger than this times the aim is first
#: averaged to it, in little memory. More than 2 isn't seen.
_REDUCING_GAP: Final = 2.0
_WHITE: Final = (255, 255, 255)
#: What Pillow loads only where a picture needs it: EXIF is made of TIFF's fields.
_LATER_MODULES: Final = ("TiffImagePlugin", "WebPImagePlugin")
#: EXIF's field for how the camera was held, and what turns each picture upright.
_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_formats() -> None:
    """Loads what reads pictures, before there is one."""
    Image.preinit()
    for name in _LATER_MODULES:
        importlib.import_module(f"PIL.{name}")


def read_picture(content: bytes) -> PictureReading:
    """A picture in both sizes, of an animation its first frame; raises `FileUnreadable`, and
    whatever a decoder makes of a damaged file."""
    if not content.strip():
        raise FileUnreadable(FileProblem.EMPTY)
    opened = _open(content)
    opened.draft(None, _fit(opened.size, PICTURE_SIDE_MAX))
    opened.load()
    turn = _TURNS.get(_find_orientation(opened))
    image = _reduce(_flatten(opened), PICTURE_SIDE_MAX).convert("RGB")
    if turn is not None:
        image = image.transpose(turn)
    return pack_picture(image)


def pack_picture(image: Image.Image) -> PictureReading:
    """A picture in RGB, no larger than `PICTURE_SIDE_MAX`, in both sizes."""
    whole = _pack(image)
    if max(whole.size) <= SMALL_SIDE_MAX:
        return PictureReading(whole, whole)
    return PictureReading(whole, _pack(_reduce(image, SMALL_SIDE_MAX)))


def _pack(image: Image.Image) -> Picture:
    # What Pillow knows of a picture would go with it: its pixels alone are taken.
    bare = Image.new("RGB", image.size)
    bare.paste(image)
    content = b""
    for quality in _QUALITIES:
        packed = io.BytesIO()
        bare.save(packed, "JPEG", quality=quality)
        content = packed.getvalue()
        if len(content) <= PICTURE_BYTES_MAX:
            break
    return Picture(content, PictureSize(*bare.size))


def _open(content: bytes) -> Image.Image:
    """A picture whose header alone was read; raises `FileUnreadable`."""
    format_ = _tell_format(content)
    if format_ is None:
        raise FileUnreadable(FileProblem.UNKNOWN_PICTURE)
    if format_ == "WEBP":
        # Its decoder takes memory for the whole before Pillow looks at the size.
        _check_pixels(_read_webp_size(content), _WEBP_PIXELS_MAX)
    Image.MAX_IMAGE_PIXELS = PICTURE_PIXELS_MAX
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            opened = Image.open(io.BytesIO(content), formats=(format_,))
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise FileUnreadable(FileProblem.TOO_MANY_PIXELS) from None
    _check_pixels(opened.size, PICTURE_PIXELS_MAX)
    return opened


def _tell_format(content: bytes) -> str | None:
    """By its first bytes, never by its name."""
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WEBP"
    return None


def _check_pixels(size: tuple[int, int], most: int) -> None:
    if size[0] * size[1] > most:
        raise FileUnreadable(FileProblem.TOO_MANY_PIXELS)


def _read_webp_size(content: bytes) -> tuple[int, int]:
    """The sides by WebP's header, in one of its three kinds (RFC 9649, 2.5 to 2.7); zeros where it
    has none, which its decoder refuses."""

    def number(start: int, count: int) -> int:
        return int.from_bytes(content[start : start + count], "little")

    match content[12:16]:
        case b"VP8X":
            return number(24, 3) + 1, number(27, 3) + 1
        case b"VP8L":
            return (number(21, 4) & 0x3FFF) + 1, (number(21, 4) >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return number(26, 2) & 0x3FFF, number(28, 2) & 0x3FFF
    return 0, 0


def _find_orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - a picture is seen without what is damaged beside it
        return 1


def _flatten(image: Image.Image) -> Image.Image:
    """Without transparency, in a mode whose pixels can be averaged."""
    if image.mode.startswith("I"):
        image = _halve_depth(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, _WHITE)
        image.paste(layer, mask=layer)
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in {"L", "RGB", "CMYK"} else image.convert("RGB")


def _halve_depth(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as one of 8: Pillow's own way makes white of all but the darkest."""
    clear = image.info.get("transparency")
    deep = image.convert("I")
    grey = deep.point([value >> 8 for value in range(1 << 16)], "L")
    if not isinstance(clear, int):
        return grey
    alpha = deep.point([255 * (value != clear) for value in range(1 << 16)], "L")
    return Image.merge("LA", (grey, alpha))


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The sides that a picture has where its longest is no more than `side`."""
    longest = max(size)
    if longest <= side:
        return size
    width, height = (max(1, (one * side + longest // 2) // longest) for one in size)
    return width, height


def _reduce(image: Image.Image, side: int) -> Image.Image:
    size = _fit(image.size, side)
    if size == image.size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
