"""PayPal Orders v2: the payer agrees at PayPal, we take the money, and only what was taken counts.

A webhook is proven by PayPal itself, asked with the very bytes that came, so that no cryptography
is done here. Whatever it says, money is read again: from the order, the refund, the dispute.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final
from urllib.parse import urlsplit

from pydantic import SecretStr

from core.money import NanoUsd, parse_usd
from payments.gateways.base import WebhookMessage
from payments.gateways.http import translate_parse_errors
from payments.gateways.paypal.client import NAME, PayPalClient, refusal_issue
from payments.gateways.paypal.event_list import CaptureEvents
from payments.gateways.paypal.webhook_proof import (
    build_verification_request,
    parse_time,
    precheck_webhook,
)
from payments.offer import to_decimal_dollars
from payments.types import (
    Cash,
    Checkout,
    CheckoutEnded,
    Dispute,
    GatewayEvent,
    GatewayUnavailable,
    InvalidSignature,
    Order,
    OrderChanged,
    Payment,
    PaymentMismatch,
    PaymentPending,
    Refund,
    RefundDeclined,
    UnknownOrder,
    is_order_id,
)

_log = logging.getLogger(__name__)

API_URL = "https://api-m.paypal.com"
#: A payer must be led to PayPal within three hours of the order (PayPal's own limit).
CHECKOUT_SECONDS = 3 * 3_600
#: What the webhook must be subscribed to.
WEBHOOK_EVENTS = (
    "CHECKOUT.ORDER.APPROVED",
    "PAYMENT.CAPTURE.COMPLETED",
    "PAYMENT.CAPTURE.DECLINED",
    "PAYMENT.CAPTURE.DENIED",
    "PAYMENT.CAPTURE.REFUNDED",
    "PAYMENT.CAPTURE.REVERSED",
    "CUSTOMER.DISPUTE.CREATED",
    "CUSTOMER.DISPUTE.UPDATED",
    "CUSTOMER.DISPUTE.RESOLVED",
)

#: Proofs that PayPal is asked for at a time: whoever floods the address floods nobody else.
_CONCURRENT_PROOFS_MAX = 16
_ID_PATTERN = re.compile(r"[A-Za-z0-9-]{1,64}")
_LIVE_HOSTS = frozenset({"api.paypal.com", "api-m.paypal.com"})
_LOCALES = {"en": "en-US", "zh-CN": "zh-CN"}
#: Captures whose money came, whatever became of it later.
_RECEIVED_STATUSES = frozenset({"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"})
#: PayPal's first version says `DENIED` for what a review ended.
_FAILED_STATUSES = frozenset({"DECLINED", "DENIED", "FAILED"})
_UNREADABLE_STATUSES = frozenset({403, 404})
_LOST_OUTCOMES = frozenset({"RESOLVED_BUYER_FAVOUR", "ACCEPTED"})


@final
class PayPalGateway:
    """The PayPal gateway: the payer agrees at PayPal, and the gateway captures the money."""

    name = NAME
    platform = ""
    checkout_seconds = CHECKOUT_SECONDS

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: SecretStr,
        webhook_id: str,
        public_url: str,
        api_url: str = API_URL,
    ) -> None:
        """`webhook_id`: PayPal's id of our webhook at it; `public_url`: our HTTP app."""
        self._client = PayPalClient(client_id=client_id, client_secret=client_secret, url=api_url)
        self._webhook_id, self._public_url = webhook_id, public_url
        self._is_live = urlsplit(api_url).hostname in _LIVE_HOSTS
        self._proofs_running = 0
        self._capture_events = CaptureEvents(self._client)

    def quote_amount(self, value: NanoUsd) -> Cash:
        """See `Gateway`."""
        return value

    async def check_account(self) -> None:
        """See `Gateway`."""
        disputes = await self._client.get(
            "/v1/customer/disputes", {"page_size": "1"}, empty_statuses={403}
        )
        if disputes is None:
            raise GatewayUnavailable(self.name, "its app may not read disputes: allow it to")
        webhook = await self._client.get(f"/v1/notifications/webhooks/{self._webhook_id}")
        if webhook is None:
            raise GatewayUnavailable(self.name, "PayPal knows no webhook of that id at this app")
        with translate_parse_errors(self.name):
            subscribed = {str(one["name"]) for one in webhook["event_types"]}
            webhook_url = str(webhook["url"])
        expected_url = f"{self._public_url}/webhooks/{self.name}"
        if webhook_url != expected_url:
            raise GatewayUnavailable(self.name, f"its webhook must lead to {expected_url}")
        missing = (
            [] if "*" in subscribed else [name for name in WEBHOOK_EVENTS if name not in subscribed]
        )
        if missing:
            raise GatewayUnavailable(self.name, f"its webhook lacks {', '.join(missing)}")

    async def create_checkout(self, order: Order, description: str, language: str) -> Checkout:
        """See `Gateway`."""
        assert isinstance(order.amount, NanoUsd)
        return_url = f"{self._public_url}/paid?order={order.id}"
        context = {
            "locale": _LOCALES.get(language, "en-US"),
            "shipping_preference": "NO_SHIPPING",
            "user_action": "PAY_NOW",
            # Nothing that takes days to arrive.
            "payment_method_preference": "IMMEDIATE_PAYMENT_REQUIRED",
            "return_url": return_url,
            "cancel_url": f"{return_url}&left=1",
        }
        unit = {
            "custom_id": order.id,
            # Unique in the account: PayPal takes no second payment for it.
            "invoice_id": order.id,
            "description": description[:127],
            "amount": _to_amount(order.amount),
        }
        body = {
            "intent": "CAPTURE",
            "purchase_units": [unit],
            "payment_source": {"paypal": {"experience_context": context}},
        }
        answer = await self._client.post(
            "/v2/checkout/orders", _to_json(body), request_id=f"order-{order.id}"
        )
        if not answer.is_ok:
            _log.warning("%s was refused by PayPal: %s", order.id, refusal_issue(answer))
            raise GatewayUnavailable(self.name)
        with translate_parse_errors(self.name):
            links = {one["rel"]: one["href"] for one in answer.body["links"]}
            url = links.get("payer-action") or links["approve"]
            return Checkout(answer.body["id"], url)

    # --- messages --------------------------------------------------------------------------------

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookMessage:
        """See `Gateway`."""
        id_ = precheck_webhook(headers, body, is_live=self._is_live)
        if self._proofs_running >= _CONCURRENT_PROOFS_MAX:
            raise GatewayUnavailable(self.name)
        self._proofs_running += 1
        try:
            answer = await self._client.post(
                "/v1/notifications/verify-webhook-signature",
                build_verification_request(headers, self._webhook_id, body),
            )
        finally:
            self._proofs_running -= 1
        if answer.status in {400, 422}:
            raise InvalidSignature(self.name, "headers")
        if not answer.is_ok:
            raise GatewayUnavailable(self.name, f"PayPal says {refusal_issue(answer)}")
        with translate_parse_errors(self.name):
            is_proven = answer.body["verification_status"] == "SUCCESS"
        if not is_proven:
            raise InvalidSignature(self.name, "signature")
        sent_at = parse_time(headers["paypal-transmission-time"]) or 0
        return WebhookMessage(id_, body, round(sent_at * 1_000))

    async def parse_events(self, body: bytes) -> Sequence[GatewayEvent | OrderChanged]:
        """See `Gateway`."""
        event: dict[str, Any] = json.loads(body)
        resource: dict[str, Any] = event["resource"]
        kind = str(event["event_type"])
        if kind.startswith("CHECKOUT.ORDER."):
            return _order_changes(resource["purchase_units"][0])
        if kind in {"PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED"}:
            return await self._fetch_refund_events(resource, is_reversal=kind.endswith("REVERSED"))
        if kind.startswith("PAYMENT.REFUND."):
            return await self._fetch_refund_events(resource, is_reversal=False)
        if kind.startswith("PAYMENT.CAPTURE."):
            return _order_changes(resource)
        if kind.startswith("CUSTOMER.DISPUTE."):
            return await self._fetch_dispute_events(_validate_id(resource["dispute_id"]))
        return ()

    # --- orders ----------------------------------------------------------------------------------

    async def fetch_order(self, order: Order) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        paypal_order = await self._fetch_paypal_order(order)
        if paypal_order is not None and paypal_order["status"] == "APPROVED":
            await self._capture(order)
            paypal_order = await self._fetch_paypal_order(order)
        if paypal_order is None:
            return ()
        with translate_parse_errors(self.name):
            return await self._list_order_events(order, paypal_order)

    async def list_late_payments(self) -> Mapping[str, Cash]:
        """See `Gateway`; by the messages that PayPal says it sent."""
        captured = await self._capture_events.list_orders()
        return {order: one.amount for order, one in captured.items()}

    async def find_checkout(self, payment_id: str) -> str:
        """See `FindsCheckouts`: `find_paid_order` names the checkout."""
        return payment_id

    async def find_paid_order(self, order_id: str) -> Payment | None:
        """See `FindsLostOrders`."""
        captured = (await self._capture_events.list_orders()).get(order_id)
        if captured is None:
            return None
        id_ = _validate_id(captured.paypal_order)
        paypal_order = await self._client.get(f"/v2/checkout/orders/{id_}")
        if paypal_order is None:  # they vanish
            return None
        with translate_parse_errors(self.name):
            unit = paypal_order["purchase_units"][0]
            received = [
                _to_payment(order_id, id_, capture)
                for capture in (unit.get("payments") or {}).get("captures") or ()
                if unit.get("custom_id") == order_id
                and capture["status"] in _RECEIVED_STATUSES
                and capture["amount"]["currency_code"] == "USD"
            ]
        # PayPal takes no second payment under one order's id.
        return replace(received[0], id=id_) if received else None

    async def _fetch_paypal_order(self, order: Order) -> Any:
        """PayPal's side of an order, None where there is none (they vanish). Raises
        `PaymentMismatch` when it isn't what we made."""
        if not order.external_id:
            return None
        paypal_order = await self._client.get(
            f"/v2/checkout/orders/{_validate_id(order.external_id)}"
        )
        if paypal_order is None:
            return None
        with translate_parse_errors(self.name):
            unit = paypal_order["purchase_units"][0]
            custom_id, currency, value = (
                unit.get("custom_id"),
                unit["amount"]["currency_code"],
                parse_usd(unit["amount"]["value"]),
            )
        if custom_id != order.id:
            raise PaymentMismatch(order.id, "checkout")
        if currency != "USD":
            raise PaymentMismatch(order.id, "unit")
        if value != order.amount:
            raise PaymentMismatch(order.id, "amount")
        return paypal_order

    async def _capture(self, order: Order) -> None:
        """Takes what the payer agreed to. A refusal leaves the order as it is: they may choose
        another card, or it was taken already; it is read again anyhow."""
        answer = await self._client.post(
            f"/v2/checkout/orders/{_validate_id(order.external_id)}/capture",
            b"{}",
            request_id=f"capture-{order.id}",
        )
        if not answer.is_ok:
            _log.info("%s could not be captured: %s", order.id, refusal_issue(answer))

    async def _list_order_events(
        self, order: Order, paypal_order: Mapping[str, Any]
    ) -> Sequence[GatewayEvent]:
        payments = paypal_order["purchase_units"][0].get("payments") or {}
        captures = payments.get("captures") or []
        events: list[GatewayEvent] = []
        for capture in captures:
            if capture["status"] not in _RECEIVED_STATUSES:
                continue
            if capture["amount"]["currency_code"] != "USD":
                raise PaymentMismatch(order.id, "unit")
            events.append(_to_payment(order.id, paypal_order["id"], capture))
        for refund in payments.get("refunds") or []:
            of_payment = _find_payment(refund) or (captures[0]["id"] if captures else "")
            events += await self._refund_events(refund, of_payment)
        for payment in [event.id for event in events if isinstance(event, Payment)]:
            for dispute in await self._fetch_disputes(payment):
                events += _dispute_events(dispute)
        if any(one["status"] == "PENDING" for one in captures):  # PayPal reviews it
            events.append(PaymentPending(order.id))
        if captures and all(one["status"] in _FAILED_STATUSES for one in captures):
            events.append(CheckoutEnded(order.id, "failed"))
        return events

    # --- money that goes back --------------------------------------------------------------------

    async def refund_payment(
        self, order: Order, payment: str, amount: Cash, cause: str
    ) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        assert isinstance(amount, NanoUsd)
        answer = await self._client.post(
            f"/v2/payments/captures/{_validate_id(payment)}/refund",
            _to_json({"amount": _to_amount(amount), "custom_id": order.id}),
            request_id=f"refund-{hashlib.blake2b(cause.encode(), digest_size=20).hexdigest()}",
        )
        if not answer.is_ok:
            raise RefundDeclined(self.name, refusal_issue(answer))
        with translate_parse_errors(self.name):
            refund = await self._client.get(
                f"/v2/payments/refunds/{_validate_id(answer.body['id'])}"
            )
            if refund["status"] in {"FAILED", "CANCELLED"}:
                raise RefundDeclined(self.name, str(refund["status"]))
            return _to_refunds(refund, payment)

    async def fetch_dispute(self, order: Order, dispute: Dispute) -> Dispute:
        """See `SupportsDisputeLookup`."""
        del order
        events = await self._fetch_dispute_events(_validate_id(dispute.id))
        return next((one for one in events if isinstance(one, Dispute)), dispute)

    async def close(self) -> None:
        """See `Gateway`."""
        await self._client.close()

    async def _fetch_refund_events(
        self, resource: Mapping[str, Any], *, is_reversal: bool
    ) -> Sequence[GatewayEvent | OrderChanged]:
        refund = await self._client.get(f"/v2/payments/refunds/{_validate_id(resource['id'])}")
        if refund is None:
            if not is_reversal:
                raise GatewayUnavailable(self.name)
            # A reversal may be no refund that can be read; what is proven to be PayPal's is all
            # that there is.
            refund = resource
        with translate_parse_errors(self.name):
            _require_dollars(refund["amount"], refund.get("custom_id"))
            if payment := _find_payment(refund):
                return await self._refund_events(refund, payment)
            changed = _order_changes(refund)
        if not changed:  # whose it is nobody can say: it is told in the end
            raise UnknownOrder(str(resource["id"]))
        return changed

    async def _refund_events(
        self, refund_data: Mapping[str, Any], payment: str
    ) -> Sequence[GatewayEvent]:
        """A refund, unless it is the money of a dispute, which is reported as that."""
        refunds = _to_refunds(refund_data, payment)
        refunded_at = parse_time(str(refund_data.get("create_time", "")))
        for refund in refunds:
            disputes = await self._fetch_disputes(refund.payment)
            for dispute_data in disputes:
                disputed_at, events = (
                    parse_time(str(dispute_data["create_time"])),
                    _dispute_events(dispute_data),
                )
                came_after = (
                    refunded_at is None or disputed_at is None or disputed_at <= refunded_at
                )
                if came_after and events and not _costs_nothing(events):
                    return events
        return refunds

    async def _fetch_disputes(self, payment: str) -> list[Mapping[str, Any]]:
        """The disputes of a payment; none where the app may not read disputes, since then none is
        ever reported either."""
        found = await self._client.get(
            "/v1/customer/disputes",
            {"disputed_transaction_id": payment},
            empty_statuses=_UNREADABLE_STATUSES,
        )
        ids = [_validate_id(one["dispute_id"]) for one in (found or {}).get("items") or []]
        disputes = [await self._client.get(f"/v1/customer/disputes/{id_}") for id_ in ids]
        return [one for one in disputes if one is not None]

    async def _fetch_dispute_events(self, id_: str) -> Sequence[GatewayEvent]:
        dispute = await self._client.get(f"/v1/customer/disputes/{id_}")
        if dispute is None:
            return ()
        with translate_parse_errors(self.name):
            disputed = dispute["disputed_transactions"][0]
            _require_dollars(dispute["dispute_amount"], disputed.get("invoice_number"))
            return _dispute_events(dispute)


