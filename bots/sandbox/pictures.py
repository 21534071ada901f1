"""What the sandbox makes of a picture: its size and its main colours, and no more than that."""

from __future__ import annotations

import base64
import binascii
import io
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from core.attachments.types import PICTURE_PIXELS_MAX, PictureSize

#: Suppliers' own format names, by the media types that the sandbox takes.
PICTURE_FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG"}
#: Its colours are looked at in a copy of so many pixels on its longest side.
_LOOK_SIDE: Final = 16
#: Another colour than the first is named where at least one pixel in so many has it.
_NAMED_FROM: Final = 5
#: The hue, in degrees, up to which a colour has its name.
_HUES: Final = (
    *((15, "red"), (45, "orange"), (70, "yellow"), (165, "green"), (195, "turquoise")),
    *((255, "blue"), (290, "purple"), (345, "pink"), (361, "red")),
)
_COLOUR_WORDS: Final = {
    "en": {},
    "zh-CN": {
        "black": "黑色",
        "white": "白色",
        "grey": "灰色",
        "brown": "棕色",
        "red": "红色",
        "orange": "橙色",
        "yellow": "黄色",
        "green": "绿色",
        "turquoise": "青色",
        "blue": "蓝色",
        "purple": "紫色",
        "pink": "粉色",
    },
}
_WORDS: Final = {
    "en": {
        "picture": "a picture of {width:,} × {height:,} pixels, mostly {colours}",
        "and": " and ",
        "one": "I see **{picture}**.",
        "many": "I see {count} pictures:",
        "note": "I am the sandbox and don't really understand pictures: a model would tell you what"
        " they show.",
        "in_view": "Of earlier questions I still have in view: {pictures}.",
        "between": "; ",
    },
    "zh-CN": {
        "picture": "一张 {width:,} × {height:,} 像素的图片，主要是{colours}",
        "and": "和",
        "one": "我看到**{picture}**。",
        "many": "我看到 {count} 张图片：",
        "note": "我是沙盒，并不真正理解图片：真正的模型会告诉你图里是什么。",
        "in_view": "之前问题里的图片我还看得到：{pictures}。",
        "between": "；",
    },
}


class PictureUnreadable(Exception):
    """A picture can't be decoded, or isn't what its media type says."""


@dataclass(frozen=True, slots=True)
class SentPicture:
    """A picture as it stands in a request: its bytes in base64, and what it is said to be."""

    media_type: str
    data: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SeenPicture:
    """A picture that was looked at: its size, and its main colours, the most common one first."""

    size: PictureSize
    colours: tuple[str, ...]


def look_at_picture(sent: SentPicture) -> SeenPicture:
    """Decodes it as small as can be: some milliseconds, in a thread. Raises `PictureUnreadable`."""
    from PIL import Image

    try:
        content = base64.b64decode(sent.data, validate=True)
        with Image.open(io.BytesIO(content), formats=(PICTURE_FORMATS[sent.media_type],)) as opened:
            size = PictureSize(*opened.size)
            if size.width * size.height > PICTURE_PIXELS_MAX:
                raise PictureUnreadable
            opened.thumbnail((_LOOK_SIDE, _LOOK_SIDE))  # a JPEG is decoded to an eighth
            pixels = opened.convert("RGB").convert("HSV").tobytes()
    except (
        *(KeyError, OSError, ValueError, SyntaxError, struct.error, binascii.Error),
        Image.DecompressionBombError,
    ):
        raise PictureUnreadable from None
    named = Counter(_name_colour(*pixel) for pixel in struct.iter_unpack("3B", pixels))
    (first, _), *others = named.most_common(2)
    more = (name for name, count in others if count * _NAMED_FROM >= named.total())
    return SeenPicture(size, (first, *more))


def _name_colour(hue: int, saturation: int, value: int) -> str:
    """The name of a colour, of whose three numbers each goes from 0 to 255."""
    if value < 50:
        return "black"
    if saturation < 40:
        return "white" if value > 215 else "grey"
    degrees = hue * 360 // 255
    if 15 <= degrees < 45 and value < 150:
        return "brown"
    return next(name for end, name in _HUES if degrees < end)


def describe_shown(pictures: Sequence[SeenPicture], language: str) -> str:
    """What is said of the pictures of a question."""
    words = _WORDS[language]
    described = [_describe_picture(one, language) for one in pictures]
    if len(described) == 1:
        return f"{words['one'].format(picture=described[0])}\n\n{words['note']}"
    listed = "\n".join(f"{number}. {one}" for number, one in enumerate(described, start=1))
    return f"{words['many'].format(count=len(described))}\n\n{listed}\n\n{words['note']}"


def describe_in_view(pictures: Sequence[SeenPicture], language: str) -> str:
    """What is said of the pictures of earlier questions."""
    words = _WORDS[language]
    described = words["between"].join(_describe_picture(one, language) for one in pictures)
    return words["in_view"].format(pictures=described)


def _describe_picture(picture: SeenPicture, language: str) -> str:
    words, names = _WORDS[language], _COLOUR_WORDS[language]
    colours = words["and"].join(names.get(name, name) for name in picture.colours)
    width, height = picture.size
    return words["picture"].format(width=width, height=height, colours=colours)
