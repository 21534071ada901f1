"""How fast an answer is shown: by time, the newest text first, and as slow as the platform asks.

A reader of the stream only replaces what is to be shown next; one sender wakes when the chat may be
written to again and sends what is newest then. So a slow platform drops frames and never queues
them, and the end of an answer is always delivered. Editing by characters instead of time is what
made bots wait for hours in other people's chats.
"""

from __future__ import annotations

import asyncio
import bisect
import random
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar, final

from core.errors import Refusal

Frame = TypeVar("Frame")
Result = TypeVar("Result")

#: How long the end of an answer is tried before it is left to the job that redelivers saved
#: answers.
RETRY_SECONDS_MAX = 900.0
#: How long an answer's first message is tried before its supplier is asked all the same.
HOLDER_RETRY_SECONDS_MAX = 10.0
#: The first and the longest pause after failures for which the platform named no pause.
_BACKOFF_SECONDS = 0.5
_BACKOFF_MAX_SECONDS = 30.0
#: So many messages may go to a chat one right after the other.
BURST: Final = 10
#: So much of what is no text may wait for one chat, in bytes.
_HELD_BYTES_MAX: Final = 4_000_000
#: Chats remembered for their pauses; far more than can be active at once.
_CHATS_MAX = 10_000


def _now() -> float:
    """The loop's own time: pauses are what the loop sleeps."""
    return asyncio.get_running_loop().time()


class RetryLater(Exception):
    """A send may be tried again after `seconds`; None when the platform named no pause."""

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class NotDelivered(Refusal):
    """The platform kept refusing for longer than anybody should wait."""

    code = "not_shown"

    def __init__(self, waited_seconds: int) -> None:
        self.waited_seconds = waited_seconds
        super().__init__()


