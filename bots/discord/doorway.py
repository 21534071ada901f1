"""Acknowledge first, work later.

Discord drops what is not acknowledged within three seconds, and the loop has one core: in a crowd,
the work for those who are in would take it from those who still wait at the door.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final, final

#: So many may wait to be acknowledged while others are served: that is no crowd.
FEW: Final = 8
#: However long a crowd goes on, who was acknowledged is served after so long.
PATIENCE_SECONDS: Final = 3.0


@final
class Doorway:
    """Those who were acknowledged go in one after the other, while few wait at the door."""

    def __init__(self) -> None:
        self._waiting = 0
        self._calm = asyncio.Event()
        self._calm.set()
        #: Fair: whoever came first goes in first.
        self._next = asyncio.Lock()

    @contextlib.contextmanager
    def acknowledging(self) -> Iterator[None]:
        """Meanwhile one waits at the door."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    async def enter(self) -> None:
        """Returns when it is one's turn to be served."""
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        async with self._next:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._calm.wait()
            # One each turn of the loop: what arrives meanwhile is read in between.
            await asyncio.sleep(0)

    def _count(self, more: int) -> None:
        self._waiting += more
        if self._waiting > FEW:
            self._calm.clear()
        else:
            self._calm.set()
