"""The chart of accounts: every account's name, unit and floor, and every flow, on one page.

Circulation = Σ pockets (held included) − Σ owed = issued − spent − redeemed − fees − forfeited.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from core.ledger.types import (
    Account,
    AtMost,
    Cascade,
    Entry,
    Limit,
    Move,
    Settle,
    SweepOwed,
)
from core.units import AnyMoney, Credits, Money, NanoUsd, Stars

Pocket = Literal["gift", "bought", "earned"]

#: The order in which an ask draws a person's pockets (design § Pockets).
POCKETS: tuple[Pocket, ...] = ("gift", "bought", "earned")

IssuedKind = Literal["welcome", "grant", "topup", "bonus", "referral", "code", "contribution"]

#: Accounts are values that every ask names anew: the busiest are kept, not made again.
_kept = lru_cache(maxsize=8_192)

OWN_SUPPLY = Account("supply/own", NanoUsd)
OVERRUN = Account("overrun", NanoUsd)
#: Cash that a payer's bank took back while a dispute is open; and what was lost by disputes.
DISPUTED = Account("disputed", NanoUsd)
BAD_DEBT = Account("bad-debt", NanoUsd)


def pocket(person: str, name: Pocket) -> Account[Credits]:
    """A person's pocket; never below zero."""
    return Account(f"user/{person}/{name}", Credits, Limit.DEBITS_WITHIN_CREDITS)


@_kept
def pockets(person: str) -> tuple[Account[Credits], ...]:
    """A person's pockets in the order that an ask draws them."""
    return tuple(pocket(person, name) for name in POCKETS)


def owed(person: str) -> Account[Credits]:
    """What a person owes the platform; repaid before anything else."""
    return Account(f"owed/{person}", Credits, Limit.CREDITS_WITHIN_DEBITS)


def issued(kind: IssuedKind) -> Account[Credits]:
    """Where Credits come from."""
    return Account(f"issued/{kind}", Credits)


@_kept
def spent(model: str) -> Account[Credits]:
    """What was charged for answers of a model."""
    return Account(f"spent/{model}", Credits)


@_kept
def key_quota(key: str) -> Account[NanoUsd]:
    """The dollars that a key may still cost; a key *is* this account."""
    return Account(f"key/{key}", NanoUsd, Limit.DEBITS_WITHIN_CREDITS)


@_kept
def supplier(name: str) -> Account[NanoUsd]:
    """What a supplier was paid, out of keys."""
    return Account(f"supplier/{name}", NanoUsd)


def gift(person: str, kind: IssuedKind, amount: Credits) -> Move[Credits]:
    """Flow: welcome, grant, bonus, referral, code → the gift pocket."""
    return Move("gift", issued(kind), pocket(person, "gift"), amount)


def fund_own_key(key: str, budget: NanoUsd) -> Move[NanoUsd]:
    """Flow: an own key's budget."""
    return Move("budget", OWN_SUPPLY, key_quota(key), budget)


def own_returned(key: str) -> Account[NanoUsd]:
    """What was taken back of an own key's budget."""
    return Account(f"supply/own-returned/{key}", NanoUsd)


def take_back_own_key(key: str, amount: NanoUsd) -> AtMost[NanoUsd]:
    """Flow: a smaller budget for an own key takes back what is neither used nor held."""
    return AtMost("returned", key_quota(key), own_returned(key), amount)


def hold_credits(person: str, model: str, amount: Credits) -> Cascade[Credits]:
    """Flow: an ask's hold on its asker, drawn gift → bought → earned."""
    return Cascade("credits", pockets(person), spent(model), amount, pending=True)


def hold_quota(key: str, supplier_name: str, amount: NanoUsd) -> Move[NanoUsd]:
    """Flow: an ask's hold on the key that serves it."""
    return Move("quota", key_quota(key), supplier(supplier_name), amount, pending=True)


def settle_credits(hold: str, charge: Credits) -> Settle[Credits]:
    """Flow: an ask's charge out of its hold, the rest returned."""
    return Settle("charge", f"{hold}/credits", charge)


def settle_quota(hold: str, cost: NanoUsd) -> Settle[NanoUsd]:
    """Flow: a supplier's cost out of a key's hold, the rest returned."""
    return Settle("cost", f"{hold}/quota", cost)


def over_quota(key: str, supplier_name: str, excess: NanoUsd) -> Cascade[NanoUsd]:
    """Flow: a cost above the hold: what the key has left, and the rest is an overrun."""
    return Cascade("overrun", (key_quota(key), OVERRUN), supplier(supplier_name), excess)


def all_pockets(part: str, survivor: str, most: Credits) -> tuple[AtMost[Credits], ...]:
    """Flow: a person became a part of another: what each pocket can give moves to the same one."""
    return tuple(AtMost(name, pocket(part, name), pocket(survivor, name), most) for name in POCKETS)


def repay_owed(person: str) -> SweepOwed[Credits]:
    """Flow: what is owed is repaid before anything else."""
    return SweepOwed("repay", pockets(person), owed(person))


# --- payments -----------------------------------------------------------------------------------


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
    """Flow: a refund takes back what was given, first what a dispute of that order holds; what
    isn't there any more is owed, and whatever else the person has pays that at once."""
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


def dispute_won(
    person: str, order: str, gateway: str, amount: NanoUsd, *, bought: Credits, bonus: Credits
) -> tuple[Entry, ...]:
    """Flow: a dispute that was won: everything is as it was."""
    return (
        AtMost("bought", disputed(order, "bought"), pocket(person, "bought"), bought),
        AtMost("bonus", disputed(order, "gift"), pocket(person, "gift"), bonus),
        repay_owed(person),
        Move("cash", cash(gateway, NanoUsd), DISPUTED, amount),
    )


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
