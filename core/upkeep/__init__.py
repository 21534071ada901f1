"""Upkeep: what happens without a request."""

from __future__ import annotations

from core.upkeep.chores import Chore, Chores
from core.upkeep.memory import give_back

__all__ = ["Chore", "Chores", "give_back"]
