"""Reads server-sent events from an aiohttp body, within bounds, in all forms that servers use.

Takes CRLF and LF, comments, fields without a space, events of several data lines, a last event
without its blank line, and bytes cut anywhere, inside a character too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from core.pool.providers.types import Fault, SupplierFault

#: Far above any real event: more is a broken or hostile server.
EVENT_BYTES_MAX = 1 << 20
STREAM_BYTES_MAX = 64 << 20


class ByteStream(Protocol):
    """A stream of bytes is the part of aiohttp's stream reader that is used here."""

    def iter_any(self) -> AsyncIterator[bytes]:
        """Bytes as they come."""
        ...


async def read_events(body: ByteStream) -> AsyncIterator[tuple[bytes, bytes]]:
    """Yields (event name, data) of each event that has data; raises `SupplierFault` past a bound.

    The name is empty where the server gives none.
    """
    rest, name, data = b"", b"", b""
    total = 0
    async for chunk in body.iter_any():
        total += len(chunk)
        rest += chunk
        if b"\n" in chunk:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if line in {b"", b"\r"}:
                    if data:
                        yield name, data
                    name, data = b"", b""
                elif line.startswith(b"data:"):
                    value = _field_value(line, 5)
                    data = data + b"\n" + value if data else value
                elif line.startswith(b"event:"):
                    name = _field_value(line, 6)
        if len(rest) + len(data) > EVENT_BYTES_MAX or total > STREAM_BYTES_MAX:
            raise SupplierFault(Fault.UNAVAILABLE, code="oversize")
    if rest.startswith(b"data:"):
        data = _field_value(rest, 5)
    if data:
        yield name, data


def _field_value(line: bytes, start: int) -> bytes:
    return line[start:].removesuffix(b"\r").removeprefix(b" ")
