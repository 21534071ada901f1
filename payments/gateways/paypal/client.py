"""Calls to PayPal's REST API: an access token that is kept while it lasts, one request id for what
must happen once, and PayPal's name of each refusal.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Collection, Mapping
from typing import Any, final

from pydantic import SecretStr

from payments.gateways.http import GatewayClient, GatewayResponse, translate_parse_errors
from payments.types import GatewayUnavailable

NAME = "paypal"
#: A token is renewed so long before its end (it lasts about nine hours).
_RENEWAL_MARGIN_SECONDS = 60
_ISSUE_PATTERN = re.compile(r"[A-Z][A-Z0-9_]{1,79}")
_CREDENTIALS_REFUSED = "PayPal refuses the client id with this secret at this address"


@final
class PayPalClient:
    """A client of PayPal's REST API for one app of the operator's account."""

    def __init__(self, *, client_id: str, client_secret: SecretStr, url: str) -> None:
        self._client_id, self._client_secret = client_id, client_secret
        self._http = GatewayClient(NAME, url)
        self._token, self._token_expires_at = "", 0.0
        self._scopes: frozenset[str] = frozenset()
        self._failed_renewals = 0
        self._renewal_lock = asyncio.Lock()

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        empty_statuses: Collection[int] = frozenset({404}),
    ) -> Any:
        """What there is; None for statuses that mean that there is nothing. Raises
        `GatewayUnavailable`, with PayPal's name of the refusal."""
        answer = await self._request("GET", path, params=params)
        if answer.status in empty_statuses:
            return None
        if not answer.is_ok:
            raise GatewayUnavailable(NAME, f"PayPal says {refusal_issue(answer)}")
        return answer.body

    async def post(self, path: str, body: bytes, *, request_id: str = "") -> GatewayResponse:
        """An answer, a refusal too. `request_id`: the request id under which it happens once,
        however often it is sent; without one, a call that may be repeated. Raises
        `GatewayUnavailable`."""
        headers = {"PayPal-Request-Id": request_id} if request_id else {}
        return await self._request("POST", path, headers=headers, body=body)

    async def fetch_scopes(self) -> frozenset[str]:
        """What a token of this app is good for. Raises `GatewayUnavailable`."""
        await self._get_token("")
        return self._scopes

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()

    async def _request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> GatewayResponse:
        stale_token = ""
        for _ in range(2):
            token = await self._get_token(stale_token)
            all_headers = {
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                **(headers or {}),
            }
            answer = await self._http.request(
                method, path, headers=all_headers, params=params, body=body, idempotent=True
            )
            if answer.status != 401:
                return answer
            stale_token = token
        raise GatewayUnavailable(NAME, _CREDENTIALS_REFUSED)

    async def _get_token(self, stale_token: str) -> str:
        """The token, renewed by whoever comes first when it is over or PayPal took it for stale."""
        failures_before = self._failed_renewals
        async with self._renewal_lock:
            if self._token in {"", stale_token} or time.monotonic() > self._token_expires_at:
                if self._failed_renewals != failures_before:
                    # While we waited: PayPal is away for all.
                    raise GatewayUnavailable(NAME)
                try:
                    self._token, seconds = await self._fetch_token()
                except GatewayUnavailable:
                    self._failed_renewals += 1
                    raise
                self._token_expires_at = time.monotonic() + seconds - _RENEWAL_MARGIN_SECONDS
            return self._token

    async def _fetch_token(self) -> tuple[str, int]:
        credentials = f"{self._client_id}:{self._client_secret.get_secret_value()}".encode()
        answer = await self._http.request(
            "POST",
            "/v1/oauth2/token",
            headers={
                "Authorization": f"Basic {base64.b64encode(credentials).decode()}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=b"grant_type=client_credentials",
            idempotent=True,
        )
        if not answer.is_ok:
            raise GatewayUnavailable(NAME, _CREDENTIALS_REFUSED)
        with translate_parse_errors(NAME):
            self._scopes = frozenset(str(answer.body.get("scope", "")).split())
            return str(answer.body["access_token"]), int(answer.body["expires_in"])


def refusal_issue(answer: GatewayResponse) -> str:
    """PayPal's name of a refusal (`ORDER_NOT_APPROVED`): the first detail's, else the whole one's.
    Nothing else that it says, since that may quote what was sent."""
    body = answer.body if isinstance(answer.body, dict) else {}
    details = body.get("details")
    names = [one.get("issue") for one in details or () if isinstance(one, dict)]
    for name in (*names, body.get("name")):
        if isinstance(name, str) and _ISSUE_PATTERN.fullmatch(name):
            return name
    return f"HTTP_{answer.status}"
