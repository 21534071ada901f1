"""httpx's calls carried by aiohttp, which alone stays fast with hundreds of slow streams in flight.

Here and not in a library, for what libraries leave out: bytes that came before a connection broke
are given before the fault is raised; a call whose idle connection the server had just closed is
sent once more; each of aiohttp's faults is one of httpx's, of the same meaning.
"""

from __future__ import annotations

import functools
import io
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import aiohttp
import httpx
from aiohttp.connector import Connection

#: An idle connection is kept so long: less than servers keep it (uvicorn, and so vLLM, LiteLLM and
#: llama.cpp, five seconds), since one that they close at the wrong moment fails a call.
_KEEP_ALIVE_SECONDS = 4.0
#: A larger body is written in parts, so that the loop can do other things in between.
_AT_ONCE_BYTES_MAX = 256 << 10
#: Headers that say how a body came: aiohttp has undone it.
_OF_THE_WIRE = frozenset((b"content-encoding", b"content-length", b"transfer-encoding"))

#: Whether the connection of this task's last call had served another before.
_was_reused: ContextVar[bool] = ContextVar("was_reused", default=False)

#: The first that fits; an error of aiohttp's may be of several kinds.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (TimeoutError, httpx.ReadTimeout),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientError, httpx.ReadError),
    (OSError, httpx.ReadError),
)
_RAISED = (aiohttp.ClientError, OSError)  # a TimeoutError is an OSError


class _Connector(aiohttp.TCPConnector):
    """A connector that tells of each connection whether it is new. (aiohttp's tracing tells it too,
    for three times what this takes a call.)"""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._seen = WeakSet[Any]()

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


class AiohttpTransport(httpx.AsyncBaseTransport):
    """A transport without a cap on calls in flight, without redirects, cookies, or proxies of the
    environment. It belongs to the event loop of its first call."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request and waits for the answer's headers; see httpx. Where a server closed a
        connection while it was idle, at the very moment at which it was used again, nothing was
        read of the call: it is sent once more."""
        try:
            response = await self._send(request)
        except _RAISED as error:
            raise _translate(error) from error
        headers = response.raw_headers
        return httpx.Response(
            response.status,
            headers=[one for one in headers if one[0].lower() not in _OF_THE_WIRE],
            stream=_AnswerBytes(response),
            request=request,
        )

    async def aclose(self) -> None:
        """Closes every connection; another call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(self, request: httpx.Request) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = _create_session()
        timeout = request.extensions.get("timeout", {})
        for is_last in (False, True):
            _was_reused.set(False)
            try:
                return await self._session.request(
                    request.method,
                    str(request.url),
                    data=_wrap_body(request),
                    headers=request.headers,
                    timeout=_build_timeout(timeout.get("connect"), timeout.get("read")),
                    allow_redirects=False,
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if is_last or not _was_reused.get() or not _is_repeatable(request):
                    raise
        raise AssertionError


class _AnswerBytes(httpx.AsyncByteStream):
    """The bytes of an answer as they come. It may be read on after it was left."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        reader = self._response.content
        try:
            while chunk := await reader.readany():
                yield chunk
        except _RAISED as error:
            if rest := _read_rest(reader):
                yield rest
            raise _translate(error) from error

    async def aclose(self) -> None:
        """Leaves the connection to other calls, or closes it where the answer isn't over."""
        self._response.release()
        await self._response.wait_for_close()


def _create_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=_Connector(limit=0, ttl_dns_cache=300, keepalive_timeout=_KEEP_ALIVE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


@functools.cache
def _build_timeout(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect, sock_read=read)


def _wrap_body(request: httpx.Request) -> Any:
    """A request's body as aiohttp takes it."""
    if not _is_repeatable(request):
        return request.stream
    content = request.content
    return io.BytesIO(content) if len(content) > _AT_ONCE_BYTES_MAX else content or None


def _is_repeatable(request: httpx.Request) -> bool:
    return isinstance(request.stream, httpx.ByteStream)


def _read_rest(reader: aiohttp.StreamReader) -> bytes:
    """What came before the connection broke and wasn't read yet: aiohttp's reader has a fault to
    raise then, and gives nothing any more."""
    if (fault := reader.exception()) is None:
        return b""
    reader.set_exception(None)  # type: ignore[arg-type]
    try:
        return reader.read_nowait()
    finally:
        reader.set_exception(fault)


def _translate(error: Exception) -> httpx.TransportError:
    """httpx's error of the same meaning. Only the kind is told: words may quote an address."""
    kind = next(kind for raised, kind in _ERRORS if isinstance(error, raised))
    return kind(type(error).__name__)
