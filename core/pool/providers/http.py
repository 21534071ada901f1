"""One call to a supplier over the pool's one HTTP session: deadlines, no redirects, bounded bodies.

The key is sent in a header only. Whatever is not an answer is raised as a `SupplierFault`.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import aiohttp
from aiohttp.connector import Connection

from core.pool.providers import faults, sse
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

#: An idle connection is kept so long: less than servers keep it (uvicorn, and so vLLM, LiteLLM and
#: llama.cpp, five seconds), since one that they close at the wrong moment fails a call.
_KEEP_ALIVE_SECONDS = 4.0

_AT_ONCE_BYTES_MAX = 256 << 10
_ERROR_BYTES_MAX = 64 << 10
_LIST_BYTES_MAX = 8 << 20

_STREAM = aiohttp.ClientTimeout(
    total=None, connect=CONNECT_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS
)
_UPLOAD = aiohttp.ClientTimeout(total=UPLOAD_SECONDS, connect=CONNECT_SECONDS)
_LIST = aiohttp.ClientTimeout(total=LIST_SECONDS, connect=CONNECT_SECONDS)


_encode = json.JSONEncoder(separators=(",", ":")).encode


#: Whether the connection of this task's last call had served another before.
_was_reused: ContextVar[bool] = ContextVar("was_reused", default=False)


class _Connector(aiohttp.TCPConnector):
    """A connector that tells of each connection whether it is new. (aiohttp's tracing tells it too,
    for three times what this takes a call.)"""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._seen = WeakSet[asyncio.Protocol]()

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the library's signature
    ) -> Connection:
        """See aiohttp."""
        connection = await super().connect(req, traces, timeout)
        if (protocol := connection.protocol) is not None:
            _was_reused.set(protocol in self._seen)
            self._seen.add(protocol)
        return connection


def create_session() -> aiohttp.ClientSession:
    """Creates the session for calls: no cap on calls in flight, no proxy or netrc of the
    environment, no cookies."""
    return aiohttp.ClientSession(
        connector=_Connector(limit=0, ttl_dns_cache=300, keepalive_timeout=_KEEP_ALIVE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={"User-Agent": "creditbot", "Accept": "application/json, text/event-stream"},
    )


@contextlib.asynccontextmanager
async def post_json(
    client: aiohttp.ClientSession, url: str, headers: Mapping[str, str], body: Mapping[str, Any]
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Posts JSON; a context with the open response, and leaving it early closes the connection."""
    content = _encode(body).encode()
    sent_headers = {"Content-Type": "application/json", **headers}
    with faults.translate_errors():
        async with await _send(client, url, sent_headers, content) as response:
            await _raise_for_status(response)
            yield response


async def _send(
    client: aiohttp.ClientSession, url: str, headers: Mapping[str, str], content: bytes
) -> aiohttp.ClientResponse:
    """Sends a body and waits for the answer's headers. Where a server closed a connection while it
    was idle, at the very moment at which it was used again, nothing was read of the call: it is
    sent once more."""
    for is_last in (False, True):
        _was_reused.set(False)
        # A large body is written in parts, so that the loop can do other things in between.
        data = io.BytesIO(content) if len(content) > _AT_ONCE_BYTES_MAX else content
        try:
            return await client.post(
                url, data=data, headers=headers, timeout=_STREAM, allow_redirects=False
            )
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if is_last or not _was_reused.get():
                raise
    raise AssertionError


@contextlib.asynccontextmanager
async def post_form(
    client: aiohttp.ClientSession, url: str, headers: Mapping[str, str], form: aiohttp.FormData
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Posts a form with a file; a context with the open response."""
    with faults.translate_errors():
        async with client.post(
            url, data=form, headers=headers, timeout=_UPLOAD, allow_redirects=False
        ) as response:
            await _raise_for_status(response)
            yield response


async def get_json(
    client: aiohttp.ClientSession, url: str, headers: Mapping[str, str], **query: str
) -> Any:
    """Gets a list, and parses its JSON."""
    with faults.translate_errors():
        async with client.get(
            url, headers=headers, params=query, timeout=_LIST, allow_redirects=False
        ) as response:
            await _raise_for_status(response)
            return parse_json(await read_body(response, _LIST_BYTES_MAX))


async def read_body(response: aiohttp.ClientResponse, max_bytes: int = _LIST_BYTES_MAX) -> bytes:
    """Reads the whole body; raises `SupplierFault` when it is larger than `max_bytes`."""
    parts, size = [], 0
    try:
        async for chunk in response.content.iter_any():
            parts.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                raise SupplierFault(Fault.UNAVAILABLE, code="oversize")
    except (aiohttp.ClientError, OSError):
        # The connection broke behind JSON that is whole.
        parts.append(sse.read_rest(response.content))
        if not sse.is_whole(b"".join(parts)):
            raise
    return b"".join(parts)


async def drain_body(response: aiohttp.ClientResponse) -> None:
    """Reads the few bytes after a stream's last event, so that its connection can be used again;
    how it ends does not matter any more."""
    with contextlib.suppress(aiohttp.ClientError, OSError):  # and a TimeoutError, which is one
        async with asyncio.timeout(_DRAIN_SECONDS):
            while not response.content.at_eof():
                await response.content.readany()


def parse_json(content: bytes) -> Any:
    """The JSON of a body; raises `SupplierFault` when it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise SupplierFault(Fault.UNAVAILABLE, code="not_json") from None


async def _raise_for_status(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        body = b""
        with contextlib.suppress(SupplierFault, aiohttp.ClientError, OSError):
            body = await read_body(response, _ERROR_BYTES_MAX)
        raise faults.fault_from_response(response.status, response.headers, body)
