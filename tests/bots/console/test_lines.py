"""Lines of a stream: each once, for whoever waits, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import threading
from collections.abc import Iterator

from bots.console.lines import LineReader


@contextlib.contextmanager
def a_pipe() -> Iterator[tuple[LineReader, int]]:
    """Lines of a pipe, and the end to write to."""
    read, write = os.pipe()
    with os.fdopen(read) as source, contextlib.closing(LineReader(source)) as lines:
        try:
            yield lines, write
        finally:
            with contextlib.suppress(OSError):
                os.close(write)


async def the_next(lines: LineReader) -> str | None:
    async with asyncio.timeout(20):
        return await lines.read_line()


def readers() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "console-lines"}


async def test_lines_come_in_order_and_then_the_end_for_ever() -> None:
    with a_pipe() as (lines, write):
        os.write(write, "one\r\nzwei é\n\nlast".encode())
        os.close(write)
        assert [await the_next(lines) for _ in range(6)] == [
            "one",
            "zwei é",
            "",
            "last",
            None,
            None,
        ]


async def test_a_wait_that_was_given_up_loses_nothing() -> None:
    with a_pipe() as (lines, write):
        for _ in range(3):
            waiting = asyncio.ensure_future(lines.read_line())
            await asyncio.sleep(0)
            waiting.cancel()
        os.write(write, b"one\n")
        assert await the_next(lines) == "one"


async def test_it_never_reads_the_file_that_got_the_number_of_its_own() -> None:
    """Under load a reader may come to read only after its stream was closed."""
    read, write = os.pipe()
    source = os.fdopen(read)
    with contextlib.closing(LineReader(source)) as lines:
        source.close()
        other, to_other = os.pipe()
        assert other == read, "the system gives the lowest free number"
        os.write(to_other, b"somebody else's\n")
        os.write(write, b"ours\n")
        assert await the_next(lines) == "ours"
        assert os.read(other, 100) == b"somebody else's\n"
    for each in (write, other, to_other):
        os.close(each)


async def test_closing_ends_a_reader_that_waits_to_be_asked_and_one_that_waits_for_a_line() -> None:
    before = readers()
    with a_pipe() as (lines, _):
        (idle,) = readers() - before
        lines.close()
        await asyncio.to_thread(idle.join, 20)
        assert not idle.is_alive()
    with a_pipe() as (lines, _):
        (busy,) = readers() - before
        waiting = asyncio.ensure_future(lines.read_line())
        await asyncio.sleep(0)
        lines.close()
        lines.close()
        await asyncio.to_thread(busy.join, 20)
        assert not busy.is_alive()
        waiting.cancel()


async def test_a_stream_that_is_no_file_and_one_that_is_closed() -> None:
    with contextlib.closing(LineReader(io.StringIO("one\n"))) as lines:
        assert [await the_next(lines) for _ in range(2)] == ["one", None]
    shut = io.StringIO("one\n")
    shut.close()
    with contextlib.closing(LineReader(shut)) as lines:
        assert await the_next(lines) is None
    nothing = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    with nothing, contextlib.closing(LineReader(nothing)) as lines:
        assert await the_next(lines) is None
