"""Upkeep: what happens without a request."""

from __future__ import annotations

from core.upkeep.chores import Chore, Chores
from core.upkeep.memory import give_back
from core.upkeep.notices import OWNERS, Notice, Notices, notice

__all__ = ["OWNERS", "Chore", "Chores", "Notice", "Notices", "give_back", "notice"]
