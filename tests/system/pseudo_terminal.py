"""A command of the command line in a terminal of its own: what is typed isn't shown where it is
hidden, Ctrl-C is a signal, as a person at a keyboard has it.

    with PseudoTerminal(["init"], folder, environment) as terminal:
        terminal.wait_for("token")
        terminal.type("secret\n")        # or "\x03", Ctrl-C
        code = terminal.wait()
        terminal.screen                  # all that was shown
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.system.commandline import PATIENCE_S


class PseudoTerminal:
    """A process whose terminal this is."""

    def __init__(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.screen = ""
        self._read = 0
        root = str(Path(__file__).parents[2])
        whole = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": root, **environment}
        self._pid, self._end = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            os.execve(sys.executable, [sys.executable, "-m", "bots.cli.main", *argv], whole)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._end)

    def type(self, text: str) -> None:
        """Types what a person would."""
        os.write(self._end, text.encode())

    def wait_for(self, text: str) -> None:
        """Returns once `text` is shown, after what was waited for before."""
        until = time.monotonic() + PATIENCE_S
        while (found := self.screen.find(text, self._read)) < 0:
            assert time.monotonic() < until, f"never {text!r}: {self.screen}"
            assert self._show(), f"ended without {text!r}: {self.screen}"
        self._read = found + len(text)

    def press(self, key: str, text: str) -> None:
        """Presses a key until `text` is shown: a signal that comes between a question and the wait
        for its answer is missed by Python's own `input`."""
        until = time.monotonic() + PATIENCE_S
        while text not in self.screen:
            assert time.monotonic() < until, f"never {text!r}: {self.screen}"
            self.type(key)
            again = time.monotonic() + 5
            while text not in self.screen and time.monotonic() < again and self._show():
                pass

    def wait(self) -> int:
        """The code with which it ended by itself."""
        until = time.monotonic() + PATIENCE_S
        while self._show():
            assert time.monotonic() < until, f"runs on: {self.screen}"
        _, status = os.waitpid(self._pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _show(self) -> bool:
        """Reads what is there, or a second long; False once nobody writes any more."""
        if not select.select([self._end], [], [], 1.0)[0]:
            return True
        try:
            shown = os.read(self._end, 1 << 16)
        except OSError:  # the other side is closed
            return False
        self.screen += shown.decode(errors="replace").replace("\r\n", "\n")
        return bool(shown)
