"""Reads files in processes of their own: one file a process, two kept warm, ended by the clock."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from core.attachments.types import (
    FILE_BYTES_MAX,
    PICTURES_MAX,
    DocumentText,
    FileProblem,
    FileUnreadable,
    PageReading,
    PictureReading,
)
from core.attachments.wire import (
    ANSWER_BYTES_MAX,
    DOCUMENT_JOB,
    PICTURE_JOB,
    name_pages_job,
    parse_answer,
    parse_document,
    parse_pages,
    parse_picture,
)
from core.child_process import ChildProcess, Priority

log = logging.getLogger(__name__)

#: So long a file is read where nobody else wants the processor.
IDLE_SECONDS_MAX: Final = 10.0
#: A process that had less than this part of that time was held up by others: the file is read once
#: more, with a share of the processor, and given up when that takes longer.
_IDLE_SHARE_MIN: Final = 0.5
READ_SECONDS_MAX: Final = 20.0
#: So many files are read at once, where a processor is left for people's questions: beside readers
#: on all of them, though they give way, these waited a third longer at the 99th percentile
#: (`benchmarks/bombs.py`).
_AT_ONCE_MAX: Final = 2
#: So many processes wait for the next file, once there was a first.
_WARM: Final = 2
#: A process that has answered is gone by then.
_END_SECONDS: Final = 2.0
_COMMAND: Final = (sys.executable, "-I", "-m", "core.attachments.worker")

_Reading = TypeVar("_Reading", DocumentText, PictureReading, PageReading)


class FileReader:
    """The reader of files that people send. What a file does to the process that reads it, however
    it was made, is an answer: that the file is damaged, or that it took too long."""

    def __init__(self) -> None:
        self._warm: deque[ChildProcess] = deque()
        self._slots = asyncio.Semaphore(max(1, min(_AT_ONCE_MAX, _count_processors() - 1)))
        self._warming: asyncio.Task[None] | None = None
        self._is_closed = False

    async def read_document(self, content: bytes) -> DocumentText:
        """The words of a document, of whatever name; raises `FileUnreadable`."""
        return await self._read(DOCUMENT_JOB, content, parse_document)

    async def read_picture(self, content: bytes) -> PictureReading:
        """A picture as models get it, in both sizes; raises `FileUnreadable`."""
        return await self._read(PICTURE_JOB, content, parse_picture)

    async def read_pages(self, content: bytes, count: int) -> PageReading:
        """The first pages of a PDF as pictures, `PICTURES_MAX` at most; raises
        `FileUnreadable`."""
        assert 1 <= count <= PICTURES_MAX
        return await self._read(name_pages_job(count), content, partial(parse_pages, count=count))

    async def _read(
        self, job: str, content: bytes, parse: Callable[[dict[str, Any]], _Reading]
    ) -> _Reading:
        """What a process answers of a file."""
        if len(content) > FILE_BYTES_MAX:
            raise FileUnreadable(FileProblem.TOO_LARGE)
        async with self._slots:
            process = await self._take_process()
            answer = await _run_job(process, job, content, IDLE_SECONDS_MAX)
            if answer is None and _was_held_up(process):
                again = await ChildProcess.start(_COMMAND, Priority.LOW)
                answer = await _run_job(again, job, content, READ_SECONDS_MAX)
        if answer is None:
            raise FileUnreadable(FileProblem.SLOW)
        if not answer:
            raise FileUnreadable(FileProblem.DAMAGED)
        # Pages may be megabytes of text: nobody else waits while it is taken apart.
        return await asyncio.to_thread(lambda: parse(parse_answer(answer)))

    async def close(self) -> None:
        """Ends the processes that wait."""
        self._is_closed = True
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        while self._warm:
            await self._warm.popleft().end()

    async def _take_process(self) -> ChildProcess:
        process = None
        while self._warm and process is None:
            waiting = self._warm.popleft()
            if waiting.is_running:
                process = waiting
            else:
                await waiting.end()
        if self._warming is None or self._warming.done():
            self._warming = asyncio.create_task(self._warm_up(), name="warm-file-readers")
        return process or await ChildProcess.start(_COMMAND, Priority.IDLE)

    async def _warm_up(self) -> None:
        """Keeps processes ready for the next files."""
        while len(self._warm) < _WARM and not self._is_closed:
            try:
                process = await ChildProcess.start(_COMMAND, Priority.IDLE)
            except OSError as error:
                log.warning("no process for reading files: %s", type(error).__name__)
                return
            self._warm.append(process)


def _count_processors() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def _run_job(process: ChildProcess, job: str, content: bytes, seconds: float) -> bytes | None:
    """What a process answers before it ends; empty where it just ends, None where it takes longer
    than so many seconds."""
    answer = None
    try:
        answer = await process.exchange(
            f"{job}\n".encode("ascii"), content, seconds=seconds, bytes_max=ANSWER_BYTES_MAX
        )
    finally:
        await process.end(grace_seconds=_END_SECONDS if answer else 0)
    return answer


def _was_held_up(process: ChildProcess) -> bool:
    """Whether others had the processor while it should have read."""
    had = process.cpu_seconds
    return had is not None and had < _IDLE_SHARE_MIN * IDLE_SECONDS_MAX
