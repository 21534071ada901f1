"""Reads lines without holding the event loop: one at a time, only when somebody wants one."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import select
import termios
import threading
from collections.abc import Iterator
from typing import Final, TextIO, final

_CHUNK_BYTES: Final = 65_536


@final
class Lines:
    """A reader of a text stream's lines, in order, until `close`.

    The thread that reads is a daemon, and it reads the file itself: one that waits for a person to
    type must neither keep the program from ending nor hold the stream's lock while it ends. It
    reads by a descriptor of its own: a number that somebody else closes may be another file's next.
    """

    def __init__(self, source: TextIO) -> None:
        self._source = source
        self._file = _own(source)
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._wanted = threading.Semaphore(0)
        self._came: asyncio.Queue[str | None] = asyncio.Queue()
        self._asked = self._ended = self._closed = False
        # Its second end is closed to say that nobody wants lines any more.
        self._over, self._until = os.pipe()
        threading.Thread(target=self._run, name="console-lines", daemon=True).start()

    async def next(self) -> str | None:
        """The next line without its end, or None from the end on; a cancelled wait loses nothing.

        Only before `close`.
        """
        if self._ended:
            return None
        if not self._asked:
            self._asked = True
            self._wanted.release()
        line = await self._came.get()
        self._asked, self._ended = False, line is None
        return line

    def close(self) -> None:
        """Ends the thread, whatever it waits for; the source stays open."""
        if not self._closed:
            self._closed = True
            os.close(self._until)
            self._wanted.release()

    def _run(self) -> None:
        try:
            self._read()
        finally:
            os.close(self._over)
            if self._file is not None:
                os.close(self._file)

    def _read(self) -> None:
        while True:
            self._wanted.acquire()
            if self._closed:
                return
            try:
                line = self._source.readline() if self._file is None else self._line_of(self._file)
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
            self._wait_for(file)
            chunk = b"" if self._closed else os.read(file, _CHUNK_BYTES)
            if not chunk:
                line, self._rest = self._rest, b""
                return line.decode("utf-8", "replace")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("utf-8", "replace") + "\n"

    def _wait_for(self, file: int) -> None:
        """Returns when there is something to read, or nobody wants it any more."""
        waiting = select.poll()
        waiting.register(file, select.POLLIN)
        waiting.register(self._over, select.POLLIN)
        waiting.poll()


def _own(source: TextIO) -> int | None:
    """A descriptor of our own for the stream's file; None when it is no file."""
    try:
        return os.dup(source.fileno())
    except (io.UnsupportedOperation, ValueError, OSError):
        return None


#: Where the local modes are among a terminal's attributes.
_LOCAL: Final = 3


@contextlib.contextmanager
def hidden(source: TextIO) -> Iterator[None]:
    """What is typed into `source` stays unseen, but for the Enter at its end; what was typed before
    is dropped. A pipe shows nothing anyway."""
    try:
        terminal = source.fileno()
        before = termios.tcgetattr(terminal)
    except (io.UnsupportedOperation, ValueError, OSError, termios.error):
        yield
        return
    hushed = termios.tcgetattr(terminal)
    hushed[_LOCAL] = (hushed[_LOCAL] & ~termios.ECHO) | termios.ECHONL
    termios.tcsetattr(terminal, termios.TCSAFLUSH, hushed)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
