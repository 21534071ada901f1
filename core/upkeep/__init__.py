"""Upkeep: what happens without a request."""

from __future__ import annotations

from core.upkeep.chores import Chore, Chores
from core.upkeep.memory import give_back
from core.upkeep.notices import Notice, Notices

__all__ = ["Chore", "Chores", "Notice", "Notices", "give_back"]
