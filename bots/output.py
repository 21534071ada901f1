"""What commands print: the one place of this program that writes to the terminal."""

from __future__ import annotations

import sys


def tell(line: str, *, error: bool = False) -> None:
    """One line, to standard output or standard error."""
    stream = sys.stderr if error else sys.stdout
    stream.write(line + "\n")
    stream.flush()
