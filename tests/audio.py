"""Audio files of a length, as small as they can be."""

from __future__ import annotations

import io
import struct
import wave

#: As Telegram's voice messages begin; its length is told beside it.
VOICE = b"OggS" + bytes(60)


def wav(seconds: int) -> bytes:
    """Silence in a file that says how long it is."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(1_000)
        file.writeframes(b"\x80" * 1_000 * seconds)
    return out.getvalue()


def ogg(seconds: float) -> bytes:
    """The pages of an Opus file that tell its length, and no sound."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<II", 0, 0)
    pages = ((2, 0, head), (0, 0, tags), (4, int(seconds * 48_000), b"\xfc"))
    return b"".join(
        b"OggS" + struct.pack("<BBqIIIB", 0, flag, at, 1, n, 0, 1) + bytes([len(body)]) + body
        for n, (flag, at, body) in enumerate(pages)
    )
