"""What commands print: the one place of this program that writes to the terminal; and the refusal
of a command in its own words.
"""

from __future__ import annotations

import sys
from typing import ClassVar

from core.errors import Refusal


class CommandRefused(Refusal):
    """A command of the command line can't go on; it says why itself."""

    code: ClassVar[str] = "command_refused"

    def __init__(self, words: str) -> None:
        self.words = words


def print_line(line: str, *, error: bool = False) -> None:
    """One line, to standard output or standard error."""
    stream = sys.stderr if error else sys.stdout
    stream.write(line + "\n")
    stream.flush()
