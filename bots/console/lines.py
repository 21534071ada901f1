"""Reads lines without holding the event loop: one at a time, only when somebody wants one."""

from __future__ import annotations

import asyncio
import io
import os
import select
import threading
from typing import Final, TextIO, final

_CHUNK_BYTES: Final = 65_536


@final
class LineReader:
    """A reader of a text stream's lines, in order, until `close`.

    The thread that reads is a daemon, and it reads the file itself: one that waits for a person to
    type must neither keep the program from ending nor hold the stream's lock while it ends. It
    reads by a descriptor of its own: a number that somebody else closes may be another file's next.
    """

    def __init__(self, source: TextIO) -> None:
        self._source = source
        self._descriptor = _duplicate_descriptor(source)
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._line_wanted = threading.Semaphore(0)
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._is_awaited = self._has_ended = self._is_closed = False
        # Its second end is closed to say that nobody wants lines any more.
        self._close_signal, self._close_trigger = os.pipe()
        threading.Thread(target=self._run, name="console-lines", daemon=True).start()

    async def read_line(self) -> str | None:
        """The next line without its end, or None from the end on; a cancelled wait loses nothing.

        Only before `close`.
        """
        if self._has_ended:
            return None
        if not self._is_awaited:
            self._is_awaited = True
            self._line_wanted.release()
        line = await self._lines.get()
        self._is_awaited, self._has_ended = False, line is None
        return line

    def close(self) -> None:
        """Ends the thread, whatever it waits for; the source stays open."""
        if not self._is_closed:
            self._is_closed = True
            os.close(self._close_trigger)
            self._line_wanted.release()

    def _run(self) -> None:
        try:
            self._read_lines()
        finally:
            os.close(self._close_signal)
            if self._descriptor is not None:
                os.close(self._descriptor)

    def _read_lines(self) -> None:
        while True:
            self._line_wanted.acquire()
            if self._is_closed:
                return
            try:
                line = (
                    self._source.readline()
                    if self._descriptor is None
                    else self._read_from(self._descriptor)
                )
            except (OSError, ValueError):  # closed under us
                line = ""
            text = line.rstrip("\r\n") if line else None
            try:
                self._loop.call_soon_threadsafe(self._lines.put_nowait, text)
            except RuntimeError:  # the loop has ended
                return
            if text is None:
                return

    def _read_from(self, descriptor: int) -> str:
        """The next line with its end; the last one may lack it; empty at the end."""
        while b"\n" not in self._rest:
            self._wait_readable(descriptor)
            chunk = b"" if self._is_closed else os.read(descriptor, _CHUNK_BYTES)
            if not chunk:
                line, self._rest = self._rest, b""
                return line.decode("utf-8", "replace")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace") + "\n"

    def _wait_readable(self, descriptor: int) -> None:
        """Returns when there is something to read, or nobody wants it any more."""
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.register(self._close_signal, select.POLLIN)
        poller.poll()


def _duplicate_descriptor(source: TextIO) -> int | None:
    """A descriptor of our own for the stream's file; None when it is no file."""
    try:
        return os.dup(source.fileno())
    except (io.UnsupportedOperation, ValueError, OSError):
        return None
