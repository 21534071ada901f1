"""Pictures in the messages that fake suppliers get: read and refused as strictly as by real ones.

`find_refusal` says what a supplier refuses of a body, in its own words; `list_sizes` gives the
sides of the pictures that it took. `build_jpeg` makes the smallest picture of given sides.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.peers.suppliers import Refuse

_MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a supplier takes at once; 0: more than any test sends."""

    pictures: int = 0
    #: Bytes: of each picture, of all together, of the whole body.
    each: int = 0
    total: int = 0
    body: int = 0
    #: Pixels.
    side: int = 0
    formats: tuple[str, ...] = ("jpeg", "png", "gif")


#: As suppliers document them, or as they were measured.
LIMITS: dict[str, Limits] = {
    "openai": Limits(pictures=1_500, total=50_000_000),
    "anthropic": Limits(pictures=600, each=10 * _MB, body=32 * _MB, side=8_000),
    "xai": Limits(each=20 * _MB, formats=("jpeg", "png")),
    "mistral": Limits(pictures=8, each=10_000_000, side=10_000),
    "deepseek": Limits(pictures=600, each=32 * _MB, body=48 * _MB),
    "groq": Limits(pictures=3, each=4_000_000),
    "fireworks": Limits(pictures=30, each=10_000_000),
    "minimax": Limits(each=10 * _MB),
}
#: Above so many pictures Anthropic takes smaller ones only.
_ANTHROPIC_MANY, _ANTHROPIC_SIDE_OF_MANY = 20, 2_000
#: Who knows `detail` beside a URL, and what it may say.
_KNOW_DETAIL = {"openai", "xai", "deepseek"}
_DETAILS = {"auto", "low", "high", "original"}

#: Blocks in which no picture is.
_NO_PICTURES = {"tool_use", "thinking", "redacted_thinking"}

#: What each says of a picture for a model that doesn't see; others say what `""` does.
_BLIND: dict[str, tuple[int, str]] = {
    "deepseek": (
        400,
        "Failed to deserialize the JSON body: unknown variant `image_url`, expected `text`",
    ),
    "groq": (400, "'messages.{at}' : messages[{at}].content must be a string"),
    "openrouter": (404, "No endpoints found that support image input"),
    "mistral": (400, "Image input is not enabled for this model"),
    "openai": (400, "Image input is not allowed for this model"),
    "together": (400, "Only text input is supported"),
    "": (400, "This model does not support images"),
}
#: They take a picture and don't look at it.
IGNORING = frozenset({"tgi"})


@dataclass(frozen=True)
class Sent:
    """A picture as it came: in which message, its bytes, and its sides if it is one."""

    at: int
    content: bytes
    format: str
    width: int
    height: int


class _Wrong(Exception):
    """A part isn't as it must be."""


def build_jpeg(width: int, height: int, bytes_more: int = 0) -> bytes:
    """A JPEG of these sides with nothing in it, and as many bytes more in comments."""
    frame = struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0)
    whole, rest = divmod(bytes_more, 65_000)
    comments = _make_comment(65_000) * whole + (_make_comment(rest) if rest else b"")
    start = b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame
    return b"\xff\xd8" + comments + start + b"\xff\xd9"


def _make_comment(length: int) -> bytes:
    return b"\xff\xfe" + struct.pack(">H", length + 2) + b"x" * length


def read_picture(content: bytes) -> tuple[str, int, int]:
    """The format and the sides of a picture; raises ValueError where it is none."""
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            return ("png", *struct.unpack(">II", content[16:24]))
        if content.startswith((b"GIF87a", b"GIF89a")):
            return ("gif", *struct.unpack("<HH", content[6:10]))
        if content.startswith(b"\xff\xd8") and content.endswith(b"\xff\xd9"):
            return ("jpeg", *_read_jpeg_sides(content))
    except struct.error as error:
        raise ValueError("cut off") from error
    raise ValueError("no picture")


