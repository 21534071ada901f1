"""A server on loopback that answers every request with the bytes that a test gives, and then
closes, resets, stays silent or sends keep-alives, as real servers and the proxies before them do.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

#: Linux's question for what a socket has not sent yet.
_SIOCOUTQNSD = 0x894B

#: How the connection goes on after the last byte.
After = Literal["end", "close", "reset", "silent", "keep-alive"]
#: How a body's end is told by HTTP: by a last chunk, by its length, or by closing.
Framing = Literal["chunked", "length", "close"]


@dataclass(frozen=True)
class RawAnswer:
    """An answer's body in pieces, each sent by itself."""

    pieces: Sequence[bytes]
    after: After = "end"
    content_type: str = "text/event-stream"
    status: int = 200
    framing: Framing = "chunked"


class RawSupplier:
    """The server; `answer` is what every request gets, but for those for a list of models where
    one is `listed`."""

    def __init__(self, answer: RawAnswer) -> None:
        self.answer = answer
        self.listed: RawAnswer | None = None
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
                lengths = (
                    int(line.partition(b":")[2])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                await reader.readexactly(next(lengths, 0))
                told = self.answer
                if head.startswith(b"GET") and self.listed is not None:
                    told = self.listed
                else:
                    self.requests += 1
                served += 1
                if self.closes_all or (served > 1 and self.closes_reused):
                    self.closes_reused -= 1
                    writer.close()
                    return
                if not await self._answer(told, reader, writer):
                    return

    async def _answer(
        self, told: RawAnswer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection can be used again."""
        is_chunked, after = told.framing == "chunked", told.after
        writer.write(self._build_head(told))
        for piece in filter(None, told.pieces):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
            await writer.drain()
        match after:
            case "end":
                writer.write(b"0\r\n\r\n" if is_chunked else b"")
                await writer.drain()
                if told.framing != "close":
                    return True
                writer.close()
            case "silent":
                await reader.read()
            case "keep-alive":
                while True:
                    writer.write(b"e\r\n: keep-alive\n\n\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.01)
            case "reset":
                sock = writer.get_extra_info("socket")
                # The kernel has no event for it.
                while writer.transport.get_write_buffer_size() or _count_unsent(sock):  # noqa: ASYNC110
                    await asyncio.sleep(0)
                sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
                writer.transport.abort()
            case "close":
                writer.close()
        return False

    @staticmethod
    def _build_head(told: RawAnswer) -> bytes:
        head = f"HTTP/1.1 {told.status} OK\r\nContent-Type: {told.content_type}\r\n"
        match told.framing:
            case "chunked":
                head += "Transfer-Encoding: chunked\r\n"
            case "close":
                head += "Connection: close\r\n"
            case "length":  # one byte more is told than comes, where the end is a bad one
                size = sum(map(len, told.pieces)) + (told.after != "end")
                head += f"Content-Length: {size}\r\n"
        return f"{head}\r\n".encode()

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()


def _count_unsent(sock: socket.socket) -> int:
    """Bytes that the kernel hasn't handed over: a reset takes them back."""
    count: int = struct.unpack("i", fcntl.ioctl(sock.fileno(), _SIOCOUTQNSD, bytes(4)))[0]
    return count


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
