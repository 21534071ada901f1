"""Processes that wait for the next file, once there was a first: the service keeps two, which costs
a third of a second of the processor, and tests that start it by the hundred read one file each."""

from __future__ import annotations

from typing import Final

from core.attachments import reader

#: As the service has them.
WAITING: Final = reader._WARM


def start_without_waiting() -> None:
    """From here on a process is started when there is a file for it."""
    reader._WARM = 0
