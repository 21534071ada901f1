"""Typing that a terminal doesn't show."""

from __future__ import annotations

import contextlib
import io
import termios
from collections.abc import Iterator
from typing import Final, TextIO

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