def _read_jpeg_sides(content: bytes) -> tuple[int, int]:
    at = 2
    while at < len(content) - 4:
        if content[at] != 0xFF:
            break
        marker, length = content[at + 1], struct.unpack(">H", content[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + length
    raise ValueError("no frame")


def list_sizes(wire: str, body: dict[str, Any]) -> list[tuple[int, int]]:
    """The sides of a body's pictures, as far as they are any."""
    found = []
    for message in body.get("messages", ()):
        for part in _list_parts(message):
            try:
                content = _read_part(wire, "", part)
                if content is not None:
                    found.append(read_picture(content)[1:])
            except (ValueError, _Wrong):
                continue
    return found


def find_refusal(
    plays: str, wire: str, body: dict[str, Any], *, sees: bool, body_bytes: int
) -> Refuse | None:
    """What a supplier refuses of a body; None where it takes it, or there are only texts."""
    if plays in IGNORING:
        return None
    limits = LIMITS.get(plays, Limits())
    if limits.body and body_bytes > limits.body:
        return _refuse(413, "Request exceeds the maximum size", kind="request_too_large")
    try:
        pictures = list(_read_pictures(plays, wire, body, sees=sees))
    except _Wrong as wrong:
        return _refuse(*wrong.args)
    return _check_limits(plays, limits, pictures)


def _read_pictures(plays: str, wire: str, body: dict[str, Any], *, sees: bool) -> Iterator[Sent]:
    for at, message in enumerate(body.get("messages", ())):
        parts = _list_parts(message)
        if parts and not sees and (plays == "groq" or any("image" in one["type"] for one in parts)):
            status, words = _BLIND.get(plays, _BLIND[""])
            raise _Wrong(status, words.format(at=at))
        for part in parts:
            content = _read_part(wire, plays, part)
            if content is None:
                continue
            if message["role"] != "user":
                raise _Wrong(400, f"messages.{at}: images are only permitted in user messages")
            yield _check_picture(plays, at, part, content)


def _list_parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The texts and pictures of a message, those in tools' results too."""
    content = message["content"]
    found: list[dict[str, Any]] = []
    for part in content if isinstance(content, list) else ():
        if part["type"] == "tool_result":
            found += _list_parts({"content": part.get("content", [])})
        elif part["type"] not in _NO_PICTURES:
            found.append(part)
    return found


def _read_part(wire: str, plays: str, part: dict[str, Any]) -> bytes | None:
    """The bytes of a picture; None for a text."""
    kind = part.get("type")
    if kind == "text":
        if set(part) - {"type", "text", "cache_control"} or not part["text"]:
            raise _Wrong(400, "messages: text content blocks must be non-empty")
        return None
    if wire == "anthropic":
        return _read_block(part)
    if kind != "image_url" or set(part) != {"type", "image_url"}:
        raise _Wrong(400, f"Invalid value: '{kind}'. Supported values are: 'text', 'image_url'")
    told = part["image_url"]
    if isinstance(told, str) and plays not in {"", "mistral"}:
        raise _Wrong(400, "Invalid type for 'image_url': expected an object, but got a string")
    if isinstance(told, dict):
        if "detail" in told and plays and plays not in _KNOW_DETAIL:
            raise _unknown_detail(plays)
        if set(told) - {"url", "detail"} or told.get("detail", "auto") not in _DETAILS:
            raise _Wrong(400, "Invalid value for 'image_url'")
        told = told["url"]
    head, _, data = told.partition(";base64,")
    if not head.startswith("data:image/") or not data:
        raise _Wrong(400, "Failed to download image from the given URL")
    return _decode(data)


def _unknown_detail(plays: str) -> _Wrong:
    if plays == "mistral":
        place = ["body", "messages", 0, "content", 0, "image_url", "detail"]
        row = {"type": "extra_forbidden", "loc": place, "msg": "Extra inputs are not permitted"}
        return _Wrong(422, json.dumps({"detail": [row]}))
    return _Wrong(400, "property 'messages.0.content.0.image_url.detail' is unsupported")


def _read_block(part: dict[str, Any]) -> bytes:
    source = part.get("source", {})
    if part["type"] != "image" or set(part) - {"type", "source", "cache_control"}:
        raise _Wrong(400, f"messages: Input tag '{part['type']}' found using 'type' is not valid")
    if set(source) != {"type", "media_type", "data"} or source["type"] != "base64":
        raise _Wrong(400, "messages: image.source: Field required")
    return _decode(source["data"])


def _decode(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        raise _Wrong(400, "Invalid base64 image data") from None


def _check_picture(plays: str, at: int, part: dict[str, Any], content: bytes) -> Sent:
    try:
        format_, width, height = read_picture(content)
    except ValueError:
        words = "Could not process image" if plays == "anthropic" else "unsupported image"
        raise _Wrong(400, words) from None
    if format_ not in LIMITS.get(plays, Limits()).formats:
        raise _Wrong(400, f"Unsupported image format {format_}: use jpeg or png")
    told = json.dumps(part)[:200]
    if f"image/{format_}" not in told:
        raise _Wrong(400, "The image was specified using another media type than it has")
    return Sent(at, content, format_, width, height)


def _check_limits(plays: str, limits: Limits, pictures: list[Sent]) -> Refuse | None:
    if limits.pictures and len(pictures) > limits.pictures:
        most = limits.pictures
        if plays == "fireworks":
            words = f"we currently limit the number of images per conversation to {most}"
            return _refuse(400, f"Too many images were provided, {words}")
        return _refuse(400, f"Too many images provided: this model supports up to {most} images")
    total = sum(len(one.content) for one in pictures)
    if limits.total and total > limits.total:
        words = f"Total image size is {total / 1e6:.2f}MB, which exceeds the allowed limit of 50MB."
        return _refuse(400, words)
    for number, one in enumerate(pictures):
        where = f"messages.{one.at}.content.{number}.image.source.base64"
        if limits.each and len(one.content) > limits.each:
            size = f"{len(one.content)} bytes > {limits.each} bytes"
            return _refuse(400, f"{where}: image exceeds {limits.each // _MB} MB maximum: {size}")
        side = limits.side
        if plays == "anthropic" and len(pictures) > _ANTHROPIC_MANY:
            side = _ANTHROPIC_SIDE_OF_MANY
        if side and max(one.width, one.height) > side:
            words = f"{where}: image dimensions exceed max allowed size: {side} pixels"
            return _refuse(400, words, code="image_dimensions_too_large")
    return None


def _refuse(
    status: int, words: str, *, code: str = "", kind: str = "invalid_request_error"
) -> Refuse:
    from tests.peers.suppliers import Refuse

    body = words.encode() if words.startswith("{") else None
    return Refuse(status, code=code, type=kind, message=words, body=body)
