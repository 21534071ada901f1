"""Updates fetched from Telegram, one long poll after the other, as raw JSON.

Each update is handed over by itself, so one that nobody can read is passed over like any other. The
next poll asks for what follows those that were taken: only they are Telegram's to forget.
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

from bots.telegram.file_request import load_authorities
from core.errors import describe_failure

_log = logging.getLogger(__name__)

#: The longest pause after failures.
_PAUSE_MAX_SECONDS: Final = 30.0
#: So long a call may take beyond the time that it waits for updates.
_MARGIN_SECONDS: Final = 10.0
#: While updates are not taken yet, others are asked for as often.
_SLOW_SECONDS: Final = 0.25
#: The last call of a stop: Telegram is told what was taken.
_GOODBYE_SECONDS: Final = 5.0

#: Takes an update over; False where it can't be taken now.
AcceptUpdate = Callable[[dict[str, Any]], Awaitable[bool]]


@final
class UpdatePoller:
    """The poller of one bot's updates: after `start` it runs in the background until `stop`."""

    def __init__(
        self,
        bot: Bot,
        accept_update: AcceptUpdate,
        *,
        kinds: Sequence[str],
        poll_seconds: int,
        pause_seconds: float,
    ) -> None:
        """`kinds` are the updates that are asked for, `poll_seconds` how long a poll waits; after a
        failure the next one waits `pause_seconds`, then twice as long each time."""
        self._bot, self._accept_update = bot, accept_update
        self._kinds, self._poll_seconds = json.dumps(list(kinds)), poll_seconds
        # One more connection than needed: a poll that was cut off may hold its own for a while.
        self._request = HTTPXRequest(
            connection_pool_size=4,
            connect_timeout=_MARGIN_SECONDS,
            read_timeout=poll_seconds + _MARGIN_SECONDS,
            pool_timeout=_GOODBYE_SECONDS,
            httpx_kwargs={"verify": load_authorities()},
        )
        self._offset = 0
        self._first_pause, self._pause = pause_seconds, 0.0
        #: When Telegram last answered a poll.
        self._heard_at = 0.0
        self._task: asyncio.Task[None] | None = None
        #: What was handed over and isn't taken yet, or stands behind one that isn't.
        self._taken: dict[int, asyncio.Task[bool]] = {}

    async def start(self, *, attempts: int) -> None:
        """Takes the webhook away that may be set, and begins to poll. Raises `TelegramError`."""
        await self._request.initialize()
        for attempt in range(attempts):
            try:
                await self._bot.delete_webhook()
            except TelegramError:
                if attempt + 1 == attempts:
                    raise
                await asyncio.sleep(self._first_pause * 2**attempt)
            else:
                break
        self._heard_at = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._poll_on(), name="telegram polling")

    def is_heard(self) -> bool:
        """Whether polls are answered in the time that they take."""
        if self._task is None or self._task.done():
            return False
        silence = asyncio.get_running_loop().time() - self._heard_at
        return silence <= self._poll_seconds + 2 * _MARGIN_SECONDS

    async def stop(self) -> None:
        """Polls no more; tells Telegram what was taken."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        if self._taken:
            await asyncio.wait(self._taken.values(), timeout=_GOODBYE_SECONDS)
        self._move_offset()
        for task in self._taken.values():
            task.cancel()
        await asyncio.gather(*self._taken.values(), return_exceptions=True)
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
                self._pause = _next_pause(self._pause * 2 or self._first_pause, failure)
                _log.warning("updates could not be fetched: %s", describe_failure(failure))
                await asyncio.sleep(self._pause)
                continue
            self._pause = 0.0
            self._heard_at = asyncio.get_running_loop().time()
            if not await self._hand_over(updates):
                slow = any(not task.done() for task in self._taken.values())
                await asyncio.sleep(_SLOW_SECONDS if slow else self._first_pause)

    async def _hand_over(self, updates: Sequence[dict[str, Any]]) -> bool:
        """All at once, so that they share a write; whether all were taken. From the first that
        wasn't they are fetched again; those behind it that were are known then."""
        for update in updates:
            number = int(update["update_id"])
            if number >= self._offset and number not in self._taken:
                self._taken[number] = asyncio.create_task(self._accept(update))
        if self._taken:
            await asyncio.wait(self._taken.values(), timeout=_SLOW_SECONDS)
        return self._move_offset()

    def _move_offset(self) -> bool:
        """Beyond every update that was taken, up to the first that isn't yet; whether none is
        left."""
        for number in sorted(self._taken):
            task = self._taken[number]
            if not task.done():
                return False
            del self._taken[number]
            if not task.result():
                return False
            self._offset = max(self._offset, number + 1)
        return True

    async def _accept(self, update: dict[str, Any]) -> bool:
        try:
            return await self._accept_update(update)
        except Exception as failure:  # noqa: BLE001 - one update's bug is no other's
            _log.error("an update could not be taken: %s", describe_failure(failure))
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


def _next_pause(grown: float, failure: Exception) -> float:
    """So long, within its limit; as long as Telegram asks, where it does."""
    grown = min(_PAUSE_MAX_SECONDS, grown)
    if isinstance(failure, RetryAfter):
        asked = failure.retry_after
        seconds = asked if isinstance(asked, int) else asked.total_seconds()
        return max(grown, float(seconds))
    return grown
