"""How long audio is: what its container is, by its first bytes, and what its frames come to.

Whoever pays by the length has written the file. So no field that says a length is believed; where
frames can't be counted, the least bitrate that audio has bounds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core.audio.lossless import count_flac, count_wav
from core.audio.matroska import count_matroska
from core.audio.mp4 import count_mp4
from core.audio.mpeg import count_adts, count_mpeg
from core.audio.ogg import count_ogg
from core.audio.tally import LENGTH_MAX_SECONDS, LongEnough, Tally, Uncountable

#: Bits a second that speech takes at least in the formats that are taken (Opus recommends 6,000).
BITRATE_MIN: Final = 6_000


@dataclass(frozen=True, slots=True)
class AudioLength:
    """The length of audio in whole seconds, rounded up."""

    seconds: int
    #: Whether its frames were counted; else it is the longest that so many bytes can be.
    is_counted: bool


def bound_length(size: int) -> AudioLength:
    """The longest that audio of so many bytes can be."""
    return AudioLength(-(-size * 8 // BITRATE_MIN), is_counted=False)


def count_length(data: bytes) -> AudioLength | None:
    """The length of a file; None where there is nothing to hear in it. Linear in its size."""
    try:
        seconds = _count(data)
    except LongEnough:
        return AudioLength(LENGTH_MAX_SECONDS, is_counted=True)
    except Uncountable:
        return bound_length(len(data))
    return AudioLength(seconds, is_counted=True) if seconds else None


def _count(data: bytes) -> int:
    tally = Tally()
    if data.startswith(b"OggS"):
        count_ogg(data, tally)
    elif data.startswith(b"RIFF") and data[8:12] == b"WAVE":
        count_wav(data, tally)
    elif data.startswith(b"\x1a\x45\xdf\xa3"):
        count_matroska(data, tally)
    elif data[4:8] in (b"ftyp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip", b"styp"):
        count_mp4(data, tally)
    elif data[(tag := _measure_tag(data)) : tag + 4] == b"fLaC":
        count_flac(data, tally)
    else:
        return _count_bare_frames(data, tag)
    return tally.seconds


def _count_bare_frames(data: bytes, tag: int) -> int:
    """Frames without a container. If most of the file is none, a decoder may find something else in
    it: raises `Uncountable`."""
    layers, adts = Tally(), Tally()
    count_mpeg(data, layers)
    count_adts(data, adts)
    if not (layers.frames or adts.frames):
        return 0
    size = len(data) - tag
    if not (layers.covers_most(size) or adts.covers_most(size)):
        raise Uncountable
    return max(layers.seconds, adts.seconds)


def _measure_tag(data: bytes) -> int:
    """The bytes of an ID3 tag in front, which decoders pass over; no more than there are."""
    if not data.startswith(b"ID3"):
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 127
    return min(10 + size, len(data))
