"""The reading process: reads one file of a stranger's, says what is in it, and ends.

It is started afresh for each file, with an empty environment and no descriptor but its two pipes;
before it takes the file it gives up what it doesn't need: memory, time of the processor, writing,
descriptors, and the network where the kernel lets it. Nothing of the service is imported.

Wire: the file on standard input up to its end; one line of JSON on standard output.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Final

from core.attachments.document_text import read_document
from core.attachments.types import FILE_BYTES_MAX, FileProblem, FileUnreadable

_MEMORY_BYTES_MAX: Final = 768 << 20
_CPU_SECONDS_MAX: Final = 10
_DESCRIPTORS_MAX: Final = 64
_NICE: Final = 10
#: A third of what the service's group gets where processors are short: with less, honest files
#: would meet the clock.
_GROUP_NICE: Final = 5
_AUTOGROUP: Final = Path("/proc/self/autogroup")
_GROUP_TRIES: Final = 3
_GROUP_PAUSE_SECONDS: Final = 0.1
#: `unshare(2)`: a user namespace, which an ordinary user may make, and in it one without a network.
_NO_NETWORK: Final = 0x10000000 | 0x40000000


def _lower_priority() -> None:
    """Behind whatever the service does. A process of its own session is of a group of its own, to
    Linux, which shares the processors with the service's group alike: that has a priority, too."""
    os.nice(_NICE)
    for _ in range(_GROUP_TRIES):
        try:
            _AUTOGROUP.write_text(str(_GROUP_NICE))
        except BlockingIOError:  # it takes one in a tenth of a second, of ordinary users
            time.sleep(_GROUP_PAUSE_SECONDS)
        except OSError:  # there are no such groups
            return
        else:
            return


def _give_up_rights() -> None:
    sys.dont_write_bytecode = True
    with contextlib.suppress(OSError, AttributeError):  # where there is no such call
        ctypes.CDLL(None).unshare(_NO_NETWORK)
    for limit, value in (
        (resource.RLIMIT_AS, _MEMORY_BYTES_MAX),
        (resource.RLIMIT_CPU, _CPU_SECONDS_MAX),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS_MAX),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(OSError, ValueError):  # what is already lower stays so
            resource.setrlimit(limit, (value, value))


def _answer(content: bytes) -> dict[str, object]:
    try:
        return dataclasses.asdict(read_document(content))
    except FileUnreadable as unreadable:
        return {"problem": unreadable.problem.value}
    except (Exception, MemoryError):  # noqa: BLE001 - whatever a library makes of a damaged file
        return {"problem": FileProblem.DAMAGED.value}


def main() -> None:
    """Reads one file."""
    # Before anything that takes long: people's questions come first.
    _lower_priority()
    # The largest libraries are ready before the file comes.
    import pypdfium2

    pypdfium2.PdfDocument.new().close()
    _give_up_rights()
    content = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
    if not content:
        return
    sys.stdout.buffer.write(json.dumps(_answer(content)).encode())
    sys.stdout.buffer.flush()
    # Nothing is worth tidying up; libraries of damaged files may stumble over it.
    os._exit(0)


if __name__ == "__main__":
    main()
