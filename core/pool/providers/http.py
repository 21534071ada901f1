"""One call to a supplier over the pool's one HTTP client: deadlines, no redirects, bounded bodies.

The key is sent in a header only. Whatever is not an answer is raised as a `SupplierFault`.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import httpx

from core.pool.providers import faults, sse
from core.pool.providers.transport import BROKEN, SupplierAnswer, Transport
from core.pool.providers.types import Fault, SupplierFault

#: The most between two reads: models that reason may send nothing for minutes.
READ_SECONDS = 180.0
#: The most for sending a file and receiving the answer.
UPLOAD_SECONDS = 300.0
#: The most for a whole list of models.
LIST_SECONDS = 20.0

#: The most for the end of a body whose last event has come; after it the connection is closed.
_DRAIN_SECONDS = 0.5

#: What is larger is written as JSON on a thread.
_INLINE_BYTES_MAX = 256 << 10
_ERROR_BYTES_MAX = 64 << 10
_LIST_BYTES_MAX = 8 << 20

_HEADERS = {"User-Agent": "creditbot", "Accept": "application/json, text/event-stream"}

_decode = json.JSONDecoder().raw_decode
_encode = json.JSONEncoder(separators=(",", ":")).encode


class SupplierClient:
    """A client for calls to suppliers."""

    def __init__(self, transport: Transport | None = None) -> None:
        self._transport = transport or Transport()

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | AsyncIterable[bytes] | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> SupplierAnswer:
        """Sends a request; waits for the headers of its answer, which must be closed. Raises one
        of `BROKEN`."""
        return await self._transport.send(method, url, {**_HEADERS, **headers}, body, read_seconds)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._transport.aclose()


class JsonPost:
    """A call with JSON: a context with the open answer, and leaving it early closes the connection.
    Whatever goes wrong inside is raised as a `SupplierFault`. (A class, for an asynchronous
    generator takes the event loop 20 µs more.)"""

    def __init__(
        self,
        client: SupplierClient,
        url: str,
        headers: Mapping[str, str],
        build: Callable[[], Mapping[str, Any]],
        size: int,
    ) -> None:
        """`build` gives what is sent, of some `size` in bytes: much is built and written on a
        thread."""
        self._client, self._url, self._build, self._size = client, url, build, size
        self._headers = {"Content-Type": "application/json", **headers}
        self._answer: SupplierAnswer | None = None

    async def __aenter__(self) -> SupplierAnswer:
        if self._size > _INLINE_BYTES_MAX:
            body = await asyncio.to_thread(_write_json, self._build)
        else:
            body = _write_json(self._build)
        with faults.translate_errors():
            answer = await self._client.send(
                "POST",
                self._url,
                headers=self._headers,
                body=body,
                read_seconds=READ_SECONDS,
            )
            try:
                await _raise_for_status(answer)
            except BaseException:
                await answer.aclose()
                raise
        self._answer = answer
        return answer

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        assert self._answer is not None
        await self._answer.aclose()
        if error is not None and (fault := faults.find_fault(error)) is not None:
            raise fault from None


@contextlib.asynccontextmanager
async def post_form(
    client: SupplierClient,
    url: str,
    headers: Mapping[str, str],
    fields: Mapping[str, str],
    file: tuple[str, bytes],
) -> AsyncIterator[SupplierAnswer]:
    """Posts a form with a file, which is its name and its bytes; a context with the open answer."""
    # Sent in parts, so that the event loop can do other things in between.
    files = {"file": (file[0], io.BytesIO(file[1]))}
    form = httpx.Request("POST", "http://form/", data=dict(fields), files=files)
    told = {name: form.headers[name] for name in ("Content-Type", "Content-Length")}
    assert isinstance(form.stream, httpx.AsyncByteStream)
    with faults.translate_errors():
        async with asyncio.timeout(UPLOAD_SECONDS):
            answer = await client.send(
                "POST",
                url,
                headers={**headers, **told},
                body=form.stream,
                read_seconds=UPLOAD_SECONDS,
            )
            async with contextlib.aclosing(answer):
                await _raise_for_status(answer)
                yield answer


async def get_json(
    client: SupplierClient, url: str, headers: Mapping[str, str], **query: str
) -> Any:
    """Gets a list, and parses its JSON."""
    with faults.translate_errors():
        async with asyncio.timeout(LIST_SECONDS):
            address = f"{url}?{urlencode(query)}" if query else url
            async with contextlib.aclosing(
                await client.send("GET", address, headers=headers)
            ) as answer:
                await _raise_for_status(answer)
                return parse_json(await read_body(answer, _LIST_BYTES_MAX))


async def read_body(answer: SupplierAnswer, max_bytes: int = _LIST_BYTES_MAX) -> bytes:
    """Reads the whole body; raises `SupplierFault` when it is larger than `max_bytes`."""
    parts, size = [], 0
    try:
        async for chunk in answer:
            parts.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                raise SupplierFault(Fault.UNAVAILABLE, code="oversize")
    except BROKEN:
        # The connection broke, perhaps behind JSON that is whole.
        if not sse.is_whole(b"".join(parts)):
            raise
    return b"".join(parts)


async def drain_body(answer: SupplierAnswer) -> None:
    """Reads the few bytes after a stream's last event, so that its connection can be used again;
    how it ends does not matter any more."""
    if answer.is_read:
        return
    with contextlib.suppress(*BROKEN):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in answer:
                pass


def _write_json(build: Callable[[], Mapping[str, Any]]) -> bytes:
    return _encode(build()).encode()


def parse_json(content: bytes) -> Any:
    """The JSON of a body; raises `SupplierFault` when it is none."""
    try:
        if content.startswith(b'{"'):  # UTF-8 for sure, as nearly all is
            text = content.decode("utf-8", "surrogatepass")
            value, end = _decode(text)
            if end == len(text):
                return value
        return json.loads(content)
    except (ValueError, RecursionError):
        raise SupplierFault(Fault.UNAVAILABLE, code="not_json") from None


async def _raise_for_status(answer: SupplierAnswer) -> None:
    if answer.status != 200:
        body = b""
        with contextlib.suppress(SupplierFault, *BROKEN):
            body = await read_body(answer, _ERROR_BYTES_MAX)
        raise faults.fault_from_response(answer.status, answer.headers, body)
