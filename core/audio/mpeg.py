"""MPEG audio: frames of MP3 (also layers I and II) and of AAC in ADTS, found by their headers and
followed from one to the next. What stands before, between and behind them is passed over, and no
field that says a length or a number of frames is read.

Formats: ISO/IEC 11172-3 § 2.4, 13818-3, and 13818-7 (ADTS).
"""

from __future__ import annotations

import re
from typing import Final

from core.audio.tally import Tally

_RATES: Final = {
    3: (44_100, 48_000, 32_000),
    2: (22_050, 24_000, 16_000),
    0: (11_025, 12_000, 8_000),
}
_MPEG1_KBITS: Final = {
    3: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_MPEG2_KBITS: Final = {
    3: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    1: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
AAC_RATES: Final = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000),
    *(24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350),
)  # fmt: skip


def _list_mpeg_headers() -> dict[bytes, tuple[int, int, int]]:
    """By the two bytes after the first: samples of a frame, samples a second, and bytes a frame."""
    found = {}
    for second in range(0xE0, 0x100):
        version, layer = second >> 3 & 3, second >> 1 & 3  # 3 is layer I, 1 is layer III
        if version not in _RATES or not layer:
            continue
        kbits = (_MPEG1_KBITS if version == 3 else _MPEG2_KBITS)[layer]
        samples = 384 if layer == 3 else 576 if layer == 1 and version != 3 else 1_152
        for third in range(256):
            bitrate, rate_code, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
            if bitrate in (0, 15) or rate_code == 3:
                continue
            rate, bits = _RATES[version][rate_code], kbits[bitrate - 1] * 1_000
            size = (
                (12 * bits // rate + padding) * 4
                if layer == 3
                else samples // 8 * bits // rate + padding
            )
            found[bytes((second, third))] = samples, rate, size
    return found


_MPEG_HEADERS: Final = _list_mpeg_headers()
#: Bits that stay the same from frame to frame: version, layer and rate.
_SAME_SECOND, _SAME_THIRD = 0x1E, 0x0C
_MPEG_SYNC: Final = re.compile(rb"\xff[\xe2-\xe7\xf2-\xff][\x10-\xeb]")
_ADTS_SYNC: Final = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
_ADTS_HEAD: Final = 7


def count_mpeg(data: bytes, tally: Tally) -> None:
    """Counts the frames of layers I to III. The first one counts when another follows it; later
    ones wherever they stand, if they are of the same kind."""
    kind: tuple[int, int] | None = None
    at = _find(_MPEG_SYNC, data, 0)
    while at >= 0:
        tally.spend()
        head = _MPEG_HEADERS.get(data[at + 1 : at + 3])
        if head is None:
            at = _find(_MPEG_SYNC, data, at + 1)
            continue
        samples, rate, size = head
        own_kind = data[at + 1] & _SAME_SECOND, data[at + 2] & _SAME_THIRD
        if own_kind == kind or _is_followed(data, at + size, own_kind):
            kind = own_kind
            tally.add(samples, rate)
            tally.covered += size
            at = _find(_MPEG_SYNC, data, at + size)
        else:
            at = _find(_MPEG_SYNC, data, at + 1)


def count_adts(data: bytes, tally: Tally) -> None:
    """Counts the frames of AAC with ADTS headers: 1,024 samples for each of a header's blocks."""
    kind: int | None = None
    at = _find(_ADTS_SYNC, data, 0)
    while at >= 0:
        tally.spend()
        size, rate, own_kind = _read_adts(data, at)
        is_next = own_kind == kind or _read_adts(data, at + size)[2] == own_kind
        if size and is_next:
            kind = own_kind
            tally.add(1_024, rate, 1 + (data[at + 6] & 3))
            tally.covered += size
            at = _find(_ADTS_SYNC, data, at + size)
        else:
            at = _find(_ADTS_SYNC, data, at + 1)


def _find(pattern: re.Pattern[bytes], data: bytes, start: int) -> int:
    found = pattern.search(data, start)
    return -1 if found is None else found.start()


def _is_followed(data: bytes, at: int, kind: tuple[int, int]) -> bool:
    if data[at : at + 1] != b"\xff" or data[at + 1 : at + 3] not in _MPEG_HEADERS:
        return False
    return (data[at + 1] & _SAME_SECOND, data[at + 2] & _SAME_THIRD) == kind


def _read_adts(data: bytes, at: int) -> tuple[int, int, int]:
    """Bytes of the frame, samples a second, and what stays the same from frame to frame (profile,
    rate); zeros and -1 where there is no header."""
    head = data[at : at + _ADTS_HEAD]
    if len(head) < _ADTS_HEAD or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0, 0, -1
    rate_code = head[2] >> 2 & 15
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if rate_code >= len(AAC_RATES) or size < _ADTS_HEAD:
        return 0, 0, -1
    return size, AAC_RATES[rate_code], head[2] & 0xFC
