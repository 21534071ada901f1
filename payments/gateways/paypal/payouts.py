"""Payouts by PayPal Payouts v1: a batch of one item, named by our own id.

PayPal takes a `sender_batch_id` once in thirty days, and leads whoever sends it again to the batch
that it made of it. A batch that succeeded says nothing of its item: the item alone tells what was
paid. Whoever has no account yet has thirty days to claim it, until it returns.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any, Final, final
from urllib.parse import urlsplit

from pydantic import SecretStr

from core.earnings.payouts import Payout
from core.money import usd
from payments.gateways.http import Answer, understood
from payments.gateways.paypal.client import NAME, PayPalApi, issue
from payments.offer import dollars
from payments.payouts import NO_FEE, Disbursed
from payments.types import GatewayUnavailable

_log = logging.getLogger(__name__)

_PATH: Final = "/v1/payments/payouts"
#: What the app's token must be good for; the account is given it when it may pay people.
SCOPE: Final = "https://uri.paypal.com/payments/payouts"
_BATCH: Final = re.compile(r"[A-Z0-9]{1,30}")
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{1,79}")
_FAILED: Final = frozenset({"FAILED", "RETURNED", "BLOCKED", "REFUNDED", "REVERSED"})
_WAITS: Final = frozenset({"PENDING", "UNCLAIMED", "ONHOLD"})
#: A batch of which nothing will come.
_OFF: Final = frozenset({"DENIED", "CANCELED"})


@final
class PayPalPayouts:
    """The payout provider that pays to PayPal accounts, by e-mail address."""

    #: PayPal's thirty, less a margin.
    remembers_days = 28
    #: Whoever was paid may send it back, and PayPal may take it back.
    watched_days = 30

    def __init__(self, *, client_id: str, client_secret: SecretStr, api_url: str) -> None:
        self._api = PayPalApi(client_id=client_id, client_secret=client_secret, url=api_url)

    async def probe(self) -> str:
        """See `PayoutProvider`."""
        if SCOPE in await self._api.scopes():
            return ""
        return "its token doesn't name Payouts: if PayPal refuses them, ask it to allow them"

    async def disburse(self, payout: Payout, address: SecretStr) -> Disbursed:
        """See `PayoutProvider`."""
        item = {
            "recipient_type": "EMAIL",
            "receiver": address.get_secret_value(),
            "amount": {"value": dollars(payout.cash), "currency": "USD"},
            "sender_item_id": payout.id,
        }
        asked = {"sender_batch_header": {"sender_batch_id": payout.id}, "items": [item]}
        answer = await self._api.post(_PATH, json.dumps(asked).encode())
        if answer.fine:
            with understood(NAME):
                return Disbursed("pending", _batch(answer.body["batch_header"]["payout_batch_id"]))
        if _is_known(answer):
            return await self._stands(_made_before(answer), payout)
        if answer.status in {400, 422} and (why := _item_refused(answer)):
            return Disbursed("failed", "", reason=why)
        raise GatewayUnavailable(NAME, f"PayPal says {issue(answer)}")

    async def disbursed(self, payout: Payout) -> Disbursed:
        """See `PayoutProvider`."""
        return await self._stands(_batch(payout.external), payout)

    def page(self, payout: Payout) -> str:
        """See `PayoutProvider`; PayPal has none that can be linked to."""
        del payout
        return ""

    async def close(self) -> None:
        """See `PayoutProvider`."""
        await self._api.close()

    async def _stands(self, batch: str, payout: Payout) -> Disbursed:
        said = await self._api.get(f"{_PATH}/{batch}")
        if said is None:
            raise GatewayUnavailable(NAME, f"PayPal shows no batch {batch}")
        with understood(NAME):
            header = said["batch_header"]
            items = said.get("items") or [{}]
            if header["sender_batch_header"]["sender_batch_id"] != payout.id:
                raise GatewayUnavailable(NAME, f"batch {batch} isn't ours")
            if header["batch_status"] in _OFF:
                return Disbursed("failed", batch, reason=_why(items[0], header["batch_status"]))
            # While a batch is looked through, its items aren't told.
            return _item(items[0], batch, payout) if items[0] else Disbursed("pending", batch)


def _item(said: Mapping[str, Any], batch: str, payout: Payout) -> Disbursed:
    amount, status = said["payout_item"]["amount"], said.get("transaction_status", "PENDING")
    if amount["currency"] != "USD" or usd(amount["value"]) != payout.cash:
        raise GatewayUnavailable(NAME, f"batch {batch} is of another amount")
    if status == "SUCCESS":
        fee = said.get("payout_item_fee") or {}
        in_dollars = fee.get("currency") == "USD"
        return Disbursed("paid", batch, usd(fee["value"]) if in_dollars else NO_FEE)
    if status in _FAILED:
        return Disbursed("failed", batch, reason=_why(said, status))
    if status not in _WAITS:
        _log.warning("%s stands at PayPal in a state that nobody knows", payout.id)
    return Disbursed("pending", batch)


def _why(item: Mapping[str, Any], status: str) -> str:
    """PayPal's name of an item's trouble; of its state where it tells none."""
    name = (item.get("errors") or {}).get("name")
    return name if isinstance(name, str) and _NAME.fullmatch(name) else status


def _details(answer: Answer) -> list[Mapping[str, Any]]:
    said = answer.body if isinstance(answer.body, dict) else {}
    return [one for one in said.get("details") or () if isinstance(one, dict)]


def _is_known(answer: Answer) -> bool:
    """Whether the batch is refused because one of its id was made before."""
    return any(str(one.get("field")).upper() == "SENDER_BATCH_ID" for one in _details(answer))


def _made_before(answer: Answer) -> str:
    """That one; of its link only the end is used. Raises `GatewayUnavailable`."""
    with understood(NAME):
        for one in _details(answer):
            for link in one.get("link") or one.get("links") or ():
                place, _, batch = urlsplit(str(link["href"])).path.rpartition("/")
                if place.endswith(_PATH) and _BATCH.fullmatch(batch):
                    return batch
    raise GatewayUnavailable(NAME, "PayPal has it already, and doesn't say where: look there")


def _item_refused(answer: Answer) -> str:
    """Why PayPal won't ever take this item (its receiver, its amount); empty where the trouble is
    another one, that can pass."""
    fields = [str(one.get("field", "")) for one in _details(answer)]
    if not fields or not all(field.startswith("items[") for field in fields):
        return ""
    return f"{issue(answer)} {fields[0].rpartition('.')[2]}"[:80]


def _batch(given: object) -> str:
    """An id of PayPal's, fit for an address."""
    if not isinstance(given, str) or not _BATCH.fullmatch(given):
        raise GatewayUnavailable(NAME)
    return given
