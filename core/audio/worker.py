"""A process that reads one audio file from its standard input, and writes how long it is.

    python -I -m core.audio.worker < voice.ogg        # "61 counted", "61 bound" or "nothing"

Files are strangers': it has no environment, little memory and little time, and ends after one.
"""

from __future__ import annotations

import sys
from typing import Final

from core.audio.length import AudioLength, count_length
from core.process_limits import limit_resources

#: As large as platforms' files are taken at most, and a byte more to see that one is larger.
BYTES_MAX: Final = 20 << 20
#: Bytes of addresses: for the interpreter, and for the file.
_MEMORY_BYTES: Final = 256 << 20
#: Seconds of the processor.
_CPU_SECONDS: Final = 10
#: Its two pipes, and what the interpreter opens to load modules.
_DESCRIPTORS: Final = 16

#: How the length was found: frame by frame, by the file's size where it can't be; or none was.
COUNTED, BOUND, NOTHING = "counted", "bound", "nothing"


def limit_process() -> None:
    """Takes from this process what it doesn't need: memory, time, files. Tests call it to see what
    is left."""
    limit_resources(memory_bytes=_MEMORY_BYTES, cpu_seconds=_CPU_SECONDS, descriptors=_DESCRIPTORS)


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
    content = sys.stdin.buffer.read(BYTES_MAX + 1)
    sys.stdout.write(describe_length(count_length(content)))


if __name__ == "__main__":
    main()
