"""Rate limits of a person or a group: asks a minute, asks at once, Credits a UTC day.

Minutes and what runs are counted in this process, days by the rows of answers.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator
from typing import ClassVar

import sqlalchemy as sa

from core.asks.types import AskRefusal, Question
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Store
from core.money import Credits
from core.pricing.deals import Deals
from core.users.limits import Allowance, Rules

_MINUTE = 60.0
#: So many people and groups are remembered; who asked longest ago is forgotten first.
_MOST = 50_000


class TooFast(AskRefusal):
    """The person or group asked too often this minute; the next ask may come in `seconds`."""

    code: ClassVar[str] = "too_fast"

    def __init__(self, per_minute: int, seconds: int) -> None:
        self.per_minute, self.seconds = per_minute, seconds


class TooManyAtOnce(AskRefusal):
    """As many asks of the person or group run as may run at once."""

    code: ClassVar[str] = "too_many_at_once"

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once


class DayIsSpent(AskRefusal):
    """The Credits that a person may spend this UTC day are spent or held."""

    code: ClassVar[str] = "day_is_spent"

    def __init__(self, per_day: Credits) -> None:
        self.per_day = per_day


class Pacing:
    """Admits asks within the limits of the person and the group that they come from."""

    def __init__(self, *, rules: Rules, deals: Deals, store: Store, clock: Clock) -> None:
        self._rules, self._deals, self._store, self._clock = rules, deals, store, clock
        self._times: dict[str, deque[float]] = {}
        self._running: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def turn(self, question: Question) -> AsyncIterator[None]:
        """Counts an ask that is admitted inside, until `release`, unless it is refused there.
        Raises `FeaturePaused`, `PersonBlocked`, `RateLimited`, `TooManyConcurrentAsks`,
        `DailyLimitReached`."""
        await self._deals.know(question.person.id)
        self._check(question)
        self._began(question)
        try:
            per_day = self._rules.of(question.person.id).per_day
            if per_day is not None and not question.privileged:
                await self._day(question.person.id, per_day)
            yield
        except BaseException:
            self.ended(question)
            raise

    def _check(self, question: Question) -> None:
        person = question.person.id
        if question.privileged:
            return
        self._rules.check("asks", person)
        allowance = self._rules.of(person)
        group = self._rules.own(_group(question.place))
        for subject, may in ((person, allowance), (_group(question.place), group)):
            self._fast(subject, may)
            if may.at_once is not None and self._running[subject] >= may.at_once:
                raise TooManyAtOnce(may.at_once)

    def _fast(self, subject: str, may: Allowance) -> None:
        if may.per_minute is None:
            return
        now, times = self._clock.monotonic(), self._times.get(subject, ())
        recent = [at for at in times if now - at < _MINUTE]
        if len(recent) >= may.per_minute:
            oldest = recent[len(recent) - may.per_minute] if may.per_minute else now
            raise TooFast(may.per_minute, max(1, round(_MINUTE - (now - oldest))))

    async def _day(self, person: str, per_day: Credits) -> None:
        today = self._clock.now_ms() // DAY_MS * DAY_MS
        used, ask = schema.usage.c, schema.ask.c
        spent = sa.select(sa.func.coalesce(sa.func.sum(used.charge), 0)).where(
            used.person == person, used.at >= today
        )
        held = sa.select(sa.func.coalesce(sa.func.sum(ask.held), 0)).where(
            ask.person == person, ask.state == "open"
        )
        rows = await self._store.fetch(
            sa.select(spent.scalar_subquery().label("spent"), held.scalar_subquery().label("held"))
        )
        if int(rows[0].spent) + int(rows[0].held) >= per_day.units:
            raise DayIsSpent(per_day)

    def _began(self, question: Question) -> None:
        now = self._clock.monotonic()
        for subject in (question.person.id, _group(question.place)):
            self._running[subject] += 1
            times = self._times.pop(subject, None)
            if times is None:
                times = deque(maxlen=1_000)
            times.append(now)
            self._times[subject] = times
        while len(self._times) > _MOST:
            del self._times[next(iter(self._times))]

    def ended(self, question: Question) -> None:
        """Counts an ask as running no more."""
        for subject in (question.person.id, _group(question.place)):
            self._running[subject] -= 1
            if not self._running[subject]:
                del self._running[subject]


def _group(place: str) -> str:
    """The group of a place, `<platform>:<chat>`: a chat with all its threads."""
    return ":".join(place.split(":")[:2])
