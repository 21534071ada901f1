"""The fake Stripe's balance transactions, worked out of its payments, refunds and disputes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.peers.stripe import FakeStripe


def list_balance(fake: FakeStripe, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of the list, newest first, as asked for."""
    found = sorted(_transactions(fake), key=lambda one: (one["created"], one["id"]), reverse=True)
    since = int(query.get("created[gte]", "0"))
    until = int(query.get("created[lt]", "99999999999"))
    shown = [one for one in found if since <= one["created"] < until]
    after = query.get("starting_after")
    if after:
        names = [one["id"] for one in shown]
        shown = shown[names.index(after) + 1 :]
    limit = int(query.get("limit", "10"))
    page = [
        {**one, "source": one["source"] if query.get("expand[0]") else one["source"]["id"]}
        for one in shown[:limit]
    ]
    more = len(shown) > limit
    return {"object": "list", "data": page, "has_more": more, "url": "/v1/balance_transactions"}


def _transactions(fake: FakeStripe) -> Iterator[dict[str, Any]]:
    for other in fake.other_transactions:
        yield {**_one(fake, other["id"], other["object"], other["amount"], other)}
    for intent in fake.intents.values():
        if intent["status"] == "succeeded":
            charge = {
                "id": f"ch_{intent['id']}",
                "object": "charge",
                "amount": intent["amount"],
                "currency": "usd",
                "payment_intent": intent["id"],
                "metadata": intent["metadata"],
            }
            kept = intent["latest_charge"]["balance_transaction"] or {}
            yield {**_one(fake, intent["id"], "charge", intent["amount"], charge), **kept}
    for refund in fake.refunds.values():
        source = {"metadata": {}, **refund}
        yield _one(fake, refund["id"], "refund", -refund["amount"], source)
        if refund["status"] in {"failed", "canceled"}:
            name = f"{refund['id']}_back"
            yield _one(fake, name, "refund_failure", refund["amount"], source)
    for dispute in fake.disputes.values():
        source = {"metadata": {}, **dispute}
        moved = [int(one["amount"]) for one in dispute.get("balance_transactions") or ()]
        if not moved and not dispute["status"].startswith("warning"):
            moved = [] if dispute["status"] == "prevented" else [-dispute["amount"]]
            moved += [dispute["amount"]] if dispute["status"] == "won" else []
        for number, amount in enumerate(moved):
            yield _one(fake, f"{dispute['id']}_{number}", "adjustment", amount, source)


def _one(
    fake: FakeStripe, of: str, kind: str, amount: int, source: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": f"txn_{of}",
        "object": "balance_transaction",
        "type": kind,
        "currency": "usd",
        "fee": 0,
        "amount": amount,
        "created": fake.created.setdefault(of, int(fake.now())),
        "source": source,
    }
