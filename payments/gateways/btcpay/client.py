"""Calls to a BTCPay Server's Greenfield API for one store, and its name of each refusal."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, final

from pydantic import SecretStr

from payments.gateways.http import GatewayClient, GatewayResponse, translate_parse_errors
from payments.types import GatewayUnavailable

NAME = "btcpay"
#: What allows everything at a store.
_FULL_ACCESS = ("btcpay.store.canmodifystoresettings", "unrestricted")
#: The oldest release without known holes. What came before lets a password past the second factor,
#: which was used (https://github.com/btcpayserver/btcpayserver/releases/tag/v2.4.2).
_OLDEST_RELEASE = (2, 4, 2)
#: Ids of the server's.
ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@final
class BtcPayClient:
    """A client of the BTCPay Server API for one store of the operator's."""

    def __init__(self, *, url: str, store_id: str, api_key: SecretStr) -> None:
        self._http = GatewayClient(NAME, url)
        self.url, self._store_id, self._api_key = url, store_id, api_key

    async def check_version(self) -> None:
        """Whether the server's release is one without known holes. Raises `GatewayUnavailable`,
        with what it is."""
        server = await self.get("/api/v1/server/info")
        with translate_parse_errors(NAME):
            version = str(server["version"])
        parts = re.match(r"v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?", version)
        if parts is None:
            raise GatewayUnavailable(NAME, "the server doesn't say its version")
        if tuple(int(part or 0) for part in parts.groups()) < _OLDEST_RELEASE:
            oldest = ".".join(map(str, _OLDEST_RELEASE))
            raise GatewayUnavailable(
                NAME, f"the server is {parts[0]}, which has a hole that is used: update to {oldest}"
            )

    async def check_permissions(self, permissions: Mapping[str, Collection[str]]) -> None:
        """Whether the key opens the store for each of these, or for what allows it too. Raises
        `GatewayUnavailable`, with what is wrong."""
        answer = await self.request("GET", "/api/v1/api-keys/current")
        if answer.status == 401:
            raise GatewayUnavailable(NAME, "the server refuses the key")
        with translate_parse_errors(NAME):
            granted = {str(one) for one in answer.body["permissions"]}
        for needed, alternatives in permissions.items():
            sufficient = (needed, *alternatives, *_FULL_ACCESS)
            if not any(
                one in granted or f"{one}:{self._store_id}" in granted for one in sufficient
            ):
                raise GatewayUnavailable(NAME, f"its key lacks {needed} on that store")

    def store_path(self, *parts: str) -> str:
        """Below the store: a form that old and new servers know."""
        return "/".join((f"/api/v1/stores/{self._store_id}", *parts))

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        empty_statuses: Collection[int] = (),
    ) -> Any:
        """What there is; None for statuses that mean that there is nothing. Raises
        `GatewayUnavailable`."""
        answer = await self.request("GET", path, params)
        if answer.status in empty_statuses:
            return None
        if not answer.is_ok:
            raise GatewayUnavailable(NAME, f"the server says {refusal_code(answer)}")
        return answer.body

    async def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
    ) -> GatewayResponse:
        """An answer, a refusal too; only what is read is asked for again. Raises
        `GatewayUnavailable`."""
        headers = {"Authorization": f"token {self._api_key.get_secret_value()}"}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        return await self._http.request(
            method, path, headers=headers, params=params, body=content, idempotent=method == "GET"
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()


def refusal_code(answer: GatewayResponse) -> str:
    """The server's name of a refusal, or the fields that it didn't like; not its sentences."""
    if isinstance(answer.body, dict):
        code = str(answer.body.get("code", ""))
    elif isinstance(answer.body, list):
        code = ",".join(str(one.get("path", "")) for one in answer.body if isinstance(one, dict))
    else:
        code = ""
    return code[:80] if re.fullmatch(r"[\w.,\[\]-]{1,200}", code) else f"HTTP {answer.status}"


def validate_id(value: object) -> str:
    """An id of the server's, fit for an address. Raises `GatewayUnavailable`."""
    if not isinstance(value, str) or not ID_PATTERN.fullmatch(value):
        raise GatewayUnavailable(NAME)
    return value
