"""Calls over aiohttp's connections: what came before a fault is given, each fault has its
meaning, a body comes undone once, and an adapter needs no server to be tried."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from pydantic import SecretStr

from core.attachments.types import Picture, PictureSize
from core.money import Tokens
from core.pool.providers import faults, http
from core.pool.providers.anthropic import AnthropicAdapter
from core.pool.providers.message_parts import CallOptions, TextPart, ToolResultPart
from core.pool.providers.openai import OpenAIAdapter
from core.pool.providers.transport import SupplierAnswer, Transport, _read_rest
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

    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        await asyncio.Event().wait()
        return response

    async def move(_: web.Request) -> web.Response:
        raise web.HTTPFound("/echo")

    app = web.Application(client_max_size=4 << 20)
    app.router.add_route("*", "/echo", echo)
    app.router.add_route("*", "/cut", cut)
    app.router.add_route("*", "/hang", hang)
    app.router.add_route("*", "/move", move)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
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
    assert told["size"] == 0


@pytest.mark.parametrize("size", [10, 1 << 20])
async def test_a_body_of_any_size_arrives(
    client: http.SupplierClient, server: str, size: int
) -> None:
    async with http.JsonPost(
        client, f"{server}/echo", {}, lambda: {"text": "x" * size}, size
    ) as answer:
        told = http.parse_json(await http.read_body(answer))
    assert told["size"] == size + len('{"text":""}')
    assert told["headers"]["content-type"] == "application/json"


_LARGE = "x" * (300 << 10)


@pytest.mark.parametrize("adapter", [OpenAIAdapter, AnthropicAdapter])
@pytest.mark.parametrize(
    ("message", "options", "is_large"),
    [
        (ChatMessage("user", "Why?"), None, False),
        (ChatMessage("user", _LARGE), None, True),
        (ChatMessage("user", "", (Picture(_LARGE.encode(), PictureSize(8, 8)),)), None, True),
        (ChatMessage("user", "", parts=(TextPart(_LARGE),)), None, True),
        (ChatMessage("user", "", parts=(ToolResultPart("1", (TextPart(_LARGE),)),)), None, True),
        (ChatMessage("user", "", parts=(TextPart("Why?"),)), CallOptions(), False),
        (ChatMessage("user", "Why?"), CallOptions(tools_chars=len(_LARGE)), True),
    ],
)
async def test_much_is_written_off_the_event_loop(
    client: http.SupplierClient,
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    adapter: type[OpenAIAdapter] | type[AnthropicAdapter],
    message: ChatMessage,
    options: CallOptions | None,
    is_large: bool,
) -> None:
    threads: list[threading.Thread] = []
    encode = http._encode

    def encode_and_note(value: Any) -> str:
        threads.append(threading.current_thread())
        return encode(value)

    monkeypatch.setattr(http, "_encode", encode_and_note)
    call = replace(CALL, messages=(message,), options=options)
    target = CallTarget(server, SecretStr("sk-test"))
    with pytest.raises(SupplierFault):  # it is no supplier
        await anext(adapter(client).stream(target, call))
    (thread,) = threads
    assert (thread is not threading.main_thread()) == is_large


async def test_what_came_before_the_end_is_given(client: http.SupplierClient, server: str) -> None:
    async with aclosing(await client.send("GET", f"{server}/cut", headers={})) as answer:
        assert await anext(answer) == b"half"
        with pytest.raises(aiohttp.ClientPayloadError):
            await anext(answer)


async def test_a_read_that_brings_nothing_ends(client: http.SupplierClient, server: str) -> None:
    sent = await client.send("GET", f"{server}/hang", headers={}, read_seconds=0.2)
    async with aclosing(sent) as answer:
        assert await anext(answer) == b"half"
        with pytest.raises(aiohttp.SocketTimeoutError):
            await anext(answer)


async def test_bytes_that_a_broken_reader_holds_are_read() -> None:
    """aiohttp's reader raises at once, whatever it holds."""
    reader = aiohttp.StreamReader(BaseProtocol(asyncio.get_running_loop()), 1 << 16)
    reader.feed_data(b"data: [DONE]")
    reader.set_exception(aiohttp.ClientPayloadError("cut"))
    assert [_read_rest(reader), _read_rest(reader)] == [b"data: [DONE]", b""]
    with pytest.raises(aiohttp.ClientPayloadError):
        await reader.read()


async def test_a_redirect_is_an_answer(client: http.SupplierClient, server: str) -> None:
    async with aclosing(await client.send("GET", f"{server}/move", headers={})) as answer:
        assert answer.status == 302


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (aiohttp.ConnectionTimeoutError("sk-x"), Fault.TIMEOUT),
        (aiohttp.SocketTimeoutError("sk-x"), Fault.TIMEOUT),
        (TimeoutError("sk-x"), Fault.TIMEOUT),
        (aiohttp.InvalidUrlClientError("sk-x"), Fault.BAD_REQUEST),
        (aiohttp.NonHttpUrlClientError("sk-x"), Fault.BAD_REQUEST),
        (aiohttp.ServerDisconnectedError("sk-x"), Fault.NETWORK),
        (aiohttp.ClientPayloadError("sk-x"), Fault.NETWORK),
        (aiohttp.ClientOSError("sk-x"), Fault.NETWORK),
        (ConnectionResetError("sk-x"), Fault.NETWORK),
        (KeyError("sk-x"), Fault.UNAVAILABLE),
    ],
)
def test_each_error_has_its_meaning_and_no_words(raised: Exception, kind: Fault) -> None:
    with pytest.raises(SupplierFault) as told, faults.translate_errors():
        raise raised
    assert told.value.kind is kind
    assert "sk-x" not in str(told.value)
    assert told.value.__suppress_context__


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), faults.translate_errors():
        raise ZeroDivisionError


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
    class Served(Transport):
        async def send(self, *sent: Any) -> SupplierAnswer:
            assert sent[2]["Authorization"] == "Bearer sk-x"
            return ReadyAnswer()

    class ReadyAnswer(SupplierAnswer):
        def __init__(self) -> None:
            self.status, self.headers, self._unread = 200, {}, [STREAM]

        async def __anext__(self) -> bytes:
            if not self._unread:
                raise StopAsyncIteration
            return self._unread.pop()

        @property
        def is_read(self) -> bool:
            return not self._unread

        async def aclose(self) -> None: ...

    client = http.SupplierClient(Served())
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
