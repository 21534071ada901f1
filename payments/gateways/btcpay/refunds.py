"""Refunds at BTCPay Server: pull payments, pages on which the payer says where the money goes.

Ours are named after their order, those of the server's own button after their invoice; that one
makes them in the invoice's coin, too.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from core.money import NanoUsd, format_usd, parse_usd
from payments.gateways.btcpay.client import NAME, BtcPayClient, refusal_code, validate_id
from payments.gateways.http import translate_parse_errors
from payments.offer import from_cents, to_decimal_dollars
from payments.types import Order, PaymentWarning, Refund, RefundDeclined

_log = logging.getLogger(__name__)

_NAME_CHARS_MAX = 50
#: How long the list of pull payments serves the orders that are asked about.
_LIST_SECONDS = 60.0


class BtcPayRefunds:
    """Makes the store's pull payments, and reads what became of them."""

    def __init__(self, client: BtcPayClient) -> None:
        self._client = client
        #: The store's pull payments, which the server lists as a whole, and when that was.
        self._listed: Sequence[Mapping[str, Any]] = ()
        self._listed_at = -_LIST_SECONDS

    async def list_events(
        self, order: Order, payment: str, paid: NanoUsd
    ) -> list[Refund | PaymentWarning]:
        """What went back of an order, as refunds of its `payment`, and what may not have; `paid` is
        all that arrived, in whole cents. Raises `GatewayUnavailable`."""
        now = time.monotonic()
        if now - self._listed_at > _LIST_SECONDS:
            self._listed, self._listed_at = await self._list(), now
        with translate_parse_errors(NAME):
            ours = [
                one
                for one in self._listed
                if str(one["name"]).startswith(f"{order.id} ")
                or one["name"] == f"Refund {order.external_id}"
            ]
            return [
                event
                for one in ours
                for event in await self._read_events(order, payment, paid, one)
            ]

    async def create_refund(
        self, order: Order, payment: str, amount: NanoUsd, cause: str
    ) -> Refund:
        """A page at which the payer takes so much, one a cause. Raises `RefundDeclined`,
        `GatewayUnavailable`."""
        digest = hashlib.blake2b(cause.encode(), digest_size=6).hexdigest()
        name = f"{order.id} {digest}"
        assert len(name) <= _NAME_CHARS_MAX
        listed = await self._list()
        with translate_parse_errors(NAME):
            found = next((one for one in listed if one["name"] == name), None)
            if found is None:
                found = await self._create(name, amount)
            id_, link = validate_id(found["id"]), str(found["viewLink"])
            return Refund(NAME, id_, payment, parse_usd(found["amount"]), claim_url=link)

    async def _create(self, name: str, amount: NanoUsd) -> Any:
        body = {
            "name": name,
            "amount": to_decimal_dollars(amount),
            "currency": "USD",
            # It was confirmed in the chat; who pays it out is the server's own business.
            "autoApproveClaims": True,
        }
        answer = await self._client.request(
            "POST", self._client.store_path("pull-payments"), body=body
        )
        if not answer.is_ok:
            raise RefundDeclined(NAME, refusal_code(answer))
        return answer.body

    async def _list(self) -> Any:
        return await self._client.get(
            self._client.store_path("pull-payments"), {"includeArchived": "true"}
        )

    async def _read_events(
        self, order: Order, payment: str, paid: NanoUsd, pull: Mapping[str, Any]
    ) -> Sequence[Refund | PaymentWarning]:
        """A pull payment as a refund. The server hides the claims of an archived one, so that one
        is a warning too: it may have been archived before anything was claimed."""
        rate = await self._read_rate(order, pull)
        if rate is None:
            return ()
        id_, amount = (
            validate_id(pull["id"]),
            _convert_to_cents(Decimal(pull["amount"]) * rate, paid),
        )
        refund = Refund(NAME, id_, payment, amount)
        if not pull.get("archived"):
            return (refund,)
        cash = format_usd(amount)
        return (refund, PaymentWarning(NAME, id_, "", order.id, kind="archived", reason=cash))

    async def _read_rate(self, order: Order, pull: Mapping[str, Any]) -> Decimal | None:
        """What a unit of a pull payment is worth in dollars, at its invoice's own rate; None where
        that has none."""
        currency = str(pull["currency"])
        if currency == "USD":
            return Decimal(1)
        methods = await self._client.get(
            self._client.store_path("invoices", validate_id(order.external_id), "payment-methods")
        )
        for method in methods:
            if currency in {method.get("currency"), method.get("cryptoCode")}:
                return Decimal(method["rate"])
        _log.warning("%s has a refund in %s, of no known rate", order.id, currency[:8])
        return None


def _convert_to_cents(dollars: Decimal, paid: NanoUsd) -> NanoUsd:
    """Whole cents, no more than was paid: coins are worth a cent more or less by rounding."""
    cents = int((dollars * 100).to_integral_value(ROUND_HALF_UP))
    return min(from_cents(cents), paid)
