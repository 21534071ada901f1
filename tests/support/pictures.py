"""Pictures as people send them, and those that are made to do harm. Each is made when it is called
for: some are large."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Sequence

from PIL import Image, PngImagePlugin

from tests.support.documents import make_pdf

Colour = tuple[int, int, int]
RED: Colour = (220, 30, 30)
GREEN: Colour = (30, 160, 60)
WHITE: Colour = (255, 255, 255)

_ORIENTATION = 0x0112
_DESCRIPTION = 0x010E
_PNG_MARK = b"\x89PNG\r\n\x1a\n"


def open_picture(content: bytes) -> Image.Image:
    """What is in a picture, decoded whole."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def save(image: Image.Image, format_: str, **options: object) -> bytes:
    """An image in a format of Pillow's."""
    written = io.BytesIO()
    image.save(written, format_, **options)
    return written.getvalue()


def make_jpeg(
    width: int,
    height: int,
    *,
    colour: Colour = RED,
    corner: Colour | None = None,
    mode: str = "RGB",
    exif_orientation: int = 1,
    canary: str = "",
    progressive: bool = False,
) -> bytes:
    """A JPEG of one colour, or with another one in its upper left quarter; `canary` stands in every
    place that a JPEG has for words."""
    image = _paint(width, height, colour, corner).convert(mode)
    exif = Image.Exif()
    if exif_orientation != 1:
        exif[_ORIENTATION] = exif_orientation
    options: dict[str, object] = {"quality": 95, "progressive": progressive}
    if canary:
        exif[_DESCRIPTION] = canary
        options |= {"comment": canary, "xmp": _make_xmp(canary), "icc_profile": canary.encode()}
    return save(image, "JPEG", exif=exif, **options)


def make_png(
    width: int,
    height: int,
    *,
    colour: tuple[int, ...] = RED,
    mode: str = "RGB",
    canary: str = "",
) -> bytes:
    """A PNG of one colour, with `canary` in every place that a PNG has for words."""
    image = Image.new(mode, (width, height), colour if len(colour) > 1 else colour[0])
    if not canary:
        return save(image, "PNG")
    words = PngImagePlugin.PngInfo()
    words.add_text("Comment", canary)
    words.add_text("Description", canary, zip=True)
    words.add_itxt("XML:com.adobe.xmp", _make_xmp(canary).decode())
    exif = Image.Exif()
    exif[_DESCRIPTION] = canary
    return save(image, "PNG", pnginfo=words, exif=exif, icc_profile=canary.encode())


def make_webp(
    width: int, height: int, *, colours: Sequence[Colour] = (RED,), canary: str = ""
) -> bytes:
    """A WebP without losses, an animation where there are several colours."""
    first, *others = (Image.new("RGB", (width, height), one) for one in colours)
    options: dict[str, object] = {"lossless": True}
    if others:
        options |= {"save_all": True, "append_images": others}
    if canary:
        exif = Image.Exif()
        exif[_DESCRIPTION] = canary
        options |= {"exif": exif, "xmp": _make_xmp(canary), "icc_profile": canary.encode()}
    return save(first, "WEBP", **options)


def make_gif(
    width: int, height: int, *, colours: Sequence[Colour] = (RED, GREEN), canary: str = ""
) -> bytes:
    """An animation with a frame in each colour."""
    frames = [Image.new("RGB", (width, height), one) for one in colours]
    options: dict[str, object] = {"comment": canary.encode()} if canary else {}
    return save(frames[0], "GIF", save_all=True, append_images=frames[1:], **options)


@functools.cache
def make_photo(width: int = 4_000, height: int = 3_000, quality: int = 75) -> bytes:
    """A JPEG of noise: none is harder to pack. Twelve megapixels unless told otherwise."""
    return save(make_noise(width, height), "JPEG", quality=quality)


