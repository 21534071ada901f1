"""Updates fetched from Telegram, one long poll after the other, as raw JSON.

Each update is handed over by itself, so one that nobody can read is passed over like any other. The
next poll asks for what follows the last one: what was handed over before it is Telegram's to forget
by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, final
from urllib.parse import urlencode

from telegram import Bot
from telegram.error import RetryAfter, TelegramError
from telegram.request import HTTPXRequest

from core.errors import describe_failure

_log = logging.getLogger(__name__)

#: After a failure the next poll waits so long, then twice as long each time.
_PAUSE_SECONDS: Final = 1.0
_PAUSE_MAX_SECONDS: Final = 30.0
#: So long a call may take beyond the time that it waits for updates.
_MARGIN_SECONDS: Final = 10.0
#: The last call of a stop: Telegram is told what was taken.
_GOODBYE_SECONDS: Final = 5.0

#: Takes an update over; False where it can't be taken now.
AcceptUpdate = Callable[[dict[str, Any]], Awaitable[bool]]


@final
class UpdatePoller:
    """The poller of one bot's updates: after `start` it runs in the background until `stop`."""

    def __init__(
        self, bot: Bot, accept_update: AcceptUpdate, *, kinds: Sequence[str], poll_seconds: int
    ) -> None:
        """`kinds` are the updates that are asked for, `poll_seconds` how long a poll waits."""
        self._bot, self._accept_update = bot, accept_update
        self._kinds, self._poll_seconds = json.dumps(list(kinds)), poll_seconds
        # One more connection than needed: a poll that was cut off may hold its own for a while.
        self._request = HTTPXRequest(
            connection_pool_size=4,
            connect_timeout=_MARGIN_SECONDS,
            read_timeout=poll_seconds + _MARGIN_SECONDS,
            pool_timeout=_GOODBYE_SECONDS,
        )
        self._offset = 0
        self._pause = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self, *, attempts: int) -> None:
        """Takes the webhook away that may be set, and begins to poll. Raises `TelegramError`."""
        await self._request.initialize()
        for attempt in range(attempts):
            try:
                await self._bot.delete_webhook()
            except TelegramError:
                if attempt + 1 == attempts:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS * 2**attempt)
            else:
                break
        self._task = asyncio.create_task(self._poll_on(), name="telegram polling")

    async def stop(self) -> None:
        """Polls no more; tells Telegram what was taken."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        with contextlib.suppress(TelegramError, TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                if self._offset:
                    await self._fetch(wait_seconds=0, limit=1)
        await self._request.shutdown()

    async def _poll_on(self) -> None:
        while True:
            try:
                updates = await self._fetch(wait_seconds=self._poll_seconds, limit=100)
            except Exception as failure:  # noqa: BLE001 - whatever the library makes of an answer
                self._pause = _next_pause(self._pause, failure)
                _log.warning("updates could not be fetched: %s", describe_failure(failure))
                await asyncio.sleep(self._pause)
                continue
            self._pause = 0.0
            if not await self._hand_over(updates):
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _hand_over(self, updates: Sequence[dict[str, Any]]) -> bool:
        """Each in turn; whether all were taken. From the first that wasn't they are fetched
        again."""
        for update in updates:
            if not await self._accept_update(update):
                return False
            self._offset = max(self._offset, int(update["update_id"]) + 1)
        return True

    async def _fetch(self, *, wait_seconds: int, limit: int) -> list[dict[str, Any]]:
        query = urlencode(
            {
                "offset": self._offset,
                "timeout": wait_seconds,
                "limit": limit,
                "allowed_updates": self._kinds,
            }
        )
        told: Any = await self._request.post(
            f"{self._bot.base_url}/getUpdates?{query}",
            read_timeout=wait_seconds + _MARGIN_SECONDS,
        )
        if not isinstance(told, list):
            return []
        return [one for one in told if isinstance(one, dict) and type(one.get("update_id")) is int]


def _next_pause(pause: float, failure: Exception) -> float:
    """Twice as long as before; as long as Telegram asks, where it does."""
    grown = min(_PAUSE_MAX_SECONDS, pause * 2 or _PAUSE_SECONDS)
    if isinstance(failure, RetryAfter):
        asked = failure.retry_after
        seconds = asked if isinstance(asked, int) else asked.total_seconds()
        return max(grown, float(seconds))
    return grown
