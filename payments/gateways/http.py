"""HTTP as gateways speak it: no proxy of the environment, no redirects, a deadline on each call,
answers of bounded size, and a few more tries where asking twice does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import aiohttp

from core.errors import describe_failure
from payments.types import GatewayUnavailable

_log = logging.getLogger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_RESPONSE_BYTES_MAX = 8 << 20
_ATTEMPTS_MAX = 3
_PAUSE_SECONDS = 0.2


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
class GatewayClient:
    """The HTTP client of one payment service: it holds the connections and retries what may be
    repeated."""

    def __init__(self, gateway: str, url: str) -> None:
        self._gateway, self._url = gateway, url
        self._session: aiohttp.ClientSession | None = None

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
        for attempt in range(_ATTEMPTS_MAX if idempotent else 1):
            if attempt:
                jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
                await asyncio.sleep(_PAUSE_SECONDS * (1 << attempt) * jitter)
            try:
                response = await self._send(method, path, headers, params, body)
            except (aiohttp.ClientError, TimeoutError, ValueError):
                continue
            if response.is_ok or (400 <= response.status < 500 and response.status != 429):
                return response
        raise GatewayUnavailable(self._gateway)

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    async def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
        body: bytes | None,
    ) -> GatewayResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False)
        async with self._session.request(
            method,
            self._url + path,
            params=params,
            data=body,
            headers=headers,
            allow_redirects=False,
        ) as response:
            raw = b""
            async for part in response.content.iter_chunked(1 << 16):
                raw += part
                if len(raw) > _RESPONSE_BYTES_MAX:
                    raise ValueError("an answer of that size is none")
            return GatewayResponse(
                response.status, _parse_json(raw, required=response.status < 300)
            )


def _parse_json(raw: bytes, *, required: bool) -> Any:
    """What a refusal says in another form than JSON is left out."""
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        if required:
            raise
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
