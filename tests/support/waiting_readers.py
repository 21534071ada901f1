"""Processes that wait for the next file, once there was a first: the service keeps two, which costs
a third of a second of the processor, and tests that start it by the hundred read one file each.
Where nothing is idle a file is read once more, which tests needn't wait for as long.
"""

from __future__ import annotations

from typing import Final

from core.attachments import reader

#: As the service has them.
WAITING: Final = reader._WARM


#: As many as read two files at once: tests ask nothing meanwhile that should not wait.
_PROCESSORS: Final = 3
#: Beside as many tests as there are processors nothing is idle.
_IDLE_SECONDS_MAX: Final = 4.0
#: As nobody who sent a file would wait.
_SECONDS_MAX: Final = 150.0


def start_without_waiting() -> None:
    """From here on a process is started when there is a file for it, and may take its time."""
    reader._WARM = 0
    reader._count_processors = lambda: _PROCESSORS
    reader.IDLE_SECONDS_MAX = _IDLE_SECONDS_MAX  # type: ignore[misc]
    reader.READ_SECONDS_MAX = _SECONDS_MAX  # type: ignore[misc]
