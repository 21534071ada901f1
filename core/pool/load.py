"""How busy a key is: the calls that run, and whether one more may begin.

Whoever chooses a key has not begun yet: the ledger holds its money first, for many at once. So
choices count until they begin, and whether one may begin is asked again then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: A key of whose last call nothing came is tried by so many at once, until one is answered.
TRIALS_MAX = 2
#: Who chose a key and hasn't begun after this long won't begin.
_CHOICE_MS = 1_000


@dataclass(slots=True)
class Load:
    """Of one key, in this process."""

    in_flight: int = 0
    #: Those that chose it lately and haven't begun, and when the last one did.
    choices: int = 0
    chosen_at: int = 0
    #: Of those in flight the ones to which nothing was answered yet.
    unanswered: int = 0
    #: It failed, and nothing of a call that began since has come.
    doubted: bool = False
    #: Requests that its supplier still takes, as far as it told, until then.
    left: int = 0
    left_until: int = 0

    def busy(self, now_ms: int) -> int:
        """Calls that run or are about to."""
        return self.in_flight + (self.choices if now_ms - self.chosen_at <= _CHOICE_MS else 0)

    def chosen(self, now_ms: int) -> None:
        """One more is about to begin."""
        self.choices = self.busy(now_ms) - self.in_flight + 1
        self.chosen_at = now_ms

    def admits(self, now_ms: int) -> bool:
        """Whether one more call may begin."""
        if self.doubted and self.unanswered >= TRIALS_MAX:
            return False
        return self.left > 0 or now_ms >= self.left_until

    @contextlib.contextmanager
    def running(self) -> Iterator[Callable[[], None]]:
        """A call, with what is to be told when something of its answer comes."""
        self.choices = max(0, self.choices - 1)
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
