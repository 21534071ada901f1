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

from payments.gateways.http import Answer, Wire, understood
from payments.types import GatewayUnavailable

NAME = "paypal"
#: A token is renewed so long before its end (it lasts about nine hours).
_MARGIN_SECONDS = 60
_ISSUE = re.compile(r"[A-Z][A-Z0-9_]{1,79}")
_REFUSED = "PayPal refuses the client id with this secret at this address"


@final
class PayPalApi:
    """A client of PayPal's REST API for one app of the operator's account."""

    def __init__(self, *, client_id: str, client_secret: SecretStr, url: str) -> None:
        self._id, self._secret = client_id, client_secret
        self._wire = Wire(NAME, url)
        self._token, self._until = "", 0.0
        self._scopes: frozenset[str] = frozenset()
        self._renewals = 0
        self._renewing = asyncio.Lock()

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        none: Collection[int] = frozenset({404}),
    ) -> Any:
        """What there is; None for statuses that mean that there is nothing. Raises
        `GatewayUnavailable`, with PayPal's name of the refusal."""
        answer = await self._called("GET", path, params=params)
        if answer.status in none:
            return None
        if not answer.fine:
            raise GatewayUnavailable(NAME, f"PayPal says {issue(answer)}")
        return answer.body

    async def post(self, path: str, body: bytes, *, once: str = "") -> Answer:
        """An answer, a refusal too. `request_id`: the request id under which it happens once,
        however often it is sent; without one, a call that may be repeated. Raises
        `GatewayUnavailable`."""
        headers = {"PayPal-Request-Id": once} if once else {}
        return await self._called("POST", path, headers=headers, body=body)

    async def scopes(self) -> frozenset[str]:
        """What a token of this app is good for. Raises `GatewayUnavailable`."""
        await self._fresh_token("")
        return self._scopes

    async def close(self) -> None:
        """Closes the connections."""
        await self._wire.close()

    async def _called(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        stale = ""
        for _ in range(2):
            token = await self._fresh_token(stale)
            sent = {
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                **(headers or {}),
            }
            answer = await self._wire.ask(
                method, path, headers=sent, params=params, body=body, again=True
            )
            if answer.status != 401:
                return answer
            stale = token
        raise GatewayUnavailable(NAME, _REFUSED)

    async def _fresh_token(self, stale: str) -> str:
        """The token, renewed by whoever comes first when it is over or PayPal took it for stale."""
        tried = self._renewals
        async with self._renewing:
            if self._token in {"", stale} or time.monotonic() > self._until:
                if self._renewals != tried:  # in vain, while we waited: PayPal is away for all
                    raise GatewayUnavailable(NAME)
                self._renewals += 1
                self._token, seconds = await self._new_token()
                self._until = time.monotonic() + seconds - _MARGIN_SECONDS
            return self._token

    async def _new_token(self) -> tuple[str, int]:
        pair = f"{self._id}:{self._secret.get_secret_value()}".encode()
        answer = await self._wire.ask(
            "POST",
            "/v1/oauth2/token",
            headers={
                "Authorization": f"Basic {base64.b64encode(pair).decode()}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=b"grant_type=client_credentials",
            again=True,
        )
        if not answer.fine:
            raise GatewayUnavailable(NAME, _REFUSED)
        with understood(NAME):
            self._scopes = frozenset(str(answer.body.get("scope", "")).split())
            return str(answer.body["access_token"]), int(answer.body["expires_in"])


def issue(answer: Answer) -> str:
    """PayPal's name of a refusal (`ORDER_NOT_APPROVED`): the first detail's, else the whole one's.
    Nothing else that it says, since that may quote what was sent."""
    said = answer.body if isinstance(answer.body, dict) else {}
    details = said.get("details")
    names = [one.get("issue") for one in details or () if isinstance(one, dict)]
    for name in (*names, said.get("name")):
        if isinstance(name, str) and _ISSUE.fullmatch(name):
            return name
    return f"HTTP_{answer.status}"
