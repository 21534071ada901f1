"""Stripe's balance transactions: all that moved on the account, by what it is of.

They are listed newest first, so they are read window by window, the oldest first, and each to its
end. Field names and kinds as in Stripe's API of 2026-10-28.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.money import NanoUsd
from payments.offer import from_cents
from payments.types import Movement, MovementKind, is_order_id

_NAME: Final = "stripe"
_DAY_SECONDS: Final = 86_400
#: Money of older payments can't go back any more.
_HISTORY_SECONDS: Final = 180 * _DAY_SECONDS
_WINDOW_SECONDS: Final = 14 * _DAY_SECONDS
#: What moves just now is left to the webhooks.
_YOUNG_SECONDS: Final = 60
_PAGE_SIZE: Final = 100

_KINDS: Final[Mapping[str, MovementKind]] = {
    "charge": "payment",
    "refund": "refund",
    "dispute": "dispute",
}


@dataclass(frozen=True, slots=True)
class Window:
    """A window is a stretch of the list; times are seconds."""

    start: int
    end: int
    #: The last transaction that was read of it; empty at its beginning.
    after: str
    #: Whether it ends now.
    is_last: bool

    @property
    def params(self) -> dict[str, Any]:
        """What Stripe is asked."""
        after = {"starting_after": self.after} if self.after else {}
        return {
            "created": {"gte": self.start, "lt": self.end},
            "limit": _PAGE_SIZE,
            "expand": ["data.source"],
            **after,
        }

    def next_cursor(self, after: str) -> str:
        """From where to go on: in this window after a transaction, else behind it."""
        return f"{self.start}:{self.end}:{after}" if after else f"{self.end}::"


def read_window(cursor: str, now: int) -> Window:
    """What is to be read next."""
    start, end, after = cursor.split(":") if cursor else (str(now - _HISTORY_SECONDS), "", "")
    newest = max(int(start), now - _YOUNG_SECONDS)
    until = int(end) if end else min(int(start) + _WINDOW_SECONDS, newest)
    return Window(int(start), until, after, until >= newest)


def read_movements(moved: Any) -> Sequence[Movement]:
    """What a balance transaction moved of a payment, in dollars; what has no payer (a transfer, a
    payout, Stripe's own fees) is nothing that is compared."""
    source = moved.source
    kind = _KINDS.get(getattr(source, "object", ""))
    if kind is None:
        return ()
    amount = from_cents(moved.amount)
    if moved.currency != "usd":  # the account settles in another currency
        amount = from_cents(source.amount) if source.currency == "usd" else NanoUsd(0)
        amount = amount if moved.amount >= 0 else -amount
    intent = source.payment_intent
    payment = intent if isinstance(intent, str) else getattr(intent, "id", "")
    order = getattr(source.metadata, "order", None) if kind == "payment" else None
    return (
        Movement(
            _NAME,
            kind,
            moved.id,
            payment or source.id,
            amount,
            moved.created * 1_000,
            order=order if is_order_id(order) else "",
        ),
    )
