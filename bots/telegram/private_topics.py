"""Topics in private chats, which a bot has where its operator switched them on at BotFather. Each
is a conversation of its own.

That may change while the bot runs, and no update tells it: Telegram is asked now and then, and when
a message contradicts what is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final, final

from telegram import Bot, User
from telegram.error import TelegramError

from core.errors import describe_failure

_log = logging.getLogger(__name__)

#: Telegram is asked so often, and no more often than once in the pause.
_INTERVAL_SECONDS: Final = 600.0
_PAUSE_SECONDS: Final = 30.0


@final
class PrivateTopics:
    """The watcher of whether private chats have topics; `start` needs a bot that is connected."""

    def __init__(self, bot: Bot, on_read: Callable[[User], None]) -> None:
        """`on_read` is given the bot as Telegram describes it, each time."""
        self._bot, self._on_read = bot, on_read
        self._doubted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to ask."""
        self._task = asyncio.create_task(self._watch(), name="topics in private chats")

    async def stop(self) -> None:
        """Asks no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def doubt(self) -> None:
        """A message says otherwise: Telegram is asked soon."""
        self._doubted.set()

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_SECONDS):
                    await self._doubted.wait()
            try:
                self._on_read(await self._bot.get_me())
            except TelegramError as refused:
                _log.info("Telegram did not say who this bot is: %s", describe_failure(refused))
            await asyncio.sleep(_PAUSE_SECONDS)
            self._doubted.clear()
