"""Vesting: what an answer's charge brings to the owner of the contributed key that served it.

Whatever vests was charged before: nine tenths of what the asker had bought or earned become
earned, of anything else a gift. Plans of the settling submission, which they can never refuse.
"""

from __future__ import annotations

from collections.abc import Sequence

from core import chart
from core.ledger.types import Entry
from core.money import Credits
from core.pool.types import Terms

#: What an ask's hold drew: accounts' codes with their Credits, in the order in which they pay.
Drawn = Sequence[tuple[str, int]]


def paid_of(drawn: Drawn, charge: Credits) -> Credits:
    """What of a charge the asker had bought or earned: a hold is posted in the order it drew."""
    left, paid = charge.units, 0
    for code, amount in drawn:
        take = min(left, amount)
        left -= take
        if chart.was_paid(code):
            paid += take
    return Credits(paid)


def vesting(
    key: str, terms: Terms | None, *, asker: str, charge: Credits, paid: Credits
) -> tuple[Entry, ...]:
    """The entries for a charge, `paid` of it as `paid_of` tells. None for a key of the operator's
    own, and for an owner who asked on a key of their own."""
    if terms is None or terms.owner == asker:
        return ()
    uses: tuple[tuple[chart.Use, Credits], ...] = (("paid", paid), ("free", charge - paid))
    return tuple(
        chart.vest(key, terms.owner, terms.inviter, terms.advance, use, part)
        for use, part in uses
        if not part.is_zero
    )
