"""Earning: contributions of keys, what they are worth, what their use brings, cashing out; and what
inviting friends brings."""

from __future__ import annotations

from core.earning.addresses import Addresses
from core.earning.check import check_earning
from core.earning.closing import KEY_ENDED, Closing, StillUsed
from core.earning.contributions import INVITER_PERCENT, Contributions, any_contributions
from core.earning.payouts import (
    METHODS,
    PAYOUT,
    PAYOUT_STUCK,
    PAYOUT_WAITS,
    Earnings,
    Method,
    NoAddress,
    NothingWithdrawable,
    Payout,
    PayoutMoved,
    State,
    TooManyWithdrawals,
    WithdrawalsWait,
    cash_of,
    expected_by,
)
from core.earning.policy import BRIEF, CONSENT, DISPUTABLE_DAYS, SAFE, Policy
from core.earning.purses import Purse, Purses
from core.earning.referrals import TOPUP_PERCENT, earned_by_keys, referral_of_topup, share_of
from core.earning.types import (
    Contribution,
    NotContributable,
    Offer,
    OfferGone,
    SameOrganisation,
    TooManyContributions,
    WorthNothing,
)
from core.earning.valuation import Average, Valuer, Worth
from core.earning.vesting import Drawn, paid_of, vesting
from core.earning.watching import CHART_DAYS, FEED_DAYS, Day, Progress, Watching
from core.earning.withdrawals import Withdrawals

__all__ = [
    "BRIEF",
    "CHART_DAYS",
    "CONSENT",
    "DISPUTABLE_DAYS",
    "FEED_DAYS",
    "INVITER_PERCENT",
    "KEY_ENDED",
    "METHODS",
    "PAYOUT",
    "PAYOUT_STUCK",
    "PAYOUT_WAITS",
    "SAFE",
    "TOPUP_PERCENT",
    "Addresses",
    "Average",
    "Closing",
    "Contribution",
    "Contributions",
    "Day",
    "Drawn",
    "Earnings",
    "Method",
    "NoAddress",
    "NotContributable",
    "NothingWithdrawable",
    "Offer",
    "OfferGone",
    "Payout",
    "PayoutMoved",
    "Policy",
    "Progress",
    "Purse",
    "Purses",
    "SameOrganisation",
    "State",
    "StillUsed",
    "TooManyContributions",
    "TooManyWithdrawals",
    "Valuer",
    "Watching",
    "Withdrawals",
    "WithdrawalsWait",
    "Worth",
    "WorthNothing",
    "any_contributions",
    "cash_of",
    "check_earning",
    "earned_by_keys",
    "expected_by",
    "paid_of",
    "referral_of_topup",
    "share_of",
    "vesting",
]
