"""A child process that is handed bytes once, answers with bytes, and ends.

It is started by `subprocess`, which gives the child the service's memory only until it is another
program (`vfork`): uvloop copies the tables of all that memory first, and everybody waits 16 to 25
milliseconds for that in a service of 250 MB. Its pipes are served by threads, few at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

#: As many as there are children that are talked to at once, and some that end.
_THREADS: Final = ThreadPoolExecutor(12, thread_name_prefix="children")
_CHUNK_BYTES: Final = 1 << 16
#: Where a status tells the time of the processor, its own and the system's for it, in ticks.
_USER, _SYSTEM = 11, 12
#: Where there is no idle priority.
_IDLE_NICE: Final = 19
_LOW_NICE: Final = 10


class Priority(enum.Enum):
    """Who comes first where the service and a child both want a processor.

    A child has it from its first moment, since what it loads takes as long as what it does. It is
    of the service's own session: Linux shares the processors between sessions first. With
    `_IDLE_NICE`, as a session of its own, two children on two processors let people wait four to
    six times as long as without them (the 99th percentile of `benchmarks/bombs.py`), and twice as
    long at the median.
    """

    #: Nobody: they share it.
    EQUAL = "equal"
    #: The child has a tenth of it.
    LOW = "low"
    #: The child has it where nobody else wants it, and gives it up at once (`sched(7)`,
    #: SCHED_IDLE).
    IDLE = "idle"


class ChildProcess:
    """A child process with two pipes. Nothing else is inherited by it: neither settings with keys,
    nor connections, nor the terminal's signals."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        #: Seconds of the processor that it had had when its time was over; None: it isn't known.
        self.cpu_seconds: float | None = None

    @classmethod
    async def start(cls, command: Sequence[str], priority: Priority = Priority.EQUAL) -> Self:
        """Starts a command; raises `OSError`."""
        loop = asyncio.get_running_loop()
        started = loop.run_in_executor(_THREADS, _start, command, priority)
        try:
            return cls(await asyncio.shield(started))
        except asyncio.CancelledError:
            await asyncio.wait((started,))  # nobody else would end it
            if started.exception() is None:
                await cls(started.result()).end()
            raise

    @property
    def pid(self) -> int:
        """Its number in the system."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it hasn't ended."""
        return self._process.poll() is None

    async def exchange(self, *parts: bytes, seconds: float, bytes_max: int) -> bytes | None:
        """Hands it the parts and gives what it answers up to its end: empty where that is longer
        than `bytes_max`, None where it takes longer than so many seconds. It is killed then."""
        loop = asyncio.get_running_loop()
        talk = loop.run_in_executor(_THREADS, self._talk, parts, bytes_max)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(talk)
        except TimeoutError:
            self.cpu_seconds = _measure_cpu(self.pid)
            return None
        finally:
            if not talk.done():
                self._kill()
                await asyncio.wait((talk,))

    async def end(self, *, grace_seconds: float = 0.0) -> int:
        """Ends it, after so many seconds in which it may end by itself; its exit code."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_THREADS, self._end, grace_seconds)

    def _talk(self, parts: Sequence[bytes], bytes_max: int) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(OSError):  # it died meanwhile: its answer is missing, too
            for part in parts:
                stdin.write(part)
            stdin.close()
        answer = bytearray()
        while chunk := os.read(stdout.fileno(), _CHUNK_BYTES):
            answer += chunk
            if len(answer) > bytes_max:
                return b""
        return bytes(answer)

    def _kill(self) -> None:
        """Ends it with its own children, which hold its pipes, too."""
        if sys.platform == "win32":
            self._process.kill()
        elif self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _end(self, grace_seconds: float) -> int:
        process = self._process
        if grace_seconds:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace_seconds)
        if process.poll() is None:
            self._kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return code


def _start(command: Sequence[str], priority: Priority) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603 - our own commands alone
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        process_group=0,  # and no session of its own, for the sake of priorities
    )
    with contextlib.suppress(OSError):  # it has ended already
        _set_priority(process.pid, priority)
    return process


def _set_priority(pid: int, priority: Priority) -> None:
    if priority is Priority.IDLE and sys.platform == "linux":
        with contextlib.suppress(OSError):  # where a container forbids it
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
            return
    if priority is not Priority.EQUAL and sys.platform != "win32":
        added = _LOW_NICE if priority is Priority.LOW else _IDLE_NICE
        os.setpriority(os.PRIO_PROCESS, pid, os.nice(0) + added)


def read_status(pid: int) -> list[str]:
    """What stands behind the last bracket of `/proc/<pid>/stat`; nothing where a system has no such
    file, or no such process.
    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _measure_cpu(pid: int) -> float | None:
    """Seconds of the processor that a process has had; None where that isn't told."""
    status = read_status(pid)
    if not status:
        return None
    return (int(status[_USER]) + int(status[_SYSTEM])) / os.sysconf("SC_CLK_TCK")
