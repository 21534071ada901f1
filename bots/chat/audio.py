"""Audio files as people send them, and what suppliers call their format."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import PurePath

from core.errors import Refusal

#: As large as Telegram hands a file to bots; suppliers take a little more.
AUDIO_BYTES_MAX = 20 << 20

#: The ending by which suppliers know a format, by what platforms or people call it.
_EXTENSIONS = {
    "ogg": "ogg",
    "oga": "ogg",
    "opus": "ogg",
    "mpeg": "mp3",
    "mp3": "mp3",
    "mpga": "mp3",
    "mp4": "mp4",
    "m4a": "m4a",
    "x-m4a": "m4a",
    "wav": "wav",
    "x-wav": "wav",
    "wave": "wav",
    "vnd.wave": "wav",
    "flac": "flac",
    "x-flac": "flac",
    "webm": "webm",
}


class DownloadFailed(Refusal):
    """A platform doesn't hand out a file, or not now."""

    code = "not_fetched"


@dataclass(frozen=True, slots=True)
class AudioAttachment:
    """A voice message or an audio file, as the platform describes it."""

    #: Whole seconds, rounded up, as its sender's program told the platform: too long is refused by
    #: it, but nothing is paid by it. None where the platform tells no length.
    seconds: int | None
    #: Bytes; 0 where the platform tells no size.
    size: int
    mime: str
    #: As its sender called it; may be empty.
    name: str
    #: Gives the bytes; raises `DownloadFailed`.
    fetch: Callable[[], Awaitable[bytes]] = field(repr=False)


def make_supplier_filename(name: str, mime: str) -> str | None:
    """A file name with the ending that suppliers know, and nothing of the sender's own; None for a
    format that they don't take."""
    subtype = mime.partition(";")[0].strip().lower().rpartition("/")[2]
    for candidate in (subtype, PurePath(name).suffix.removeprefix(".").lower()):
        if candidate in _EXTENSIONS:
            return f"voice.{_EXTENSIONS[candidate]}"
    return None
