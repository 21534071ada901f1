"""The reading process: reads one file of a stranger's, says what is in it, and ends.

It is started afresh for each file, with an empty environment and no descriptor but its two pipes;
before it takes the file it gives up what it doesn't need: memory, time of the processor, writing,
descriptors, and the network where the kernel lets it. Nothing of the service is imported.

Wire: the file on standard input up to its end; one line of JSON on standard output.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import Final

from core.attachments.document_text import read_document
from core.attachments.types import FILE_BYTES_MAX, FileProblem, FileUnreadable
from core.process_limits import leave_network, limit_resources, lower_priority

_MEMORY_BYTES_MAX: Final = 768 << 20
_CPU_SECONDS_MAX: Final = 10
_DESCRIPTORS_MAX: Final = 64


def _give_up_rights() -> None:
    sys.dont_write_bytecode = True
    leave_network()
    limit_resources(
        memory_bytes=_MEMORY_BYTES_MAX, cpu_seconds=_CPU_SECONDS_MAX, descriptors=_DESCRIPTORS_MAX
    )


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
    lower_priority()
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
