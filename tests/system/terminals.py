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
_REPEATED: Final = re.compile(r"^(?:(?:you|owner)> ?)*((?:you|owner)> )")
_CHUNK: Final = 65_536


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
            new = _ESCAPES.sub("", self.shown[self._seen_to :])
            _, found, rest = new.partition(text)
            if found and (not at_prompt or rest.rstrip().endswith((">", ":"))):
                self._seen_to = len(self.shown)
                return new
            assert time.monotonic() < end, f"{text!r} isn't in {new!r}"
            assert self._read(1.0) or self.process.poll() is None, f"{text!r} isn't in {new!r}"

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

    def _read(self, seconds: float) -> bool:
        if not select.select([self._screen], [], [], seconds)[0]:
            return False
        chunk = os.read(self._screen, _CHUNK)
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
        command,
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
