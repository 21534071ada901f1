"""WebM and Matroska files with Opus: each block holds a packet, which says its own length. Times of
blocks and clusters aren't read.

Formats: RFC 8794 (EBML), RFC 9559 (Matroska).
"""

from __future__ import annotations

from typing import Final

from core.audio.ogg import count_opus_packet
from core.audio.tally import Tally, Uncountable

#: Elements that hold others; they are entered, and their own length isn't needed.
_HOLDERS: Final = {0x18538067, 0x1654AE6B, 0xAE, 0x1F43B675, 0xA0}
_TRACK_ENTRY, _TRACK_NUMBER, _CODEC, _ENCODINGS = 0xAE, 0xD7, 0x86, 0x6D80
_SIMPLE_BLOCK, _BLOCK = 0xA3, 0xA1
_CLUSTER: Final = b"\x1f\x43\xb6\x75"
_OPUS: Final = b"A_OPUS"
_OPUS_RATE: Final = 48_000
_LACED: Final = 0x06


def count_matroska(data: bytes, tally: Tally) -> None:
    """Counts the packets of all Opus tracks; raises `Uncountable` where other audio is in it, or
    packets share a block."""
    reader, at = _Reader(tally), 0
    while 0 <= at < len(data):
        tally.spend()
        found = _read_head(data, at)
        if found is None:  # broken: decoders look for the next cluster
            at = data.find(_CLUSTER, at + 1)
            continue
        id_, start, size = found
        if id_ in _HOLDERS:
            at = start
            if id_ == _TRACK_ENTRY:
                reader.begin_track()
            continue
        if size is None or id_ == _ENCODINGS:
            raise Uncountable
        reader.read(id_, data[start : start + min(size, 64)])
        at = start + size


class _Reader:
    """Reads the elements of a file one after the other, and knows which tracks sound."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._silent_tracks: set[int] = set()
        self._number: int | None = None
        self._codec = b""
        self._samples = 960

    def begin_track(self) -> None:
        """What comes next describes another track."""
        self._number, self._codec = None, b""

    def read(self, id_: int, body: bytes) -> None:
        """Takes an element, or the beginning of it."""
        if id_ == _TRACK_NUMBER:
            self._number = int.from_bytes(body, "big")
        elif id_ == _CODEC:
            self._codec = body
            if body.startswith(b"A_") and not body.startswith(_OPUS):
                raise Uncountable
        elif id_ in (_SIMPLE_BLOCK, _BLOCK):
            self._count_block(body)
        if self._number is not None and self._codec.startswith((b"V_", b"S_")):
            self._silent_tracks.add(self._number)

    def _count_block(self, body: bytes) -> None:
        track, place = _read_vint(body, 0)
        if track in self._silent_tracks:
            return
        if len(body) < place + 3 or body[place + 2] & _LACED:
            raise Uncountable
        self._samples = count_opus_packet(body[place + 3 : place + 5], self._samples)
        self._tally.add(self._samples, _OPUS_RATE)


def _read_head(data: bytes, at: int) -> tuple[int, int, int | None] | None:
    """An element's id, where its contents begin, and their size (None: not told); None where there
    is no element."""
    first = data[at]
    width = 9 - first.bit_length()
    if width > 4 or at + width >= len(data):
        return None
    size, start = _read_vint(data, at + width)
    if start > len(data):
        return None
    is_unknown = size == (1 << 7 * (start - at - width)) - 1
    return int.from_bytes(data[at : at + width], "big"), start, None if is_unknown else size


def _read_vint(data: bytes, at: int) -> tuple[int, int]:
    """A number of EBML without its marker, and where it ends; beyond the data where it is none."""
    if at >= len(data) or not data[at]:
        return 0, len(data) + 1
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") & (1 << 7 * width) - 1
    return value, at + width
