"""Processes that wait for the next file, once there was a first: the service keeps two, which costs
a third of a second of the processor, and tests that start it by the hundred read one file each.
They have an idle priority: beside as many tests as there are processors they wait.
"""

from __future__ import annotations

from typing import Final

from core.attachments import reader

#: As the service has them.
WAITING: Final = reader._WARM


#: As nobody who sent a file would wait.
_SECONDS_MAX: Final = 150.0


def start_without_waiting() -> None:
    """From here on a process is started when there is a file for it, and may take its time."""
    reader._WARM = 0
    reader.READ_SECONDS_MAX = _SECONDS_MAX  # type: ignore[misc]
