"""The sandbox: the demo's gateway and payout provider. It speaks to a small payment service on
loopback (`bots.sandbox`), signs and is asked like a real one, and moves no money.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

from pydantic import SecretStr

from core.earnings.payouts import Payout
from core.money import NanoUsd
from payments.gateways.base import Message
from payments.gateways.http import Answer, Wire, understood
from payments.offer import cents, of_cents
from payments.payouts import Disbursed
from payments.types import (
    Cash,
    Checkout,
    Dispute,
    Ended,
    Forged,
    GatewayUnavailable,
    News,
    Order,
    Payment,
    Refunded,
)

NAME = "sandbox"
OPEN_SECONDS = 3_600
TOLERANCE_SECONDS = 300
SIGNATURE = "sandbox-signature"


def signed(secret: str, body: bytes, at_seconds: int) -> str:
    """The header of a message of the sandbox: its time, and a proof over time and raw body."""
    proof = hmac.digest(secret.encode(), f"{at_seconds}.".encode() + body, hashlib.sha256)
    return f"t={at_seconds},v1={proof.hex()}"


@final
class SandboxApi:
    """A client that calls the sandbox's payment service."""

    def __init__(self, *, url: str, secret: SecretStr) -> None:
        self.url = url
        self._wire, self._secret = Wire(NAME, url), secret

    async def asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """An answer, a refusal too. Raises `GatewayUnavailable`."""
        headers = {"Authorization": f"Bearer {self._secret.get_secret_value()}"}
        sent = None if body is None else json.dumps(body).encode()
        # Checkouts are one an order, refunds one a key, payouts one an id.
        return await self._wire.ask(method, path, headers=headers, body=sent, again=True)

    async def close(self) -> None:
        """Closes the connections."""
        await self._wire.close()


@final
class Sandbox:
    """The demo's gateway, which speaks to the sandbox's payment service."""

    name = NAME
    platform = ""
    open_seconds = OPEN_SECONDS

    def __init__(self, *, url: str, secret: SecretStr) -> None:
        """`url`: the service."""
        self._api, self._secret = SandboxApi(url=url, secret=secret), secret
        self._our_url = ""

    def reached_at(self, url: str) -> None:
        """Where our own HTTP app is, for webhooks and the way back."""
        self._our_url = url

    def amount(self, value: NanoUsd) -> Cash:
        """See `Gateway`."""
        return value

    async def probe(self) -> None:
        """See `Gateway`."""
        await self._asked("GET", "/checkouts")

    async def begin(self, order: Order, what: str, language: str) -> Checkout:
        """See `Gateway`."""
        assert isinstance(order.amount, NanoUsd)
        made = await self._asked(
            "POST",
            "/checkouts",
            {
                "order": order.id,
                "cents": cents(order.amount),
                "what": what,
                "language": language,
                "return_url": f"{self._our_url}/paid",
                "notify_url": f"{self._our_url}/webhooks/{self.name}",
            },
        )
        return Checkout(made["id"], made["url"])

    async def verify(self, headers: Mapping[str, str], body: bytes) -> Message:
        """See `Gateway`."""
        given = headers.get(SIGNATURE, "")
        at = given.partition(",")[0].removeprefix("t=")
        if not at.isdecimal() or abs(time.time() - int(at)) > TOLERANCE_SECONDS:
            raise Forged(self.name, "time")
        wanted = signed(self._secret.get_secret_value(), body, int(at))
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise Forged(self.name, "signature")
        return Message(str(json.loads(body)["id"]), body)

    async def news(self, body: bytes) -> Sequence[News]:
        """See `Gateway`."""
        return await self._checkout(str(json.loads(body)["checkout"]))

    async def look(self, order: Order) -> Sequence[News]:
        """See `Gateway`."""
        return await self._checkout(order.external) if order.external else ()

    async def late(self) -> Mapping[str, Cash]:
        """See `Gateway`."""
        return {}

    async def refund(self, order: Order, payment: str, amount: Cash, cause: str) -> Sequence[News]:
        """See `Gateway`."""
        assert isinstance(amount, NanoUsd)
        body = {"payment": payment, "cents": cents(amount), "key": cause}
        made = await self._asked("POST", f"/checkouts/{order.external}/refunds", body)
        return (_refunded(made),)

    async def accept(self, order: Order, dispute: Dispute) -> Sequence[News]:
        """See `SupportsDisputeAcceptance`."""
        await self._asked("POST", f"/checkouts/{order.external}/disputes/{dispute.id}/accept", {})
        return await self._checkout(order.external)

    async def close(self) -> None:
        """See `Gateway`."""
        await self._api.close()

    async def _checkout(self, id_: str) -> Sequence[News]:
        said = await self._asked("GET", f"/checkouts/{id_}")
        order = str(said["order"])
        news: list[News] = [
            Payment(
                self.name,
                one["id"],
                order,
                of_cents(one["cents"]),
                of_cents(one["fee"]),
                checkout=said["id"],
                # Who pays twice has paid twice: the surplus counts at the free rate.
                any_amount=True,
            )
            for one in said["payments"]
        ]
        news += [_refunded(one) for one in said["refunds"]]
        dispute = said["dispute"]
        if dispute is not None:
            states: list[Literal["open", "won", "lost"]] = ["open"]
            if dispute["state"] != "open":
                states.append(dispute["state"])
            disputed = of_cents(dispute["cents"])
            news += [
                Dispute(self.name, dispute["id"], dispute["payment"], disputed, state)
                for state in states
            ]
        if said["state"] in {"failed", "expired"}:
            news.append(Ended(order, said["state"]))
        return news

    async def _asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        answer = await self._api.asked(method, path, body)
        if not answer.fine:
            raise GatewayUnavailable(self.name)
        return answer.body


def _refunded(said: Mapping[str, Any]) -> Refunded:
    return Refunded(Sandbox.name, said["id"], said["payment"], of_cents(said["cents"]))


@final
class SandboxPayouts:
    """The demo's payout provider, which pays through the sandbox's payment service."""

    remembers_days = 3_650
    #: Its page has a button by which what has arrived comes back.
    watched_days = 1

    def __init__(self, *, url: str, secret: SecretStr) -> None:
        self._api = SandboxApi(url=url, secret=secret)

    async def probe(self) -> str:
        """See `PayoutProvider`."""
        if not (await self._api.asked("GET", "/checkouts")).fine:
            raise GatewayUnavailable(NAME)
        return ""

    async def disburse(self, payout: Payout, address: SecretStr) -> Disbursed:
        """See `PayoutProvider`."""
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
        """See `PayoutProvider`."""
        answer = await self._api.asked("GET", f"/payouts?id={payout.id}")
        return _as_told(answer.body if answer.fine else None, payout)

    def page(self, payout: Payout) -> str:
        """See `PayoutProvider`."""
        return f"{self._api.url}/payouts/{payout.id}"

    async def close(self) -> None:
        """See `PayoutProvider`."""
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
