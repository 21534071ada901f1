"""One request and its answer, on ASGI itself: a framework's streams cost a third of a millisecond
each, and watch for the client's end in a way of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from starlette.types import Message, Receive, Scope, Send

from bots.api.errors import ApiError, Wire, refuse_request
from bots.api.json_values import BadJson, dump_json, load_json
from core.asks.api_calls import READER_SECONDS

BODY_BYTES_MAX: Final = 20 << 20
#: Larger bodies are parsed on a thread: they would hold up everybody's answers.
_INLINE_BYTES_MAX: Final = 256 << 10
_IDEMPOTENCY_CHARS_MAX: Final = 255

_Parsed = TypeVar("_Parsed")
Headers = Sequence[tuple[bytes, bytes]]


class ClientGone(Exception):
    """The client closed the connection, or takes nothing any more: nobody reads what is sent."""


class Exchange:
    """A request that is being answered."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, make_id: Callable[[], str]
    ) -> None:
        """`make_id` makes an id for a request that gets no other."""
        self._receive, self._send = receive, send
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.query: bytes = scope.get("query_string", b"")
        client = scope.get("client")
        self.peer: str = client[0] if client else ""
        self.headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self._make_id, self._request_id = make_id, ""
        #: Whether the head of the answer, and its last byte, are out.
        self.is_begun, self.is_finished = False, False
        self._head: Message | None = None

    @property
    def request_id(self) -> str:
        """The id that names it to its client; for an ask it is the ask's."""
        if not self._request_id:
            self._request_id = self._make_id()
        return self._request_id

    @request_id.setter
    def request_id(self, ask: str) -> None:
        self._request_id = ask

    def get_header(self, name: bytes) -> str:
        """A header's value, of several the first; empty where there is none."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")

    @property
    def wire(self) -> Wire:
        """The wire whose shapes are meant, also where nothing is at the path."""
        if self.path == "/v1/messages" or self.path.startswith("/v1/messages/"):
            return "anthropic"
        is_models = self.path == "/v1/models" or self.path.startswith("/v1/models/")
        return "anthropic" if is_models and self.get_header(b"anthropic-version") else "openai"

    def check_framing(self) -> None:
        """Raises `ApiError` where two headers say differently where the body ends: what stands in
        front of us may have read the other one."""
        names = {name for name, _ in self.headers}
        if {b"content-length", b"transfer-encoding"} <= names:
            raise refuse_request("Content-Length and Transfer-Encoding exclude each other.")

    def read_idempotency_key(self) -> str:
        """The client's own name for this request; empty where it has none."""
        key = self.get_header(b"idempotency-key")
        if len(key) > _IDEMPOTENCY_CHARS_MAX:
            text = f"Idempotency-Key may have {_IDEMPOTENCY_CHARS_MAX} characters at most."
            raise refuse_request(text, param="Idempotency-Key")
        return key

    async def read_json(self, parse: Callable[[Any], _Parsed]) -> _Parsed:
        """What `parse` makes of the body's JSON, in one go; raises `ApiError`, `ClientGone`."""
        body = await self._read_body()
        if len(body) > _INLINE_BYTES_MAX:
            return await asyncio.to_thread(_parse_json, body, parse)
        return _parse_json(body, parse)

    async def _read_body(self) -> bytes:
        chunks, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > BODY_BYTES_MAX:
                text = f"The body is larger than {BODY_BYTES_MAX >> 20} MB."
                raise ApiError(413, text, code="request_too_large")
            if not message.get("more_body", False):
                return b"".join(chunks)

    async def wait_for_end(self) -> bool:
        """Returns when the client is gone: whether that was before its answer was whole."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        return not self.is_finished

    def begin(self, status: int, type_: bytes, headers: Headers = ()) -> None:
        """Makes the head of the answer, which is sent with what is written first."""
        self.is_begun = True
        request = self.request_id.encode()
        told = [
            (b"content-type", type_),
            (b"cache-control", b"no-store"),
            (b"x-request-id", request),
            (b"request-id", request),
            *headers,
        ]
        self._head = {"type": "http.response.start", "status": status, "headers": told}

    async def write(self, content: bytes, *, is_last: bool = False) -> None:
        """Sends a part of the answer; the last one together with its end, for clients hang up when
        they have read what says that all was said. Raises `ClientGone` for one that reads no
        more."""
        self.is_finished = is_last
        try:
            async with asyncio.timeout(READER_SECONDS):
                # An answer before on the same connection may not have been read either.
                if self._head is not None:
                    head, self._head = self._head, None
                    await self._send(head)
                await self._send(
                    {"type": "http.response.body", "body": content, "more_body": not is_last}
                )
        except TimeoutError:
            raise ClientGone from None

    async def send_json(self, value: Any, status: int = 200, headers: Headers = ()) -> None:
        """Sends a whole answer."""
        body = dump_json(value)
        length = (b"content-length", str(len(body)).encode())
        self.begin(status, b"application/json", (length, *headers))
        await self.write(b"" if self.method == "HEAD" else body, is_last=True)

    async def send_error(self, error: ApiError) -> None:
        """Sends an error: as the answer, or as the end of one that has begun."""
        wire = self.wire
        if self.is_begun:
            if not self.is_finished:
                await self.write(error.encode_event(wire, self.request_id), is_last=True)
            return
        body = error.build_body(wire, self.request_id)
        await self.send_json(body, error.get_status(wire), error.list_headers())


def _parse_json(body: bytes, parse: Callable[[Any], _Parsed]) -> _Parsed:
    try:
        value = load_json(body)
    except BadJson as bad:
        raise refuse_request(f"The body can't be read: {bad}.") from None
    return parse(value)
