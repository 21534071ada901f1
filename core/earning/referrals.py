"""Referrals: an inviter's share of what friends bring, on top of what the friends get (brief § 2).

Plain functions that give ledger entries, for the submission that they belong to: so an order stays
one submission, and so does an ask with its vesting.
"""

from __future__ import annotations

from core import chart
from core.ledger import Entry
from core.units import Credits

#: Of the Credits that a friend's top-up stands for; the setting's default.
TOPUP_PERCENT = 10
#: Of what vests out of a friend's contribution.
VESTING_PERCENT = 5


def share_of(credits_: Credits, percent: int) -> Credits:
    """An inviter's share of so many Credits, rounded down."""
    return credits_.share_down(percent, 100)


def referral_of_topup(inviter: str, *, had: Credits, has: Credits) -> tuple[Entry, ...]:
    """An order changes, and with it the share: the difference is given as gift, or taken back,
    gift first, the rest owed: nobody profits from a friend's refund."""
    if has >= had:
        return chart.referral_given(inviter, has - had)
    return chart.referral_taken_back(inviter, had - has)


def referral_of_vesting(
    inviter: str, *, before: Credits, vests: Credits, percent: int = VESTING_PERCENT
) -> tuple[Entry, ...]:
    """So much vests of a friend's contribution, of which so much has vested before: the share of
    the sum less the share of what was before, so that nothing is lost in rounding. It can't fail,
    as a settlement must not."""
    share = share_of(before + vests, percent) - share_of(before, percent)
    return chart.referral_given(inviter, share)
