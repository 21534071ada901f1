"""Upkeep: what happens without a request."""

from __future__ import annotations

from core.upkeep.chores import Chore, Chores

__all__ = ["Chore", "Chores"]
