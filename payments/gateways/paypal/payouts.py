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
from dataclasses import replace
from typing import Any, Final, final
from urllib.parse import urlsplit

from pydantic import SecretStr

from core.earnings.payouts import Payout
from core.money import parse_usd
from payments.gateways.http import GatewayResponse, translate_parse_errors
from payments.gateways.paypal.client import NAME, PayPalClient, refusal_issue
from payments.offer import to_decimal_dollars
from payments.payouts import NO_FEE, UNFUNDED_PREFIX, PayoutStatus
from payments.types import GatewayUnavailable

_log = logging.getLogger(__name__)

_PATH: Final = "/v1/payments/payouts"
#: What the app's token must be good for; the account is given it when it may pay people.
PAYOUTS_SCOPE: Final = "https://uri.paypal.com/payments/payouts"
_BATCH_ID_PATTERN: Final = re.compile(r"[A-Z0-9]{1,30}")
_ERROR_NAME_PATTERN: Final = re.compile(r"[A-Z][A-Z0-9_]{1,79}")
_FAILED_STATUSES: Final = frozenset({"FAILED", "RETURNED", "BLOCKED", "REFUNDED", "REVERSED"})
_PENDING_STATUSES: Final = frozenset({"PENDING", "UNCLAIMED", "ONHOLD"})
#: A batch of which nothing will come.
_CANCELLED_STATUSES: Final = frozenset({"DENIED", "CANCELED"})
#: Errors that are the operator's to mend, in words for them.
_OWN_TROUBLES: Final = {
    "INSUFFICIENT_FUNDS": "your PayPal balance is too low for it: top it up, it is sent again"
    " every hour; or press It came back and give its Credits back",
    "SENDER_ACCOUNT_LOCKED": "PayPal has locked your account: once that is settled it is sent by"
    " itself; or press It came back and give its Credits back",
}
_SENT_ANEW: Final = "it was sent anew after PayPal had refused it for your account"


@final
class PayPalPayoutProvider:
    """The payout provider that pays to PayPal accounts, by e-mail address."""

    #: PayPal's thirty, less a margin.
    idempotency_days = 28
    #: Whoever was paid may send it back, and PayPal may take it back.
    return_window_days = 30

    def __init__(self, *, client_id: str, client_secret: SecretStr, api_url: str) -> None:
        self._client = PayPalClient(client_id=client_id, client_secret=client_secret, url=api_url)

    async def check_account(self) -> str:
        """See `PayoutProvider`."""
        if PAYOUTS_SCOPE in await self._client.fetch_scopes():
            return ""
        return "its token doesn't name Payouts: if PayPal refuses them, ask it to allow them"

    async def send_payout(self, payout: Payout, address: SecretStr) -> PayoutStatus:
        """See `PayoutProvider`."""
        item = {
            "recipient_type": "EMAIL",
            "receiver": address.get_secret_value(),
            "amount": {"value": to_decimal_dollars(payout.cash), "currency": "USD"},
            "sender_item_id": payout.id,
        }
        # A batch that came to nothing has taken its id with it: the next one is named after it.
        unfunded = payout.external_id.removeprefix(UNFUNDED_PREFIX)
        sender_batch_id = f"{payout.id}-{unfunded}" if unfunded else payout.id
        body = {"sender_batch_header": {"sender_batch_id": sender_batch_id}, "items": [item]}
        answer = await self._client.post(_PATH, json.dumps(body).encode())
        if answer.is_ok:
            with translate_parse_errors(NAME):
                batch = _validate_batch_id(answer.body["batch_header"]["payout_batch_id"])
                return PayoutStatus("pending", batch, reason=_SENT_ANEW if unfunded else "")
        if _is_duplicate(answer):
            return await self._fetch_status(_find_duplicate_batch(answer), payout)
        if answer.status in {400, 422} and (refusal := _describe_item_refusal(answer)):
            return PayoutStatus("failed", "", reason=refusal)
        raise GatewayUnavailable(NAME, f"PayPal says {refusal_issue(answer)}")

    async def fetch_payout(self, payout: Payout) -> PayoutStatus:
        """See `PayoutProvider`."""
        return await self._fetch_status(_validate_batch_id(payout.external_id), payout)

    def get_payout_url(self, payout: Payout) -> str:
        """See `PayoutProvider`; PayPal has none that can be linked to."""
        del payout
        return ""

    async def close(self) -> None:
        """See `PayoutProvider`."""
        await self._client.close()

    async def _fetch_status(self, batch: str, payout: Payout) -> PayoutStatus:
        data = await self._client.get(f"{_PATH}/{batch}")
        if data is None:
            raise GatewayUnavailable(NAME, f"PayPal shows no batch {batch}")
        with translate_parse_errors(NAME):
            header = data["batch_header"]
            items = data.get("items") or [{}]
            sender_batch_id = str(header["sender_batch_header"]["sender_batch_id"])
            if sender_batch_id.partition("-")[0] != payout.id:
                raise GatewayUnavailable(NAME, f"batch {batch} isn't ours")
            if header["batch_status"] in _CANCELLED_STATUSES:
                return _failed_status(batch, _failure_reason(items[0], header["batch_status"]))
            # While a batch is looked through, its items aren't told.
            status = (
                _item_status(items[0], batch, payout)
                if items[0]
                else PayoutStatus("pending", batch)
            )
            is_anew = status.state == "pending" and sender_batch_id != payout.id
            return replace(status, reason=_SENT_ANEW) if is_anew else status


