"""Questions to an operator: asked in a terminal, or answered by the lines of a pipe.

    terminal = Terminal()
    token = terminal.ask_secret("Token (hidden): ")
    name = terminal.ask_until(lambda: terminal.ask("Supplier: "), find_supplier_fault)

In a terminal Ctrl-C raises `KeyboardInterrupt` out of the question, also while nothing typed is
shown: an event loop's own handler would only cancel a task that waits for the keyboard. The
question is asked on the loop's thread, as nothing else is to be done meanwhile.
"""

from __future__ import annotations

import contextlib
import getpass
import signal
import sys
from collections.abc import Callable, Iterator

from bots.cli.output import print_line


class Terminal:
    """Whoever answers: a person at a keyboard, or a pipe, of which each question takes a line."""

    def __init__(self) -> None:
        #: Whether a person sits there, who can be asked again.
        self.is_interactive = sys.stdin.isatty()

    def ask(self, question: str) -> str:
        """A line, without blanks around it; of a pipe that ended an empty one. Raises
        `KeyboardInterrupt`, and `EOFError` for Ctrl-D."""
        return self._read(input, question)

    def ask_secret(self, question: str) -> str:
        """The same without showing what is typed."""
        return self._read(getpass.getpass, question)

    def ask_until(self, ask: Callable[[], str], find_fault: Callable[[str], str]) -> str:
        """An answer in which `find_fault` finds none: a person is told what is wrong and asked
        again, of a pipe whatever came is taken."""
        while True:
            answer = ask()
            fault = find_fault(answer)
            if not fault or not self.is_interactive:
                return answer
            print_line(fault)

    def _read(self, read: Callable[[str], str], question: str) -> str:
        if not self.is_interactive:
            return sys.stdin.readline().strip()
        with _interruptible():
            return read(question).strip()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
