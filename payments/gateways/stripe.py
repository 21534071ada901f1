"""Stripe Checkout through Stripe's own library: hosted page, signed webhooks, refunds, disputes.

What the Stripe account has enabled is offered (cards, wallets, Alipay, WeChat Pay): no list of our
own. Its library takes a second to import, so whoever doesn't use it doesn't load it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast, final

import stripe
from pydantic import SecretStr

from core.money import NanoUsd
from payments.gateways.base import Message
from payments.offer import cents, of_cents
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

API = "https://api.stripe.com"
#: How old a webhook may be (Stripe's own default), and how far ahead its clock may run.
TOLERANCE_SECONDS = 300
#: Between 30 minutes and 24 hours (Stripe's limits).
OPEN_SECONDS = 3_600

_LANGUAGES = {"en": "en", "zh-CN": "zh"}
_WON = {"won", "warning_closed", "prevented"}
#: Early warnings move no money.
_WARNINGS = {"warning_needs_response", "warning_under_review"}

T = TypeVar("T")


@final
class Stripe:
    """The Stripe gateway: it sells by Stripe's hosted checkout page."""

    name = "stripe"
    platform = ""
    open_seconds = OPEN_SECONDS

    def __init__(
        self, *, key: SecretStr, webhook_secret: SecretStr, return_url: str, api_url: str = API
    ) -> None:
        """`return_url`: the page that leads back to the chat."""
        self._http = stripe.AIOHTTPClient()
        self._client = stripe.StripeClient(
            key.get_secret_value(),
            http_client=self._http,
            base_addresses={"api": api_url},
            max_network_retries=2,
        )
        self._secret, self._return_url = webhook_secret, return_url
        self._live = "_live_" in key.get_secret_value()

    def amount(self, value: NanoUsd) -> Cash:
        """See `Gateway`."""
        return value

    async def probe(self) -> None:
        """See `Gateway`."""
        params: Any = {"limit": 1}
        sessions = self._client.v1.checkout.sessions
        await self._asked(lambda: sessions.list_async(params))

    async def begin(self, order: Order, what: str, language: str) -> Checkout:
        """See `Gateway`."""
        assert isinstance(order.amount, NanoUsd)
        params: Any = {
            "mode": "payment",
            "client_reference_id": order.id,
            "metadata": {"order": order.id},
            # Refunds and disputes carry the payment, not the session.
            "payment_intent_data": {"metadata": {"order": order.id}, "description": what},
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": "usd",
                        "unit_amount": cents(order.amount),
                        "product_data": {"name": what},
                    },
                }
            ],
            "success_url": f"{self._return_url}?order={order.id}",
            "cancel_url": f"{self._return_url}?order={order.id}&left=1",
            "expires_at": order.expires_at // 1_000,
            "locale": _LANGUAGES.get(language, "auto"),
        }
        key = {"idempotency_key": f"order:{order.id}:checkout"}
        sessions = self._client.v1.checkout.sessions
        made: Any = await self._asked(lambda: sessions.create_async(params, key))  # type: ignore[arg-type]
        return Checkout(made.id, made.url or "")

    async def verify(self, headers: Mapping[str, str], body: bytes) -> Message:
        """See `Gateway`."""
        header = headers.get("stripe-signature", "")
        try:
            stripe.WebhookSignature.verify_header(
                body.decode(), header, self._secret.get_secret_value(), TOLERANCE_SECONDS
            )
        except stripe.SignatureVerificationError:
            raise Forged(self.name, "signature") from None
        except UnicodeDecodeError:
            raise Forged(self.name, "body") from None
        sent = next((part[2:] for part in header.split(",") if part.startswith("t=")), "0")
        if int(sent) > time.time() + TOLERANCE_SECONDS:
            raise Forged(self.name, "time")
        event = _object(body)
        if bool(event.get("livemode")) is not self._live:
            raise Forged(self.name, "mode")
        if event.get("account"):
            raise Forged(self.name, "account")
        if not isinstance(event.get("id"), str):
            raise Forged(self.name, "body")
        return Message(event["id"], body)

    async def news(self, body: bytes) -> Sequence[News]:
        """See `Gateway`."""
        event = _object(body)
        about: dict[str, Any] = event["data"]["object"]
        kind: str = event["type"]
        if kind.startswith("checkout.session."):
            return await self._session(about["id"])
        if kind in {"refund.created", "refund.updated", "refund.failed"}:
            return await self._refund(about["id"])
        if kind.startswith("charge.dispute."):
            return await self._dispute(about["id"])
        return ()

    async def look(self, order: Order) -> Sequence[News]:
        """See `Gateway`."""
        return await self._session(order.external) if order.external else ()

    async def late(self) -> Mapping[str, Cash]:
        """See `Gateway`."""
        return {}

    async def refund(self, order: Order, payment: str, amount: Cash, cause: str) -> Sequence[News]:
        """See `Gateway`."""
        assert isinstance(amount, NanoUsd)
        params: Any = {
            "payment_intent": payment,
            "amount": cents(amount),
            "metadata": {"order": order.id},
        }
        key = {"idempotency_key": f"refund:{cause}"}
        refunds = self._client.v1.refunds
        made: Any = await self._asked(lambda: refunds.create_async(params, key))  # type: ignore[arg-type]
        return _refunded(made)

    async def accept(self, order: Order, dispute: Dispute) -> Sequence[News]:
        """See `SupportsDisputeAcceptance`. Stripe closes a dispute once, and refuses one that is
        decided."""
        del order
        known = await self._dispute(dispute.id)
        if not known or cast("Dispute", known[-1]).state != "open":
            return known
        key = {"idempotency_key": f"accept:{dispute.id}"}
        disputes = self._client.v1.disputes
        return _disputed(
            await self._asked(lambda: disputes.close_async(dispute.id, None, key))  # type: ignore[arg-type]
        )

    async def close(self) -> None:
        """See `Gateway`."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _session(self, id_: str) -> Sequence[News]:
        params: Any = {"expand": ["payment_intent.latest_charge.balance_transaction"]}
        sessions = self._client.v1.checkout.sessions
        session: Any = await self._asked(lambda: sessions.retrieve_async(id_, params))
        order = session.client_reference_id
        if not order or session.mode != "payment":
            return ()  # not one of ours
        if session.payment_status == "paid":
            intent = session.payment_intent
            fee = intent.latest_charge.balance_transaction
            if session.currency != "usd" or fee.currency != "usd":
                return ()  # sold by somebody else on this account
            amount, kept = of_cents(session.amount_total), of_cents(fee.fee)
            return (Payment(self.name, intent.id, order, amount, kept, checkout=session.id),)
        if session.status == "expired":
            return (Ended(order, "expired"),)
        if session.status == "complete" and _failed(session.payment_intent):
            return (Ended(order, "failed"),)
        return ()

    async def _refund(self, id_: str) -> Sequence[News]:
        refunds = self._client.v1.refunds
        return _refunded(await self._asked(lambda: refunds.retrieve_async(id_)))

    async def _dispute(self, id_: str) -> Sequence[News]:
        disputes = self._client.v1.disputes
        return _disputed(await self._asked(lambda: disputes.retrieve_async(id_)))

    async def _asked(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except stripe.StripeError:
            # Its message may quote what was sent.
            raise GatewayUnavailable(self.name) from None


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        raise Forged(Stripe.name, "body") from None
    if not isinstance(said, dict):
        raise Forged(Stripe.name, "body")
    return said


def _failed(intent: Any) -> bool:
    """Whether a delayed way to pay (a bank debit) came to nothing."""
    return intent is not None and intent.status in {"requires_payment_method", "canceled"}


def _disputed(told: Any) -> Sequence[News]:
    if not told.payment_intent or told.currency != "usd" or told.status in _WARNINGS:
        return ()
    state: Literal["open", "won", "lost"] = "open"
    if told.status in _WON:
        state = "won"
    elif told.status == "lost":
        state = "lost"
    due = told.evidence_details.due_by
    return (
        Dispute(
            Stripe.name,
            told.id,
            told.payment_intent,
            of_cents(told.amount),
            state,
            reason=told.reason,
            due_at=due * 1_000 if due else None,
        ),
    )


def _refunded(refund: Any) -> Sequence[News]:
    if not refund.payment_intent or refund.currency != "usd":
        return ()
    failed = refund.status in {"failed", "canceled"}
    if not failed and refund.status not in {"pending", "succeeded"}:
        return ()
    amount = of_cents(refund.amount)
    return (Refunded(Stripe.name, refund.id, refund.payment_intent, amount, failed),)