def _item_status(data: Mapping[str, Any], batch: str, payout: Payout) -> PayoutStatus:
    amount, status = data["payout_item"]["amount"], data.get("transaction_status", "PENDING")
    if amount["currency"] != "USD" or parse_usd(amount["value"]) != payout.cash:
        raise GatewayUnavailable(NAME, f"batch {batch} is of another amount")
    if status == "SUCCESS":
        fee = data.get("payout_item_fee") or {}
        in_dollars = fee.get("currency") == "USD"
        return PayoutStatus("paid", batch, parse_usd(fee["value"]) if in_dollars else NO_FEE)
    if status in _FAILED_STATUSES:
        return _failed_status(batch, _failure_reason(data, status))
    if status not in _PENDING_STATUSES:
        _log.warning("%s stands at PayPal in a state that nobody knows", payout.id)
    return PayoutStatus("pending", batch)


def _failed_status(batch: str, reason: str) -> PayoutStatus:
    """It won't arrive: for its receiver, or for what the operator's own account lacks."""
    trouble = _OWN_TROUBLES.get(reason)
    return PayoutStatus("unfunded" if trouble else "failed", batch, reason=trouble or reason)


def _failure_reason(item: Mapping[str, Any], status: str) -> str:
    """PayPal's name of an item's trouble; of its state where it tells none."""
    name = (item.get("errors") or {}).get("name")
    return name if isinstance(name, str) and _ERROR_NAME_PATTERN.fullmatch(name) else status


def _list_details(answer: GatewayResponse) -> list[Mapping[str, Any]]:
    body = answer.body if isinstance(answer.body, dict) else {}
    return [one for one in body.get("details") or () if isinstance(one, dict)]


def _is_duplicate(answer: GatewayResponse) -> bool:
    """Whether the batch is refused because one of its id was made before."""
    return any(str(one.get("field")).upper() == "SENDER_BATCH_ID" for one in _list_details(answer))


def _find_duplicate_batch(answer: GatewayResponse) -> str:
    """That one; of its link only the end is used. Raises `GatewayUnavailable`."""
    with translate_parse_errors(NAME):
        for detail in _list_details(answer):
            for link in detail.get("link") or detail.get("links") or ():
                path, _, batch = urlsplit(str(link["href"])).path.rpartition("/")
                if path.endswith(_PATH) and _BATCH_ID_PATTERN.fullmatch(batch):
                    return batch
    raise GatewayUnavailable(NAME, "PayPal has it already, and doesn't say where: look there")


def _describe_item_refusal(answer: GatewayResponse) -> str:
    """Why PayPal won't ever take this item (its receiver, its amount); empty where the trouble is
    another one, that can pass."""
    fields = [str(one.get("field", "")) for one in _list_details(answer)]
    if not fields or not all(field.startswith("items[") for field in fields):
        return ""
    return f"{refusal_issue(answer)} {fields[0].rpartition('.')[2]}"[:80]


def _validate_batch_id(value: object) -> str:
    """An id of PayPal's, fit for an address."""
    if not isinstance(value, str) or not _BATCH_ID_PATTERN.fullmatch(value):
        raise GatewayUnavailable(NAME)
    return value
