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

from core.money import NanoUsd, usd
from payments.gateways.base import Message
from payments.gateways.btcpay.client import ID, NAME, BtcPayApi, id_of, refusal
from payments.gateways.http import understood
from payments.offer import CENT, dollars
from payments.types import (
    Cash,
    Checkout,
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

#: The rate is the invoice's for so long.
OPEN_SECONDS = 1_800
#: The server watches for late money this long after an invoice closed, and so do we.
LATE_SECONDS = 7 * 86_400
SIGNATURE = "btcpay-sig"

#: What the key must be allowed, and what allows it too (BTCPay's own hierarchy).
PERMISSIONS: Mapping[str, Collection[str]] = {
    "btcpay.store.cancreateinvoice": ("btcpay.store.canmodifyinvoices",),
    "btcpay.store.canviewinvoices": (
        "btcpay.store.canmodifyinvoices",
        "btcpay.store.canviewstoresettings",
    ),
    "btcpay.store.canmanagepullpayments": ("btcpay.store.cancreatepullpayments",),
}

_PAGE, _PAGES_MAX = 100, 20
_REFUND_NAME_CHARS_MAX = 50


@final
class BtcPay:
    """The BTCPay Server gateway: it sells by invoices in dollars, paid in cryptocurrency."""

    name = NAME
    platform = ""
    open_seconds = OPEN_SECONDS

    def __init__(
        self,
        *,
        url: str,
        store_id: str,
        key: SecretStr,
        webhook_secret: SecretStr,
        return_url: str,
    ) -> None:
        """`return_url`: the page that leads back to the chat."""
        self._api = BtcPayApi(url=url, store_id=store_id, key=key)
        self._store, self._secret = store_id, webhook_secret
        self._return_url = return_url

    def amount(self, value: NanoUsd) -> Cash:
        """See `Gateway`."""
        return value

    async def probe(self) -> None:
        """See `Gateway`."""
        await self._api.allowed(PERMISSIONS)
        answer = await self._api.asked("GET", self._api.path("invoices"), {"take": "1"})
        if not answer.fine:
            raise GatewayUnavailable(self.name, "the server knows no such store for this key")

    async def begin(self, order: Order, what: str, language: str) -> Checkout:
        """See `Gateway`."""
        # The server knows no keys of idempotency: an invoice whose answer was lost is looked for.
        known = await self._api.got(self._api.path("invoices"), {"orderId": order.id})
        with understood(self.name):
            found = [one for one in known if one["status"] == "New" and not one.get("archived")]
            made = found[0] if found else await self._invoice_for(order, what, language)
            return Checkout(id_of(made["id"]), str(made["checkoutLink"]))

    async def _invoice_for(self, order: Order, what: str, language: str) -> Any:
        assert isinstance(order.amount, NanoUsd)
        asked = {
            "amount": dollars(order.amount),
            "currency": "USD",
            "metadata": {"orderId": order.id, "itemDesc": what},
            "checkout": {
                "expirationMinutes": OPEN_SECONDS // 60,
                "monitoringMinutes": LATE_SECONDS // 60,
                # Paid is what is paid in full: a store may be more generous by itself.
                "paymentTolerance": 0,
                "redirectURL": f"{self._return_url}?order={order.id}",
                "redirectAutomatically": True,
                "defaultLanguage": language,
            },
        }
        answer = await self._api.asked("POST", self._api.path("invoices"), body=asked)
        if not answer.fine:
            _log.warning("%s was refused by BTCPay: %s", order.id, refusal(answer))
            raise GatewayUnavailable(self.name)
        return answer.body

    # --- messages --------------------------------------------------------------------------------

    async def verify(self, headers: Mapping[str, str], body: bytes) -> Message:
        """See `Gateway`."""
        proof = hmac.digest(self._secret.get_secret_value().encode(), body, hashlib.sha256)
        given = headers.get(SIGNATURE, "").encode()
        if not hmac.compare_digest(given, f"sha256={proof.hex()}".encode()):
            raise Forged(self.name, "signature")
        try:
            event = json.loads(body)
        except (ValueError, RecursionError):
            raise Forged(self.name, "body") from None
        if not isinstance(event, dict):
            raise Forged(self.name, "body")
        if event.get("storeId") != self._store:
            raise Forged(self.name, "store")
        id_ = event.get("deliveryId")
        if not isinstance(id_, str) or not ID.fullmatch(id_):
            raise Forged(self.name, "body")
        return Message(id_, body)

    async def news(self, body: bytes) -> Sequence[News]:
        """See `Gateway`."""
        event = json.loads(body)
        kind = str(event["type"])
        if not kind.startswith("Invoice") or kind == "InvoiceCreated":
            return ()
        return await self._invoice(event["invoiceId"])

    # --- invoices --------------------------------------------------------------------------------

    async def look(self, order: Order) -> Sequence[News]:
        """See `Gateway`."""
        return await self._invoice(order.external) if order.external else ()

    async def late(self) -> Mapping[str, Cash]:
        """See `Gateway`."""
        since = str(int(time.time()) - OPEN_SECONDS - LATE_SECONDS)
        paid: dict[str, Cash] = {}
        for page in range(_PAGES_MAX):
            sought = {"startDate": since, "skip": str(page * _PAGE), "take": str(_PAGE)}
            listed = await self._api.got(self._api.path("invoices"), sought)
            with understood(self.name):
                for one in listed:
                    if (order := _order_of(one)) and not _untouched(one):
                        # To the nearest cent; old servers don't say it.
                        nearest = usd(one.get("paidAmount") or one["amount"])
                        paid[order] = NanoUsd(nearest.units - CENT.units)
                if len(listed) < _PAGE:
                    break
        return paid

    async def _invoice(self, id_: object) -> Sequence[News]:
        said = await self._api.got(self._api.path("invoices", id_of(id_)), none={404})
        if said is None:
            return ()
        with understood(self.name):
            news: list[News] = list(await self._payments(said))
            order, status = _order_of(said), said["status"]
        if order and status == "Expired" and _untouched(said):
            news.append(Ended(order, "expired"))
        return news

    async def _payments(self, said: Mapping[str, Any]) -> list[Payment]:
        """Each settled payment of an invoice; raises `PaymentMismatch`."""
        order = _order_of(said)
        if not order or _untouched(said):
            return []
        if said["currency"] != "USD":
            raise PaymentRefused(order, "unit")
        methods = await self._api.got(
            self._api.path("invoices", id_of(said["id"]), "payment-methods")
        )
        parts = {
            str(one["id"]): _worth(one["value"], method["rate"])
            for method in methods
            for one in method["payments"]
            if one["status"] == "Settled"
        }
        return [
            Payment(
                self.name,
                id_,
                order,
                worth,
                NanoUsd(0),
                checkout=said["id"],
                any_amount=True,
                parts=parts,
            )
            for id_, worth in parts.items()
        ]

    # --- money that goes back --------------------------------------------------------------------

    async def refund(self, order: Order, payment: str, amount: Cash, cause: str) -> Sequence[News]:
        """See `Gateway`: a page at which the payer takes it, one a cause."""
        assert isinstance(amount, NanoUsd)
        digest = hashlib.blake2b(cause.encode(), digest_size=6).hexdigest()
        name = f"{order.id} {digest}"
        assert len(name) <= _REFUND_NAME_CHARS_MAX
        known = await self._api.got(self._api.path("pull-payments"), {"includeArchived": "true"})
        with understood(self.name):
            made = next((one for one in known if one["name"] == name), None)
            if made is None:
                made = await self._pull_payment(name, amount)
            id_, sum_, link = id_of(made["id"]), usd(made["amount"]), str(made["viewLink"])
        return (Refunded(self.name, id_, payment, sum_, claim_url=link),)

    async def _pull_payment(self, name: str, amount: NanoUsd) -> Any:
        asked = {
            "name": name,
            "amount": dollars(amount),
            "currency": "USD",
            # It was confirmed in the chat; who pays it out is the server's own business.
            "autoApproveClaims": True,
        }
        answer = await self._api.asked("POST", self._api.path("pull-payments"), body=asked)
        if not answer.fine:
            raise NotGivenBack(self.name, refusal(answer))
        return answer.body

    async def close(self) -> None:
        """See `Gateway`."""
        await self._api.close()


def _worth(value: str, rate: str) -> NanoUsd:
    """What a payment is worth, up to the next nano-dollar: the server compares exact sums with an
    invoice's, and a payer who has paid it must not lack a billionth."""
    exact = Decimal(value) * Decimal(rate)
    return NanoUsd(int(exact.scaleb(NanoUsd.DECIMALS).to_integral_value(ROUND_CEILING)))


def _order_of(said: Mapping[str, Any]) -> str:
    """The order of an invoice; empty for what others sell at this store."""
    order = (said.get("metadata") or {}).get("orderId")
    return order if isinstance(order, str) and order.startswith("ord_") else ""


def _untouched(said: Mapping[str, Any]) -> bool:
    """Whether nobody has paid anything yet."""
    return said["status"] in {"New", "Expired"} and said["additionalStatus"] == "None"
