"""Keys of other people's: the flows of design §§ Pockets, Vesting, Claw-back."""

from __future__ import annotations

from typing import Literal

from core.chart.asks import POCKETS, Pocket, issued, key_quota, owed, pocket, pockets
from core.ledger.types import Account, Accrue, AtMost, Cascade, Entry, Limit, Move, Share
from core.units import Credits, NanoUsd

CONTRIBUTED_SUPPLY = Account("supply/contributed", NanoUsd)
#: What may be spent of contributions before it vests, lent to their owners.
ADVANCED = Account("advanced", Credits)
#: Credits that somebody lost for good.
FORFEITED = Account("forfeited", Credits)
#: What is counted of asks that contributed keys served.
_COUNTED = Account("use/counted", Credits)
#: Of each Credit that was charged for a contributed key's answer, its owner gets nine tenths, and
#: who invited the owner a twentieth of that (brief § 2).
NET = (9, 10)
INVITED = (45, 1_000)

#: How a Credit was come by that an asker pays with: for money or by earning it, or else.
Use = Literal["paid", "free"]
_PAID = ("bought", "earned")


def unvested(key: str) -> Account[Credits]:
    """A contribution's net Credits that its use hasn't earned yet."""
    return Account(f"key/{key}/unvested", Credits, Limit.DEBITS_WITHIN_CREDITS)


def advance(key: str) -> Account[Credits]:
    """What a contribution's owner may spend of it before it vests; use fills it up again."""
    return Account(f"key/{key}/advance", Credits, Limit.DEBITS_WITHIN_CREDITS)


def invited(key: str) -> Account[Credits]:
    """What a contribution will bring to whoever invited its owner."""
    return Account(f"key/{key}/invited", Credits, Limit.DEBITS_WITHIN_CREDITS)


def used(key: str, use: Use) -> Account[Credits]:
    """Credits charged for what a contributed key served, by how the asker had come by them."""
    return Account(f"use/{use}/{key}", Credits)


def contribution_fee() -> Account[Credits]:
    """The platform's tenth of what contributions are worth."""
    return Account("fee/contribution", Credits)


def was_paid(code: str) -> bool:
    """Whether the account of this code holds Credits that were paid for or earned."""
    return code.startswith("user/") and code.endswith(_PAID)


def purse(person: str, keys: tuple[str, ...]) -> tuple[Account[Credits], ...]:
    """All that an ask may draw, in order: the pockets, then advances on the person's own keys."""
    return (*pockets(person), *(advance(key) for key in keys))


def lender(person: str, *, verified: bool) -> Account[Credits]:
    """Who lends what may be spent in advance: without a bound where the supplier told the quota,
    else out of what one person may be lent for all their contributions."""
    if verified:
        return ADVANCED
    return Account(f"line/{person}", Credits, Limit.DEBITS_WITHIN_CREDITS)


def credit_line(person: str, most: Credits) -> Move[Credits]:
    """Flow: what a person may be lent for contributions that nobody can verify, once."""
    return Move("line", ADVANCED, lender(person, verified=False), most)


def contributed(
    key: str,
    quota: NanoUsd,
    net: Credits,
    fee: Credits,
    inviting: Credits,
    line: Move[Credits] | None,
) -> tuple[Entry, ...]:
    """Flow: a contribution begins: the key's dollars, its Credits, the fee, what it will bring to
    whoever invited its owner, and what may be spent of it in advance (see `lent`)."""
    moves: list[Entry] = [
        Move("quota", CONTRIBUTED_SUPPLY, key_quota(key), quota),
        Move("net", issued("contribution"), unvested(key), net),
    ]
    if not fee.is_zero:
        moves.append(Move("fee", issued("contribution"), contribution_fee(), fee))
    if not inviting.is_zero:
        moves.append(Move("inviting", issued("referral"), invited(key), inviting))
    if line is not None:
        moves.append(line)
    return tuple(moves)


def lent(key: str, of: Account[Credits], line: Credits) -> Move[Credits]:
    """Flow: what may be spent of a contribution in advance."""
    return Move("line", of, advance(key), line)


def recalled(key: str, to: Account[Credits], line: Credits) -> Move[Credits]:
    """Flow: less of a contribution may be spent in advance."""
    return Move("line", advance(key), to, line)


def lowered(key: str, quota: NanoUsd, returned: Credits, fee: Credits) -> tuple[Entry, ...]:
    """Flow: a part of a contribution ends before it was used: its dollars and its Credits go back
    where they came from, with the fee that was taken of them. Refused when less is left."""
    moves: list[Entry] = []
    if not quota.is_zero:
        moves.append(Move("quota", key_quota(key), CONTRIBUTED_SUPPLY, quota))
    if not returned.is_zero:
        moves.append(Move("unused", unvested(key), issued("contribution"), returned))
    if not fee.is_zero:
        moves.append(Move("fee", contribution_fee(), issued("contribution"), fee))
    return tuple(moves)


def ended(
    key: str,
    owner: str,
    to: Account[Credits],
    *,
    covered: Credits,
    kept: Credits,
    line: Credits,
    over: Credits,
    due: Credits,
    inviting: Credits,
) -> tuple[Entry, ...]:
    """Flow: a contribution's end. Of what didn't vest though the key was used, `covered` pays for
    what was spent in advance and `kept` stays as a gift; `line` is what was not spent of the
    advance, `over` what use filled it above what was lent; what is still `due` of it comes from
    earned, gift, bought, and the rest is owed."""
    moves: list[Entry] = [AtMost("inviting", invited(key), issued("referral"), inviting)]
    if not covered.is_zero:
        moves.append(Move("covered", unvested(key), to, covered))
    if not kept.is_zero:
        moves.append(Move("kept", unvested(key), pocket(owner, "gift"), kept))
    if not line.is_zero:
        moves.append(recalled(key, to, line))
    if not over.is_zero:
        moves.append(Move("over", advance(key), pocket(owner, "gift"), over))
    if not due.is_zero:
        drawn = tuple(pocket(owner, name) for name in ("earned", "gift", "bought"))
        moves.append(Cascade("due", (*drawn, owed(owner)), to, due))
    return tuple(moves)


def forfeited(
    owner: str, kept: Credits, brought: tuple[Credits, Credits]
) -> tuple[AtMost[Credits], ...]:
    """Flow: a stolen key's end: what its use brought, as earned and as gifts, `kept` included, and
    is still there."""
    earned, free = brought
    parts: tuple[tuple[Pocket, Credits], ...] = (("earned", earned), ("gift", free + kept))
    return tuple(
        AtMost(f"forfeited-{name}", pocket(owner, name), FORFEITED, amount)
        for name, amount in parts
        if not amount.is_zero
    )


def all_forfeited(person: str, most: Credits) -> tuple[AtMost[Credits], ...]:
    """Flow: a person is erased: what each pocket can give is nobody's any more."""
    return tuple(AtMost(name, pocket(person, name), FORFEITED, most) for name in POCKETS)


def vest(
    key: str, owner: str, inviter: str, line: Credits, use: Use, charged: Credits
) -> Accrue[Credits]:
    """Flow: an answer of a contributed key was charged for. Use first covers what the owner spent
    in advance; the rest is earned where it was paid for, else a gift."""
    into = pocket(owner, "earned" if use == "paid" else "gift")
    shares = [Share(*NET, unvested(key), ((advance(key), line),), into)]
    if inviter:
        shares.append(Share(*INVITED, invited(key), (), pocket(inviter, "gift")))
    return Accrue(f"vest-{use}", _COUNTED, used(key, use), charged, tuple(shares))
