"""Calls to a BTCPay Server's Greenfield API for one store, and its name of each refusal."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, final

from pydantic import SecretStr

from payments.gateways.http import Answer, Wire, understood
from payments.types import GatewayUnavailable

NAME = "btcpay"
#: What allows everything at a store.
_ALL = ("btcpay.store.canmodifystoresettings", "unrestricted")
#: Ids of the server's.
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@final
class BtcPayApi:
    """A client of the BTCPay Server API for one store of the operator's."""

    def __init__(self, *, url: str, store_id: str, key: SecretStr) -> None:
        self._wire = Wire(NAME, url)
        self.url, self._store, self._key = url, store_id, key

    async def allowed(self, permissions: Mapping[str, Collection[str]]) -> None:
        """Whether the key opens the store for each of these, or for what allows it too. Raises
        `GatewayUnavailable`, with what is wrong."""
        answer = await self.asked("GET", "/api/v1/api-keys/current")
        if answer.status == 401:
            raise GatewayUnavailable(NAME, "the server refuses the key")
        with understood(NAME):
            held = {str(one) for one in answer.body["permissions"]}
        for needed, others in permissions.items():
            enough = (needed, *others, *_ALL)
            if not any(one in held or f"{one}:{self._store}" in held for one in enough):
                raise GatewayUnavailable(NAME, f"its key lacks {needed} on that store")

    def path(self, *parts: str) -> str:
        """Below the store: a form that old and new servers know."""
        return "/".join((f"/api/v1/stores/{self._store}", *parts))

    async def got(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        none: Collection[int] = (),
    ) -> Any:
        """What there is; None for statuses that mean that there is nothing. Raises
        `GatewayUnavailable`."""
        answer = await self.asked("GET", path, params)
        if answer.status in none:
            return None
        if not answer.fine:
            raise GatewayUnavailable(NAME, f"the server says {refusal(answer)}")
        return answer.body

    async def asked(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """An answer, a refusal too; only what is read is asked for again. Raises
        `GatewayUnavailable`."""
        headers = {"Authorization": f"token {self._key.get_secret_value()}"}
        sent = None
        if body is not None:
            sent = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        return await self._wire.ask(
            method, path, headers=headers, params=params, body=sent, again=method == "GET"
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._wire.close()


def refusal(answer: Answer) -> str:
    """The server's name of a refusal, or the fields that it didn't like; not its sentences."""
    if isinstance(answer.body, dict):
        named = str(answer.body.get("code", ""))
    elif isinstance(answer.body, list):
        named = ",".join(str(one.get("path", "")) for one in answer.body if isinstance(one, dict))
    else:
        named = ""
    return named[:80] if re.fullmatch(r"[\w.,\[\]-]{1,200}", named) else f"HTTP {answer.status}"


def id_of(given: object) -> str:
    """An id of the server's, fit for an address. Raises `GatewayUnavailable`."""
    if not isinstance(given, str) or not ID.fullmatch(given):
        raise GatewayUnavailable(NAME)
    return given
