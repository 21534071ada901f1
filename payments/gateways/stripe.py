"""Stripe Checkout through Stripe's own library: hosted page, signed webhooks, refunds, disputes.

What the Stripe account has enabled is offered (cards, wallets, Alipay, WeChat Pay): no list of our
own. Its library takes a second to import, so whoever doesn't use it doesn't load it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast, final

import stripe
from pydantic import SecretStr

from core.clock import Clock, SystemClock
from core.money import NanoUsd
from payments.gateways.base import TransactionPage, WebhookMessage
from payments.gateways.stripe_balance import read_movements, read_window
from payments.gateways.stripe_client import StripeHttpClient
from payments.gateways.stripe_objects import (
    NAME,
    get_payment,
    has_failed,
    read_fee,
    read_kept,
    require_dollars,
    to_disputes,
    to_refunds,
)
from payments.offer import from_cents, to_cents
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
    PaymentPending,
    PaymentWarning,
    RefundDeclined,
    is_order_id,
)

API_URL = "https://api.stripe.com"
#: How old a webhook may be (Stripe's own default), and how far ahead its clock may run.
TOLERANCE_SECONDS = 300
#: Between 30 minutes and 24 hours (Stripe's limits).
CHECKOUT_SECONDS = 3_600
#: All tries of a call, with the library's pauses between them.
_CALL_SECONDS = 60.0

#: What the webhook must be subscribed to.
WEBHOOK_EVENTS = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "radar.early_fraud_warning.created",
)
_ENDPOINTS_MAX = 100

_LANGUAGES = {"en": "en", "zh-CN": "zh"}
#: Refunds and disputes name their payment, and that names the order.
_WITH_PAYMENT = {"expand": ["payment_intent"]}

T = TypeVar("T")


@final
class StripeGateway:
    """The Stripe gateway: it sells by Stripe's hosted checkout page."""

    name = NAME
    platform = ""
    checkout_seconds = CHECKOUT_SECONDS
    #: Stripe captures in the background: a charge's balance transaction comes after it.
    tells_fees_later = True

    def __init__(
        self,
        *,
        api_key: SecretStr,
        webhook_secret: SecretStr,
        return_url: str,
        api_url: str = API_URL,
        managed_tax_code: str = "",
        clock: Clock | None = None,
    ) -> None:
        """`return_url`: the page that leads back to the chat. With `managed_tax_code` Stripe itself
        sells (Managed Payments), goods of that code. By `clock` the list is read."""
        self._tax_code = managed_tax_code
        self._clock = clock or SystemClock()
        self._http = StripeHttpClient()
        self._client = stripe.StripeClient(
            api_key.get_secret_value(),
            http_client=self._http,
            base_addresses={"api": api_url},
            max_network_retries=2,
        )
        self._webhook_secret, self._return_url = webhook_secret, return_url
        self._is_live = "_live_" in api_key.get_secret_value()

    def quote_amount(self, value: NanoUsd) -> Cash:
        """See `Gateway`."""
        return value

    async def check_account(self) -> None:
        """See `Gateway`."""
        params: Any = {"limit": 1}
        sessions = self._client.v1.checkout.sessions
        await self._call(lambda: sessions.list_async(params))
        moved = self._client.v1.balance_transactions
        try:
            await self._call(lambda: moved.list_async(params))
        except GatewayUnavailable:
            raise GatewayUnavailable(
                self.name, "its key may not read balance transactions: allow it to"
            ) from None
        await self._check_webhook()

    async def _check_webhook(self) -> None:
        """Raises `GatewayUnavailable` where no webhook of the account tells us all that we need. A
        restricted key that may not read webhooks can't be asked."""
        expected_url = f"{self._return_url.removesuffix('/paid')}/webhooks/{self.name}"
        params: Any = {"limit": _ENDPOINTS_MAX}
        endpoints = self._client.v1.webhook_endpoints
        try:
            page = await self._call(lambda: endpoints.list_async(params))
        except _Forbidden:
            return
        ours = [one for one in page.data if one.url == expected_url]
        if not ours:
            raise GatewayUnavailable(
                self.name, f"no webhook of the account leads to {expected_url}"
            )
        enabled = [one for one in ours if one.status == "enabled"]
        if not enabled:
            raise GatewayUnavailable(self.name, "its webhook is switched off at Stripe")
        subscribed = {str(name) for one in enabled for name in one.enabled_events}
        missing = [name for name in WEBHOOK_EVENTS if name not in subscribed]
        if missing and "*" not in subscribed:
            raise GatewayUnavailable(self.name, f"its webhook lacks {', '.join(missing)}")

    async def create_checkout(self, order: Order, description: str, language: str) -> Checkout:
        """See `Gateway`."""
        assert isinstance(order.amount, NanoUsd)
        params: Any = {
            "mode": "payment",
            "client_reference_id": order.id,
            "metadata": {"order": order.id},
            # Refunds and disputes carry the payment, not the session.
            "payment_intent_data": {"metadata": {"order": order.id}, "description": description},
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": "usd",
                        "unit_amount": to_cents(order.amount),
                        "product_data": {"name": description},
                    },
                }
            ],
            "success_url": f"{self._return_url}?order={order.id}",
            "cancel_url": f"{self._return_url}?order={order.id}&left=1",
            "expires_at": order.expires_at // 1_000,
            "locale": _LANGUAGES.get(language, "auto"),
        }
        if self._tax_code:
            # No tax parameters of the session then, as of API 2026-04-22; the price includes tax,
            # so that buyers pay what they read and every sum of Stripe's is an order's.
            params["managed_payments"] = {"enabled": True}
            price = params["line_items"][0]["price_data"]
            price["tax_behavior"] = "inclusive"
            price["product_data"]["tax_code"] = self._tax_code
        options = {"idempotency_key": f"order:{order.id}:checkout"}
        sessions = self._client.v1.checkout.sessions
        session: Any = await self._call(lambda: sessions.create_async(params, options))  # type: ignore[arg-type]
        return Checkout(session.id, session.url or "")

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookMessage:
        """See `Gateway`."""
        header = headers.get("stripe-signature", "")
        try:
            stripe.WebhookSignature.verify_header(
                body.decode(), header, self._webhook_secret.get_secret_value(), TOLERANCE_SECONDS
            )
        except stripe.SignatureVerificationError:
            raise InvalidSignature(self.name, "signature") from None
        except UnicodeDecodeError:
            raise InvalidSignature(self.name, "body") from None
        sent_at = next((part[2:] for part in header.split(",") if part.startswith("t=")), "0")
        if int(sent_at) > time.time() + TOLERANCE_SECONDS:
            raise InvalidSignature(self.name, "time")
        event = _parse_object(body)
        if bool(event.get("livemode")) is not self._is_live:
            raise InvalidSignature(self.name, "mode")
        if event.get("account"):
            raise InvalidSignature(self.name, "account")
        if not isinstance(event.get("id"), str):
            raise InvalidSignature(self.name, "body")
        return WebhookMessage(event["id"], body, int(sent_at) * 1_000)

    async def parse_events(self, body: bytes) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        event = _parse_object(body)
        event_object: dict[str, Any] = event["data"]["object"]
        kind: str = event["type"]
        if kind.startswith("checkout.session."):
            return await self._fetch_session_events(event_object["id"])
        if kind in {"refund.created", "refund.updated", "refund.failed"}:
            return await self._fetch_refunds(event_object["id"])
        if kind.startswith("charge.dispute."):
            dispute = await self._fetch_dispute(event_object["id"])
            require_dollars(dispute)
            return to_disputes(dispute)
        if kind.startswith("radar.early_fraud_warning."):
            return await self._fetch_fraud_warning(event_object["id"])
        return ()

    async def fetch_order(self, order: Order) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        if not order.external_id:
            return ()
        events = await self._fetch_session_events(order.external_id)
        paid = [event.id for event in events if isinstance(event, Payment)]
        if not paid:
            return events
        return [
            *events,
            *await self._list_refunds(paid[0]),
            *await self._list_disputes(paid[0]),
        ]

    async def list_transactions(self, cursor: str) -> TransactionPage:
        """See `SupportsTransactionList`: the balance transactions of this account."""
        window = read_window(cursor, self._clock.now_ms() // 1_000)
        transactions = self._client.v1.balance_transactions
        page: Any = await self._call(lambda: transactions.list_async(cast("Any", window.params)))
        events: list[GatewayEvent] = []
        # They come newest first; a payment is credited before a part of it goes back.
        for moved in reversed(page.data):
            events += await self._parse_transaction(moved)
        return TransactionPage(
            events,
            window.next_cursor(page.data[-1].id if page.has_more else ""),
            bool(page.has_more) or not window.is_last,
            [one for moved in page.data for one in read_movements(moved)],
        )

    async def list_late_payments(self) -> Mapping[str, Cash]:
        """See `Gateway`."""
        return {}

    async def find_checkout(self, payment_id: str) -> str:
        """See `FindsCheckouts`."""
        params: Any = {"payment_intent": payment_id, "limit": 1}
        sessions = self._client.v1.checkout.sessions
        page = await self._call(lambda: sessions.list_async(params))
        return str(page.data[0].id) if page.data else ""

    async def refund_payment(
        self, order: Order, payment: str, amount: Cash, cause: str
    ) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        assert isinstance(amount, NanoUsd)
        params: Any = {
            "payment_intent": payment,
            "amount": to_cents(amount),
            "metadata": {"order": order.id},
        }
        options = {"idempotency_key": f"refund:{cause}"}
        refunds = self._client.v1.refunds
        try:
            refund: Any = await self._call(lambda: refunds.create_async(params, options))  # type: ignore[arg-type]
        except _Refused as refused:
            raise RefundDeclined(self.name, refused.reason) from None
        return to_refunds(refund)

    async def accept_dispute(self, order: Order, dispute: Dispute) -> Sequence[GatewayEvent]:
        """See `SupportsDisputeAcceptance`. Stripe closes a dispute once, and refuses one that is
        decided."""
        del order
        before = await self._fetch_disputes(dispute.id)
        if not before or cast("Dispute", before[-1]).state != "open":
            return before
        # Stripe would answer a reopened one's close with the first one's.
        again = f":{dispute.turn}" if dispute.turn else ""
        options = {"idempotency_key": f"accept:{dispute.id}{again}"}
        disputes = self._client.v1.disputes
        return to_disputes(
            await self._call(lambda: disputes.close_async(dispute.id, None, options))  # type: ignore[arg-type]
        )

    async def fetch_dispute(self, order: Order, dispute: Dispute) -> Dispute:
        """See `SupportsDisputeLookup`."""
        del order
        events = await self._fetch_disputes(dispute.id)
        return cast("Dispute", events[0]) if events else dispute

    async def close(self) -> None:
        """See `Gateway`."""
        await self._http.close_async()

    async def _fetch_session_events(self, id_: str) -> Sequence[GatewayEvent]:
        params: Any = {"expand": ["payment_intent.latest_charge.balance_transaction"]}
        sessions = self._client.v1.checkout.sessions
        session: Any = await self._call(lambda: sessions.retrieve_async(id_, params))
        order = session.client_reference_id
        if not is_order_id(order) or session.mode != "payment" or session.currency != "usd":
            return ()  # sold by somebody else on this account
        if session.payment_status == "paid":
            intent, amount = session.payment_intent, from_cents(session.amount_total)
            fee = read_fee(intent.latest_charge, amount, with_tax=bool(self._tax_code))
            return (Payment(self.name, intent.id, order, amount, fee, checkout=session.id),)
        if session.status == "expired":
            return (CheckoutEnded(order, "expired"),)
        if session.status == "complete" and has_failed(session.payment_intent):
            return (CheckoutEnded(order, "failed"),)
        # A bank debit takes days.
        return (PaymentPending(order),) if session.status == "complete" else ()

    async def _fetch_refunds(self, id_: str) -> Sequence[GatewayEvent]:
        refunds, params = self._client.v1.refunds, cast("Any", _WITH_PAYMENT)
        refund: Any = await self._call(lambda: refunds.retrieve_async(id_, params))
        require_dollars(refund)
        return to_refunds(refund)

    async def _list_refunds(self, payment: str) -> Sequence[GatewayEvent]:
        """What went back of a payment, the oldest first."""
        params: Any = {"payment_intent": payment, "limit": 100}
        refunds = self._client.v1.refunds
        page = await self._call(lambda: refunds.list_async(params))
        return [event for refund in reversed(page.data) for event in to_refunds(refund)]

    async def _parse_transaction(self, moved: Any) -> Sequence[GatewayEvent]:
        """What a balance transaction says about a payment of ours."""
        source = moved.source
        kind = getattr(source, "object", "")
        if kind == "refund":
            return to_refunds(source)
        if kind == "dispute":
            return await self._fetch_disputes(source.id)
        if kind != "charge" or not source.payment_intent or source.currency != "usd":
            return ()
        order = getattr(source.metadata, "order", None)
        if not is_order_id(order):
            return ()  # sold by somebody else on this account
        amount = from_cents(source.amount)
        fee = NanoUsd(0)
        if moved.currency == "usd":
            fee = read_kept(moved, amount, with_tax=bool(self._tax_code))
        at_ms = moved.created * 1_000
        return (Payment(self.name, source.payment_intent, order, amount, fee, at_ms=at_ms),)

    async def _list_disputes(self, payment: str) -> Sequence[GatewayEvent]:
        """The disputes of a payment, as they stand."""
        params: Any = {"payment_intent": payment, "limit": 100}
        disputes = self._client.v1.disputes
        page = await self._call(lambda: disputes.list_async(params))
        return [event for dispute in reversed(page.data) for event in to_disputes(dispute)]

    async def _fetch_disputes(self, id_: str) -> Sequence[GatewayEvent]:
        return to_disputes(await self._fetch_dispute(id_))

    async def _fetch_dispute(self, id_: str) -> Any:
        disputes, params = self._client.v1.disputes, cast("Any", _WITH_PAYMENT)
        return await self._call(lambda: disputes.retrieve_async(id_, params))

    async def _fetch_fraud_warning(self, id_: str) -> Sequence[GatewayEvent]:
        """The warning, while something can be done: neither disputed nor given back yet."""
        warnings, params = self._client.v1.radar.early_fraud_warnings, cast("Any", _WITH_PAYMENT)
        warning: Any = await self._call(lambda: warnings.retrieve_async(id_, params))
        payment = get_payment(warning)
        if not payment or not warning.actionable:
            return ()
        return (PaymentWarning(self.name, warning.id, payment, reason=str(warning.fraud_type)),)

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return await call()
        except TimeoutError:
            raise GatewayUnavailable(self.name) from None
        except stripe.StripeError as error:
            # Its message may quote what was sent.
            if isinstance(error, stripe.InvalidRequestError) and error.http_status in {400, 404}:
                raise _Refused(self.name, str(error.code or "")) from None
            if isinstance(error, stripe.PermissionError):
                raise _Forbidden(self.name) from None
            raise GatewayUnavailable(self.name) from None


class _Refused(GatewayUnavailable):
    """Stripe understood a call, and says no to it for good; `reason` is its own name of the
    case."""

    def __init__(self, gateway: str, reason: str) -> None:
        super().__init__(gateway)
        self.reason = reason


class _Forbidden(GatewayUnavailable):
    """A restricted key isn't allowed that call."""


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        raise InvalidSignature(StripeGateway.name, "body") from None
    if not isinstance(value, dict):
        raise InvalidSignature(StripeGateway.name, "body")
    return value
