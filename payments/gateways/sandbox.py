"""The sandbox: the demo's gateway and payout provider. It speaks to a small payment service on
loopback (`bots.sandbox`), signs and is asked like a real one, and moves no money.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, final

from pydantic import SecretStr

from core.earnings.payouts import Payout
from core.money import NanoUsd
from payments.gateways.base import WebhookMessage
from payments.gateways.http import GatewayClient, GatewayResponse, translate_parse_errors
from payments.offer import from_cents, to_cents
from payments.payouts import PayoutStatus
from payments.types import (
    Cash,
    Checkout,
    CheckoutEnded,
    Dispute,
    GatewayEvent,
    GatewayUnavailable,
    InvalidSignature,
    Order,
    Payment,
    Refund,
)

NAME = "sandbox"
CHECKOUT_SECONDS = 3_600
TOLERANCE_SECONDS = 300
SIGNATURE_HEADER = "sandbox-signature"


def sign_message(secret: str, body: bytes, at_seconds: int) -> str:
    """The header of a message of the sandbox: its time, and a proof over time and raw body."""
    proof = hmac.digest(secret.encode(), f"{at_seconds}.".encode() + body, hashlib.sha256)
    return f"t={at_seconds},v1={proof.hex()}"


@final
class SandboxClient:
    """A client that calls the sandbox's payment service."""

    def __init__(self, *, url: str, secret: SecretStr) -> None:
        self.url = url
        self._http, self._secret = GatewayClient(NAME, url), secret

    async def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> GatewayResponse:
        """An answer, a refusal too. Raises `GatewayUnavailable`."""
        headers = {"Authorization": f"Bearer {self._secret.get_secret_value()}"}
        content = None if body is None else json.dumps(body).encode()
        # Checkouts are one an order, refunds one a key, payouts one an id.
        return await self._http.request(
            method, path, headers=headers, body=content, idempotent=True
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()


@final
class SandboxGateway:
    """The demo's gateway, which speaks to the sandbox's payment service."""

    name = NAME
    platform = ""
    checkout_seconds = CHECKOUT_SECONDS

    def __init__(self, *, url: str, secret: SecretStr) -> None:
        """`url`: the service."""
        self._client, self._secret = SandboxClient(url=url, secret=secret), secret
        self._public_url = ""

    def set_public_url(self, url: str) -> None:
        """Where our own HTTP app is, for webhooks and the way back."""
        self._public_url = url

    def quote_amount(self, value: NanoUsd) -> Cash:
        """See `Gateway`."""
        return value

    async def check_account(self) -> None:
        """See `Gateway`."""
        await self._request("GET", "/checkouts")

    async def create_checkout(self, order: Order, description: str, language: str) -> Checkout:
        """See `Gateway`."""
        assert isinstance(order.amount, NanoUsd)
        checkout = await self._request(
            "POST",
            "/checkouts",
            {
                "order": order.id,
                "cents": to_cents(order.amount),
                "what": description,
                "language": language,
                "return_url": f"{self._public_url}/paid",
                "notify_url": f"{self._public_url}/webhooks/{self.name}",
            },
        )
        return Checkout(checkout["id"], checkout["url"])

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookMessage:
        """See `Gateway`."""
        signature = headers.get(SIGNATURE_HEADER, "")
        sent_at = signature.partition(",")[0].removeprefix("t=")
        if not sent_at.isdecimal() or abs(time.time() - int(sent_at)) > TOLERANCE_SECONDS:
            raise InvalidSignature(self.name, "time")
        expected = sign_message(self._secret.get_secret_value(), body, int(sent_at))
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            raise InvalidSignature(self.name, "signature")
        return WebhookMessage(str(json.loads(body)["id"]), body)

    async def parse_events(self, body: bytes) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        return await self._fetch_checkout_events(str(json.loads(body)["checkout"]))

    async def fetch_order(self, order: Order) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        return await self._fetch_checkout_events(order.external_id) if order.external_id else ()

    async def list_late_payments(self) -> Mapping[str, Cash]:
        """See `Gateway`."""
        return {}

    async def refund_payment(
        self, order: Order, payment: str, amount: Cash, cause: str
    ) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        assert isinstance(amount, NanoUsd)
        body = {"payment": payment, "cents": to_cents(amount), "key": cause}
        refund = await self._request("POST", f"/checkouts/{order.external_id}/refunds", body)
        return (_to_refund(refund),)

    async def accept_dispute(self, order: Order, dispute: Dispute) -> Sequence[GatewayEvent]:
        """See `SupportsDisputeAcceptance`."""
        await self._request(
            "POST", f"/checkouts/{order.external_id}/disputes/{dispute.id}/accept", {}
        )
        return await self._fetch_checkout_events(order.external_id)

    async def fetch_dispute(self, order: Order, dispute: Dispute) -> Dispute:
        """See `SupportsDisputeLookup`."""
        events = await self._fetch_checkout_events(order.external_id)
        return next((one for one in events if isinstance(one, Dispute)), dispute)

    async def close(self) -> None:
        """See `Gateway`."""
        await self._client.close()

    async def _fetch_checkout_events(self, id_: str) -> Sequence[GatewayEvent]:
        checkout = await self._request("GET", f"/checkouts/{id_}")
        order = str(checkout["order"])
        events: list[GatewayEvent] = [
            Payment(
                self.name,
                one["id"],
                order,
                from_cents(one["cents"]),
                from_cents(one["fee"]),
                checkout=checkout["id"],
                # Who pays twice has paid twice: the surplus counts at the free rate.
                any_amount=True,
            )
            for one in checkout["payments"]
        ]
        events += [_to_refund(one) for one in checkout["refunds"]]
        dispute = checkout["dispute"]
        if dispute is not None:
            disputed = from_cents(dispute["cents"])
            events.append(
                Dispute(self.name, dispute["id"], dispute["payment"], disputed, dispute["state"])
            )
        if checkout["state"] in {"failed", "expired"}:
            events.append(CheckoutEnded(order, checkout["state"]))
        return events

    async def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        answer = await self._client.request(method, path, body)
        if not answer.is_ok:
            raise GatewayUnavailable(self.name)
        return answer.body


def _to_refund(data: Mapping[str, Any]) -> Refund:
    return Refund(SandboxGateway.name, data["id"], data["payment"], from_cents(data["cents"]))


@final
class SandboxPayoutProvider:
    """The demo's payout provider, which pays through the sandbox's payment service."""

    idempotency_days = 3_650
    #: Its page has a button by which what has arrived comes back.
    return_window_days = 1

    def __init__(self, *, url: str, secret: SecretStr) -> None:
        self._client = SandboxClient(url=url, secret=secret)

    async def check_account(self) -> str:
        """See `PayoutProvider`."""
        if not (await self._client.request("GET", "/checkouts")).is_ok:
            raise GatewayUnavailable(NAME)
        return ""

    async def send_payout(self, payout: Payout, address: SecretStr) -> PayoutStatus:
        """See `PayoutProvider`."""
        body = {
            "id": payout.id,
            "cents": to_cents(payout.cash),
            "to": address.get_secret_value(),
        }
        answer = await self._client.request("POST", "/payouts", body)
        if answer.status == 422:
            with translate_parse_errors(NAME):
                return PayoutStatus("failed", "", reason=str(answer.body["code"]))
        return _to_status(answer.body if answer.is_ok else None, payout)

    async def fetch_payout(self, payout: Payout) -> PayoutStatus:
        """See `PayoutProvider`."""
        answer = await self._client.request("GET", f"/payouts?id={payout.id}")
        return _to_status(answer.body if answer.is_ok else None, payout)

    def get_payout_url(self, payout: Payout) -> str:
        """See `PayoutProvider`."""
        return f"{self._client.url}/payouts/{payout.id}"

    async def close(self) -> None:
        """See `PayoutProvider`."""
        await self._client.close()


def _to_status(data: Mapping[str, Any] | None, payout: Payout) -> PayoutStatus:
    if data is None:
        raise GatewayUnavailable(NAME)
    with translate_parse_errors(NAME):
        if from_cents(int(data["cents"])) != payout.cash:
            raise GatewayUnavailable(NAME, "it has another amount")
        return PayoutStatus(
            data["state"], payout.id, fee=from_cents(int(data["fee"])), reason=str(data["reason"])
        )
