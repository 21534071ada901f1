"""BTCPay Server by its Greenfield API: invoices in dollars, paid on a chain or over Lightning.

What is paid there can't be taken back, comes in parts, late, or too much of it. So each payment
that the server calls settled is an event by itself, worth what it is at the invoice's own rate, and
a refund is a page on which the payer says where it goes. BTCPay keeps nothing; what the chain costs
is the payer's.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any, final

from pydantic import SecretStr

from core.money import NanoUsd, parse_usd
from payments.gateways.base import WebhookMessage
from payments.gateways.btcpay.client import (
    ID_PATTERN,
    NAME,
    BtcPayClient,
    refusal_code,
    validate_id,
)
from payments.gateways.btcpay.refunds import BtcPayRefunds
from payments.gateways.http import translate_parse_errors
from payments.offer import CENT, from_cents, to_cents, to_decimal_dollars
from payments.types import (
    Cash,
    Checkout,
    CheckoutEnded,
    GatewayEvent,
    GatewayUnavailable,
    InvalidSignature,
    Order,
    Payment,
    PaymentMismatch,
    PaymentPending,
    PaymentWarning,
    is_order_id,
)

_log = logging.getLogger(__name__)

#: The rate is the invoice's for so long.
CHECKOUT_SECONDS = 1_800
#: The server watches for late money this long after an invoice closed, and so do we.
LATE_SECONDS = 7 * 86_400
SIGNATURE_HEADER = "btcpay-sig"

#: What the key must be allowed, and what allows it too (BTCPay's own hierarchy).
PERMISSIONS: Mapping[str, Collection[str]] = {
    "btcpay.store.cancreateinvoice": ("btcpay.store.canmodifyinvoices",),
    "btcpay.store.canviewinvoices": (
        "btcpay.store.canmodifyinvoices",
        "btcpay.store.canviewstoresettings",
    ),
    "btcpay.store.canmanagepullpayments": ("btcpay.store.cancreatepullpayments",),
}

_PAGE_SIZE, _PAGES_MAX = 100, 20
#: A process that begins may stand at a restored copy: the list of so long has what it lacks.
_FIRST_LIST_SECONDS = 30 * 86_400


@final
class BtcPayGateway:
    """The BTCPay Server gateway: it sells by invoices in dollars, paid in cryptocurrency."""

    name = NAME
    platform = ""
    checkout_seconds = CHECKOUT_SECONDS

    def __init__(
        self,
        *,
        url: str,
        store_id: str,
        api_key: SecretStr,
        webhook_secret: SecretStr,
        return_url: str,
    ) -> None:
        """`return_url`: the page that leads back to the chat."""
        self._client = BtcPayClient(url=url, store_id=store_id, api_key=api_key)
        self._store_id, self._webhook_secret = store_id, webhook_secret
        self._return_url = return_url
        self._refunds = BtcPayRefunds(self._client)
        #: Whether this process has seen the store's list.
        self._has_listed = False

    def quote_amount(self, value: NanoUsd) -> Cash:
        """See `Gateway`."""
        return value

    async def check_account(self) -> None:
        """See `Gateway`."""
        await self._client.check_permissions(PERMISSIONS)
        await self._client.check_version()
        answer = await self._client.request(
            "GET", self._client.store_path("invoices"), {"take": "1"}
        )
        if not answer.is_ok:
            raise GatewayUnavailable(self.name, "the server knows no such store for this key")

    async def create_checkout(self, order: Order, description: str, language: str) -> Checkout:
        """See `Gateway`."""
        # The server knows no keys of idempotency: an invoice whose answer was lost is looked for.
        invoices = await self._client.get(
            self._client.store_path("invoices"), {"orderId": order.id}
        )
        with translate_parse_errors(self.name):
            waiting = [
                one for one in invoices if one["status"] == "New" and not one.get("archived")
            ]
            invoice = (
                waiting[0] if waiting else await self._create_invoice(order, description, language)
            )
            return Checkout(validate_id(invoice["id"]), str(invoice["checkoutLink"]))

    async def _create_invoice(self, order: Order, description: str, language: str) -> Any:
        assert isinstance(order.amount, NanoUsd)
        body = {
            "amount": to_decimal_dollars(order.amount),
            "currency": "USD",
            "metadata": {"orderId": order.id, "itemDesc": description},
            "checkout": {
                "expirationMinutes": CHECKOUT_SECONDS // 60,
                "monitoringMinutes": LATE_SECONDS // 60,
                # Paid is what is paid in full: a store may be more generous by itself.
                "paymentTolerance": 0,
                "redirectURL": f"{self._return_url}?order={order.id}",
                "redirectAutomatically": True,
                "defaultLanguage": language,
            },
        }
        answer = await self._client.request("POST", self._client.store_path("invoices"), body=body)
        if not answer.is_ok:
            _log.warning("%s was refused by BTCPay: %s", order.id, refusal_code(answer))
            raise GatewayUnavailable(self.name)
        return answer.body

    # --- messages --------------------------------------------------------------------------------

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookMessage:
        """See `Gateway`."""
        proof = hmac.digest(self._webhook_secret.get_secret_value().encode(), body, hashlib.sha256)
        signature = headers.get(SIGNATURE_HEADER, "").encode()
        if not hmac.compare_digest(signature, f"sha256={proof.hex()}".encode()):
            raise InvalidSignature(self.name, "signature")
        try:
            event = json.loads(body)
        except (ValueError, RecursionError):
            raise InvalidSignature(self.name, "body") from None
        if not isinstance(event, dict):
            raise InvalidSignature(self.name, "body")
        if event.get("storeId") != self._store_id:
            raise InvalidSignature(self.name, "store")
        id_ = event.get("deliveryId")
        if not isinstance(id_, str) or not ID_PATTERN.fullmatch(id_):
            raise InvalidSignature(self.name, "body")
        return WebhookMessage(id_, body)

    async def parse_events(self, body: bytes) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        event = json.loads(body)
        kind = str(event["type"])
        if not kind.startswith("Invoice") or kind == "InvoiceCreated":
            return ()
        return await self._fetch_invoice_events(event["invoiceId"])

    # --- invoices --------------------------------------------------------------------------------

    async def fetch_order(self, order: Order) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        if not order.external_id:
            return ()
        events = await self._fetch_invoice_events(order.external_id)
        paid = [event for event in events if isinstance(event, Payment)]
        if not paid:
            return events
        arrived = _sum_arrived(paid[-1])
        return [*events, *await self._refunds.list_events(order, paid[-1].id, arrived)]

    async def list_late_payments(self) -> Mapping[str, Cash]:
        """See `Gateway`."""
        age = CHECKOUT_SECONDS + LATE_SECONDS if self._has_listed else _FIRST_LIST_SECONDS
        since = str(int(time.time()) - age)
        paid: dict[str, Cash] = {}
        for page in range(_PAGES_MAX):
            params = {"startDate": since, "skip": str(page * _PAGE_SIZE), "take": str(_PAGE_SIZE)}
            invoices = await self._client.get(self._client.store_path("invoices"), params)
            with translate_parse_errors(self.name):
                for invoice in invoices:
                    if (order := _order_id(invoice)) and not _is_unpaid(invoice):
                        # To the nearest cent; old servers don't say it.
                        nearest = parse_usd(invoice.get("paidAmount") or invoice["amount"])
                        paid[order] = NanoUsd(nearest.units - CENT.units)
                if len(invoices) < _PAGE_SIZE:
                    break
        self._has_listed = True
        return paid

    async def find_checkout(self, payment_id: str) -> str:
        """See `FindsCheckouts`: `find_paid_order` names the checkout."""
        return payment_id

    async def find_paid_order(self, order_id: str) -> Payment | None:
        """See `FindsLostOrders`."""
        invoices = await self._client.get(
            self._client.store_path("invoices"), {"orderId": order_id}
        )
        for invoice in invoices:
            with translate_parse_errors(self.name):
                if _order_id(invoice) != order_id:
                    continue
                events = await self._list_payment_events(invoice)
                id_, at_ms = validate_id(invoice["id"]), int(invoice["createdTime"]) * 1_000
            paid = [event for event in events if isinstance(event, Payment)]
            if paid and not (amount := _sum_arrived(paid[0])).is_zero:
                return Payment(
                    self.name, id_, order_id, amount, NanoUsd(0), checkout=id_, at_ms=at_ms
                )
        return None

    async def _fetch_invoice_events(self, id_: object) -> Sequence[GatewayEvent]:
        invoice = await self._client.get(
            self._client.store_path("invoices", validate_id(id_)), empty_statuses={404}
        )
        if invoice is None:
            return ()
        with translate_parse_errors(self.name):
            events: list[GatewayEvent] = list(await self._list_payment_events(invoice))
            order, status = _order_id(invoice), invoice["status"]
        if order and status == "Expired" and _is_unpaid(invoice):
            events.append(CheckoutEnded(order, "expired"))
        if order and status == "Invalid":  # the chain never confirmed what was on its way
            events = [event for event in events if not isinstance(event, PaymentPending)]
            if not events:
                events.append(CheckoutEnded(order, "failed"))
            # What was credited before stays until somebody decides; where nothing was, it is over.
            invoice_id = str(invoice["id"])
            events.append(PaymentWarning(self.name, invoice_id, "", order, kind="invalid"))
        return events

    async def _list_payment_events(self, invoice: Mapping[str, Any]) -> list[GatewayEvent]:
        """Each settled payment of an invoice, and whether more is on its way; raises
        `PaymentMismatch`."""
        order = _order_id(invoice)
        if not order or _is_unpaid(invoice):
            return []
        if invoice["currency"] != "USD":
            raise PaymentMismatch(order, "unit")
        methods = await self._client.get(
            self._client.store_path("invoices", validate_id(invoice["id"]), "payment-methods")
        )
        parts = {
            str(one["id"]): _convert_to_usd(one["value"], method["rate"])
            for method in methods
            for one in method["payments"]
            if one["status"] == "Settled"
        }
        events: list[GatewayEvent] = [
            Payment(
                self.name,
                id_,
                order,
                worth,
                NanoUsd(0),
                checkout=invoice["id"],
                any_amount=True,
                parts=parts,
            )
            for id_, worth in parts.items()
        ]
        statuses = {one["status"] for method in methods for one in method["payments"]}
        return [*events, *((PaymentPending(order),) if "Processing" in statuses else ())]

    # --- money that goes back --------------------------------------------------------------------

    async def refund_payment(
        self, order: Order, payment: str, amount: Cash, cause: str
    ) -> Sequence[GatewayEvent]:
        """See `Gateway`: a page at which the payer takes it, one a cause."""
        assert isinstance(amount, NanoUsd)
        return (await self._refunds.create_refund(order, payment, amount, cause),)

    async def close(self) -> None:
        """See `Gateway`."""
        await self._client.close()


def _convert_to_usd(value: str, rate: str) -> NanoUsd:
    """What a payment is worth, up to the next nano-dollar: the server compares exact sums with an
    invoice's, and a payer who has paid it must not lack a billionth."""
    exact = Decimal(value) * Decimal(rate)
    return NanoUsd(int(exact.scaleb(NanoUsd.DECIMALS).to_integral_value(ROUND_CEILING)))


def _sum_arrived(payment: Payment) -> NanoUsd:
    """All that arrived for an invoice by its last payment's parts, in whole cents."""
    return from_cents(to_cents(sum(payment.parts.values(), start=NanoUsd(0))))


def _order_id(invoice: Mapping[str, Any]) -> str:
    """The order of an invoice; empty for what others sell at this store."""
    order = (invoice.get("metadata") or {}).get("orderId")
    return order if is_order_id(order) else ""


def _is_unpaid(invoice: Mapping[str, Any]) -> bool:
    """Whether nobody has paid anything yet."""
    return invoice["status"] in {"New", "Expired"} and invoice["additionalStatus"] == "None"
