"""Child processes end with whoever waits for them, and whatever they started ends with them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest

from core import child_process
from core.child_process import ChildProcess, Priority

SECONDS_MAX = 20.0


async def test_a_start_that_is_cancelled_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_start, is_starting = threading.Event(), threading.Event()
    started: list[subprocess.Popen[bytes]] = []
    start = child_process._start

    def start_late(command: Sequence[str], priority: Priority) -> subprocess.Popen[bytes]:
        is_starting.set()
        may_start.wait(SECONDS_MAX)
        started.append(start(command, priority))
        return started[-1]

    monkeypatch.setattr(child_process, "_start", start_late)
    task = asyncio.create_task(ChildProcess.start(("sleep", "60")))
    await asyncio.to_thread(is_starting.wait, SECONDS_MAX)
    task.cancel()
    may_start.set()
    await asyncio.wait((task,))
    assert task.cancelled()
    (process,) = started
    try:
        assert process.returncode is not None
    finally:
        process.kill()
        process.wait()


async def test_a_child_of_a_child_holds_nobody_up() -> None:
    process = await ChildProcess.start(("sh", "-c", "sleep 60 & echo; wait"))
    try:
        async with asyncio.timeout(SECONDS_MAX):
            assert await process.exchange(b"", seconds=0.5, bytes_max=64) is None
    finally:
        await process.end()


_SCRIPT = """
import os, sys
sys.stdin.read()
is_idle = hasattr(os, "SCHED_IDLE") and os.sched_getscheduler(0) == os.SCHED_IDLE
print(is_idle, os.nice(0), os.getsid(0), os.getpgid(0) == os.getpid())
"""


@pytest.mark.parametrize("priority", Priority)
async def test_a_child_has_its_priority_from_its_start(priority: Priority) -> None:
    """In the service's own session, between which Linux shares the processors first."""
    process = await ChildProcess.start((sys.executable, "-c", _SCRIPT), priority)
    answer = await process.exchange(b"", seconds=60, bytes_max=1_000)
    assert answer is not None
    is_idle, nice, *group = answer.decode().split()
    if sys.platform == "linux":
        assert is_idle == str(priority is Priority.IDLE)
    added = {Priority.EQUAL: 0, Priority.LOW: 10, Priority.IDLE: 0 if is_idle == "True" else 19}
    assert int(nice) - os.nice(0) == added[priority]
    assert group == [str(os.getsid(0)), "True"]
    await process.end()
