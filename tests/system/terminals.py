"""A person at a terminal of some width, and a program that runs in it as from a shell."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

#: However slow the machine is, nothing takes longer.
PATIENCE_S: Final = 90.0
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: A prompt as it is drawn again over itself.
_EDITED: Final = re.compile(r"\x1b\[\?25l.*?\x1b\[\?25h", re.DOTALL)
_REPEATED: Final = re.compile(r"^(?:(?:you|owner|您|所有者)> ?)*((?:you|owner|您|所有者)> )")
_CHUNK: Final = 65_536
#: Makes the terminal its session's own, so that Ctrl-C is a signal and `/dev/tty` is there, as for
#: a person at a keyboard; then the command takes its place.
_TAKE_TERMINAL: Final = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """What is typed goes to the program; all that it shows is kept."""

    def __init__(self, screen: int, process: subprocess.Popen[bytes]) -> None:
        self._screen, self.process = screen, process
        self.shown = ""
        self._seen_to = 0

    @property
    def text(self) -> str:
        """All that was shown, as lines without escape sequences; what a prompt showed while it was
        edited is left out."""
        lines = _ESCAPES.sub("", _EDITED.sub("", self.shown)).replace("\r", "").split("\n")
        return "\n".join(_REPEATED.sub(r"\1", line.rstrip()) for line in lines)

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def until(self, text: str, *, at_prompt: bool = False) -> str:
        """Reads until `text` is shown after all that was waited for before (and, with `at_prompt`,
        something waits to be typed behind it); what was shown."""
        end = time.monotonic() + PATIENCE_S
        while True:
            plain = _ESCAPES.sub("", self.shown)
            new = plain[self._seen_to :]
            _, found, rest = new.partition(text)
            if found and (not at_prompt or (found + rest).rstrip().endswith((">", ":", "："))):
                self._seen_to = len(plain) if at_prompt else len(plain) - len(rest)
                return new
            assert time.monotonic() < end, f"{text!r} isn't in {new!r}"
            assert self._read(1.0) or self.process.poll() is None, f"{text!r} isn't in {new!r}"

    def press(self, key: str, text: str) -> None:
        """Presses a key until `text` is shown: a signal that comes between a question and the wait
        for its answer is missed by Python's own `input`."""
        end = time.monotonic() + PATIENCE_S
        while text not in self.text:
            assert time.monotonic() < end, f"never {text!r}: {self.text}"
            self.type(key)
            again = time.monotonic() + 5
            while text not in self.text and time.monotonic() < again:
                self._read(1.0)

    def say(self, line: str, until: str) -> str:
        """Types a line, and reads until `until` is shown and the prompt stands again."""
        self.type(line + "\r")
        return self.until(until, at_prompt=True)

    def leave(self) -> int:
        """Types Ctrl-D until the program ends: between two prompts it is the terminal's own, and
        lost. The exit code."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < end, "it doesn't end"
            with contextlib.suppress(OSError):  # it has hung up
                self.type("\x04")
            self._read(0.5)
        return self.process.wait(PATIENCE_S)

    def wait(self) -> int:
        """The exit code with which it ends by itself, once all that it shows was read."""
        end = time.monotonic() + PATIENCE_S
        while self._read(1.0) or self.process.poll() is None:
            assert time.monotonic() < end, f"it doesn't end: {self.text}"
        return self.process.wait(PATIENCE_S)

    def _read(self, seconds: float) -> bool:
        """Whether anything came in so long; nothing does once it has hung up."""
        if not select.select([self._screen], [], [], seconds)[0]:
            return False
        try:
            chunk = os.read(self._screen, _CHUNK)
        except OSError:
            return False
        self.shown += chunk.decode("utf-8", "replace")
        return bool(chunk)


@contextlib.contextmanager
def open_terminal(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], columns: int
) -> Iterator[Terminal]:
    """Runs a command in a terminal of so many columns; it is ended at the latest here."""
    screen, program = pty.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-ISc", _TAKE_TERMINAL, *command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "xterm", **environment},
        stdin=program,
        stdout=program,
        stderr=program,
        start_new_session=True,
    )
    os.close(program)
    try:
        yield Terminal(screen, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        os.close(screen)
