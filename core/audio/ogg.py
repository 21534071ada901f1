"""Ogg files: Opus packets are counted by their first bytes, Vorbis packets by the longest that they
can be. Granule positions, which say the length, are their maker's word and aren't read.

Formats: RFC 3533 (pages), RFC 6716 § 3 (Opus packets), RFC 7845 (Opus in Ogg), Vorbis I § 4.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final, Literal

from core.audio.tally import Tally, Uncountable

_OPUS_RATE: Final = 48_000
#: Samples of a frame at 48 kHz, by the configuration in a packet's first byte (RFC 6716, table 2).
_OPUS_FRAME_SAMPLES: Final = (
    *(480, 960, 1_920, 2_880) * 3,
    *(480, 960) * 2,
    *(120, 240, 480, 960) * 4,
)
#: A packet of more than 120 ms is refused by every decoder.
_OPUS_PACKET_SAMPLES_MAX: Final = 5_760
#: A decoder covers for an empty packet that comes first as for a frame of the usual 20 ms.
_OPUS_USUAL_SAMPLES: Final = 960

_REVERSED_BITS: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_PAGE_HEAD: Final = 27
#: Of each byte a checksum may be computed so many times on average: pages don't overlap, but what
#: looks like a page's beginning may.
_CHECKSUMS_MAX: Final = 8

_Codec = Literal["opus", "vorbis"]


@dataclass(slots=True)
class _Stream:
    """One logical stream: its codec, and the packets that were seen of it."""

    codec: _Codec
    rate: int
    #: Of the packet before; for Vorbis of every packet.
    samples: int
    #: Packets of headers that are still to come.
    headers_left: int


def count_opus_packet(start: bytes, before: int = _OPUS_USUAL_SAMPLES) -> int:
    """The samples at 48 kHz of a packet that begins with these (at most two) bytes; for an empty
    one a decoder covers as long as the packet before."""
    if not start:
        return before
    samples, code = _OPUS_FRAME_SAMPLES[start[0] >> 3], start[0] & 3
    frames = (1, 2, 2, start[1] & 63 if len(start) > 1 else 1)[code]
    return min(samples * max(1, frames), _OPUS_PACKET_SAMPLES_MAX)


def count_ogg(data: bytes, tally: Tally) -> None:
    """Counts all streams of a file; raises `Uncountable` where one is of another codec."""
    streams: dict[int, _Stream] = {}
    checksums_left = _CHECKSUMS_MAX * len(data) + 1_000
    at = data.find(b"OggS")
    while at >= 0:
        tally.spend()
        if at + _PAGE_HEAD > len(data):
            return
        table = data[at + _PAGE_HEAD : at + _PAGE_HEAD + data[at + 26]]
        body = at + _PAGE_HEAD + data[at + 26]
        end = body + sum(table)
        if end <= len(data):
            checksums_left -= end - at
            if checksums_left < 0:
                raise Uncountable
            if _has_right_checksum(data, at, end):
                _count_page(data, at, body, table, streams, tally)
                at = data.find(b"OggS", end)
                continue
        at = data.find(b"OggS", at + 1)


def _has_right_checksum(data: bytes, at: int, end: int) -> bool:
    """Whether a page is what its checksum says: decoders pass over others, and look for the next
    page inside them. Ogg's CRC is zlib's with every byte and the result read backwards."""
    page = data[at : at + 22] + bytes(4) + data[at + 26 : end]
    found = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return found == int.from_bytes(data[at + 22 : at + 26].translate(_REVERSED_BITS), "big")


def _count_page(
    data: bytes, at: int, body: int, table: bytes, streams: dict[int, _Stream], tally: Tally
) -> None:
    flags, serial = data[at + 5], int.from_bytes(data[at + 14 : at + 18], "little")
    if flags & 2:
        streams[serial] = _open_stream(data[body : body + 64])
        stream = streams[serial]
    elif serial in streams:
        stream = streams[serial]
    else:
        raise Uncountable
    is_continued = bool(flags & 1)
    place, is_start = body, not is_continued
    for segment in table:
        if is_start:
            _count_packet(stream, data[place : place + min(segment, 2)], tally)
        place += segment
        is_start = segment < 255


def _open_stream(head: bytes) -> _Stream:
    """A stream by its first packet; raises `Uncountable` for another codec."""
    if head.startswith(b"OpusHead"):
        return _Stream("opus", _OPUS_RATE, _OPUS_USUAL_SAMPLES, headers_left=2)
    if head.startswith(b"\x01vorbis") and len(head) > 28:
        rate = int.from_bytes(head[12:16], "little")
        # Two long blocks give half a block; short ones give less, so this is the most.
        return _Stream("vorbis", rate, (1 << (head[28] >> 4)) // 2, headers_left=3)
    raise Uncountable


def _count_packet(stream: _Stream, start: bytes, tally: Tally) -> None:
    if stream.headers_left:
        stream.headers_left -= 1
        tally.spend()
        return
    if stream.codec == "opus":
        stream.samples = count_opus_packet(start, stream.samples)
    tally.add(stream.samples, stream.rate)
