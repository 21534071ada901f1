"""What a supplier keeps of each key: what its account pays for, and how often it may call.

    supplier.accounts.quotas["sk-good"] = 20_000            # tokens; then: insufficient_quota
    supplier.accounts.limits["sk-good"] = Limit(20, 60.0)   # told in headers; then: 429
    supplier.accounts.billed["sk-good"]                     # tokens so far

A key that isn't named has neither.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.peers.suppliers import Refuse


@dataclass(frozen=True)
class Limit:
    """So many requests in each window of so many seconds."""

    requests: int
    seconds: float


class Accounts:
    """Every key's."""

    def __init__(self) -> None:
        #: Its own clock, in seconds.
        self.now: Callable[[], float] = time.monotonic
        self.quotas: dict[str, int] = {}
        self.limits: dict[str, Limit] = {}
        self.billed: Counter[str] = Counter()
        #: By key: when its window began, and requests in it.
        self._windows: dict[str, tuple[float, int]] = {}

    def refusal(self, key: str) -> Refuse | None:
        """Counts a request; what is answered when there is no money or no room for it."""
        from tests.peers.suppliers import Refuse

        if self.billed[key] >= self.quotas.get(key, math.inf):
            return Refuse(429, code="insufficient_quota", type="insufficient_quota")
        limit = self.limits.get(key)
        if limit is None:
            return None
        began, count = self._windows.get(key, (self.now(), 0))
        if self.now() - began >= limit.seconds:
            began, count = self.now(), 0
        self._windows[key] = (began, count + 1)
        if count < limit.requests:
            return None
        wait = math.ceil(began + limit.seconds - self.now())
        return Refuse(
            429,
            code="rate_limit_exceeded",
            type="requests",
            retry_after=str(max(1, wait)),
            headers=self.headers(key),
        )

    def headers(self, key: str) -> dict[str, str]:
        """What an answer's headers tell of a limit."""
        limit = self.limits.get(key)
        if limit is None:
            return {}
        began, count = self._windows[key]
        return {
            "x-ratelimit-limit-requests": str(limit.requests),
            "x-ratelimit-remaining-requests": str(max(0, limit.requests - count)),
            "x-ratelimit-reset-requests": f"{began + limit.seconds - self.now():.3f}s",
        }
