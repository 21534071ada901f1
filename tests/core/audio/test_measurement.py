"""Measuring in a process of its own: what it is given, what it may take, and how it ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.audio.length import AudioLength, bound_length
from core.audio.measurement import AudioMeasurer
from core.audio.worker import BYTES_MAX, describe_length, parse_length
from tests.support import audio
from tests.support.size import size

#: Nearly all of them start processes.
pytestmark = pytest.mark.system

VOICE = audio.VOICE
LIMITED = "from core.audio.worker import limit_process; limit_process()"


def running(code: str, *, timeout_seconds: float = 20.0) -> AudioMeasurer:
    return AudioMeasurer((sys.executable, "-I", "-c", code), timeout_seconds=timeout_seconds)


async def test_a_worker_answers_for_each_file() -> None:
    measurer = AudioMeasurer()
    contents = (VOICE, audio.mp3(30), b"garbage", audio.webm(1, codec=b"A_AC3"), b"")
    found = await asyncio.gather(*(measurer.measure(content) for content in contents))
    assert found[:3] == [
        AudioLength(61, is_counted=True), AudioLength(30, is_counted=True), None,
    ]  # fmt: skip
    assert found[3:] == [bound_length(len(contents[3])), None]


def _fill(head: bytes, unit: bytes) -> bytes:
    return (head + unit * (BYTES_MAX // len(unit) + 1))[:BYTES_MAX]


ENDLESS: dict[str, Callable[[], bytes]] = {
    "packets of a byte": lambda: _fill(audio.opus_heads(), audio.ogg_page([b"\xe0"] * 255)),
    "false pages": lambda: _fill(b"", b"OggS"),
    "frames of seven bytes": lambda: _fill(b"", bytes([0xFF, 0xF1, 0x40, 0x40, 0, 0xFF, 0xFC])),
    "boxes of eight bytes": lambda: _fill(audio.box(b"ftyp", b"M4A "), audio.box(b"trak")),
    "chunks of nothing": lambda: _fill(b"RIFF\0\0\0\0WAVE", b"LIST\0\0\0\0"),
    "blocks of a packet": lambda: _fill(audio.ebml(0x1A45DFA3), b"\xa3\x85\x81\0\0\x80\xe0"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(ENDLESS)[: size(small=2, full=len(ENDLESS))])
async def test_as_large_as_can_be_and_made_of_tiny_pieces(kind: str) -> None:
    """The worker answers itself, within its own bounds of work; what it can't count is bounded."""
    line = await AudioMeasurer(timeout_seconds=120)._ask_worker(ENDLESS[kind]())
    assert parse_length(line) == bound_length(BYTES_MAX)


async def test_one_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    measurer = running(code, timeout_seconds=2.0)
    assert await measurer.measure(VOICE) == bound_length(len(VOICE))
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


async def test_one_that_is_no_longer_waited_for_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    os.mkfifo(mark)
    code = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    waiting = asyncio.ensure_future(running(code).measure(VOICE))
    pid = int(await asyncio.to_thread(mark.read_text))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit(3)",
        "print('nonsense')",
        "print('61 guessed')",
        "print('x' * 10_000_000)",
        "import os; os.kill(os.getpid(), 9)",
        f"{LIMITED}; print(len(bytes(1 << 30)), 'counted')",
        f"{LIMITED}; import tempfile; tempfile.TemporaryFile(buffering=0).write(b'x')",
    ],
)
async def test_one_that_fails_leaves_the_bound(code: str) -> None:
    assert await running(code).measure(VOICE) == bound_length(len(VOICE))


async def test_one_that_cannot_be_started_leaves_the_bound(tmp_path: Path) -> None:
    measurer = AudioMeasurer((str(tmp_path / "nowhere"),))
    assert await measurer.measure(VOICE) == bound_length(len(VOICE))


async def test_it_knows_nothing_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITBOT_MASTER_KEY", "secret")
    code = "import os; print(sum('CREDITBOT' in name for name in os.environ) + 1, 'counted')"
    assert await running(code).measure(VOICE) == AudioLength(1, is_counted=True)


def test_it_is_started_as_its_docstring_says() -> None:
    command = [sys.executable, "-I", "-m", "core.audio.worker"]
    done = subprocess.run(command, input=VOICE, capture_output=True, check=True)
    assert done.stdout == b"61 counted"


def test_answers_are_read_as_they_are_written() -> None:
    for length in (None, AudioLength(0, is_counted=True), AudioLength(7, is_counted=False)):
        assert parse_length(describe_length(length)) == length
    for wrong in ("", "61", "61 heard", "x counted", "6 1 counted"):
        with pytest.raises(ValueError, match=r"unpack|guessed|heard|invalid"):
            parse_length(wrong)
