"""The reading process: reads one file of a stranger's, says what is in it, and ends.

It is started afresh for each file, with an empty environment and no descriptor but its two pipes;
before it takes the file it gives up what it doesn't need: memory, time of the processor, writing,
descriptors, and the network where the kernel lets it. Nothing of the service is imported.

Wire: on standard input a line that names the job (`document`, `picture`, `pages <count>`), then the
file up to its end; one line of JSON on standard output.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Final

from core.attachments.document_text import read_document
from core.attachments.pdf_pages import render_pages
from core.attachments.types import FILE_BYTES_MAX, FileProblem, FileUnreadable
from core.attachments.wire import (
    JOB_BYTES_MAX,
    PAGES_JOB,
    PICTURE_JOB,
    Reading,
    describe_problem,
    describe_reading,
)
from core.process_limits import leave_network, limit_resources

_MEMORY_BYTES_MAX: Final = 768 << 20
_CPU_SECONDS_MAX: Final = 10
_DESCRIPTORS_MAX: Final = 64


def _give_up_rights() -> None:
    sys.dont_write_bytecode = True
    leave_network()
    limit_resources(
        memory_bytes=_MEMORY_BYTES_MAX, cpu_seconds=_CPU_SECONDS_MAX, descriptors=_DESCRIPTORS_MAX
    )


def _read(job: str, content: bytes) -> Reading:
    name, _, count = job.partition(" ")
    if name == PICTURE_JOB:
        from core.attachments.pictures import read_picture

        return read_picture(content)
    if name == PAGES_JOB:
        return render_pages(content, int(count))
    return read_document(content)


def _answer(job: str, content: bytes) -> dict[str, object]:
    try:
        return describe_reading(_read(job, content))
    except FileUnreadable as unreadable:
        return describe_problem(unreadable.problem)
    except (Exception, MemoryError):  # noqa: BLE001 - whatever a library makes of a damaged file
        return describe_problem(FileProblem.DAMAGED)


def main() -> None:
    """Reads one file."""
    # The largest libraries are ready before the file comes.
    import pypdfium2

    from core.attachments import pictures

    pypdfium2.PdfDocument.new().close()
    pictures.load_formats()
    _give_up_rights()
    job = sys.stdin.buffer.readline(JOB_BYTES_MAX).decode("ascii").strip()
    if not job:  # the service ended
        return
    content = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
    sys.stdout.buffer.write(json.dumps(_answer(job, content)).encode())
    sys.stdout.buffer.flush()
    # Nothing is worth tidying up; libraries of damaged files may stumble over it.
    os._exit(0)


if __name__ == "__main__":
    main()
