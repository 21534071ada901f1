"""People's pockets, what they owe, keys and suppliers; the flows of asks and of own keys."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from core.ledger.types import Account, AtMost, Cascade, Limit, Move, Settle, SweepOwed
from core.units import Credits, NanoUsd

Pocket = Literal["gift", "bought", "earned"]

#: The order in which an ask draws a person's pockets (design § Pockets).
POCKETS: tuple[Pocket, ...] = ("gift", "bought", "earned")

IssuedKind = Literal["welcome", "grant", "topup", "bonus", "referral", "code", "contribution"]

#: Accounts are values that every ask names anew: the busiest are kept, not made again.
_kept = lru_cache(maxsize=8_192)

OWN_SUPPLY = Account("supply/own", NanoUsd)
OVERRUN = Account("overrun", NanoUsd)


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
def supplier(name: str, contributed: bool = False) -> Account[NanoUsd]:
    """What a supplier was paid, out of the operator's own keys or out of contributed ones."""
    return Account(f"supplier/{name}/contributed" if contributed else f"supplier/{name}", NanoUsd)


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


def hold_credits(
    purse: tuple[Account[Credits], ...], model: str, amount: Credits
) -> Cascade[Credits]:
    """Flow: an ask's hold on its asker's purse, drawn gift → bought → earned → advances."""
    return Cascade("credits", purse, spent(model), amount, pending=True)


def hold_quota(
    key: str, supplier_name: str, amount: NanoUsd, *, contributed: bool = False
) -> Move[NanoUsd]:
    """Flow: an ask's hold on the key that serves it."""
    to = supplier(supplier_name, contributed)
    return Move("quota", key_quota(key), to, amount, pending=True)


def settle_credits(hold: str, charge: Credits) -> Settle[Credits]:
    """Flow: an ask's charge out of its hold, the rest returned."""
    return Settle("charge", f"{hold}/credits", charge)


def settle_quota(hold: str, cost: NanoUsd) -> Settle[NanoUsd]:
    """Flow: a supplier's cost out of a key's hold, the rest returned."""
    return Settle("cost", f"{hold}/quota", cost)


def over_quota(
    key: str, supplier_name: str, excess: NanoUsd, *, contributed: bool = False
) -> Cascade[NanoUsd]:
    """Flow: a cost above the hold: what the key has left, and the rest is an overrun."""
    to = supplier(supplier_name, contributed)
    return Cascade("overrun", (key_quota(key), OVERRUN), to, excess)


def all_pockets(part: str, survivor: str, most: Credits) -> tuple[AtMost[Credits], ...]:
    """Flow: a person became a part of another: what each pocket can give moves to the same one."""
    return tuple(AtMost(name, pocket(part, name), pocket(survivor, name), most) for name in POCKETS)


def repay_owed(person: str) -> SweepOwed[Credits]:
    """Flow: what is owed is repaid before anything else."""
    return SweepOwed("repay", pockets(person), owed(person))
