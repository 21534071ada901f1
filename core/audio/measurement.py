"""Measures audio in a process of its own for each file: one that takes too long, or too much, is
killed, and its bytes bound the length instead. The event loop and other people's files go on.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Final

from core.audio.length import AudioLength, bound_length
from core.audio.worker import parse_length
from core.child_process import ChildProcess

_log = logging.getLogger(__name__)

#: A worker that hasn't answered in this time is killed.
MEASUREMENT_SECONDS: Final = 15.0
#: One that has answered is gone by then.
_END_SECONDS: Final = 2.0
#: A number, and what it is.
_ANSWER_BYTES_MAX: Final = 64
#: So many workers run at once.
_WORKERS_MAX: Final = 4


class AudioMeasurer:
    """The measurer says how long audio files are, by workers that it starts and ends."""

    def __init__(
        self,
        command: tuple[str, ...] = (sys.executable, "-I", "-m", "core.audio.worker"),
        *,
        timeout_seconds: float = MEASUREMENT_SECONDS,
    ) -> None:
        self._command, self._timeout_seconds = command, timeout_seconds
        self._places = asyncio.Semaphore(_WORKERS_MAX)

    async def measure(self, content: bytes) -> AudioLength | None:
        """The length of a file; None where there is nothing to hear in it."""
        async with self._places:
            answer = await self._ask_worker(content)
        try:
            return parse_length(answer)
        except ValueError:
            _log.info("an audio file of %d bytes could not be measured", len(content))
            return bound_length(len(content))

    async def _ask_worker(self, content: bytes) -> str:
        """What a worker answers; empty where it was killed, or couldn't be started."""
        try:
            process = await ChildProcess.start(self._command)
        except OSError:
            return ""
        answer, code = None, None
        try:
            answer = await process.exchange(
                content, seconds=self._timeout_seconds, bytes_max=_ANSWER_BYTES_MAX
            )
        finally:
            code = await process.end(grace_seconds=0 if answer is None else _END_SECONDS)
        return answer.decode("ascii", "replace").strip() if answer and code == 0 else ""
