"""Stripe's objects as events: what a refund, a dispute and a balance transaction say of a payment
of ours, in dollars. What others sell on the same account says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from core.money import NanoUsd
from payments.offer import from_cents
from payments.types import Dispute, GatewayEvent, PaymentMismatch, Refund, is_order_id

NAME: Final = "stripe"
_WON_STATUSES = {"won", "warning_closed", "prevented"}
#: Early warnings move no money.
_WARNING_STATUSES = {"warning_needs_response", "warning_under_review"}


def get_payment(moved: Any) -> str | None:
    """The payment of a refund, a dispute or a warning; None where others on this account sold."""
    intent = moved.payment_intent
    if not intent or isinstance(intent, str):
        return intent
    order = getattr(getattr(intent, "metadata", None), "order", None)
    return str(intent.id) if is_order_id(order) else None


def require_dollars(moved: Any) -> None:
    """Raises `PaymentMismatch` for a refund or a dispute of ours in another currency: what it costs
    in dollars somebody has to look up."""
    order = getattr(getattr(moved.payment_intent, "metadata", None), "order", None)
    if moved.currency != "usd" and is_order_id(order):
        raise PaymentMismatch(order, "unit")


def read_kept(moved: Any, amount: NanoUsd, *, with_tax: bool) -> NanoUsd:
    """What Stripe kept of a payment by its balance transaction in dollars. Where Stripe is the
    seller it keeps the tax too: all that doesn't arrive."""
    if not with_tax:
        return from_cents(moved.fee)
    return amount - min(amount, from_cents(max(0, int(moved.net))))


def read_fee(charge: Any, amount: NanoUsd, *, with_tax: bool) -> NanoUsd:
    """What Stripe kept of a charge, in dollars: where the account settles in another currency, the
    share that it kept, of what was paid. Nothing while that isn't known yet."""
    kept = None if charge is None or isinstance(charge, str) else charge.balance_transaction
    if kept is None or isinstance(kept, str):
        return NanoUsd(0)
    if kept.currency == "usd":
        return read_kept(kept, amount, with_tax=with_tax)
    return amount.share_up(kept.fee, kept.amount) if kept.amount > 0 else NanoUsd(0)


def has_failed(intent: Any) -> bool:
    """Whether a delayed way to pay (a bank debit) came to nothing."""
    return intent is not None and intent.status in {"requires_payment_method", "canceled"}


def to_disputes(dispute: Any) -> Sequence[GatewayEvent]:
    """A dispute of ours as it stands; nothing for an early warning, which moves no money."""
    payment = get_payment(dispute)
    if not payment or dispute.currency != "usd" or dispute.status in _WARNING_STATUSES:
        return ()
    state: Literal["open", "won", "lost"] = "open"
    if dispute.status == "lost" or (dispute.status == "prevented" and _took_money(dispute)):
        state = "lost"
    elif dispute.status in _WON_STATUSES:
        state = "won"
    due = dispute.evidence_details.due_by
    return (
        Dispute(
            NAME,
            dispute.id,
            payment,
            from_cents(dispute.amount),
            state,
            reason=dispute.reason,
            due_at=due * 1_000 if due else None,
            fee=_read_dispute_fee(dispute),
        ),
    )


def _took_money(dispute: Any) -> bool:
    """Whether money went for good: a bank may give it back before a dispute begins, and only the
    movements say so."""
    return sum(int(one.amount) for one in _list_movements(dispute)) < 0


def _list_movements(dispute: Any) -> Sequence[Any]:
    """What Stripe took for a dispute, and gave back of it; each with its fee."""
    return getattr(dispute, "balance_transactions", None) or ()


def _read_dispute_fee(dispute: Any) -> NanoUsd | None:
    """What Stripe took for a dispute in all, what it gave back taken off; None while nothing was
    moved. Where the account settles in another currency, the share of what was disputed."""
    movements = _list_movements(dispute)
    if not movements:
        return None
    kept = sum(int(one.fee) for one in movements)
    if all(one.currency == "usd" for one in movements):
        return from_cents(kept)
    taken = max((abs(int(one.amount)) for one in movements), default=0)
    if not taken:
        return None
    return from_cents(dispute.amount).share_up(kept, taken)


def to_refunds(refund: Any) -> Sequence[GatewayEvent]:
    """A refund of ours, on its way or there; or that it failed."""
    payment = get_payment(refund)
    if not payment or refund.currency != "usd":
        return ()
    failed = refund.status in {"failed", "canceled"}
    # What waits for the payer is on its way too: asked again, it would go twice.
    if not failed and refund.status not in {"pending", "requires_action", "succeeded"}:
        return ()
    amount = from_cents(refund.amount)
    return (Refund(NAME, refund.id, payment, amount, failed),)
