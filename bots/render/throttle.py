"""How fast an answer is shown: by time, the newest text first, and as slow as the platform asks.

A reader of the stream only replaces what is to be shown next; one sender wakes when the chat may be
written to again and sends what is newest then. So a slow platform drops frames and never queues
them, and the end of an answer is always delivered. Editing by characters instead of time is what
made bots wait for hours in other people's chats.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, final

from core.clock import Clock
from core.errors import Refusal

Frame = TypeVar("Frame")
Result = TypeVar("Result")

#: How long the end of an answer is tried before it is left to the job that redelivers saved
#: answers.
PATIENCE_SECONDS = 900.0
#: The longest pause after a failure for which the platform named no pause.
_BACKOFF_MAX_SECONDS = 30.0
#: Chats remembered for their pauses; far more than can be active at once.
_CHATS_MAX = 10_000


class Wait(Exception):
    """A send may be tried again after `seconds`; None when the platform named no pause."""

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class NotShown(Refusal):
    """The platform kept refusing for longer than anybody should wait."""

    code = "not_shown"

    def __init__(self, waited_seconds: int) -> None:
        self.waited_seconds = waited_seconds
        super().__init__()


@final
class Budget:
    """The throttle of one chat says when it may be written to; all answers shown in the chat share
    it."""

    def __init__(self, clock: Clock, interval_seconds: float) -> None:
        self._clock = clock
        self._interval = interval_seconds
        self._next_at = clock.monotonic()
        self._closed_until = self._next_at

    @property
    def idle(self) -> bool:
        """Whether forgetting it changes nothing."""
        return self._next_at <= self._clock.monotonic()

    def hold_off(self, seconds: float) -> None:
        """Nothing is sent to this chat for so long: the platform said so."""
        until = self._clock.monotonic() + seconds
        self._closed_until = max(self._closed_until, until)
        self._next_at = max(self._next_at, until)

    async def turn(self) -> None:
        """Returns when the next spaced message or edit may go, first come first served."""
        while True:
            now = self._clock.monotonic()
            at = max(now, self._next_at)
            self._next_at = at + self._interval
            await asyncio.sleep(at - now)
            # A pause may have been asked for while this one slept: then it books again.
            if self._closed_until <= at:
                return

    async def opening(self) -> None:
        """Returns when the chat is open: for replies to a command, which need no spacing."""
        while (wait := self._closed_until - (now := self._clock.monotonic())) > 0:
            await asyncio.sleep(wait)
            if self._clock.monotonic() <= now:
                break  # a clock that stands still: the sleep was the wait
        self._next_at = max(self._next_at, self._clock.monotonic() + self._interval)

    async def patiently(
        self, send: Callable[[], Awaitable[Result]], *, patience_seconds: float = PATIENCE_SECONDS
    ) -> Result:
        """Sends as soon as the chat is open, again after each `RetryLater`; raises `NotDelivered`
        at the end.

        Whatever else `send` raises comes out at once.
        """
        waits = _Waits(self, patience_seconds)
        while True:
            await self.opening()
            try:
                return await send()
            except Wait as wait:
                waits.add(wait)


@final
class _Waits:
    """The pauses of one send so far: they grow where the platform named none, and end at a
    limit."""

    def __init__(self, budget: Budget, patience_seconds: float) -> None:
        self._budget = budget
        self._patience = patience_seconds
        self._count = 0
        self._waited = 0.0

    def add(self, wait: Wait) -> None:
        """Pauses the chat, or raises `NotDelivered` when the limit would be exceeded."""
        seconds = wait.seconds
        if seconds is None:
            grown = min(_BACKOFF_MAX_SECONDS, 0.5 * 2**self._count)
            seconds = grown * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, no secret
        self._count += 1
        self._waited += seconds
        if self._waited > self._patience:
            raise NotShown(round(self._waited))
        self._budget.hold_off(seconds)

    def clear(self) -> None:
        """A send went through."""
        self._count = 0
        self._waited = 0.0


@final
class Budgets:
    """The throttles of all chats: each is made when first needed, and forgotten when idle and
    crowded out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._budgets: OrderedDict[str, Budget] = OrderedDict()

    def of(self, chat: str, interval_seconds: float) -> Budget:
        """The budget that everything shown in this chat shares."""
        budget = self._budgets.get(chat)
        if budget is None:
            budget = self._budgets[chat] = Budget(self._clock, interval_seconds)
            self._crowd_out()
        self._budgets.move_to_end(chat)
        return budget

    def _crowd_out(self) -> None:
        while len(self._budgets) > _CHATS_MAX:
            oldest, budget = next(iter(self._budgets.items()))
            if not budget.idle:
                return
            del self._budgets[oldest]


@final
class Showing(Generic[Frame]):
    """A throttled stream shows one answer as it grows.

    `send_frame` sends one frame; it may raise `RetryLater`. A frame equal to the last one shown is
    never sent. Frames of the end are all shown, in order. `run` is the one sender, so never are two
    in flight.
    """

    def __init__(
        self,
        show: Callable[[Frame], Awaitable[None]],
        budget: Budget,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._show = show
        self._budget = budget
        self._waits = _Waits(budget, patience_seconds)
        self._newest: Frame | None = None
        self._shown: Frame | None = None
        self._last: deque[Frame] = deque()
        self._ended = False
        self._fresh = asyncio.Event()

    def offer(self, frame: Frame) -> None:
        """Takes the place of whatever was to be shown next; nothing after the end."""
        if not self._ended:
            self._newest = frame
            self._fresh.set()

    def again(self) -> None:
        """Shows the present frame once more though it is the same (a preview that fades)."""
        if not self._ended and self._shown is not None:
            self._newest = self._shown if self._newest is None else self._newest
            self._shown = None
            self._fresh.set()

    def finish(self, *frames: Frame) -> None:
        """The end: these frames are shown, each in its own turn, then `run` returns."""
        if not self._ended:
            self._ended = True
            self._newest = None
            self._last.extend(frames)
            self._fresh.set()

    async def run(self) -> None:
        """Sends until the end has been shown; raises `NotDelivered`, or what `show` raised."""
        while True:
            await self._fresh.wait()
            if self._next() is None:
                if self._ended:
                    return
                self._fresh.clear()
                continue
            await self._budget.turn()
            # Taken only now: whatever came during the wait is newer.
            of_the_end, frame = self._ended, self._next()
            if frame is None:
                continue
            try:
                await self._show(frame)
            except Wait as wait:
                self._waits.add(wait)
                continue
            self._waits.clear()
            if of_the_end:
                # Two parts of an end may read the same, and both are wanted.
                self._last.popleft()
                self._shown = None
            else:
                self._shown = frame

    def _next(self) -> Frame | None:
        if not self._ended:
            return None if self._newest == self._shown else self._newest
        if self._last and self._last[0] == self._shown:
            self._last.popleft()
        return self._last[0] if self._last else None
