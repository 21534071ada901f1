"""Audio files of a length, frame by frame, as recorders and encoders write them: real headers, and
silence or noise where the sound would be."""

from __future__ import annotations

import io
import random
import struct
import wave
import zlib
from collections.abc import Iterable, Sequence

#: By the code that headers have for them.
AAC_RATES = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000),
    *(24_000, 22_050, 16_000, 12_000, 11_025, 8_000),
)
#: Each byte with its bits in the other direction.
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def wav(seconds: float, rate: int = 1_000, channels: int = 1, width: int = 1) -> bytes:
    """Silence, as the standard library writes it."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(b"\x80" * round(rate * seconds) * channels * width)
    return out.getvalue()


def _ogg_checksum(page: bytes) -> int:
    """What zlib reckons of the bits in the other direction, but from 0 and not inverted."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED))


def ogg_page(
    packets: Sequence[bytes], *, flags: int = 0, granule: int = 0, serial: int = 1, number: int = 0
) -> bytes:
    """A page of whole packets, with its checksum."""
    table = b"".join(
        b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets
    )
    head = b"OggS" + struct.pack("<BBqII", 0, flags, granule, serial, number)
    page = head + bytes(4) + bytes([len(table)]) + table + b"".join(packets)
    return page[:22] + struct.pack("<I", _ogg_checksum(page)) + page[26:]


