"""Reads lines without holding the event loop: one at a time, only when somebody wants one."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from typing import Final, TextIO, final

_CHUNK_BYTES: Final = 65_536


@final
class Lines:
    """The lines of a text stream, in order.

    The thread that reads is a daemon, and it reads the file itself: one that waits for a person to
    type must neither keep the program from ending nor hold the stream's lock while it ends.
    """

    def __init__(self, source: TextIO) -> None:
        self._source = source
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._wanted = threading.Semaphore(0)
        self._came: asyncio.Queue[str | None] = asyncio.Queue()
        self._asked = False
        threading.Thread(target=self._read, name="console-lines", daemon=True).start()

    async def next(self) -> str | None:
        """The next line without its end, or None at the end; a cancelled wait loses nothing."""
        if not self._asked:
            self._asked = True
            self._wanted.release()
        line = await self._came.get()
        self._asked = False
        return line

    def _read(self) -> None:
        try:
            file: int | None = self._source.fileno()
        except io.UnsupportedOperation:
            file = None
        while True:
            self._wanted.acquire()
            try:
                line = self._source.readline() if file is None else self._line_of(file)
            except (OSError, ValueError):  # closed under us
                line = ""
            text = line.rstrip("\r\n") if line else None
            try:
                self._loop.call_soon_threadsafe(self._came.put_nowait, text)
            except RuntimeError:  # the loop has ended
                return
            if text is None:
                return

    def _line_of(self, file: int) -> str:
        """The next line with its end; the last one may lack it; empty at the end."""
        while b"\n" not in self._rest:
            chunk = os.read(file, _CHUNK_BYTES)
            if not chunk:
                line, self._rest = self._rest, b""
                return line.decode("utf-8", "replace")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace") + "\n"
