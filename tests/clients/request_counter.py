"""A hop between clients and the API that passes on every byte, and counts what was asked and how it
was answered."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Callable

_CHUNK_BYTES = 1 << 16
_REQUESTED = re.compile(rb"(?:GET|HEAD|POST) (/[^ ]*) HTTP/1\.1\r\n")
_ANSWERED = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z ]*\r\n")
#: Requests that ask a model; those that only look something up aren't tries.
_ASKS = (b"/v1/chat/completions", b"/v1/messages")
#: The end of a chunk is read again with the next: a line may be cut there.
_LINE_BYTES = 200


class RequestCounter:
    """Listens on a port of its own before the API at another."""

    def __init__(self, port: int) -> None:
        self._port = port
        #: Asks that came, and how they were answered.
        self.tries = 0
        self.statuses: Counter[int] = Counter()
        self._server: asyncio.Server | None = None
        self._passes: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Its address."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        return "http://{}:{}".format(*self._server.sockets[0].getsockname()[:2])

    async def stop(self) -> None:
        """Closes every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._passes:
            task.cancel()
        await asyncio.gather(*self._passes, return_exceptions=True)

    def reset(self) -> None:
        """Counts from nothing."""
        self.tries = 0
        self.statuses.clear()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        is_ask = False

        def note_request(path: bytes) -> None:
            nonlocal is_ask
            is_ask = path.partition(b"?")[0] in _ASKS
            self.tries += is_ask

        def note_answer(status: bytes) -> None:
            # Clients send the next request of a connection only when they have this.
            if is_ask:
                self.statuses[int(status)] += 1

        ways = [
            asyncio.create_task(self._copy(reader, back, _REQUESTED, note_request)),
            asyncio.create_task(self._copy(there, writer, _ANSWERED, note_answer)),
        ]
        self._passes.update(ways)
        for task in ways:
            task.add_done_callback(self._passes.discard)

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pattern: re.Pattern[bytes],
        note: Callable[[bytes], None],
    ) -> None:
        """Passes on one way of a connection, and notes what of its lines has the pattern."""
        tail = b""
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                for found in pattern.finditer(tail + chunk):
                    if found.end() > len(tail):
                        note(found[1])
                tail = (tail + chunk)[-_LINE_BYTES:]
                writer.write(chunk)
                await writer.drain()
        writer.close()
