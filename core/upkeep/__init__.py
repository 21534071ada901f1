"""Upkeep: what happens without a request."""

from __future__ import annotations

from core.upkeep.chores import Chore, Chores
from core.upkeep.memory import give_back
from core.upkeep.notices import Notice, Notices
from core.upkeep.opening import all_open_with, closed, opening

__all__ = [
    "Chore",
    "Chores",
    "Notice",
    "Notices",
    "all_open_with",
    "closed",
    "give_back",
    "opening",
]
