"""Connections of the HTTP app: each is bounded, and none keeps others out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bots.http import HttpServer, ServerAddress, build_service_app
from bots.http_connections import HttpLimits
from tests.support import service
from tests.support.databases import TestClock

GET = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /in HTTP/1.1\r\nHost: x\r\n"
KB = 1 << 10


@dataclass
class Peer:
    """A client that writes what it likes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def says(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def reads(self) -> int:
        """The status of an answer; 0 where there is none."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                await self.reader.readexactly(int(line.partition(b":")[2]))
        return int(head.split()[1])

    async def is_closed(self) -> bool:
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(KB):
                pass
        return True


@dataclass
class Place:
    """The HTTP app of a service with a route that reads bodies."""

    port: int
    bodies: list[int] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)

    async def meets(self, data: bytes = b"") -> Peer:
        self.peers.append(Peer(*await asyncio.open_connection("127.0.0.1", self.port)))
        await self.peers[-1].says(data)
        return self.peers[-1]

    async def is_ready(self) -> bool:
        return await (await self.meets(GET)).reads() == 200


@contextlib.asynccontextmanager
async def opened(url: str, clock: TestClock, limits: HttpLimits) -> AsyncIterator[Place]:
    place = Place(0)

    async def read(request: Request) -> Response:
        body = await request.body()
        place.bodies.append(len(body))
        return PlainTextResponse("ok")

    async def refuse(_: Request) -> Response:
        return Response(status_code=403)

    async def think(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    routes = [
        Route("/in", read, methods=["POST"]),
        Route("/no", refuse, methods=["POST"]),
        Route("/thought", think),
    ]
    async with service.running(url, clock) as tom:
        app = build_service_app(tom.app.chat.readiness, routes)
        server = HttpServer(app, ServerAddress("127.0.0.1", 0), limits)
        place.port = await server.start()
        try:
            yield place
        finally:
            for peer in place.peers:
                peer.writer.close()
            await server.stop()


Opens = Callable[[HttpLimits], contextlib.AbstractAsyncContextManager[Place]]


@pytest.fixture
def opens(sqlite_url: str, clock: TestClock) -> Opens:
    return lambda limits: opened(sqlite_url, clock, limits)


def sized(length: int) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % length


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


async def test_a_thousand_slow_bodies_keep_a_place_free(opens: Opens) -> None:
    async with opens(HttpLimits(connections=16)) as place:
        slow = [await place.meets(sized(1_000_000) + b"x") for _ in range(1_000)]
        assert await place.is_ready()
        # One was sent away for each that came after the sixteenth, the oldest first.
        assert [await one.reads() for one in slow[:900]] == [503] * 900
        last = slow[-1]
        await last.says(b"x" * 999_999)
        assert (await last.reads(), place.bodies) == (200, [1_000_000])


async def test_silent_connections_keep_nobody_out(opens: Opens) -> None:
    async with opens(HttpLimits(connections=16)) as place:
        for _ in range(100):
            await place.meets()
        assert await place.is_ready()


async def test_bodies_share_a_room(opens: Opens) -> None:
    async with opens(HttpLimits(held_bytes=512 * KB)) as place:
        halves = [await place.meets(sized(100 * KB) + b"x" * 90 * KB) for _ in range(10)]
        assert [await one.reads() for one in halves[:4]] == [503] * 4
        assert await place.is_ready()
        await halves[-1].says(b"x" * 10 * KB)
        assert (await halves[-1].reads(), place.bodies) == (200, [100 * KB])


async def test_what_was_answered_takes_no_room(opens: Opens) -> None:
    async with opens(HttpLimits(held_bytes=128 * KB)) as place:
        peer = await place.meets()
        for _ in range(5):
            await peer.says(sized(100 * KB) + b"x" * 100 * KB)
            assert await peer.reads() == 200
        assert place.bodies == [100 * KB] * 5


@pytest.mark.parametrize(
    ("limits", "said", "status"),
    [
        (HttpLimits(header_seconds=0.1), b"", 408),
        (HttpLimits(header_seconds=0.1), b"GET /readyz HT", 408),
        (HttpLimits(header_seconds=0.1), GET[:-2] + b"X: y\r\n", 408),
        (HttpLimits(body_seconds=0.1), sized(10) + b"x", 408),
        (HttpLimits(body_seconds=0.1), CHUNKED + b"1\r\nx\r\n", 408),
        (HttpLimits(body_bytes=KB), sized(KB + 1), 413),
        (HttpLimits(body_bytes=KB), sized(10**18), 413),
        (HttpLimits(body_bytes=KB), CHUNKED + b"401\r\n" + b"x" * 0x401 + b"\r\n", 413),
        # A byte a chunk, and chunks that say much about themselves.
        (HttpLimits(body_bytes=64 * KB), CHUNKED + b"1\r\nx\r\n" * 40_000, 413),
        (HttpLimits(body_bytes=KB), CHUNKED + (b"1;" + b"a" * KB + b"\r\nx\r\n") * 100, 413),
        (HttpLimits(), b"GET /readyz HTTP/1.1\r\nX: " + b"a" * 70 * KB, 431),
        (HttpLimits(), b"GET /" + b"a" * 70 * KB, 431),
        (HttpLimits(), b"GET /readyz HTTP/1.1\r\n" + b"X: aaaaaaaa\r\n" * 9_000 + b"\r\n", 431),
        (HttpLimits(), b"\x16\x03\x01\x00", 400),
    ],
)
async def test_each_request_is_bounded(
    opens: Opens, limits: HttpLimits, said: bytes, status: int
) -> None:
    async with opens(limits) as place:
        peer = await place.meets(said)
        assert await peer.reads() == status
        assert await peer.is_closed()
        assert place.bodies == []
        assert await place.is_ready()


async def test_a_body_after_its_answer_has_an_end(opens: Opens) -> None:
    """A refusal that needs no body, and a sender that goes on with it slowly."""
    async with opens(HttpLimits(body_seconds=0.1)) as place:
        peer = await place.meets(sized(10).replace(b"/in", b"/no") + b"x")
        assert await peer.reads() == 403
        assert await peer.is_closed()


async def test_an_answer_has_its_time(opens: Opens) -> None:
    async with opens(HttpLimits(answer_seconds=0.1)) as place:
        peer = await place.meets(GET.replace(b"/readyz", b"/thought"))
        assert await peer.reads() == 0
        assert await peer.is_closed()
        assert await place.is_ready()


async def test_one_connection_serves_many_requests(opens: Opens) -> None:
    async with opens(HttpLimits(connections=8)) as place:
        peer = await place.meets(GET * 20)
        assert [await peer.reads() for _ in range(20)] == [200] * 20
        for _ in range(3):
            await peer.says(sized(3) + b"abc")
            assert await peer.reads() == 200
        assert place.bodies == [3, 3, 3]


async def test_whoever_goes_away_leaves_no_trace(
    opens: Opens, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "uvicorn")
    async with opens(HttpLimits()) as place:
        for start in (b"", GET[:9], sized(500) + b"half", CHUNKED + b"5\r\nhel"):
            (await place.meets(start)).writer.close()
        for start in (sized(500) + b"half", GET):
            (await place.meets(start)).writer.transport.abort()
        assert await place.is_ready()
    assert [one for one in caplog.records if one.exc_info or one.levelno >= logging.ERROR] == []
    assert json.dumps(place.bodies) == "[]"
