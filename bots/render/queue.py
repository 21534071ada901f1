"""One queue per conversation: what one person says is answered in the order it was said.

Stop does not enter a queue: it goes around, or it could only stop what has already ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import final

from core.errors import Refusal


class LaneFull(Refusal):
    """Too many messages of this conversation wait already; nothing was done for this one."""

    code = "lane_full"

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        super().__init__()


@dataclass(slots=True)
class _Lane:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    inside: int = 0


@final
class Lanes:
    """The queue serves each conversation's messages in their order; at most `waiting_max` wait
    behind the one being served."""

    def __init__(self, *, waiting_max: int = 3) -> None:
        self._waiting_max = waiting_max
        self._lanes: dict[str, _Lane] = {}

    def __len__(self) -> int:
        """How many keys are remembered: those in use."""
        return len(self._lanes)

    def waiting(self, key: str) -> int:
        """How many wait behind the one being served."""
        lane = self._lanes.get(key)
        return max(0, lane.inside - 1) if lane else 0

    def busy(self, key: str) -> bool:
        """Whether somebody is being served."""
        return key in self._lanes

    @asynccontextmanager
    async def enter(self, key: str) -> AsyncIterator[None]:
        """Holds the queue while inside; raises `QueueFull` at once when too many wait."""
        lane = self._lanes.setdefault(key, _Lane())
        if lane.inside > self._waiting_max:
            raise LaneFull(lane.inside - 1)
        lane.inside += 1
        try:
            async with lane.lock:
                yield
        finally:
            lane.inside -= 1
            if lane.inside == 0:
                del self._lanes[key]
