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

from core.money import NanoUsd, usd
from payments.gateways.base import Message
from payments.gateways.http import understood
from payments.gateways.paypal.client import NAME, PayPalApi, issue
from payments.gateways.paypal.webhook_proof import plausible, question, seconds
from payments.offer import dollars
from payments.types import (
    Cash,
    Changed,
    Checkout,
    Dispute,
    Ended,
    Forged,
    GatewayUnavailable,
    News,
    NotGivenBack,
    Order,
    Payment,
    PaymentRefused,
    Refunded,
)

_log = logging.getLogger(__name__)

API = "https://api-m.paypal.com"
#: A payer must be led to PayPal within three hours of the order (PayPal's own limit).
OPEN_SECONDS = 3 * 3_600
#: What the webhook must be subscribed to.
EVENTS = (
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
_PROOFS_AT_ONCE = 16
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_LIVE_HOSTS = frozenset({"api.paypal.com", "api-m.paypal.com"})
_LOCALES = {"en": "en-US", "zh-CN": "zh-CN"}
#: Captures whose money came, whatever became of it later.
_CAME = frozenset({"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"})
_NEVER_CAME = frozenset({"DECLINED", "FAILED"})
_NOT_READABLE = frozenset({403, 404})
_LOST = frozenset({"RESOLVED_BUYER_FAVOUR", "ACCEPTED"})


@final
class PayPal:
    """The PayPal gateway: the payer agrees at PayPal, and the gateway captures the money."""

    name = NAME
    platform = ""
    open_seconds = OPEN_SECONDS

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: SecretStr,
        webhook_id: str,
        public_url: str,
        api_url: str = API,
    ) -> None:
        """`webhook_id`: PayPal's id of our webhook at it; `public_url`: our HTTP app."""
        self._api = PayPalApi(client_id=client_id, client_secret=client_secret, url=api_url)
        self._webhook, self._our_url = webhook_id, public_url
        self._live = urlsplit(api_url).hostname in _LIVE_HOSTS
        self._proving = 0

    def amount(self, value: NanoUsd) -> Cash:
        """See `Gateway`."""
        return value

    async def probe(self) -> None:
        """See `Gateway`."""
        disputes = await self._api.get("/v1/customer/disputes", {"page_size": "1"}, none={403})
        if disputes is None:
            raise GatewayUnavailable(self.name, "its app may not read disputes: allow it to")
        said = await self._api.get(f"/v1/notifications/webhooks/{self._webhook}")
        if said is None:
            raise GatewayUnavailable(self.name, "PayPal knows no webhook of that id at this app")
        with understood(self.name):
            told = {str(one["name"]) for one in said["event_types"]}
            led = str(said["url"])
        ours = f"{self._our_url}/webhooks/{self.name}"
        if led != ours:
            raise GatewayUnavailable(self.name, f"its webhook must lead to {ours}")
        missing = [] if "*" in told else [name for name in EVENTS if name not in told]
        if missing:
            raise GatewayUnavailable(self.name, f"its webhook lacks {', '.join(missing)}")

    async def begin(self, order: Order, what: str, language: str) -> Checkout:
        """See `Gateway`."""
        assert isinstance(order.amount, NanoUsd)
        back = f"{self._our_url}/paid?order={order.id}"
        context = {
            "locale": _LOCALES.get(language, "en-US"),
            "shipping_preference": "NO_SHIPPING",
            "user_action": "PAY_NOW",
            # Nothing that takes days to arrive.
            "payment_method_preference": "IMMEDIATE_PAYMENT_REQUIRED",
            "return_url": back,
            "cancel_url": f"{back}&left=1",
        }
        unit = {
            "custom_id": order.id,
            # Unique in the account: PayPal takes no second payment for it.
            "invoice_id": order.id,
            "description": what[:127],
            "amount": _amount(order.amount),
        }
        asked = {
            "intent": "CAPTURE",
            "purchase_units": [unit],
            "payment_source": {"paypal": {"experience_context": context}},
        }
        answer = await self._api.post("/v2/checkout/orders", _json(asked), once=f"order-{order.id}")
        if not answer.fine:
            _log.warning("%s was refused by PayPal: %s", order.id, issue(answer))
            raise GatewayUnavailable(self.name)
        with understood(self.name):
            links = {one["rel"]: one["href"] for one in answer.body["links"]}
            url = links.get("payer-action") or links["approve"]
            return Checkout(answer.body["id"], url)

    # --- messages --------------------------------------------------------------------------------

    async def verify(self, headers: Mapping[str, str], body: bytes) -> Message:
        """See `Gateway`."""
        id_ = plausible(headers, body, live=self._live)
        if self._proving >= _PROOFS_AT_ONCE:
            raise GatewayUnavailable(self.name)
        self._proving += 1
        try:
            answer = await self._api.post(
                "/v1/notifications/verify-webhook-signature",
                question(headers, self._webhook, body),
            )
        finally:
            self._proving -= 1
        if answer.status in {400, 422}:
            raise Forged(self.name, "headers")
        if not answer.fine:
            raise GatewayUnavailable(self.name, f"PayPal says {issue(answer)}")
        with understood(self.name):
            proven = answer.body["verification_status"] == "SUCCESS"
        if not proven:
            raise Forged(self.name, "signature")
        return Message(id_, body)

    async def news(self, body: bytes) -> Sequence[News | Changed]:
        """See `Gateway`."""
        event: dict[str, Any] = json.loads(body)
        about: dict[str, Any] = event["resource"]
        kind = str(event["event_type"])
        if kind.startswith("CHECKOUT.ORDER."):
            return _changed(about["purchase_units"][0])
        if kind in {"PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED"}:
            return await self._told_refund(about, reversed_=kind.endswith("REVERSED"))
        if kind.startswith("PAYMENT.REFUND."):
            return await self._told_refund(about, reversed_=False)
        if kind.startswith("PAYMENT.CAPTURE."):
            return _changed(about)
        if kind.startswith("CUSTOMER.DISPUTE."):
            return await self._dispute(_id(about["dispute_id"]))
        return ()

    # --- orders ----------------------------------------------------------------------------------

    async def look(self, order: Order) -> Sequence[News]:
        """See `Gateway`."""
        said = await self._order(order)
        if said is not None and said["status"] == "APPROVED":
            await self._take(order)
            said = await self._order(order)
        if said is None:
            return ()
        with understood(self.name):
            return await self._payments(order, said)

    async def late(self) -> Mapping[str, Cash]:
        """See `Gateway`; what nobody took was never paid."""
        return {}

    async def _order(self, order: Order) -> Any:
        """PayPal's side of an order, None where there is none (they vanish). Raises
        `PaymentMismatch` when it isn't what we made."""
        if not order.external:
            return None
        said = await self._api.get(f"/v2/checkout/orders/{_id(order.external)}")
        if said is None:
            return None
        with understood(self.name):
            unit = said["purchase_units"][0]
            custom, currency, value = (
                unit.get("custom_id"),
                unit["amount"]["currency_code"],
                usd(unit["amount"]["value"]),
            )
        if custom != order.id:
            raise PaymentRefused(order.id, "checkout")
        if currency != "USD":
            raise PaymentRefused(order.id, "unit")
        if value != order.amount:
            raise PaymentRefused(order.id, "amount")
        return said

    async def _take(self, order: Order) -> None:
        """Takes what the payer agreed to. A refusal leaves the order as it is: they may choose
        another card, or it was taken already; it is read again anyhow."""
        answer = await self._api.post(
            f"/v2/checkout/orders/{_id(order.external)}/capture", b"{}", once=f"capture-{order.id}"
        )
        if not answer.fine:
            _log.info("%s could not be captured: %s", order.id, issue(answer))

    async def _payments(self, order: Order, said: Mapping[str, Any]) -> Sequence[News]:
        taken = said["purchase_units"][0].get("payments") or {}
        captures = taken.get("captures") or []
        news: list[News] = []
        for one in captures:
            if one["status"] not in _CAME:
                continue
            if one["amount"]["currency_code"] != "USD":
                raise PaymentRefused(order.id, "unit")
            fee = (one.get("seller_receivable_breakdown") or {}).get("paypal_fee")
            kept = NanoUsd(0) if fee is None else usd(fee["value"])
            amount = usd(one["amount"]["value"])
            news.append(Payment(self.name, one["id"], order.id, amount, kept, checkout=said["id"]))
        for refund in taken.get("refunds") or []:
            news += await self._went_back(refund)
        if captures and all(one["status"] in _NEVER_CAME for one in captures):
            news.append(Ended(order.id, "failed"))
        return news

    # --- money that goes back --------------------------------------------------------------------

    async def refund(self, order: Order, payment: str, amount: Cash, cause: str) -> Sequence[News]:
        """See `Gateway`."""
        assert isinstance(amount, NanoUsd)
        answer = await self._api.post(
            f"/v2/payments/captures/{_id(payment)}/refund",
            _json({"amount": _amount(amount), "custom_id": order.id}),
            once=f"refund-{hashlib.blake2b(cause.encode(), digest_size=20).hexdigest()}",
        )
        if not answer.fine:
            raise NotGivenBack(self.name, issue(answer))
        with understood(self.name):
            said = await self._api.get(f"/v2/payments/refunds/{_id(answer.body['id'])}")
            if said["status"] in {"FAILED", "CANCELLED"}:
                raise NotGivenBack(self.name, str(said["status"]))
            return _refunded(said)

    async def close(self) -> None:
        """See `Gateway`."""
        await self._api.close()

    async def _told_refund(self, about: Mapping[str, Any], *, reversed_: bool) -> Sequence[News]:
        said = await self._api.get(f"/v2/payments/refunds/{_id(about['id'])}")
        if said is None:
            if not reversed_:
                raise GatewayUnavailable(self.name)
            # A reversal may be no refund that can be read; what is proven to be PayPal's is all
            # that there is.
            said = about
        with understood(self.name):
            return await self._went_back(said)

    async def _went_back(self, said: Mapping[str, Any]) -> Sequence[News]:
        """A refund, unless it is the money of a dispute, which is reported as that."""
        refunds = _refunded(said)
        at = seconds(str(said.get("create_time", "")))
        for refund in refunds:
            found = await self._disputes(refund.payment)
            for one in found:
                begun, news = seconds(str(one["create_time"])), _disputed(one)
                later = at is None or begun is None or begun <= at
                if later and news and not _won(news[-1]):
                    return news
        return refunds

    async def _disputes(self, payment: str) -> list[Mapping[str, Any]]:
        """The disputes of a payment; none where the app may not read disputes, since then none is
        ever reported either."""
        found = await self._api.get(
            "/v1/customer/disputes", {"disputed_transaction_id": payment}, none=_NOT_READABLE
        )
        ids = [_id(one["dispute_id"]) for one in (found or {}).get("items") or []]
        told = [await self._api.get(f"/v1/customer/disputes/{id_}") for id_ in ids]
        return [one for one in told if one is not None]

    async def _dispute(self, id_: str) -> Sequence[News]:
        said = await self._api.get(f"/v1/customer/disputes/{id_}")
        if said is None:
            return ()
        with understood(self.name):
            return _disputed(said)


