"""httpx's calls over aiohttp's connections: what came before a fault is given, each fault has its
meaning, a body comes undone once, and an adapter needs no server to be tried."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import aclosing

import aiohttp
import httpx
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from pydantic import SecretStr

from core.money import Tokens
from core.pool.providers import http
from core.pool.providers.openai import OpenAIAdapter
from core.pool.providers.transport import AiohttpTransport, _read_rest, _translate
from core.pool.providers.types import (
    CallTarget,
    ChatMessage,
    Fault,
    Finish,
    ModelCall,
    SupplierFault,
    TextDelta,
)

CALL = ModelCall("m", (ChatMessage("user", "Why?"),), Tokens(500))
STREAM = (
    b'data: {"choices":[{"delta":{"content":"Because."},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    b"data: [DONE]\n\n"
)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[str]:
    """A server that says in JSON what it got, compressed; and one path that ends too early."""

    async def echo(request: web.Request) -> web.Response:
        told = {
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "query": dict(request.query),
            "size": len(await request.read()),
        }
        response = web.json_response(told)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    async def move(_: web.Request) -> web.Response:
        raise web.HTTPFound("/echo")

    app = web.Application(client_max_size=4 << 20)
    app.router.add_route("*", "/echo", echo)
    app.router.add_route("*", "/cut", cut)
    app.router.add_route("*", "/move", move)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


async def test_a_compressed_answer_is_undone_once(client: http.SupplierClient, server: str) -> None:
    told = await http.get_json(client, f"{server}/echo", {"Authorization": "Bearer x"}, page="2")
    assert told["query"] == {"page": "2"}
    assert told["headers"]["authorization"] == "Bearer x"
    assert told["headers"]["user-agent"] == "creditbot"
    assert "cookie" not in told["headers"]
    # Whoever reads it by httpx's own ways finds it undone as well.
    async with httpx.AsyncClient(transport=AiohttpTransport(), trust_env=False) as plain:
        response = await plain.get(f"{server}/echo")
    assert response.json()["size"] == 0
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize("size", [10, 1 << 20])
async def test_a_body_of_any_size_arrives(
    client: http.SupplierClient, server: str, size: int
) -> None:
    async with http.post_json(client, f"{server}/echo", {}, {"text": "x" * size}) as response:
        told = http.parse_json(await http.read_body(response))
    assert told["size"] == size + len('{"text":""}')
    assert told["headers"]["content-type"] == "application/json"


async def test_what_came_before_the_end_is_given(client: http.SupplierClient, server: str) -> None:
    async with aclosing(await client.send("GET", f"{server}/cut", headers={})) as response:
        chunks = aiter(http.get_stream(response))
        assert await anext(chunks) == b"half"
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(chunks)


async def test_bytes_that_a_broken_reader_holds_are_read() -> None:
    """aiohttp's reader raises at once, whatever it holds."""
    reader = aiohttp.StreamReader(BaseProtocol(asyncio.get_running_loop()), 1 << 16)
    reader.feed_data(b"data: [DONE]")
    reader.set_exception(aiohttp.ClientPayloadError("cut"))
    assert [_read_rest(reader), _read_rest(reader)] == [b"data: [DONE]", b""]
    with pytest.raises(aiohttp.ClientPayloadError):
        await reader.read()


async def test_a_redirect_is_an_answer(client: http.SupplierClient, server: str) -> None:
    async with aclosing(await client.send("GET", f"{server}/move", headers={})) as response:
        assert response.status_code == 302


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (aiohttp.ConnectionTimeoutError("sk-x"), httpx.ConnectTimeout),
        (aiohttp.SocketTimeoutError("sk-x"), httpx.ReadTimeout),
        (TimeoutError("sk-x"), httpx.ReadTimeout),
        (aiohttp.InvalidUrlClientError("sk-x"), httpx.UnsupportedProtocol),
        (aiohttp.ServerDisconnectedError("sk-x"), httpx.RemoteProtocolError),
        (aiohttp.ClientPayloadError("sk-x"), httpx.RemoteProtocolError),
        (aiohttp.ClientOSError("sk-x"), httpx.ReadError),
        (ConnectionResetError("sk-x"), httpx.ReadError),
    ],
)
def test_each_fault_keeps_its_meaning_and_no_words(
    raised: Exception, kind: type[httpx.TransportError]
) -> None:
    translated = _translate(raised)
    assert type(translated) is kind
    assert "sk-x" not in str(translated)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("ftp://127.0.0.1/x", Fault.BAD_REQUEST),
        ("http://127.0.0.1:1/x", Fault.NETWORK),
        ("http://x:99999/", Fault.BAD_REQUEST),
        ("http://x\n/", Fault.BAD_REQUEST),
        ("http://no-such-host.invalid/x", Fault.NETWORK),
    ],
)
async def test_an_address_that_leads_nowhere_is_a_fault(
    client: http.SupplierClient, url: str, kind: Fault
) -> None:
    with pytest.raises(SupplierFault) as raised:
        await http.get_json(client, url, {})
    assert raised.value.kind is kind


async def test_an_adapter_can_be_tried_without_a_server() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer sk-x"
        return httpx.Response(200, stream=httpx.ByteStream(STREAM))

    client = http.SupplierClient(httpx.MockTransport(answer))
    target = CallTarget("http://supplier.example/v1", SecretStr("sk-x"))
    pieces = [piece async for piece in OpenAIAdapter(client).stream(target, CALL)]
    assert pieces[0] == TextDelta("Because.")
    assert isinstance(pieces[-1], Finish)


async def test_a_bomb_in_gzip_stays_within_the_bound(client: http.SupplierClient) -> None:
    bomb = gzip.compress(bytes(64 << 20))

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    app = web.Application()
    app.router.add_get("/bomb", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    with pytest.raises(SupplierFault) as raised:
        await http.get_json(client, f"http://{host}:{port}/bomb", {})
    assert (raised.value.kind, raised.value.code) == (Fault.UNAVAILABLE, "oversize")
    await runner.cleanup()
