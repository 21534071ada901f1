"""What people pay and get back: cash, orders, refunds, disputes, what inviters get."""

from __future__ import annotations

from typing import Literal

from core.chart.asks import issued, owed, pocket, pockets, repay_owed
from core.ledger.types import Account, AtMost, Cascade, Entry, Limit, Move, SweepOwed
from core.units import AnyMoney, Credits, Money, NanoUsd, Stars

#: Cash that a payer's bank took back while a dispute is open; and what was lost by disputes.
DISPUTED = Account("disputed", NanoUsd)
BAD_DEBT = Account("bad-debt", NanoUsd)


def cash(gateway: str, unit: type[AnyMoney]) -> Account[AnyMoney]:
    """What lies at a gateway, in dollars or Stars."""
    return Account(f"cash/{gateway}", unit)


def sales(unit: type[AnyMoney]) -> Account[AnyMoney]:
    """What was sold, in dollars or Stars."""
    return Account(_named("sales", unit), unit)


def gateway_fees(unit: type[AnyMoney]) -> Account[AnyMoney]:
    """What gateways kept of what was paid, in dollars or Stars."""
    return Account(_named("gateway-fees", unit), unit)


def disputed(order: str, name: Literal["bought", "gift"]) -> Account[Credits]:
    """What is left of an order while it is disputed: still its person's, but not to be spent."""
    return Account(f"order/{order}/disputed-{name}", Credits, Limit.DEBITS_WITHIN_CREDITS)


def sold(person: str, bought: Credits, bonus: Credits) -> tuple[Entry, ...]:
    """Flow: a top-up; what is owed is repaid first."""
    moves: list[Entry] = []
    if not bought.is_zero:
        moves.append(Move("bought", issued("topup"), pocket(person, "bought"), bought))
    if not bonus.is_zero:
        moves.append(Move("bonus", issued("bonus"), pocket(person, "gift"), bonus))
    return (*moves, repay_owed(person))


def took_cash(
    gateway: str, gross: NanoUsd | Stars, fee: NanoUsd | Stars
) -> tuple[Move[NanoUsd] | Move[Stars], ...]:
    """Flow: a payment's cash side: what reached us, and what the gateway kept. One unit."""
    if isinstance(gross, NanoUsd):
        assert isinstance(fee, NanoUsd)
        return _took(gateway, gross, fee)
    assert isinstance(fee, Stars)
    return _took(gateway, gross, fee)


def _took(gateway: str, gross: AnyMoney, fee: AnyMoney) -> tuple[Move[AnyMoney], ...]:
    unit = type(gross)
    net = gross - fee
    moves = [] if net.is_zero else [Move("cash", cash(gateway, unit), sales(unit), net)]
    if not fee.is_zero:
        moves.append(Move("fee", gateway_fees(unit), sales(unit), fee))
    return tuple(moves)


def took_back(
    person: str, bought: Credits, bonus: Credits, *, disputed_order: str = ""
) -> tuple[Entry, ...]:
    """Flow: a refund takes back what was given, first out of what a dispute of the order holds;
    what isn't there any more is owed, and whatever else the person has pays that at once."""
    moves: list[Entry] = []
    if not bought.is_zero:
        held = (disputed(disputed_order, "bought"),) if disputed_order else ()
        drawn = (*held, pocket(person, "bought"), owed(person))
        moves.append(Cascade("bought", drawn, issued("topup"), bought))
    if not bonus.is_zero:
        held = (disputed(disputed_order, "gift"),) if disputed_order else ()
        drawn = (*held, pocket(person, "gift"), owed(person))
        moves.append(Cascade("bonus", drawn, issued("bonus"), bonus))
    return (*moves, repay_owed(person))


#: The entry that gives or takes back what top-ups of friends earn.
REFERRAL = "referral"


def referral_given(inviter: str, amount: Credits) -> tuple[Entry, ...]:
    """Flow: what an invitation earns, as gift; what the inviter owes is repaid first."""
    if amount.is_zero:
        return ()
    given = Move(REFERRAL, issued("referral"), pocket(inviter, "gift"), amount)
    return given, _repaid_by_inviter(inviter)


def referral_taken_back(inviter: str, amount: Credits) -> tuple[Entry, ...]:
    """Flow: what it earned is taken back; what is spent is owed, and paid by whatever else the
    inviter has."""
    if amount.is_zero:
        return ()
    drawn = (pocket(inviter, "gift"), owed(inviter))
    return (
        Cascade(REFERRAL, drawn, issued("referral"), amount),
        _repaid_by_inviter(inviter),
    )


def _repaid_by_inviter(inviter: str) -> SweepOwed[Credits]:
    """`repay_owed` by another name, beside the buyer's in one submission."""
    return SweepOwed("referral-repay", pockets(inviter), owed(inviter))


def gave_cash(gateway: str, amount: NanoUsd | Stars) -> Move[NanoUsd] | Move[Stars]:
    """Flow: a refund's cash side."""
    if isinstance(amount, NanoUsd):
        return Move("cash", sales(NanoUsd), cash(gateway, NanoUsd), amount)
    return Move("cash", sales(Stars), cash(gateway, Stars), amount)


def dispute_opened(
    person: str, order: str, gateway: str, amount: NanoUsd, *, bought: Credits, bonus: Credits
) -> tuple[Entry, ...]:
    """Flow: a dispute holds what is left of an order; its cash is gone until it is decided."""
    return (
        AtMost("bought", pocket(person, "bought"), disputed(order, "bought"), bought),
        AtMost("bonus", pocket(person, "gift"), disputed(order, "gift"), bonus),
        Move("cash", DISPUTED, cash(gateway, NanoUsd), amount),
    )


def dispute_released(
    person: str, order: str, *, bought: Credits, bonus: Credits
) -> tuple[Entry, ...]:
    """Flow: what a dispute held and didn't cost is its person's again; what is owed is repaid."""
    return (
        AtMost("bought-back", disputed(order, "bought"), pocket(person, "bought"), bought),
        AtMost("bonus-back", disputed(order, "gift"), pocket(person, "gift"), bonus),
        repay_owed(person),
    )


def dispute_won(gateway: str, amount: NanoUsd) -> Move[NanoUsd]:
    """Flow: a dispute that was won: its cash is there again."""
    return Move("cash", cash(gateway, NanoUsd), DISPUTED, amount)


def dispute_lost(
    order: str, amount: NanoUsd, returned: NanoUsd, bought: Credits, bonus: Credits
) -> tuple[Entry, ...]:
    """Flow: a dispute that was lost: what was held goes back, its worth comes off the sales, the
    rest was spent and is bad debt."""
    moves: list[Entry] = [
        AtMost("bought", disputed(order, "bought"), issued("topup"), bought),
        AtMost("bonus", disputed(order, "gift"), issued("bonus"), bonus),
    ]
    if not returned.is_zero:
        moves.append(Move("returned", sales(NanoUsd), DISPUTED, returned))
    if returned != amount:
        moves.append(Move("lost", BAD_DEBT, DISPUTED, amount - returned))
    return tuple(moves)


def _named(name: str, unit: type[Money]) -> str:
    """Dollars are what accounts of cash are in, unless their name says otherwise."""
    return name if unit.NAME == NanoUsd.NAME else f"{name}/{unit.NAME.lower()}"
