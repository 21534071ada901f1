"""Payouts by the demo's payment service on loopback: asked like a real one, and no money moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from pydantic import SecretStr

from core.earnings.payouts import Payout
from payments.gateways.http import understood
from payments.gateways.sandbox import NAME, SandboxApi
from payments.offer import cents, of_cents
from payments.payouts import Disbursed
from payments.types import GatewayUnavailable


@final
class SandboxPayouts:
    """See `Disburser`."""

    remembers_days = 3_650
    #: Its page has a button by which what has arrived comes back.
    watched_days = 1

    def __init__(self, *, url: str, secret: SecretStr) -> None:
        self._api = SandboxApi(url=url, secret=secret)

    async def probe(self) -> str:
        """See `Disburser`."""
        if not (await self._api.asked("GET", "/checkouts")).fine:
            raise GatewayUnavailable(NAME)
        return ""

    async def disburse(self, payout: Payout, address: SecretStr) -> Disbursed:
        """See `Disburser`."""
        asked = {
            "id": payout.id,
            "cents": cents(payout.cash),
            "to": address.get_secret_value(),
        }
        answer = await self._api.asked("POST", "/payouts", asked)
        if answer.status == 422:
            with understood(NAME):
                return Disbursed("failed", "", reason=str(answer.body["code"]))
        return _as_told(answer.body if answer.fine else None, payout)

    async def disbursed(self, payout: Payout) -> Disbursed:
        """See `Disburser`."""
        answer = await self._api.asked("GET", f"/payouts?id={payout.id}")
        return _as_told(answer.body if answer.fine else None, payout)

    def page(self, payout: Payout) -> str:
        """See `Disburser`."""
        return f"{self._api.url}/payouts/{payout.id}"

    async def close(self) -> None:
        """See `Disburser`."""
        await self._api.close()


def _as_told(said: Mapping[str, Any] | None, payout: Payout) -> Disbursed:
    if said is None:
        raise GatewayUnavailable(NAME)
    with understood(NAME):
        if of_cents(int(said["cents"])) != payout.cash:
            raise GatewayUnavailable(NAME, "it has another amount")
        return Disbursed(
            said["state"], payout.id, fee=of_cents(int(said["fee"])), reason=str(said["reason"])
        )
