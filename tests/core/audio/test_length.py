"""The length of audio: ordinary files to a tenth, and files that lie about it."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings, strategies as st

from core.audio.length import BITRATE_MIN, AudioLength, bound_length, count_length
from core.audio.mp4 import read_aac_configuration
from core.audio.tally import LENGTH_MAX_SECONDS, LongEnough, Tally, Uncountable
from tests.support import audio
from tests.support.size import size

Make = Callable[[float], bytes]


def ordinary() -> Iterator[tuple[str, float, Make]]:
    """A hundred voice notes and songs: name, seconds, and how such a file comes about."""
    kinds: tuple[tuple[str, Make], ...] = (
        ("ogg, 20 ms", audio.ogg),
        ("ogg, 60 ms", lambda s: audio.ogg(s, toc=0x18, frame_ms=60, size=90)),
        ("ogg, 10 ms", lambda s: audio.ogg(s, toc=0x70, frame_ms=10)),
        ("ogg, two frames of 20 ms a packet", lambda s: audio.ogg(s, toc=0x79, frame_ms=40)),
        ("mp3, 128 kbit/s", lambda s: audio.mp3(s, kbits=128)),
        ("mp3, 32 kbit/s", lambda s: audio.mp3(s, kbits=32, rate=32_000)),
        ("mp3, variable", lambda s: audio.mp3(s, kbits=0)),
        ("mp3, with a cover", lambda s: audio.mp3(s, kbits=64, tag=_noise(60_000))),
        ("aac", audio.adts),
        ("aac, 16 kHz", lambda s: audio.adts(s, rate=16_000)),
        ("m4a", audio.m4a),
        ("m4a, HE-AAC", lambda s: audio.m4a(s, rate=22_050)),
        ("m4a, low delay", lambda s: audio.m4a(s * 2, config=LOW_DELAY)),
        ("wav, 16 kHz", lambda s: audio.wav(s, rate=16_000, width=2)),
        ("wav, stereo", lambda s: audio.wav(s, rate=8_000, width=2, channels=2)),
        ("flac", audio.flac),
        ("webm", audio.webm),
    )
    chance = random.Random(7)
    for number in range(100):
        name, make = kinds[number % len(kinds)]
        # Most are a minute, some are a few seconds or a song.
        seconds = chance.choice((3.0, 8.0, 20.0, 45.0, 61.0, 240.0)) + chance.random()
        yield f"{number} {name} {seconds:.2f} s", seconds, make


def _noise(count: int) -> bytes:
    return random.Random(count).randbytes(count)


LOW_DELAY = struct.pack(">H", 23 << 11 | audio.AAC_RATES.index(44_100) << 7 | 1 << 3)


@pytest.mark.parametrize(
    ("seconds", "make"), [one[1:] for one in ordinary()], ids=[one[0] for one in ordinary()]
)
def test_a_hundred_ordinary_files_to_a_tenth(seconds: float, make: Make) -> None:
    length = count_length(make(seconds))
    assert length is not None
    assert length.is_counted
    # Rounded up to a whole second, as it is billed.
    assert seconds - 0.1 <= length.seconds <= seconds * 1.1 + 1


# --- what a file says of itself -----------------------------------------------------------------


def counted(seconds: int) -> AudioLength:
    return AudioLength(seconds, is_counted=True)


def test_granule_positions_are_not_believed() -> None:
    for granule in (0, 48_000, 1 << 62, -1):
        assert count_length(audio.ogg(600, granule=granule)) == counted(600)


def test_times_of_mp4_are_not_believed() -> None:
    for told in (0.0, 1.0, 90_000.0):
        assert count_length(audio.m4a(600.5, told_seconds=told)) == counted(601)


def test_flacs_number_of_samples_is_not_believed() -> None:
    for told in (0, 1, (1 << 36) - 1):
        length = count_length(audio.flac(60, told_samples=told))
        assert length is not None
        assert 59 <= length.seconds <= 61


def test_frames_that_a_header_of_mp3_does_not_tell_of_are_counted() -> None:
    # As a Xing header would: "two frames" in the first one, and 600 seconds behind it.
    content = bytearray(audio.mp3(599))
    content[36:48] = b"Xing" + struct.pack(">II", 1, 2)
    assert count_length(bytes(content)) == counted(599)


def test_wavs_whose_size_is_unknown_or_wrong() -> None:
    content = bytearray(audio.wav(60))
    for told in (0, 0xFFFFFFFF, 0x7FFFFFFF):
        content[40:44] = struct.pack("<I", told)
        assert count_length(bytes(content)) == counted(60)
    # Two chunks are both heard.
    data = b"data" + struct.pack("<I", 1_000) + b"\x80" * 1_000
    assert count_length(audio.wav(60) + data * 5) == counted(65)
    # A rate of bytes that is not that of the samples.
    content = bytearray(audio.wav(60))
    content[28:32] = struct.pack("<I", 1_000_000)
    assert count_length(bytes(content)) == counted(60)


def test_a_file_that_ends_early_has_what_is_there() -> None:
    for content in (audio.ogg(600), audio.mp3(600), audio.adts(600), audio.wav(600)):
        length = count_length(content[: len(content) // 2])
        assert length is not None
        assert 299 <= length.seconds <= 301
    # Its list of samples is at the end: nothing can be heard without it.
    assert count_length(audio.m4a(600)[:20_000]) is None


def test_several_streams_in_a_file_are_all_counted() -> None:
    assert count_length(audio.ogg(60) + audio.ogg(60, serial=2)) == counted(120)
    assert count_length(audio.ogg(60) + audio.ogg(60)) == counted(120)


# --- files made to look short -------------------------------------------------------------------


def test_empty_packets_are_covered_for_and_counted() -> None:
    page = audio.ogg_page([b""] * 250)
    assert count_length(audio.opus_heads() + page * 20) == counted(100)
    # Each as long as the one before it: 120 ms.
    long = audio.ogg_page([b"\x1b\x02", *[b""] * 249])
    assert count_length(audio.opus_heads() + long * 2) == counted(60)


def test_a_page_that_swallows_others_is_passed_over_as_decoders_do() -> None:
    inside = audio.ogg(60)[len(audio.opus_heads()) :]
    fake = b"OggS\0\0" + bytes(20) + bytes([255]) + b"\xff" * 255
    assert count_length(audio.opus_heads() + fake + inside) == counted(60)


def test_a_flood_of_false_pages_is_bounded_by_its_size() -> None:
    fake = b"OggS\0\0" + bytes(20) + bytes([255]) + b"\xff" * 255
    content = audio.ogg(1) + fake * 2_000 + bytes(70_000)
    assert count_length(content) == bound_length(len(content))


def test_samples_that_lie_on_the_same_bytes_are_all_counted() -> None:
    track = audio.mp4_track(200_000, told_seconds=1)
    content = audio.box(b"ftyp", b"M4A ") + audio.box(b"moov", track)
    assert count_length(content) == counted(4_644)


def test_fragments_are_counted() -> None:
    run = audio.box(b"trun", bytes(4), struct.pack(">I", 100))
    head = audio.box(b"tfhd", bytes(4), struct.pack(">I", 1))
    other = audio.box(b"tfhd", bytes(4), struct.pack(">I", 2))
    moof = audio.box(b"moof", audio.box(b"traf", head, run), audio.box(b"traf", other, run))
    moov = audio.box(b"moov", audio.mp4_track(0))
    assert count_length(audio.box(b"ftyp", b"M4A ") + moov + moof * 50) == counted(117)


def test_boxes_within_boxes_without_end_are_bounded() -> None:
    nested = b""
    for _ in range(5_000):
        nested = struct.pack(">I", 8 + len(nested)) + b"moov" + nested
    content = audio.box(b"ftyp", b"M4A ") + nested
    assert count_length(content) == bound_length(len(content))
    packed = audio.box(b"ftyp", b"M4A ") + audio.box(b"moov", audio.box(b"cmov", bytes(99)))
    assert count_length(packed) == bound_length(len(packed))


def test_another_file_behind_a_short_mp3_is_not_hidden_by_it() -> None:
    content = audio.box(b"uuid", audio.mp3(1)) + audio.m4a(3_000)
    assert count_length(content) == bound_length(len(content))


def test_opus_under_another_tracks_number_is_counted() -> None:
    """A codec that stands before its track's number, and a second track of pictures."""
    opus = audio.ebml(0xAE, audio.ebml(0x86, b"A_OPUS"), audio.ebml(0xD7, b"\x01"))
    film = audio.ebml(0xAE, audio.ebml(0x86, b"V_VP8"), audio.ebml(0xD7, b"\x02"))
    sound, picture = (
        audio.ebml(0xA3, track + b"\0\0\x80\x78" + bytes(20)) for track in (b"\x81", b"\x82")
    )
    cluster = audio.ebml(0x1F43B675, (sound + picture * 3) * 500)
    tracks = audio.ebml(0x1654AE6B, opus, film)
    head = audio.ebml(0x1A45DFA3, b"")
    content = head + audio.ebml(0x18538067, tracks, cluster)
    assert count_length(content) == counted(10)


