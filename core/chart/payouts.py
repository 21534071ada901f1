"""Earned Credits become money (brief § 7)."""

from __future__ import annotations

from core.chart.asks import pocket, repay_owed
from core.chart.payments import cash
from core.ledger.types import Account, Capped, Entry, Move, Settle
from core.units import Credits, NanoUsd

PAYOUTS = Account("payouts", NanoUsd)
IN_TRANSIT = Account("payouts-in-transit", NanoUsd)
#: What gateways took for paying out.
PAYOUT_FEES = Account("payout-fees", NanoUsd)
#: Of what is withdrawn nine tenths are redeemed, the rest is the fee.
_REDEEMED = (9, 10)


def redeemed() -> Account[Credits]:
    """Credits that were paid out."""
    return Account("redeemed/payout", Credits)


def payout_fee() -> Account[Credits]:
    """The platform's tenth of what is withdrawn."""
    return Account("fee/payout", Credits)


def withdrawing(person: str, amount: Credits, cap: Credits) -> tuple[Entry, ...]:
    """Flow: a withdrawal holds earned Credits, of those that came in up to `cap` in all."""
    earned, paid = pocket(person, "earned"), amount.share_down(*_REDEEMED)
    return (
        Capped("redeemed", earned, redeemed(), paid, cap),
        Capped("fee", earned, payout_fee(), amount - paid, cap),
    )


def withdrawn(payout: str, hold: str, amount: Credits) -> tuple[Settle[Credits], ...]:
    """Flow: a withdrawal's Credits are gone for good."""
    paid = amount.share_down(*_REDEEMED)
    return (
        Settle(f"redeemed-{payout}", f"{hold}/redeemed", paid),
        Settle(f"fee-{payout}", f"{hold}/fee", amount - paid),
    )


def not_withdrawn(payout: str, hold: str) -> tuple[Settle[Credits], ...]:
    """Flow: a withdrawal's Credits all come back."""
    return tuple(
        Settle(f"{part}-{payout}", f"{hold}/{part}", Credits(0)) for part in ("redeemed", "fee")
    )


def payout_sent(amount: NanoUsd) -> Move[NanoUsd]:
    """Flow: a payout is given to its gateway."""
    return Move("cash", PAYOUTS, IN_TRANSIT, amount)


def payout_paid(gateway: str, amount: NanoUsd, fee: NanoUsd) -> tuple[Move[NanoUsd], ...]:
    """Flow: a payout has arrived; what the gateway took for it is on top."""
    at = cash(gateway, NanoUsd)
    moves = [Move("cash", IN_TRANSIT, at, amount)]
    if not fee.is_zero:
        moves.append(Move("fee", PAYOUT_FEES, at, fee))
    return tuple(moves)


def payout_returned(
    person: str,
    credits: Credits,  # noqa: A002
    amount: NanoUsd,
    gateway: str,
) -> tuple[Entry, ...]:
    """Flow: a payout that was sent didn't arrive, or one that was paid came back to its `gateway`
    (empty: it was on its way): Credits and dollars are back."""
    earned, paid = pocket(person, "earned"), credits.share_down(*_REDEEMED)
    whence = cash(gateway, NanoUsd) if gateway else IN_TRANSIT
    return (
        Move("redeemed", redeemed(), earned, paid),
        Move("fee", payout_fee(), earned, credits - paid),
        Move("cash", whence, PAYOUTS, amount),
        repay_owed(person),
    )
