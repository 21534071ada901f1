"""A process that reads one audio file from its standard input, and writes how long it is.

    python -I -m core.audio.worker < voice.ogg        # "61 counted", "61 bound" or "nothing"

Files are strangers': it has no environment, little memory and little time, and ends after one.
"""

from __future__ import annotations

import sys
from typing import Final

from core.audio.length import AudioLength, count_length

#: As large as platforms' files are taken at most, and a byte more to see that one is larger.
BYTES_MAX: Final = 20 << 20
_MEMORY_BYTES: Final = 256 << 20
_CPU_SECONDS: Final = 10

COUNTED, BOUND, NOTHING = "counted", "bound", "nothing"


def limit_process() -> None:
    """Takes from this process what it doesn't need: memory, time, files, children."""
    if sys.platform == "win32":
        return
    import resource

    limits = {
        resource.RLIMIT_AS: _MEMORY_BYTES,
        resource.RLIMIT_CPU: _CPU_SECONDS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 16,
    }
    for which, most in limits.items():
        hard = resource.getrlimit(which)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (limit, limit))


def describe_length(length: AudioLength | None) -> str:
    """The answer's line."""
    if length is None:
        return NOTHING
    return f"{length.seconds} {COUNTED if length.is_counted else BOUND}"


def parse_length(line: str) -> AudioLength | None:
    """The length of an answer's line; raises ValueError where it is none."""
    if line == NOTHING:
        return None
    seconds, kind = line.split(" ")
    if kind not in (COUNTED, BOUND):
        raise ValueError(kind)
    return AudioLength(int(seconds), is_counted=kind == COUNTED)


def main() -> None:
    """Answers for one file."""
    limit_process()
    sys.stdout.write(describe_length(count_length(sys.stdin.buffer.read(BYTES_MAX + 1))))


if __name__ == "__main__":
    main()
