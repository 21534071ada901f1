"""How fast Telegram is written to over all chats: at its pace, one chat after the other.

The library's own limiter serves first come, first served: whoever has many messages on their way
makes everybody else wait for all of them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, final

from aiolimiter import AsyncLimiter
from telegram.constants import FloodLimit
from telegram.ext import AIORateLimiter

#: Messages a second over all chats.
_PER_SECOND: Final = float(FloodLimit.MESSAGES_PER_SECOND)


@final
class FairPace:
    """The pace of everything that is sent: each turn goes to the chat that waits for one longest
    since its last, however much the others have waiting."""

    def __init__(self, per_second: float = _PER_SECOND) -> None:
        self._limiter = AsyncLimiter(per_second, 1)
        #: What waits, by chat, in the order in which chats come to their turns.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    async def wait_turn(self, chat: str) -> None:
        """Returns when it is this chat's turn; within a chat first come, first served."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(chat, deque()).append(turn)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._give_turns(), name="telegram pace")
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


@final
class FairRateLimiter(AIORateLimiter):
    """The library's limiter for what a group takes in a minute, and our pace over all chats."""

    def __init__(self) -> None:
        # A 429 is waited out by the chat that got it (`bots.render.throttle`): this limiter's own
        # retry would hold every chat.
        super().__init__(overall_max_rate=0, overall_time_period=0, max_retries=0)
        self._pace = FairPace()

    async def shutdown(self) -> None:
        """See `BaseRateLimiter`."""
        await self._pace.close()

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: int | None,
    ) -> Any:
        """See `BaseRateLimiter`: what goes to a chat waits for its turn."""
        chat = data.get("chat_id")

        async def call_in_turn(*given: Any, **named: Any) -> Any:
            if chat is not None:
                await self._pace.wait_turn(str(chat))
            return await callback(*given, **named)

        return await super().process_request(
            call_in_turn, args, kwargs, endpoint, data, rate_limit_args
        )