def _to_payment(order: str, paypal_order: str, capture: Mapping[str, Any]) -> Payment:
    """A capture in dollars, with what PayPal keeps of it where that is told."""
    fee = (capture.get("seller_receivable_breakdown") or {}).get("paypal_fee")
    paid_at = parse_time(str(capture.get("create_time", "")))
    return Payment(
        NAME,
        capture["id"],
        order,
        parse_usd(capture["amount"]["value"]),
        NanoUsd(0) if fee is None else parse_usd(fee["value"]),
        checkout=paypal_order,
        at_ms=0 if paid_at is None else round(paid_at * 1_000),
    )


def _dispute_events(data: Mapping[str, Any]) -> list[GatewayEvent]:
    """A dispute as it stands. One that costs a part of its sum is won, and that part given back;
    one that costs nothing says so, for it may have cost a part before."""
    amount = data["dispute_amount"]
    if amount["currency_code"] != "USD":
        return []
    due = parse_time(str(data.get("seller_response_due_date", "")))
    dispute = Dispute(
        NAME,
        str(data["dispute_id"]),
        str(data["disputed_transactions"][0]["seller_transaction_id"]),
        parse_usd(amount["value"]),
        "open",
        reason=str(data.get("reason", "")),
        due_at=None if due is None else int(due * 1_000),
    )
    if data["status"] != "RESOLVED":
        return [dispute]
    outcome = data.get("dispute_outcome") or {}
    part = Refund(NAME, dispute.id, dispute.payment, NanoUsd(0), failed=True, dispute=dispute.id)
    if outcome.get("outcome_code") not in _LOST_OUTCOMES:
        return [replace(dispute, state="won"), part]
    refunded = outcome.get("amount_refunded")
    lost = dispute.amount if refunded is None else parse_usd(refunded["value"])
    if lost == dispute.amount:
        return [replace(dispute, state="lost")]
    return [replace(dispute, state="won"), replace(part, amount=lost, failed=lost.is_zero)]


