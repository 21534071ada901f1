"""What Stripe's library sends goes through the HTTP client of all gateways.

The library's own clients follow redirects and wait 80 seconds for an answer of any size, which they
unpack; the one over httpx follows the proxies of the environment, too. When to try again stays the
library's business: it knows Stripe's headers, and gives every call that changes something a key
under which it happens once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, final

import stripe

from payments.gateways.http import BoundedClient, NoResponse

#: A refund or a session takes a bank's answer at times; the library's default is 80.
_ATTEMPT_SECONDS = 25.0


@final
class StripeHttpClient(stripe.HTTPClient):
    """The HTTP client that Stripe's library is given, for its asynchronous calls alone."""

    name = "httpx"

    def __init__(self) -> None:
        super().__init__()
        self._http = BoundedClient(_ATTEMPT_SECONDS)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One try; its content, status and headers. Raises `stripe.APIConnectionError`."""
        body = post_data.encode() if isinstance(post_data, str) else post_data
        try:
            response = await self._http.send(method, url, headers=headers, body=body or None)
        except NoResponse as nothing:
            unreached: Any = stripe.APIConnectionError
            raise unreached(str(nothing), should_retry=True) from None
        return response.content, response.status, response.headers

    def sleep_async(self, secs: float) -> Awaitable[None]:
        """The pause before another try."""
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        """Closes the connections."""
        await self._http.close()
