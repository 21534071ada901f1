"""WAV and FLAC: samples are counted by the bytes that hold them, and by frames' own headers.

Formats: Microsoft's RIFF WAVE, and RFC 9639 § 9.1 (FLAC's frame header).
"""

from __future__ import annotations

import re
from typing import Final

from core.audio.mpeg import count_mpeg
from core.audio.tally import Tally, Uncountable

#: PCM, floating point, A-law and µ-law; 0xFFFE says which of them later on.
_PLAIN_WAVES: Final = {1, 3, 6, 7}
_EXTENSIBLE: Final = 0xFFFE
_MP3: Final = 0x55

#: A frame's first four bytes: no reserved value of block size, rate, channels or sample size.
_FLAC_SYNC: Final = re.compile(rb"\xff[\xf8\xf9][\x10-\xff][\x00-\xae]")
_FLAC_BLOCKS: Final = {1: 192, **{code: 144 << code for code in range(2, 6)}} | {
    code: 1 << code for code in range(8, 16)
}
_FLAC_RATES: Final = (
    0, 88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000,
)  # fmt: skip


def _build_crc8() -> bytes:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
        table.append(crc)
    return bytes(table)


_CRC8: Final = _build_crc8()


def count_wav(data: bytes, tally: Tally) -> None:
    """Counts the samples of every chunk of data, as far as its bytes are there; raises
    `Uncountable` for a codec that packs them."""
    at, frame, rate, is_mp3 = 12, 0, 0, False
    while at + 8 <= len(data):
        tally.spend()
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        chunk = data[at + 8 : at + 8 + min(size, 64)] if name == b"fmt " else b""
        rest = len(data) - at - 8
        if name == b"fmt ":
            frame, rate, is_mp3 = _read_wave_format(chunk)
        elif name == b"data":
            if is_mp3:
                count_mpeg(data[at + 8 :], tally)
                return
            if not frame:
                raise Uncountable
            # One that was written as it came says nothing, or all that there can be.
            size = rest if not size or size > rest else size
            tally.add(size // frame, rate)
        at += 8 + min(size, rest) + (size & 1)


def _read_wave_format(chunk: bytes) -> tuple[int, int, bool]:
    """Bytes of a sample of all channels, samples a second, and whether MP3 frames follow."""
    if len(chunk) < 16:
        raise Uncountable
    fields = [int.from_bytes(chunk[at : at + 2], "little") for at in (0, 2, 12, 14)]
    code, channels, align, bits = fields
    if code == _EXTENSIBLE and len(chunk) >= 26:
        code = int.from_bytes(chunk[24:26], "little")
    rate = int.from_bytes(chunk[4:8], "little")
    if code == _MP3:
        return 0, rate, True
    own = channels * -(-bits // 8)
    if code not in _PLAIN_WAVES or not own or not rate:
        raise Uncountable
    return (min(own, align) if align else own), rate, False


def count_flac(data: bytes, tally: Tally) -> None:
    """Counts the frames whose header has the right checksum. What only looks like one is so rare
    that the count is the most by a frame or so."""
    start = data.find(b"fLaC")
    stream_rate = int.from_bytes(data[start + 18 : start + 21], "big") >> 4
    for found in _FLAC_SYNC.finditer(data, start + 8):
        at = found.start()
        tally.spend()
        read = _read_flac_header(data[at : at + 16])
        if read is not None:
            samples, rate = read
            tally.add(samples, rate or stream_rate)


def _read_flac_header(head: bytes) -> tuple[int, int] | None:
    """Samples of the frame and samples a second (0: as the stream's); None where it is none."""
    block_code, rate_code = head[2] >> 4, head[2] & 15
    if rate_code == 15 or head[3] & 1:
        return None
    place = 4 + _measure_number(head[4] if len(head) > 4 else 0xFF)
    samples, rate = _FLAC_BLOCKS.get(block_code, 0), 0
    if block_code in (6, 7):
        width = block_code - 5
        samples = int.from_bytes(head[place : place + width], "big") + 1
        place += width
    if rate_code < len(_FLAC_RATES):
        rate = _FLAC_RATES[rate_code]
    else:
        width, unit = {12: (1, 1_000), 13: (2, 1), 14: (2, 10)}[rate_code]
        rate = int.from_bytes(head[place : place + width], "big") * unit
        place += width
    if place >= len(head) or not samples:
        return None
    crc = 0
    for byte in head[:place]:
        crc = _CRC8[crc ^ byte]
    return (samples, rate) if crc == head[place] else None


def _measure_number(first: int) -> int:
    """Bytes of a number that is written as UTF-8 would; 16, more than there is, for none."""
    if first < 0x80:
        return 1
    ones = f"{first:08b}".find("0")
    return ones if 2 <= ones <= 7 else 16
