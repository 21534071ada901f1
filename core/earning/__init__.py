"""Earning: contributions of keys, what they are worth, what their use brings."""

from __future__ import annotations

from core.earning.purses import Purse, Purses
from core.earning.vesting import Drawn, paid_of, vesting

__all__ = ["Drawn", "Purse", "Purses", "paid_of", "vesting"]