def _costs_nothing(events: Sequence[GatewayEvent]) -> bool:
    """Whether a dispute is won as a whole."""
    return all(
        one.state == "won" if isinstance(one, Dispute) else isinstance(one, Refund) and one.failed
        for one in events
    )


def _require_dollars(amount: Mapping[str, Any], order: object) -> None:
    """Raises `PaymentMismatch` for money of an order of ours that went in another currency: what it
    costs in dollars somebody has to look up."""
    if amount["currency_code"] != "USD" and is_order_id(order):
        raise PaymentMismatch(order, "unit")


def _find_payment(refund: Mapping[str, Any]) -> str:
    """The capture that a refund leads back to; empty where it leads nowhere."""
    links = refund.get("links") or ()
    link = next((str(one["href"]) for one in links if one["rel"] == "up"), "")
    return urlsplit(link).path.rpartition("/")[2]


def _to_refunds(data: Mapping[str, Any], payment: str) -> list[Refund]:
    amount = data["amount"]
    if amount["currency_code"] != "USD":
        return []
    # A reversal has no status: it has happened.
    failed = data.get("status") in {"FAILED", "CANCELLED"}
    return [Refund(NAME, str(data["id"]), payment, parse_usd(amount["value"]), failed)]


def _order_changes(resource: Mapping[str, Any]) -> Sequence[OrderChanged]:
    """The order that a thing of PayPal's is about; none for what others sell on this account."""
    order = resource.get("custom_id")
    return (OrderChanged(order),) if is_order_id(order) else ()


def _to_amount(cash: NanoUsd) -> dict[str, str]:
    return {"currency_code": "USD", "value": to_decimal_dollars(cash)}


def _validate_id(value: object) -> str:
    """An id of PayPal's, fit for an address."""
    if not isinstance(value, str) or not _ID_PATTERN.fullmatch(value):
        raise GatewayUnavailable(NAME)
    return value


def _to_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