@final
class ChatThrottle:
    """The throttle of one chat says when it may be written to; answers' edits and cards share it.

    Frames of answers go one by one, an interval apart, since a newer one takes the place of an
    older. Cards go at once while there is room: at most `BURST` messages and edits of both kinds
    in any `BURST` intervals.
    """

    def __init__(self, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._next_at = self._paused_until = _now()
        #: When messages go, or went: the present and the coming ones, in their order.
        self._booked: list[float] = []
        self._held_bytes = 0

    @property
    def is_idle(self) -> bool:
        """Whether forgetting it changes nothing."""
        self._forget_past()
        is_open = self._next_at <= _now()
        return is_open and not self._booked and not self._held_bytes

    def pause(self, seconds: float) -> None:
        """Nothing is sent to this chat for so long: the platform said so."""
        until = _now() + seconds
        self._paused_until = max(self._paused_until, until)
        self._next_at = max(self._next_at, until)

    @contextmanager
    def hold_bytes(self, count: int) -> Iterator[bool]:
        """Whether so much more may wait for this chat; what may counts as waiting meanwhile. One
        piece always may."""
        fits = not self._held_bytes or self._held_bytes + count <= _HELD_BYTES_MAX
        held = count if fits else 0
        self._held_bytes += held
        try:
            yield fits
        finally:
            self._held_bytes -= held

    async def wait_turn(self) -> None:
        """Returns when the next frame may go, first come first served."""
        while True:
            at = self._book(max(_now(), self._next_at))
            self._next_at = at + self._interval
            if await self._sleep_until(at):
                return

    async def wait_room(self) -> None:
        """Returns when a card may go, which needs no spacing while there is room."""
        while True:
            at = self._book(max(_now(), self._paused_until))
            self._next_at = max(self._next_at, at + self._interval)
            if await self._sleep_until(at):
                return

    async def wait_open(self) -> None:
        """Returns when the chat is open: for what is no message, as a deletion."""
        wait = self._paused_until - _now()
        if wait > 0:
            await asyncio.sleep(wait)
            await self.wait_open()

    async def _sleep_until(self, at: float) -> bool:
        """Whether the chat is open then: a pause may be asked for meanwhile, and another time is
        to be booked."""
        is_sent = False
        try:
            await asyncio.sleep(at - _now())
            is_sent = self._paused_until <= at
        finally:
            if not is_sent:
                self._booked.remove(at)
        return is_sent

    def _book(self, at: float) -> float:
        """The first time from `at` on that leaves no more than `BURST` in any `BURST`
        intervals."""
        self._forget_past()
        window = BURST * self._interval
        for first, last in zip(self._booked, self._booked[BURST - 1 :], strict=False):
            if last - window < at < first + window:
                at = first + window
        bisect.insort(self._booked, at)
        return at

    def _forget_past(self) -> None:
        past = _now() - BURST * self._interval
        del self._booked[: bisect.bisect_right(self._booked, past)]

    async def send_with_retries(
        self,
        send: Callable[[], Awaitable[Result]],
        *,
        retry_seconds_max: float = RETRY_SECONDS_MAX,
        is_message: bool = True,
    ) -> Result:
        """Sends as soon as there is room, again after each `RetryLater`; raises `NotDelivered` at
        the end. What is no message needs no room, only an open chat.

        Whatever else `send` raises comes out at once.
        """
        backoff = _Backoff(self, retry_seconds_max)
        while True:
            await (self.wait_room() if is_message else self.wait_open())
            try:
                return await send()
            except RetryLater as wait:
                backoff.add(wait)


@final
class _Backoff:
    """The pauses of one send so far: they grow where the platform named none, and end at a
    limit."""

    def __init__(self, throttle: ChatThrottle, retry_seconds_max: float) -> None:
        self._throttle = throttle
        self._retry_seconds_max = retry_seconds_max
        self._count = 0
        self._waited_seconds = 0.0

    def add(self, wait: RetryLater) -> None:
        """Pauses the chat, or raises `NotDelivered` when the limit would be exceeded."""
        seconds = wait.seconds
        if seconds is None:
            grown = min(_BACKOFF_MAX_SECONDS, _BACKOFF_SECONDS * 2**self._count)
            seconds = grown * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, no secret
        self._count += 1
        self._waited_seconds += seconds
        if self._waited_seconds > self._retry_seconds_max:
            raise NotDelivered(round(self._waited_seconds))
        self._throttle.pause(seconds)

    def clear(self) -> None:
        """A send went through."""
        self._count = 0
        self._waited_seconds = 0.0


@final
class ChatThrottles:
    """The throttles of all chats: each is made when first needed, and forgotten when idle and
    crowded out."""

    def __init__(self) -> None:
        self._throttles: OrderedDict[str, ChatThrottle] = OrderedDict()

    def for_chat(self, chat_key: str, interval_seconds: float) -> ChatThrottle:
        """The budget that everything shown in this chat shares."""
        budget = self._throttles.get(chat_key)
        if budget is None:
            budget = self._throttles[chat_key] = ChatThrottle(interval_seconds)
            self._evict_idle()
        self._throttles.move_to_end(chat_key)
        return budget

    def _evict_idle(self) -> None:
        while len(self._throttles) > _CHATS_MAX:
            oldest, budget = next(iter(self._throttles.items()))
            if not budget.is_idle:
                return
            del self._throttles[oldest]


@final
class ThrottledStream(Generic[Frame]):
    """A throttled stream shows one answer as it grows.

    `send_frame` sends one frame; it may raise `RetryLater`. A frame equal to the last one shown is
    never sent. Frames of the end are all shown, in order. `run` is the one sender, so never are two
    in flight.
    """

    def __init__(
        self,
        send_frame: Callable[[Frame], Awaitable[None]],
        throttle: ChatThrottle,
        *,
        retry_seconds_max: float = RETRY_SECONDS_MAX,
    ) -> None:
        self._send_frame = send_frame
        self._throttle = throttle
        self._backoff = _Backoff(throttle, retry_seconds_max)
        self._newest: Frame | None = None
        self._shown: Frame | None = None
        self._final_frames: deque[Frame] = deque()
        self._is_finished = False
        self._has_new_frame = asyncio.Event()

    def put_frame(self, frame: Frame) -> None:
        """Takes the place of whatever was to be shown next; nothing after the end."""
        if not self._is_finished:
            self._newest = frame
            self._has_new_frame.set()

    def resend_shown(self) -> None:
        """Shows the present frame once more though it is the same (a preview that fades)."""
        if not self._is_finished and self._shown is not None:
            self._newest = self._shown if self._newest is None else self._newest
            self._shown = None
            self._has_new_frame.set()

    def finish_with(self, *frames: Frame) -> None:
        """The end: these frames are shown, each in its own turn, then `run` returns."""
        if not self._is_finished:
            self._is_finished = True
            self._newest = None
            self._final_frames.extend(frames)
            self._has_new_frame.set()

    async def run(self) -> None:
        """Sends until the end has been shown; raises `NotDelivered`, or what `show` raised."""
        while True:
            await self._has_new_frame.wait()
            if self._next_frame() is None:
                if self._is_finished:
                    return
                self._has_new_frame.clear()
                continue
            await self._throttle.wait_turn()
            # Taken only now: whatever came during the wait is newer.
            is_final, frame = self._is_finished, self._next_frame()
            if frame is None:
                continue
            try:
                await self._send_frame(frame)
            except RetryLater as wait:
                self._backoff.add(wait)
                continue
            self._backoff.clear()
            if is_final:
                # Two parts of an end may read the same, and both are wanted.
                self._final_frames.popleft()
                self._shown = None
            else:
                self._shown = frame

    def _next_frame(self) -> Frame | None:
        if not self._is_finished:
            return None if self._newest == self._shown else self._newest
        if self._final_frames and self._final_frames[0] == self._shown:
            self._final_frames.popleft()
        return self._final_frames[0] if self._final_frames else None
