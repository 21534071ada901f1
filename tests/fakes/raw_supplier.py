"""A server on loopback that answers every request with the bytes that a test gives, and then
closes, resets, stays silent or sends keep-alives, as real servers and the proxies before them do.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

#: How the connection goes on after the last byte.
After = Literal["end", "close", "reset", "silent", "keep-alive"]


@dataclass(frozen=True)
class RawAnswer:
    """An answer's body in pieces, each sent by itself."""

    pieces: Sequence[bytes]
    after: After = "end"
    content_type: str = "text/event-stream"
    status: int = 200


class RawSupplier:
    """The server; `answer` is what every request gets."""

    def __init__(self, answer: RawAnswer) -> None:
        self.answer = answer
        self.requests = 0
        #: So many requests on connections that served one before, or all, are read and the
        #: connection closed without a byte.
        self.closes_reused, self.closes_all = 0, False
        self.url = ""
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        served = 0
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.partition(b":")[2])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                await reader.readexactly(length)
                self.requests += 1
                served += 1
                if self.closes_all or (served > 1 and self.closes_reused):
                    self.closes_reused -= 1
                    writer.close()
                    return
                if not await self._answer(writer):
                    return

    async def _answer(self, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can be used again."""
        told = self.answer
        head = f"HTTP/1.1 {told.status} OK\r\nContent-Type: {told.content_type}\r\n"
        writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for piece in told.pieces:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        match told.after:
            case "end":
                writer.write(b"0\r\n\r\n")
                await writer.drain()
                return True
            case "silent":
                await asyncio.Event().wait()
            case "keep-alive":
                while True:
                    writer.write(b"e\r\n: keep-alive\n\n\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.01)
            case "reset":
                sock = writer.get_extra_info("socket")
                sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
                writer.transport.abort()
            case "close":
                writer.close()
        return False

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()


@contextlib.asynccontextmanager
async def raw_supplier(answer: RawAnswer) -> AsyncIterator[RawSupplier]:
    supplier = RawSupplier(answer)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(supplier.serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    supplier.url = f"http://{host}:{port}"
    try:
        yield supplier
    finally:
        server.close()
        await supplier.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