def opus_heads(serial: int = 1) -> bytes:
    """The two pages before the sound."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 3_840, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<II", 0, 0)
    return ogg_page([head], flags=2, serial=serial) + ogg_page([tags], serial=serial, number=1)


def ogg(
    seconds: float,
    *,
    toc: int = 0x78,
    frame_ms: float = 20,
    size: int = 12,
    granule: int | None = None,
    serial: int = 1,
) -> bytes:
    """Opus as voice messages have it; by default packets of 20 ms. `granule` is what the last page
    says that the length is."""
    count = round(seconds * 1_000 / frame_ms)
    packet = bytes([toc]) + bytes(size - 1)
    pages, a_page = [opus_heads(serial)], 50
    for first in range(0, count, a_page):
        here = min(a_page, count - first)
        is_last = first + here == count
        at = round((first + here) * frame_ms * 48) if granule is None else granule
        pages.append(
            ogg_page(
                [packet] * here,
                flags=4 if is_last else 0,
                granule=at,
                serial=serial,
                number=2 + first // a_page,
            )
        )
    return b"".join(pages)


#: A voice message of a minute and a second.
VOICE = ogg(61)


def mp3(
    seconds: float,
    *,
    kbits: int = 64,
    rate: int = 44_100,
    tag: bytes = b"",
    seed: int = 0,
) -> bytes:
    """MPEG-1 layer III of a constant bitrate, or of one that varies where `kbits` is 0, with noise
    for sound."""
    table = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    code = {44_100: 0, 48_000: 1, 32_000: 2}[rate]
    chance = random.Random(seed)
    frames = []
    for _ in range(round(seconds * rate / 1_152)):
        chosen = kbits or chance.choice(table)
        size = 144_000 * chosen // rate
        frames.append(
            bytes([0xFF, 0xFB, (table.index(chosen) + 1) << 4 | code << 2, 0xC0])
            + chance.randbytes(size - 4)
        )
    head = b""
    if tag:
        length = len(tag)
        head = b"ID3\x04\0\0" + bytes(length >> shift & 127 for shift in (21, 14, 7, 0)) + tag
    return head + b"".join(frames)


def adts(seconds: float, *, rate: int = 44_100, size: int = 60, seed: int = 0) -> bytes:
    """AAC in ADTS frames of a size, with noise for sound."""
    code, chance = AAC_RATES.index(rate), random.Random(seed)
    sizes = 1 << 6 | size >> 11, size >> 3 & 255, (size & 7) << 5 | 31
    head = bytes([0xFF, 0xF1, 1 << 6 | code << 2, *sizes, 0xFC])
    count = round(seconds * rate / 1_024)
    return b"".join(head + chance.randbytes(size - 7) for _ in range(count))


def box(name: bytes, *contents: bytes) -> bytes:
    """A box of MP4."""
    body = b"".join(contents)
    return struct.pack(">I", 8 + len(body)) + name + body


def _descriptor(tag: int, body: bytes) -> bytes:
    return bytes([tag, len(body)]) + body


def mp4_track(
    count: int, *, rate: int = 44_100, told_seconds: float = 0, number: int = 1, config: bytes = b""
) -> bytes:
    """A track of AAC with so many samples, which says of itself that it lasts `told_seconds`."""
    config = config or struct.pack(">H", 2 << 11 | AAC_RATES.index(rate) << 7 | 1 << 3)
    decoder = bytes([0x40, 0x15]) + bytes(3 + 4 + 4) + _descriptor(5, config)
    stream = struct.pack(">HB", number, 0) + _descriptor(4, decoder)
    esds = box(b"esds", bytes(4), _descriptor(3, stream))
    entry = box(b"mp4a", bytes(6), struct.pack(">H", 1), bytes(8), bytes(8), bytes(4), esds)
    told = round(told_seconds * rate)
    sizes = struct.pack(">I", 40) * min(count, 10_000)
    stbl = box(
        b"stbl",
        box(b"stsd", bytes(4), struct.pack(">I", 1), entry),
        box(b"stts", bytes(4), struct.pack(">III", 1, count, told // max(1, count))),
        box(b"stsz", bytes(4), struct.pack(">II", 0, count), sizes),
    )
    mdia = box(
        b"mdia",
        box(b"mdhd", bytes(12), struct.pack(">II", rate, told), bytes(4)),
        box(b"hdlr", bytes(8), b"soun", bytes(12), b"\0"),
        box(b"minf", stbl),
    )
    return box(b"trak", box(b"tkhd", bytes(12), struct.pack(">I", number), bytes(68)), mdia)


def m4a(
    seconds: float, *, rate: int = 44_100, told_seconds: float | None = None, config: bytes = b""
) -> bytes:
    """AAC in MP4, as telephones record it."""
    count = round(seconds * rate / 1_024)
    told = seconds if told_seconds is None else told_seconds
    track = mp4_track(count, rate=rate, told_seconds=told, config=config)
    return (
        box(b"ftyp", b"M4A ", bytes(4), b"M4A isom")
        + box(b"mdat", bytes(40) * min(count, 10_000))
        + box(b"moov", box(b"mvhd", bytes(100)), track)
    )


def flac(seconds: float, *, rate: int = 44_100, told_samples: int = 0, seed: int = 0) -> bytes:
    """FLAC frames of 4,096 samples, with noise for sound."""
    info = struct.pack(">HH", 4_096, 4_096) + bytes(6)
    info += struct.pack(">Q", rate << 44 | 0 << 41 | 15 << 36 | told_samples) + bytes(16)
    chance, frames = random.Random(seed), []
    for number in range(round(seconds * rate / 4_096)):
        head = bytes([0xFF, 0xF8, 12 << 4 | {44_100: 9, 48_000: 10}[rate], 0x08])
        head += (
            chr(number).encode() if number < 0x800 else chr(number).encode("utf-8", "surrogatepass")
        )
        crc = 0
        for byte in head:
            crc ^= byte
            for _ in range(8):
                crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
        frames.append(head + bytes([crc]) + chance.randbytes(400))
    return b"fLaC\x80" + struct.pack(">I", len(info))[1:] + info + b"".join(frames)


def ebml(id_: int, *contents: bytes, size: int | None = None) -> bytes:
    """An element of Matroska; `size` instead of its own."""
    body = b"".join(contents)
    name = id_.to_bytes((id_.bit_length() + 7) // 8, "big")
    return name + struct.pack(">Q", 1 << 56 | (len(body) if size is None else size)) + body


UNKNOWN_SIZE = (1 << 56) - 1


def webm(
    seconds: float, *, toc: int = 0x78, frame_ms: float = 20, codec: bytes = b"A_OPUS"
) -> bytes:
    """Opus in WebM, as browsers record it: live, so that nothing says a length."""
    count = round(seconds * 1_000 / frame_ms)
    block = ebml(0xA3, b"\x81\0\0\x80", bytes([toc]) + bytes(20))
    tracks = ebml(0x1654AE6B, ebml(0xAE, ebml(0xD7, b"\x01"), ebml(0x86, codec)))
    clusters = (
        ebml(0x1F43B675, ebml(0xE7, b"\0"), block * min(100, count - first), size=UNKNOWN_SIZE)
        for first in range(0, count, 100)
    )
    head = ebml(0x1A45DFA3, ebml(0x4282, b"webm"))
    return head + ebml(0x18538067, tracks, *clusters, size=UNKNOWN_SIZE)


def vorbis(packets: int, *, rate: int = 44_100, blocks: int = 0xB8) -> bytes:
    """Vorbis in Ogg: three headers and so many packets."""
    head = b"\x01vorbis" + struct.pack("<IBIiiiB", 0, 2, rate, 0, 0, 0, blocks) + b"\x01"
    pages = [ogg_page([head], flags=2), ogg_page([b"\x03vorbis", b"\x05vorbis"], number=1)]
    pages += [ogg_page([b"\0" * 40] * 20, number=2 + n) for n in range(packets // 20)]
    return b"".join(pages)


def join(pages: Iterable[bytes]) -> bytes:
    """Pieces of a file, one after the other."""
    return b"".join(pages)