def make_noise(width: int, height: int) -> Image.Image:
    """Coarse noise of three colours, the same at each call."""
    side = 64
    tile = zlib.compress(b"noise", 9)
    noise = bytearray()
    state = zlib.crc32(tile)
    while len(noise) < side * side * 3:
        state = (state * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        noise.append(state >> 16 & 0xFF)
    small = Image.frombytes("RGB", (side, side), bytes(noise[: side * side * 3]))
    image = Image.new("RGB", (width, height))
    image.paste(small)
    at = side
    while at < width:  # doubled until it covers the width, then the height
        image.paste(image.crop((0, 0, at, side)), (at, 0))
        at *= 2
    at = side
    while at < height:
        image.paste(image.crop((0, 0, width, at)), (0, at))
        at *= 2
    return image


def make_grey_png(values: Sequence[int], *, clear: int) -> bytes:
    """A PNG of one row in grey of 16 bits, in which one value is clear."""
    row = struct.pack(f">B{len(values)}H", 0, *values)
    more = [(b"tRNS", struct.pack(">H", clear))]
    data = zlib.compress(row)
    return make_raw_png(len(values), 1, data, depth=16, colour_type=0, more=more)


def list_segments(content: bytes) -> set[int]:
    """The kinds of what stands in a JPEG before its packed pixels."""
    found, at = {content[1]}, 2
    while content[at + 1] not in found | {0xDA}:
        assert content[at] == 0xFF
        found.add(content[at + 1])
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return found


def make_scanned_pdf(pages: int) -> bytes:
    """A PDF of pages that are pictures."""
    images = [_paint(620, 877, WHITE, GREEN) for _ in range(pages)]
    return save(images[0], "PDF", save_all=True, append_images=images[1:])


def make_pdf_of_size(width: str, height: str) -> bytes:
    """A PDF with a page of this size in points, which may be any number."""
    return make_pdf(["Large."]).replace(b"[0 0 612 792]", f"[0 0 {width} {height}]".encode())


# --- made to do harm ----------------------------------------------------------------------------


def make_empty_png(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and has no pixels."""
    return make_raw_png(width, height, b"")


def make_blank_png(width: int, height: int, *, colour_type: int = 0) -> bytes:
    """A PNG with all its pixels, black, in as few bytes as there are for them: grey of 1 bit, or
    of `colour_type` 2 (RGB) and 6 (RGBA) with 8."""
    bits = {0: 1, 2: 24, 6: 32}[colour_type]
    data = _pack_zeros((1 + (width * bits + 7) // 8) * height)
    return make_raw_png(width, height, data, depth=1 if bits == 1 else 8, colour_type=colour_type)


def make_raw_png(
    width: int,
    height: int,
    data: bytes,
    *,
    depth: int = 8,
    colour_type: int = 2,
    more: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """A PNG of these packed pixels, with `more` chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", data), (b"IEND", b"")]
    return _PNG_MARK + b"".join(_make_chunk(*one) for one in chunks)


def make_vast_gif(width: int = 65_535, height: int = 65_535) -> bytes:
    """A GIF of one pixel on a screen that is as large as it may say."""
    small = make_gif(1, 1, colours=(RED,))
    return small[:6] + struct.pack("<HH", width, height) + small[10:]


def make_vast_webp(width: int, height: int, *, kind: str = "VP8X") -> bytes:
    """A WebP of one pixel whose header, in one of its kinds, says that it is so large."""
    small = bytearray(save(Image.new("RGB", (1, 1)), "WEBP", lossless=kind != "VP8 "))
    if kind == "VP8 ":
        small[26:30] = struct.pack("<HH", width, height)
        return bytes(small)
    if kind == "VP8L":
        small[21:25] = struct.pack("<I", width - 1 | height - 1 << 14)
        return bytes(small)
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunks = b"VP8X" + struct.pack("<I", 10) + bytes(4) + sides + small[12:]
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def make_text_bomb_png(megabytes: int) -> bytes:
    """A PNG of one pixel with words that unpack to so many megabytes."""
    words = b"Comment\0\0" + _pack_zeros(megabytes << 20)
    data = zlib.compress(b"\0\xff\0\0")
    return make_raw_png(1, 1, data, more=[(b"zTXt", words)])


def _pack_zeros(count: int) -> bytes:
    """So many zeros as zlib packs them, at the cost of a megabyte: each begins anew, and so looks
    like the one before."""
    size, header = 1 << 20, b"\x78\xda"
    packer = zlib.compressobj(9, wbits=-15)
    megabyte = packer.compress(bytes(size)) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, wbits=-15)
    rest = packer.compress(bytes(count % size)) + packer.flush()
    checksum = struct.pack(">I", count % 65_521 << 16 | 1)
    return header + megabyte * (count // size) + rest + checksum


def _make_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _make_xmp(words: str) -> bytes:
    return f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a>{words}</a></x:xmpmeta>".encode()


def _paint(width: int, height: int, colour: Colour, corner: Colour | None) -> Image.Image:
    image = Image.new("RGB", (width, height), colour)
    if corner is not None:
        image.paste(corner, (0, 0, max(1, width // 2), max(1, height // 2)))
    return image
