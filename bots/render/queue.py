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


class QueueFull(Refusal):
    """Too many messages of this conversation wait already; nothing was done for this one."""

    code = "lane_full"

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        super().__init__()


@dataclass(slots=True)
class _Queue:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    occupants: int = 0


@final
class ConversationQueue:
    """The queue serves each conversation's messages in their order; at most `waiting_max` wait
    behind the one being served."""

    def __init__(self, *, waiting_max: int = 3) -> None:
        self._waiting_max = waiting_max
        self._queues: dict[str, _Queue] = {}

    def __len__(self) -> int:
        """How many keys are remembered: those in use."""
        return len(self._queues)

    def count_waiting(self, key: str) -> int:
        """How many wait behind the one being served."""
        queue = self._queues.get(key)
        return max(0, queue.occupants - 1) if queue else 0

    def is_busy(self, key: str) -> bool:
        """Whether somebody is being served."""
        return key in self._queues

    @asynccontextmanager
    async def enter(self, key: str) -> AsyncIterator[None]:
        """Holds the queue while inside; raises `QueueFull` at once when too many wait."""
        queue = self._queues.setdefault(key, _Queue())
        if queue.occupants > self._waiting_max:
            raise QueueFull(queue.occupants - 1)
        queue.occupants += 1
        try:
            async with queue.lock:
                yield
        finally:
            queue.occupants -= 1
            if queue.occupants == 0:
                del self._queues[key]