# --- what can't be counted ----------------------------------------------------------------------

LACED = audio.webm(1) + audio.ebml(0x1F43B675, audio.ebml(0xA3, b"\x81\0\0\x82\x01\x78\0\x78\0"))
UNCOUNTED = {
    "a codec that isn't Opus": audio.webm(60, codec=b"A_VORBIS"),
    "packets that share a block": LACED,
    "Speex in Ogg": audio.ogg_page([b"Speex   " + bytes(72)], flags=2),
    "a stream that nothing opened": audio.opus_heads() + audio.ogg_page([b"\x78"], serial=9),
    "ADPCM": audio.wav(60)[:20] + b"\x11\0" + audio.wav(60)[22:],
    "a rate of zero": audio.m4a(60, config=struct.pack(">H", 2 << 11 | 15 << 7) + bytes(6)),
    "an AAC that has frames of any size": audio.m4a(60, config=b"\xf9\x48\x00\x00"),
}


@pytest.mark.parametrize("content", UNCOUNTED.values(), ids=UNCOUNTED)
def test_what_cannot_be_counted_is_bounded_by_its_size(content: bytes) -> None:
    assert count_length(content) == bound_length(len(content))


def test_the_bound_is_what_the_least_bitrate_allows() -> None:
    assert bound_length(BITRATE_MIN // 8 * 60) == AudioLength(60, is_counted=False)
    assert bound_length(1) == AudioLength(1, is_counted=False)


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", bytes(100_000), b"OggS" + bytes(60), b"fLaC" + bytes(60), b"RIFF0000WAVE"],
)
def test_where_nothing_can_be_heard_nothing_is_measured(content: bytes) -> None:
    assert count_length(content) is None


