"""How fast a platform is written to over all its chats: at its pace, one chat after the other.

First come, first served, whoever has many messages on their way would make everybody else wait for
all of them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import final

from aiolimiter import AsyncLimiter


@final
class FairPace:
    """The pace of everything that is sent: each turn goes to the chat that waits for one longest
    since its last, however much the others have waiting."""

    def __init__(self, per_second: float, *, burst: float) -> None:
        """`burst`: so many may go at once after a silence."""
        self._limiter = AsyncLimiter(burst, burst / per_second)
        #: What waits, by chat, in the order in which chats come to their turns.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    async def wait_turn(self, chat: str) -> None:
        """Returns when it is this chat's turn; within a chat first come, first served."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(chat, deque()).append(turn)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._give_turns(), name="pace")
        await turn

    async def close(self) -> None:
        """Nobody gets a turn any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _give_turns(self) -> None:
        while self._waiting:
            await self._limiter.acquire()
            self._give_turn()

    def _give_turn(self) -> None:
        """To the first who still waits for it."""
        while self._waiting:
            chat, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[chat] = turns
            if not turn.done():
                turn.set_result(None)
                return
