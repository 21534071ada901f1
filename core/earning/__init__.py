"""Earning: what people get for what others do by their doing. Always as gift."""

from __future__ import annotations

from core.earning.check import check_referrals
from core.earning.referrals import (
    TOPUP_PERCENT,
    VESTING_PERCENT,
    referral_of_topup,
    referral_of_vesting,
    share_of,
)

__all__ = [
    "TOPUP_PERCENT",
    "VESTING_PERCENT",
    "check_referrals",
    "referral_of_topup",
    "referral_of_vesting",
    "share_of",
]
