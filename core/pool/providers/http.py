"""One call to a supplier over the pool's one HTTP client: deadlines, no redirects, bounded bodies.

The key is sent in a header only. Whatever is not an answer is raised as a `SupplierFault`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from core.pool.providers import faults, sse
from core.pool.providers.transport import AiohttpTransport
from core.pool.providers.types import Fault, SupplierFault

CONNECT_SECONDS = 10.0
#: The most between two reads: models that reason may send nothing for minutes.
READ_SECONDS = 180.0
#: The most for sending a file and receiving the answer.
UPLOAD_SECONDS = 300.0
#: The most for a whole list of models.
LIST_SECONDS = 20.0

#: The most for the end of a body whose last event has come; after it the connection is closed.
_DRAIN_SECONDS = 0.5

_ERROR_BYTES_MAX = 64 << 10
_LIST_BYTES_MAX = 8 << 20

_HEADERS = {"User-Agent": "creditbot", "Accept": "application/json, text/event-stream"}
_TIMEOUT = {"timeout": {"connect": CONNECT_SECONDS, "read": READ_SECONDS}}
_UPLOAD_TIMEOUT = {"timeout": {"connect": CONNECT_SECONDS, "read": UPLOAD_SECONDS}}

#: A supplier has a few addresses, which httpx takes apart in 20 µs each time.
_parse_url = functools.lru_cache(maxsize=512)(httpx.URL)
_encode = json.JSONEncoder(separators=(",", ":")).encode


class SupplierClient:
    """A client for calls to suppliers. It hands requests to its transport itself: the layers of
    httpx's own client (cookies, authentication, redirects, hooks) cost 60 µs a call here, and none
    of them is wanted."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport or AiohttpTransport()

    async def send(self, method: str, url: str, **request: Any) -> httpx.Response:
        """Sends a request, of which `request` are httpx's arguments; waits for the headers of its
        answer, whose body must be closed. Raises httpx's errors."""
        request.setdefault("extensions", _TIMEOUT)
        headers = {**_HEADERS, **request.pop("headers")}
        return await self._transport.handle_async_request(
            httpx.Request(method, _parse_url(url), headers=headers, **request)
        )

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._transport.aclose()


@contextlib.asynccontextmanager
async def post_json(
    client: SupplierClient, url: str, headers: Mapping[str, str], body: Mapping[str, Any]
) -> AsyncIterator[httpx.Response]:
    """Posts JSON; a context with the open response, and leaving it early closes the connection."""
    sent_headers = {"Content-Type": "application/json", **headers}
    with faults.translate_errors():
        response = await client.send("POST", url, headers=sent_headers, content=_encode(body))
        async with contextlib.aclosing(response):
            await _raise_for_status(response)
            yield response


@contextlib.asynccontextmanager
async def post_form(
    client: SupplierClient,
    url: str,
    headers: Mapping[str, str],
    fields: Mapping[str, str],
    file: tuple[str, bytes],
) -> AsyncIterator[httpx.Response]:
    """Posts a form with a file, which is its name and its bytes; a context with the open
    response."""
    with faults.translate_errors():
        async with asyncio.timeout(UPLOAD_SECONDS):
            # Sent in parts, so that the event loop can do other things in between.
            files = {"file": (file[0], io.BytesIO(file[1]))}
            body = {"data": fields, "files": files, "extensions": _UPLOAD_TIMEOUT}
            response = await client.send("POST", url, headers=headers, **body)
            async with contextlib.aclosing(response):
                await _raise_for_status(response)
                yield response


async def get_json(
    client: SupplierClient, url: str, headers: Mapping[str, str], **query: str
) -> Any:
    """Gets a list, and parses its JSON."""
    with faults.translate_errors():
        async with asyncio.timeout(LIST_SECONDS):
            response = await client.send("GET", url, headers=headers, params=query or None)
            async with contextlib.aclosing(response):
                await _raise_for_status(response)
                return parse_json(await read_body(response, _LIST_BYTES_MAX))


def get_stream(response: httpx.Response) -> httpx.AsyncByteStream:
    """The bytes of an open response as they come. Not by httpx's own iterators, which take 10 µs
    more for each piece."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return response.stream


async def read_body(response: httpx.Response, max_bytes: int = _LIST_BYTES_MAX) -> bytes:
    """Reads the whole body; raises `SupplierFault` when it is larger than `max_bytes`."""
    parts, size = [], 0
    try:
        async for chunk in get_stream(response):
            parts.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                raise SupplierFault(Fault.UNAVAILABLE, code="oversize")
    except httpx.TransportError:
        # The connection broke, perhaps behind JSON that is whole.
        if not sse.is_whole(b"".join(parts)):
            raise
    return b"".join(parts)


async def drain_body(response: httpx.Response) -> None:
    """Reads the few bytes after a stream's last event, so that its connection can be used again;
    how it ends does not matter any more."""
    with contextlib.suppress(httpx.TransportError, TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in get_stream(response):
                pass


def parse_json(content: bytes) -> Any:
    """The JSON of a body; raises `SupplierFault` when it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise SupplierFault(Fault.UNAVAILABLE, code="not_json") from None


async def _raise_for_status(response: httpx.Response) -> None:
    if response.status_code != 200:
        body = b""
        with contextlib.suppress(SupplierFault, httpx.TransportError):
            body = await read_body(response, _ERROR_BYTES_MAX)
        raise faults.fault_from_response(response.status_code, response.headers, body)