def test_vorbis_is_counted_by_its_long_blocks() -> None:
    # 2,000 packets of at most 1,024 samples.
    assert count_length(audio.vorbis(2_000)) == counted(47)


def test_configurations_of_aac() -> None:
    assert read_aac_configuration(bytes.fromhex("1210")) == (1_024, 44_100)
    assert read_aac_configuration(bytes.fromhex("1214")) == (960, 44_100)
    # HE-AAC said outright: the core's rate counts, not the doubled one.
    assert read_aac_configuration(bytes.fromhex("2b920800")) == (1_024, 22_050)
    for wrong in (b"", b"\x12", b"\xf9\x48\0\0", bytes(8)):
        with pytest.raises(Uncountable):
            read_aac_configuration(wrong)


def test_a_tally_stops_at_what_is_endless_and_at_too_much_work() -> None:
    tally = Tally()
    with pytest.raises(LongEnough):
        tally.add(LENGTH_MAX_SECONDS + 1, 1)
    with pytest.raises(Uncountable):
        Tally().add(1, 0)
    with pytest.raises(Uncountable):
        Tally().spend(10_000_000)
    assert count_length(audio.wav(2 * LENGTH_MAX_SECONDS, rate=8)) == counted(LENGTH_MAX_SECONDS)


# --- whatever comes -----------------------------------------------------------------------------

FILES = tuple(make(3.0) for _, _, make in ordinary())[:17]
HEADS = (
    *(b"OggS", b"RIFF\0\0\0\0WAVE", b"\x1a\x45\xdf\xa3", b"\0\0\0\x18ftyp"),
    *(b"fLaC", b"ID3", b"\xff\xfb"),
)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """An ordinary file with some bytes changed, cut out or doubled."""
    content = bytearray(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, min(len(content), 400)))
        some = draw(st.binary(max_size=12))
        match draw(st.integers(0, 3)):
            case 0:
                content[at : at + len(some)] = some
            case 1:
                del content[at : at + draw(st.integers(0, 300))]
            case 2:
                content[at:at] = some * draw(st.integers(1, 50))
            case _:
                content += content[at : at + 2_000]
    return bytes(content)


@settings(max_examples=size(small=300, full=10_000))
@given(st.one_of(spoilt(), st.builds(bytes.__add__, st.sampled_from(HEADS), st.binary())))
def test_whatever_comes_is_measured_or_bounded(content: bytes) -> None:
    length = count_length(content)
    if length is not None:
        assert 0 < length.seconds <= max(LENGTH_MAX_SECONDS, bound_length(len(content)).seconds)
        assert length.is_counted or length == bound_length(len(content))
