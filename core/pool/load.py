"""How busy a key is: the calls that run, and whether one more may begin.

Whoever chooses a key has not begun yet, and many choose at once; so it is asked when they choose,
and again when they begin.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: A key of whose last call nothing came is tried by so many at once, until one is answered.
TRIALS_MAX = 2


@dataclass(slots=True)
class Load:
    """Of one key, in this process."""

    in_flight: int = 0
    #: Of them those to which nothing was answered yet.
    unanswered: int = 0
    #: It failed, and nothing of a call that began since has come.
    doubted: bool = False
    #: Requests that its supplier still takes, as far as it told, until then.
    left: int = 0
    left_until: int = 0

    def admits(self, now_ms: int) -> bool:
        """Whether one more call may begin."""
        if self.doubted and self.unanswered >= TRIALS_MAX:
            return False
        return self.left > 0 or now_ms >= self.left_until

    @contextlib.contextmanager
    def running(self) -> Iterator[Callable[[], None]]:
        """A call, with what is to be told when something of its answer comes."""
        self.in_flight += 1
        self.unanswered += 1
        self.left -= 1
        waits = True

        def answered() -> None:
            nonlocal waits
            self.unanswered -= waits
            waits = False

        try:
            yield answered
        finally:
            answered()
            self.in_flight -= 1

    def told(self, left: int, until_ms: int) -> None:
        """The supplier tells how many requests it still takes; those that run may not be counted
        there yet."""
        self.left, self.left_until = left - self.unanswered, until_ms