def _disputed(said: Mapping[str, Any]) -> list[News]:
    """A dispute as it stands. One that costs a part of its sum is won, and that part given back."""
    amount = said["dispute_amount"]
    if amount["currency_code"] != "USD":
        return []
    due = seconds(str(said.get("seller_response_due_date", "")))
    one = Dispute(
        NAME,
        str(said["dispute_id"]),
        str(said["disputed_transactions"][0]["seller_transaction_id"]),
        usd(amount["value"]),
        "open",
        reason=str(said.get("reason", "")),
        due_at=None if due is None else int(due * 1_000),
    )
    if said["status"] != "RESOLVED":
        return [one]
    outcome = said.get("dispute_outcome") or {}
    if outcome.get("outcome_code") not in _LOST:
        return [replace(one, state="won")]
    gone = outcome.get("amount_refunded")
    lost = one.amount if gone is None else usd(gone["value"])
    if lost == one.amount:
        return [replace(one, state="lost")]
    part = [] if lost.is_zero else [Refunded(NAME, one.id, one.payment, lost)]
    return [replace(one, state="won"), *part]


def _won(one: News) -> bool:
    return isinstance(one, Dispute) and one.state == "won"


def _refunded(said: Mapping[str, Any]) -> list[Refunded]:
    amount = said["amount"]
    up = next(one["href"] for one in said["links"] if one["rel"] == "up")
    if amount["currency_code"] != "USD":
        return []
    # A reversal has no status: it has happened.
    failed = said.get("status") in {"FAILED", "CANCELLED"}
    payment = urlsplit(up).path.rpartition("/")[2]
    return [Refunded(NAME, str(said["id"]), payment, usd(amount["value"]), failed)]


def _changed(about: Mapping[str, Any]) -> Sequence[Changed]:
    """The order that a thing of PayPal's is about; none for what others sell on this account."""
    order = about.get("custom_id")
    return (Changed(order),) if isinstance(order, str) and order.startswith("ord_") else ()


def _amount(cash: NanoUsd) -> dict[str, str]:
    return {"currency_code": "USD", "value": dollars(cash)}


def _id(given: object) -> str:
    """An id of PayPal's, fit for an address."""
    if not isinstance(given, str) or not _ID.fullmatch(given):
        raise GatewayUnavailable(NAME)
    return given


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
