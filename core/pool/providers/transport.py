"""Calls carried by aiohttp, which alone stays fast with hundreds of slow streams in flight.

What it leaves out is here: bytes that came before a connection broke are given before the fault is
raised; a call whose idle connection the server had just closed is sent once more.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakSet

import aiohttp
from aiohttp.connector import Connection

#: An idle connection is kept so long: less than servers keep it (uvicorn, and so vLLM, LiteLLM and
#: llama.cpp, five seconds), since one that they close at the wrong moment fails a call.
_KEEP_ALIVE_SECONDS: Final = 4.0
_CONNECT_SECONDS: Final = 10.0
#: A larger body is written in parts, so that the loop can do other things in between.
_AT_ONCE_BYTES_MAX: Final = 256 << 10
#: What a call raises where its server can't be reached, breaks off or is silent: never to be told
#: on, for its words may quote an address.
BROKEN: Final = (aiohttp.ClientError, OSError)  # a TimeoutError is an OSError

#: Whether the connection of this task's last call had served another before.
_was_reused: ContextVar[bool] = ContextVar("was_reused", default=False)


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
            is_known = protocol in self._seen
            _was_reused.set(is_known)
            if not is_known:
                self._seen.add(protocol)
        return connection


class SupplierAnswer:
    """An answer whose headers came. Its bytes are read as they come, and may be read on after they
    were left; to be closed by whoever asked."""

    def __init__(self, response: aiohttp.ClientResponse, read_seconds: float) -> None:
        """A read may take `read_seconds` at most."""
        self._response, self._read_seconds = response, read_seconds
        self.status: int = response.status
        #: By their names, whatever their case.
        self.headers: Mapping[str, str] = response.headers
        self._loop = asyncio.get_running_loop()
        #: Since when a read waits; None while none does.
        self._waits_since: float | None = None
        # Looked at from time to time: an alarm for each read would cost more than the read.
        self._alarm = self._loop.call_later(read_seconds, self._break_silence)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes; raises one of `BROKEN` once those are read that came before."""
        reader, self._waits_since = self._response.content, self._loop.time()
        try:
            chunk = await reader.readany()
        except BROKEN:
            chunk = _read_rest(reader)
            if not chunk:
                raise
        finally:
            self._waits_since = None
        if not chunk:
            raise StopAsyncIteration
        return chunk

    @property
    def is_read(self) -> bool:
        """Whether its end was read."""
        return self._response.content.at_eof()

    async def aclose(self) -> None:
        """Leaves the connection to other calls, or closes it where the answer isn't over."""
        self._alarm.cancel()
        self._response.release()
        await self._response.wait_for_close()

    def _break_silence(self) -> None:
        since, now = self._waits_since, self._loop.time()
        left = self._read_seconds - (0.0 if since is None else now - since)
        if left > 0:
            self._alarm = self._loop.call_later(left, self._break_silence)
        else:
            self._response.content.set_exception(aiohttp.SocketTimeoutError("silent"))


class Transport:
    """Connections without a cap on calls in flight, without redirects, cookies, or proxies of the
    environment. They belong to the event loop of the first call."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterable[bytes] | None,
        read_seconds: float,
    ) -> SupplierAnswer:
        """Sends a request and waits for the answer's headers, `read_seconds` at most, as later for
        each read. Where a server closed a connection while it was idle, at the very moment at which
        it was used again, nothing was read of the call: it is sent once more. Raises one of
        `BROKEN`."""
        if not url.isprintable():  # aiohttp would leave out the rest in silence
            raise aiohttp.InvalidURL(url)
        if self._session is None:
            self._session = _create_session()
        is_repeatable = body is None or isinstance(body, bytes)
        for is_last in (False, True):
            _was_reused.set(False)
            try:
                async with asyncio.timeout(read_seconds):
                    response = await self._session.request(
                        method, url, data=_wrap_body(body), headers=headers, allow_redirects=False
                    )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if is_last or not _was_reused.get() or not is_repeatable:
                    raise
            else:
                return SupplierAnswer(response, read_seconds)
        raise AssertionError

    async def aclose(self) -> None:
        """Closes every connection; another call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _create_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=_Connector(limit=0, ttl_dns_cache=300, keepalive_timeout=_KEEP_ALIVE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        # How long reads may take is measured here: aiohttp sets two alarms for each.
        timeout=aiohttp.ClientTimeout(
            total=None, connect=_CONNECT_SECONDS, sock_connect=_CONNECT_SECONDS
        ),
        trust_env=False,
    )


def _wrap_body(body: bytes | AsyncIterable[bytes] | None) -> Any:
    is_long = isinstance(body, bytes) and len(body) > _AT_ONCE_BYTES_MAX
    return io.BytesIO(body) if isinstance(body, bytes) and is_long else body or None


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
