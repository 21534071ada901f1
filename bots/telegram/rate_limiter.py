"""How fast Telegram is written to over all chats: at its pace, one chat after the other.

What a single chat takes is kept by `bots.render.throttle`, which also waits a 429 out for the chat
that got it: the library's own limiter would hold every chat for it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, final

from telegram.constants import FloodLimit
from telegram.ext import BaseRateLimiter

from bots.render.pace import FairPace

#: Messages a second over all chats.
_PER_SECOND: Final = float(FloodLimit.MESSAGES_PER_SECOND)


@final
class FairRateLimiter(BaseRateLimiter[None]):
    """The limiter that the library asks before each request: what goes to a chat waits for that
    chat's turn."""

    def __init__(self) -> None:
        self._pace = FairPace(_PER_SECOND, burst=_PER_SECOND)

    async def initialize(self) -> None:
        """See `BaseRateLimiter`."""

    async def shutdown(self) -> None:
        """See `BaseRateLimiter`."""
        await self._pace.close()

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,  # noqa: ARG002 - the library's signature
        data: dict[str, Any],
        rate_limit_args: None,  # noqa: ARG002 - the library's signature
    ) -> Any:
        """See `BaseRateLimiter`."""
        chat = data.get("chat_id")
        if chat is not None:
            await self._pace.wait_turn(str(chat))
        return await callback(*args, **kwargs)
