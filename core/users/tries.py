"""Tries: how often somebody may type a wrong code."""

from __future__ import annotations

from core.clock import Clock
from core.users.ttl_cache import Recent
from core.users.types import TooManyTries

#: Wrong codes that a person may type within so long.
TRIES_MAX = 5
TRIES_SECONDS = 600
_PEOPLE_MAX = 10_000


class Tries:
    """Counts wrong codes of each person, in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wrong: Recent[str, list[int]] = Recent(clock, seconds=TRIES_SECONDS, most=_PEOPLE_MAX)

    def check(self, person: str) -> None:
        """Raises `TooManyTries`."""
        if len(self._lately(person)) >= TRIES_MAX:
            raise TooManyTries

    def wrong(self, person: str) -> None:
        """They typed one that leads nowhere."""
        self._wrong.put(person, [*self._lately(person), self._clock.now_ms()])

    def _lately(self, person: str) -> list[int]:
        since = self._clock.now_ms() - TRIES_SECONDS * 1000
        return [at for at in self._wrong.get(person) or () if at > since]
