"""The only place that reads the machine's clock. Everything else takes a `Clock`, so that tests
decide what time it is.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Final, Protocol

DAY_MS: Final = 86_400_000
#: Linux's, which goes on while the machine sleeps; others have none by this name.
_STEADY: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """A clock tells the time in UTC, and measures durations."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC; what the database stores."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits until so many seconds have gone by."""
        ...


class SystemClock:
    """The system clock reads the machine's own time; the service runs on it."""

    def now_ms(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """See `Clock`. Where the system tells it, time that the machine slept is counted."""
        return time.monotonic() if _STEADY is None else time.clock_gettime(_STEADY)

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        await asyncio.sleep(seconds)


def as_datetime(at_ms: int) -> datetime:
    """A stored time (milliseconds) as an aware datetime in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def as_ms(at: datetime) -> int:
    """An aware datetime as stored: milliseconds since 1970-01-01 UTC."""
    return round(at.timestamp() * 1000)


def as_utc_day(at_ms: int) -> str:
    """The UTC day of a stored time (milliseconds), as YYYY-MM-DD."""
    return as_datetime(at_ms).date().isoformat()
