"""The day that the books count to: one for all processes, later only by two agreeing witnesses.

What is booked is dated within it, whatever this process's clock says, and every earlier day is
sealed: no writer can reach it any more. Witnesses of the time are the system's clock, the database
server's, what gateways and platforms told, and the steady time since the day was opened: that one
counts on through restarts, until the machine starts anew. A clock that leaps, goes back or hangs
is alone with what it says, and so changes nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from itertools import combinations
from typing import Final, NamedTuple

from core.clock import DAY_MS, Clock

_log = logging.getLogger(__name__)

#: So close two witnesses are when they agree.
_AGREEMENT_MS: Final = 300_000
#: Told times that are remembered: an old one (a message that waited) must not hide a new one.
_TOLD_MAX: Final = 8
#: After a move that others held up, and between two warnings.
_RETRY_MS: Final = 1_000
_WARNING_MS: Final = 60_000


class BookDay(NamedTuple):
    """The day that the books count to, with the time at which it was opened."""

    #: UTC, in days since 1970.
    day: int
    #: When it was opened, by the witnesses and by the opener's steady clock, in milliseconds.
    at_ms: int
    steady_ms: int


class BookClock:
    """A writer's clock: it chooses the day of the books, and the time that a batch is dated."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: What was told, each as the time at which the steady clock stood at zero.
        self._told_ms: deque[int] = deque(maxlen=_TOLD_MAX)
        self._retry_at_ms = self._warned_at_ms = -_WARNING_MS
        self._day = 0

    def hear(self, at_ms: int) -> None:
        """Somebody who can be trusted with it (a gateway, a platform) says what time it is."""
        self._told_ms.append(at_ms - self._steady_ms())

    def choose_day(self, opened: BookDay | None, read_database_ms: Callable[[], int | None]) -> int:
        """The day that the books should count to: `opened`, or a later one that two witnesses
        agree on. The first day of all is the system clock's."""
        now = self._clock.now_ms()
        self._day = now // DAY_MS if opened is None else opened.day
        if opened is None:
            return self._day
        steady = self._steady_ms()
        witnesses = [now, *(told + steady for told in tuple(self._told_ms))]
        if steady >= opened.steady_ms:  # or it began anew with the machine
            witnesses.append(opened.at_ms + steady - opened.steady_ms)
        end = (opened.day + 1) * DAY_MS
        if max(witnesses) < end or steady < self._retry_at_ms:
            return opened.day
        database = read_database_ms()
        if database is not None:
            witnesses.append(database)
        agreed = max((min(pair) for pair in combinations(witnesses, 2) if _agree(*pair)), default=0)
        if agreed < end:
            self._warn(
                "the day of the books stays: the system's clock is %d days ahead of it, and nobody"
                " agrees with it",
                now // DAY_MS,
            )
        return max(opened.day, agreed // DAY_MS)

    def put_off(self) -> None:
        """The day could not be moved: it is tried again in a second."""
        self._retry_at_ms = self._steady_ms() + _RETRY_MS

    def open_day(self, day: int) -> BookDay:
        """A day as it is opened now."""
        return BookDay(day, self._date_within(day, None), self._steady_ms())

    def date_batch(self, opened: BookDay) -> int:
        """The time of what is booked now, which lies within the day of the books."""
        return self._date_within(opened.day, opened)

    def _date_within(self, day: int, opened: BookDay | None) -> int:
        now = self._clock.now_ms()
        if now // DAY_MS == day:
            return now
        expected = 0 if opened is None else opened.at_ms + self._steady_ms() - opened.steady_ms
        return expected if expected // DAY_MS == day else day * DAY_MS

    def _steady_ms(self) -> int:
        return int(self._clock.monotonic() * 1_000)

    def warn_of_accounts(self, day: int) -> None:
        """What was booked now had to be dated to a day still to come, for its accounts count to it
        since a clock was wrong."""
        self._warn("accounts count to a day that is %d days ahead: `creditbot day correct`", day)

    def _warn(self, text: str, day: int) -> None:
        """`text` is given how far ahead of the last known day of the books `day` is."""
        steady = self._steady_ms()
        if steady - self._warned_at_ms >= _WARNING_MS:
            self._warned_at_ms = steady
            _log.warning(text, day - self._day)


def _agree(one: int, other: int) -> bool:
    return abs(one - other) <= _AGREEMENT_MS
