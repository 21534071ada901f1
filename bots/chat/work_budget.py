"""A budget of each person for everything that isn't an ask: commands, buttons, forms.

Asks have limits of their own and are paid for; what costs nothing would else be asked for without
end, and hold up everybody. It is looked at before anything is read or written for somebody.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from core.clock import Clock

#: So much at once, and one more each second.
BURST: Final = 40
_PER_SECOND: Final = 1.0
#: Whoever spent it is told once; again after so much of it has come back.
_TOLD_AGAIN_FROM: Final = 10.0
#: The people who are remembered, the latest ones.
_PEOPLE_MAX: Final = 50_000


class Verdict(enum.Enum):
    """What becomes of one more piece of work."""

    DONE = "done"
    #: It isn't done, and its person is told so.
    TOLD = "told"
    #: It isn't done, and its person knows.
    DROPPED = "dropped"


@dataclass(slots=True)
class _Account:
    left: float
    at: float
    is_told: bool = False


class WorkBudget:
    """The budgets of people, by the platform's own ids, in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: LRUCache[tuple[str, str], _Account] = LRUCache(_PEOPLE_MAX)
        #: How much wasn't done, in this process.
        self.dropped_count = 0

    def is_spent(self, platform: str, sender: str) -> bool:
        """Whether somebody's next piece of work would not be done; nothing is taken."""
        account = self._accounts.get((platform, sender))
        if account is None:
            return False
        return account.left + (self._clock.monotonic() - account.at) * _PER_SECOND < 1

    def take(self, platform: str, sender: str) -> Verdict:
        """Takes one of somebody's budget, if there is one."""
        now, key = self._clock.monotonic(), (platform, sender)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account(float(BURST), now)
        account.left = min(float(BURST), account.left + (now - account.at) * _PER_SECOND)
        account.at = now
        if account.left >= 1:
            account.left -= 1
            account.is_told = account.is_told and account.left < _TOLD_AGAIN_FROM
            return Verdict.DONE
        self.dropped_count += 1
        if account.is_told:
            return Verdict.DROPPED
        account.is_told = True
        return Verdict.TOLD
