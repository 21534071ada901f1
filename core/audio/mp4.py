"""MP4 and M4A files: the samples of a track are counted, each a frame of its codec's length. Times
(`mdhd`, `stts`, edit lists) are their maker's word and aren't read.

Formats: ISO/IEC 14496-12 (boxes), 14496-14 (`esds`), 14496-3 § 1.6 (AAC's configuration).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from core.audio.mpeg import AAC_RATES
from core.audio.tally import Tally, Uncountable

#: Boxes that hold boxes; deeper than so many of them nothing honest lies.
_HOLDERS: Final = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mvex", b"edts"}
_DEPTH_MAX: Final = 12
#: A header that is packed away can't be read without unpacking it.
_PACKED: Final = b"cmov"

_AAC_OBJECTS: Final = {0x40, 0x66, 0x67, 0x68}
#: AAC's object types with frames of 1,024 (960) samples, and with half of that.
_AAC_LONG: Final = {1, 2, 3, 4, 5, 6, 29}
_AAC_SHORT: Final = {23, 39}


@dataclass(slots=True)
class _Track:
    """What was read of a track's boxes."""

    id: int = 0
    handler: bytes = b""
    #: The sample descriptions, without the box's head.
    descriptions: bytes = b""
    samples: int = 0


@dataclass(slots=True)
class _File:
    """The tracks of a file, and samples in fragments by their track's id."""

    tracks: list[_Track] = field(default_factory=list)
    fragments: dict[int, int] = field(default_factory=dict)
    fragment_track: int = 0


def count_mp4(data: bytes, tally: Tally) -> None:
    """Counts the longest of the tracks that sound; raises `Uncountable` for other codecs."""
    file = _File()
    for name, start, end in _walk_boxes(data, tally):
        _read_box(file, name, data[start : min(end, start + 4_096)])
    best: tuple[int, int, int] | None = None
    for track in file.tracks:
        if track.handler != b"soun" and track.descriptions[12:16] not in (b"mp4a", b"alac"):
            continue
        length, rate = _read_frame(track.descriptions)
        count = track.samples + file.fragments.get(track.id, 0)
        if best is None or count * length * best[2] > best[0] * best[1] * rate:
            best = count, length, rate
    if best is not None:
        tally.add(best[1], best[2], best[0])


def _walk_boxes(data: bytes, tally: Tally) -> Iterator[tuple[bytes, int, int]]:
    """Every box: its name, and where its contents begin and end."""
    pending = [(0, len(data), 0)]
    while pending:
        at, limit, depth = pending.pop()
        while at + 8 <= limit:
            tally.spend()
            size, name, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
            if size == 1:
                size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
            end = limit if size == 0 else min(limit, at + size)
            if name == _PACKED or (name in _HOLDERS and depth == _DEPTH_MAX):
                raise Uncountable
            if end < at + head:
                break
            yield name, at + head, end
            if name in _HOLDERS:
                pending.append((end, limit, depth))
                at, limit, depth = at + head, end, depth + 1
            else:
                at = end


def _read_box(file: _File, name: bytes, body: bytes) -> None:
    """Takes what counts; a track's boxes come after its `trak`."""
    track = file.tracks[-1] if file.tracks else _Track()
    match name:
        case b"trak":
            file.tracks.append(_Track())
        case b"tkhd":
            place = 20 if body[:1] == b"\x01" else 12
            track.id = _read_number(body, place)
        case b"hdlr" if not track.handler:
            track.handler = body[8:12]
        case b"stsd":
            track.descriptions += body
        case b"stsz" | b"stz2":
            track.samples += _read_number(body, 8)
        case b"tfhd":
            file.fragment_track = _read_number(body, 4)
        case b"trun":
            before = file.fragments.get(file.fragment_track, 0)
            file.fragments[file.fragment_track] = before + _read_number(body, 4)


def _read_number(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + 4], "big")


def _read_frame(descriptions: bytes) -> tuple[int, int]:
    """Samples of a frame and samples a second, as the codec's own configuration has them; raises
    `Uncountable`."""
    count, name, entry = _read_number(descriptions, 4), descriptions[12:16], descriptions[16:]
    if count != 1:
        raise Uncountable
    if name == b"alac":
        at = entry.find(b"alac")
        if at < 0 or len(entry) < at + 32:
            raise Uncountable
        return _read_number(entry, at + 8), _read_number(entry, at + 28)
    at = entry.find(b"esds")
    if name != b"mp4a" or at < 0:
        raise Uncountable
    return _read_descriptor(entry[at + 8 : at + 8 + 200])


def _read_descriptor(body: bytes) -> tuple[int, int]:
    """What an elementary stream's descriptor says of its frames."""
    at = _open_descriptor(body, 0, 0x03)
    flags = body[at + 2 : at + 3] or b"\xff"
    if flags[0] & 0xE0:  # it depends on another stream, or lies elsewhere
        raise Uncountable
    at = _open_descriptor(body, at + 3, 0x04)
    object_type = body[at] if at < len(body) else 0
    if object_type not in _AAC_OBJECTS:
        raise Uncountable
    return read_aac_configuration(body[_open_descriptor(body, at + 13, 0x05) :])


def _open_descriptor(body: bytes, at: int, tag: int) -> int:
    """Where the contents of a descriptor begin; raises `Uncountable` where it isn't one."""
    if body[at : at + 1] != bytes([tag]):
        raise Uncountable
    for place in range(at + 1, min(at + 5, len(body))):
        if not body[place] & 0x80:
            return place + 1
    raise Uncountable


def read_aac_configuration(config: bytes) -> tuple[int, int]:
    """Samples of a frame and samples a second of AAC's core; raises `Uncountable`."""
    bits, width = int.from_bytes(config[:16].ljust(16, b"\0"), "big"), 128
    if len(config) < 2:
        raise Uncountable

    def take(count: int) -> int:
        nonlocal width
        width -= count
        return bits >> width & (1 << count) - 1

    def take_object_type() -> int:
        found = take(5)
        return 32 + take(6) if found == 31 else found

    def take_rate() -> int:
        code = take(4)
        if code == 15:
            return take(24)
        return AAC_RATES[code] if code < len(AAC_RATES) else 0

    object_type, rate = take_object_type(), take_rate()
    take(4)
    if object_type in (5, 29):
        take_rate()
        object_type = take_object_type()
    is_shorter = take(1)
    if not rate:
        raise Uncountable
    if object_type in _AAC_LONG:
        return (960 if is_shorter else 1_024), rate
    if object_type in _AAC_SHORT:
        return (480 if is_shorter else 512), rate
    raise Uncountable
