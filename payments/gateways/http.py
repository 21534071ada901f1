"""HTTP as gateways speak it: no proxy of the environment, no redirects, no cookies, a deadline on
each call, answers of bounded size that come as they are, and a few more tries where asking twice
does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.cookiejar
import json
import logging
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import httpx
import tenacity

from core.errors import describe_failure
from payments.types import GatewayUnavailable

_log = logging.getLogger(__name__)

#: One try, from its connection to the answer's last byte.
_ATTEMPT_SECONDS = 10.0
#: All tries of a call, with the pauses between them.
_CALL_SECONDS = 25.0
_RESPONSE_BYTES_MAX = 8 << 20
_CONNECTIONS_MAX = 20
_ATTEMPTS_MAX = 3
_PAUSE_SECONDS = 0.2


class NoResponse(Exception):
    """A call without an answer that can be read: nobody was reached, or it was too slow, too large
    or in another form."""


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A response as it came, whatever its status."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class GatewayResponse:
    """A response of a service that did what it was asked, or refused it (400 to 499)."""

    status: int
    #: Its JSON; None where there is none.
    body: Any

    @property
    def is_ok(self) -> bool:
        """Whether it did what it was asked."""
        return self.status < 300


@final
class BoundedClient:
    """An HTTP client whose calls end: in time, in size, and at the address that was asked."""

    def __init__(self, attempt_seconds: float) -> None:
        """`attempt_seconds`: how long a call may take, from its connection to its last byte."""
        self._seconds = attempt_seconds
        self._client: httpx.AsyncClient | None = None

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> RawResponse:
        """The answer to one try, whatever its status. Raises `NoResponse`."""
        # A packed answer of some kilobytes may unpack to gigabytes: none is asked for or unpacked.
        all_headers = {**headers, "Accept-Encoding": "identity"}
        client = self._get_client()
        try:
            async with (
                asyncio.timeout(self._seconds),
                client.stream(
                    method, url, headers=all_headers, params=params, content=body
                ) as response,
            ):
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise NoResponse("it is packed")
                content = bytearray()
                async for part in response.aiter_raw():
                    content += part
                    if len(content) > _RESPONSE_BYTES_MAX:
                        raise NoResponse("it is too large")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failure:  # TimeoutError is one
            raise NoResponse(type(failure).__name__) from None
        return RawResponse(response.status_code, response.headers, bytes(content))

    async def close(self) -> None:
        """Closes the connections."""
        if self._client is not None:
            await self._client.aclose()

    def _get_client(self) -> httpx.AsyncClient:
        if self._client is None:
            no_cookies = http.cookiejar.DefaultCookiePolicy(allowed_domains=())
            self._client = httpx.AsyncClient(
                trust_env=False,
                follow_redirects=False,
                verify=_load_authorities(),
                cookies=http.cookiejar.CookieJar(no_cookies),
                timeout=self._seconds,
                limits=httpx.Limits(max_connections=_CONNECTIONS_MAX),
            )
        return self._client


@functools.cache
def _load_authorities() -> ssl.SSLContext:
    """The machine's own, which an operator may have added theirs to; loading them takes long."""
    return ssl.create_default_context()


@final
class GatewayClient:
    """The HTTP client of one payment service: it holds the connections and retries what may be
    repeated."""

    def __init__(self, gateway: str, url: str) -> None:
        self._gateway, self._url = gateway, url
        self._http = BoundedClient(_ATTEMPT_SECONDS)

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        idempotent: bool,
    ) -> GatewayResponse:
        """An answer; `idempotent` where the same call twice does what it does once. Raises
        `GatewayUnavailable` when the service fails, asks to wait, or can't be reached."""
        tries = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(_ATTEMPTS_MAX if idempotent else 1),
            wait=tenacity.wait_exponential_jitter(multiplier=_PAUSE_SECONDS, jitter=_PAUSE_SECONDS),
            retry=tenacity.retry_if_exception_type(NoResponse),
            reraise=True,
        )
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return await tries(self._send, method, path, headers, params, body)
        except (NoResponse, TimeoutError):
            raise GatewayUnavailable(self._gateway) from None

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()

    async def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
        body: bytes | None,
    ) -> GatewayResponse:
        """Raises `NoResponse` for what may pass."""
        response = await self._http.send(
            method, self._url + path, headers=headers, params=params, body=body
        )
        is_ok = response.status < 300
        if not is_ok and (not 400 <= response.status < 500 or response.status == 429):
            raise NoResponse(f"status {response.status}")
        return GatewayResponse(response.status, _parse_json(response.content, required=is_ok))


def _parse_json(raw: bytes, *, required: bool) -> Any:
    """What a refusal says in another form than JSON is left out. Raises `NoResponse`."""
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        if required:
            raise NoResponse("it is no JSON") from None
        return None


@contextlib.contextmanager
def translate_parse_errors(gateway: str) -> Iterator[None]:
    """Around the reading of an answer: a field that is missing or odd means that the service can't
    be worked with now, whatever else waits to be read."""
    try:
        yield
    except (
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
        StopIteration,
    ) as odd:
        _log.warning("%s answered what nobody understands: %s", gateway, describe_failure(odd))
        raise GatewayUnavailable(gateway) from None
