"""Referrals: an inviter's share of what friends bring, on top of what the friends get (brief § 2).

Of top-ups: entries for the order's own submission. Of contributions: `chart.vest` gives it as they
vest; here it is told.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from core import chart
from core.db import schema
from core.db.database import Store
from core.ledger.ledger import Ledger
from core.ledger.types import Entry
from core.money import Credits

#: Of the Credits that a friend's top-up stands for; the setting's default.
TOPUP_PERCENT = 10


def share_of(credits_: Credits, percent: int) -> Credits:
    """An inviter's share of so many Credits, rounded down."""
    return credits_.share_down(percent, 100)


def referral_of_topup(inviter: str, *, had: Credits, has: Credits) -> tuple[Entry, ...]:
    """An order changes, and with it the share: the difference is given as gift, or taken back,
    gift first, the rest owed: nobody profits from a friend's refund."""
    if has >= had:
        return chart.referral_given(inviter, has - had)
    return chart.referral_taken_back(inviter, had - has)


async def earned_by_keys(store: Store, ledger: Ledger, inviters: Sequence[str]) -> Credits:
    """What these people have got, all together, of what friends' contributions have vested: by the
    counts of use, as `chart.vest` gives it."""
    table = schema.contribution
    rows = await store.fetch(
        sa.select(table.c.key, table.c.inviting).where(table.c.inviter.in_(inviters))
    )
    counts = await ledger.balances(
        chart.used(row.key, use) for row in rows for use in ("paid", "free")
    )
    part, whole = chart.INVITED
    earned = 0
    for row in rows:
        uses = (chart.used(row.key, "paid").code, chart.used(row.key, "free").code)
        grown = sum(counts[code].credits_posted * part // whole for code in uses)
        earned += min(grown, row.inviting)
    return Credits(earned)
