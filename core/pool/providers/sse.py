"""Reads events of a streamed answer, within bounds, in all forms that servers use.

Server-sent events with LF, CR or CRLF, with comments, fields without a space, several data lines,
a last event without its blank line, a byte order mark, cut anywhere, inside a character too. Beyond
the standard: events that only one newline parts, an `error:` field, and a body that is bare JSON
whatever its type says. Each byte is looked at a bounded number of times, and between a few thousand
of them others have their turn, however fast they come.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Iterator
from typing import Final, Self

from core.pool.providers.transport import BROKEN
from core.pool.providers.types import Fault, SupplierFault

#: Far above any real event (reasoning of a whole answer may come in one): more is a broken or
#: hostile server.
EVENT_BYTES_MAX: Final = 4 << 20
STREAM_BYTES_MAX: Final = 64 << 20
#: So many bytes, comments and all, and so many lines may come without an event.
SILENT_BYTES_MAX: Final = 2 * EVENT_BYTES_MAX
SILENT_LINES_MAX: Final = 200_000
#: What is parsed in one go: a millisecond's work of events, some of newlines alone.
_SLICE_BYTES: Final = 16 << 10
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
#: Fields that an event may begin with.
_FIELDS: Final = frozenset((b"data", b"event", b"error"))

_PLAIN: Final = b"data: "

Event = tuple[bytes, bytes]


class EventReader:
    """Reads a body: gives (event name, data) of each event that has data; raises `SupplierFault`
    past a bound. The name is empty where the server gives none."""

    def __init__(self, body: AsyncIterable[bytes]) -> None:
        self._chunks, self._parser = aiter(body), EventParser()
        #: Events of what was read last; and what of that wasn't parsed yet.
        self._parsed: Iterator[Event] = iter(())
        self._unparsed = b""
        self._total = self._in_a_row = 0
        self._is_over = False
        self._fault: Exception | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while (event := self.take_parsed()) is None:
            if self._is_over:
                raise self._fault or StopAsyncIteration
            await self._read_on()
        return event

    def take_parsed(self) -> Event | None:
        """The next event that takes no reading; None where there is none."""
        return next(self._parsed, None)

    async def _read_on(self) -> None:
        # What has come already is read without waiting: others wait then.
        if self._in_a_row >= _SLICE_BYTES:
            self._in_a_row = 0
            await asyncio.sleep(0)
        if not self._unparsed:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self._is_over, self._parsed = True, self._parser.finish()
                return
            except BROKEN as error:
                # The connection broke behind what came, perhaps behind an event whose newline is
                # missing.
                self._is_over, self._fault = True, error
                self._parsed = (one for one in self._parser.finish() if is_whole(one[1]))
                return
            self._total += len(chunk)
            if self._total > STREAM_BYTES_MAX:
                raise SupplierFault(Fault.UNAVAILABLE, code="oversize")
            self._unparsed = chunk
        piece, self._unparsed = self._unparsed[:_SLICE_BYTES], self._unparsed[_SLICE_BYTES:]
        self._in_a_row += len(piece)
        self._parsed = self._parser.feed(piece)


class EventParser:
    """A parser of one body; it is fed bytes and gives events."""

    def __init__(self) -> None:
        #: The body's first bytes, until it is seen what it is.
        self._head: bytes | None = b""
        self._is_bare = False
        #: A line whose end hasn't come, or the whole of a body that is bare JSON.
        self._pending: list[bytes] = []
        self._data: list[bytes] = []
        self._name = b""
        #: Whether events were seen that no blank line parted.
        self._is_narrow = False
        #: Bytes that are kept of the event at hand.
        self._size = 0
        #: Whether the last line ended by CR: an LF that follows belongs to it.
        self._ended_by_cr = False
        #: Bytes and lines since the last event.
        self._silent_bytes = self._silent_lines = 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Events that `chunk` completes; raises `SupplierFault` past a bound."""
        if self._head is not None:
            chunk = self._read_head(chunk)
        for event in self._split_plainly(chunk) or self._feed(chunk):
            self._silent_bytes = self._silent_lines = 0
            yield event
        self._silent_bytes += len(chunk)
        if self._silent_bytes > SILENT_BYTES_MAX:
            raise SupplierFault(Fault.UNAVAILABLE, code="silent")

    def _split_plainly(self, chunk: bytes) -> list[Event] | None:
        """The events of bytes that are nothing but whole events of one line of data each, as nearly
        all come; None where they may be anything else."""
        is_midway = self._pending or self._data or self._name or self._ended_by_cr
        if is_midway or self._is_bare or self._is_narrow:
            return None
        if not chunk.endswith(b"\n\n") or b"\r" in chunk:
            return None
        events = []
        for block in chunk[:-2].split(b"\n\n"):
            if len(block) <= len(_PLAIN) or not block.startswith(_PLAIN) or b"\n" in block:
                return None
            events.append((b"", block[len(_PLAIN) :]))
        return events

    def _feed(self, chunk: bytes) -> Iterator[Event]:
        if self._is_bare:
            self._keep(self._pending, chunk)
            return
        if not chunk:
            return
        if self._ended_by_cr:
            chunk, self._ended_by_cr = chunk.removeprefix(b"\n"), False
        for line in chunk.splitlines(keepends=True):
            if not line.endswith((b"\n", b"\r")):
                self._keep(self._pending, line)
                continue
            yield from self._end_line(line)
        self._ended_by_cr = chunk.endswith(b"\r")

    def finish(self) -> Iterator[Event]:
        """What the body's end completes."""
        if self._head:
            chunk, self._head = self._head, None
            yield from self.feed(chunk)
        if self._is_bare:
            yield b"", b"".join(self._pending)
            return
        if self._pending:
            yield from self._end_line(b"")
        yield from self._end_event()

    def _read_head(self, chunk: bytes) -> bytes:
        """Bare JSON begins with a bracket; a byte order mark and blanks in front are no part of
        anything. What is kept is a part of the mark at most."""
        head = (self._head or b"") + chunk
        if not _BYTE_ORDER_MARK.startswith(head):
            head = head.removeprefix(_BYTE_ORDER_MARK).lstrip()
            if head:
                self._head, self._is_bare = None, head[:1] in {b"{", b"["}
                return head
        self._head = head
        return b""

    def _end_line(self, ending: bytes) -> Iterator[Event]:
        self._silent_lines += 1
        if self._silent_lines > SILENT_LINES_MAX:
            raise SupplierFault(Fault.UNAVAILABLE, code="silent")
        line = ending
        if self._pending:
            line = b"".join((*self._pending, ending))
            self._size -= sum(len(part) + 1 for part in self._pending)
            self._pending.clear()
        line = line.rstrip(b"\r\n")
        if not line:
            yield from self._end_event()
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        # What a proxy says of an error may have no field.
        is_bare = line.startswith(b"{") and is_whole(line)
        begins_event = is_bare or field in _FIELDS
        if begins_event and len(self._data) == 1 and is_whole(self._data[0]):
            self._is_narrow = True
            yield from self._end_event()
        if field == b"data":
            self._keep(self._data, value)
            # Where no blank lines come, what is whole isn't kept until the next line does.
            is_last = value.strip() == b"[DONE]"
            if is_last or (self._is_narrow and len(self._data) == 1 and is_whole(value)):
                yield from self._end_event()
        elif field == b"event":
            self._name = value
        elif field == b"error" and value:
            yield b"error", value
        elif is_bare:
            yield b"", line

    def _end_event(self) -> Iterator[Event]:
        data, name = self._data, self._name
        self._data, self._name, self._size = [], b"", 0
        if any(data):
            yield name, b"\n".join(data)

    def _keep(self, kept: list[bytes], part: bytes) -> None:
        self._size += len(part) + 1
        if self._size > EVENT_BYTES_MAX:
            raise SupplierFault(Fault.UNAVAILABLE, code="oversize")
        kept.append(part)


def is_whole(line: bytes) -> bool:
    """Whether a line is whole JSON, or `[DONE]`: an event by itself, whatever follows."""
    text = line.strip()
    if text == b"[DONE]":
        return True
    if text[:1] + text[-1:] not in {b"{}", b"[]"}:
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
