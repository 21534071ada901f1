"""PayPal's Payouts v1: batches, their items, and what becomes of them. A part of `FakePayPal`.

Field names, states, and the two refusals that matter as PayPal's OpenAPI (payouts 1) and its
sandbox give them: a receiver that is none, and a batch id that was used before.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

from aiohttp import web

SCOPE = "https://uri.paypal.com/payments/payouts"
_VALUE = re.compile(r"\d{1,15}\.\d{2}")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[a-z]{2,}")
_HOST = "https://api.sandbox.paypal.com"


class PayPalPayouts:
    """The account's batches."""

    def __init__(self) -> None:
        #: By PayPal's id.
        self.batches: dict[str, dict[str, Any]] = {}
        #: By the sender's.
        self.sent: dict[str, str] = {}
        #: Whether PayPal allows this account to pay people.
        self.allowed = True
        #: So many of the next answers are lost once the batch is made.
        self.loses = 0
        #: Whether duplicates are told with a link to the first one.
        self.links = True
        self.calls = 0
        self._numbers = itertools.count(1)

    # --- what PayPal does -------------------------------------------------------------------------

    def item(self, sender: str) -> dict[str, Any]:
        """The one item of a sender's batch."""
        item: dict[str, Any] = self.batches[self.sent[sender]]["items"][0]
        return item

    def works(self, sender: str, status: str, *, error: str = "", fee: str = "0.25") -> None:
        """The batch is through, and its item stands so."""
        batch, item = self.batches[self.sent[sender]], self.item(sender)
        batch["batch_header"]["batch_status"] = "SUCCESS"
        item |= {"transaction_status": status, "transaction_id": f"TX{next(self._numbers)}"}
        item["payout_item_fee"] = {"currency": "USD", "value": fee}
        item.pop("errors", None)
        if error:
            item["errors"] = {"name": error, "message": "It can't be done.", "details": []}

    def denies(self, sender: str, *, error: str = "") -> None:
        """The batch as a whole comes to nothing."""
        self.batches[self.sent[sender]]["batch_header"]["batch_status"] = "DENIED"
        if error:
            self.item(sender)["errors"] = {"name": error, "message": "It can't be done."}

    # --- the wire ---------------------------------------------------------------------------------

    async def create(self, request: web.Request, body: Any) -> web.Response:
        self.calls += 1
        if not self.allowed:
            return _refused(403, "AUTHORIZATION_ERROR")
        sender, items = body["sender_batch_header"].get("sender_batch_id"), body["items"]
        if not isinstance(sender, str) or not 0 < len(sender) <= 256 or len(items) != 1:
            return _refused(400, "VALIDATION_ERROR", "sender_batch_header", "Invalid batch")
        wrong = _wrong(items[0])
        if wrong:
            return _refused(400, "VALIDATION_ERROR", f"items[0].{wrong}", f"{wrong} is invalid")
        if sender in self.sent:
            return self._known(self.sent[sender])
        id_ = f"P{next(self._numbers):012}"
        self.sent[sender] = id_
        self.batches[id_] = {
            "batch_header": {
                "payout_batch_id": id_,
                "batch_status": "PENDING",
                "sender_batch_header": body["sender_batch_header"],
            },
            "items": [
                {
                    "payout_item_id": f"I{id_}",
                    "payout_batch_id": id_,
                    "payout_item": {**items[0], "recipient_wallet": "PAYPAL"},
                }
            ],
        }
        if self.loses:
            self.loses -= 1
            return _refused(500, "INTERNAL_SERVER_ERROR")
        return web.json_response({"batch_header": self.batches[id_]["batch_header"]}, status=201)

    async def tell(self, request: web.Request, body: Any) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return _refused(404, "RESOURCE_NOT_FOUND")
        # Until a batch has been looked through its items aren't told.
        pending = batch["batch_header"]["batch_status"] == "PENDING"
        return web.json_response({**batch, "items": [] if pending else batch["items"]})

    def _known(self, batch: str) -> web.Response:
        link = {"href": f"{_HOST}/v1/payments/payouts/{batch}", "rel": "self", "method": "GET"}
        detail = {
            "field": "SENDER_BATCH_ID",
            "location": "body",
            "issue": "Batch with given sender_batch_id already exists",
            **({"link": [link]} if self.links else {}),
        }
        said = {"name": "USER_BUSINESS_ERROR", "message": "User business error.", "links": []}
        return web.json_response({**said, "details": [detail]}, status=400)


def _wrong(item: dict[str, Any]) -> str:
    """The field that PayPal doesn't like."""
    amount = item.get("amount", {})
    if not _VALUE.fullmatch(str(amount.get("value"))) or amount.get("currency") != "USD":
        return "amount"
    receiver = str(item.get("receiver"))
    if item.get("recipient_type") != "EMAIL" or not _EMAIL.fullmatch(receiver):
        return "receiver"
    return "" if len(receiver) <= 127 and len(str(item["sender_item_id"])) <= 63 else "receiver"


def _refused(status: int, name: str, field: str = "", issue: str = "") -> web.Response:
    said: dict[str, Any] = {"name": name, "message": "It can't be done.", "debug_id": "f2a1"}
    if field:
        said["details"] = [{"field": field, "location": "body", "issue": issue}]
    return web.json_response(said, status=status)
