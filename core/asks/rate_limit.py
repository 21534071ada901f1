"""Rate limits of a person or a group: asks a minute, asks at once, Credits a UTC day.

Minutes and what runs are counted in this process, days by the rows of answers.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Iterator
from typing import ClassVar

import sqlalchemy as sa

from core.asks.types import AskRefusal, AskResult, NoKeyAvailable, Outcome, Question
from core.asks.unpaid_work import NoOwnKeyAvailable, UnpaidWorkBudget
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Database
from core.money import Credits
from core.pricing.deals import Deals
from core.users.limits import Allowance, UserLimits

_MINUTE = 60.0
#: So many people and groups are remembered; who asked longest ago is forgotten first.
_SUBJECTS_MAX = 50_000


class RateLimited(AskRefusal):
    """The person or group asked too often this minute; the next ask may come in `seconds`."""

    code: ClassVar[str] = "too_fast"

    def __init__(self, per_minute: int, seconds: int) -> None:
        self.per_minute, self.seconds = per_minute, seconds


class TooManyConcurrentAsks(AskRefusal):
    """As many asks of the person or group run as may run at once."""

    code: ClassVar[str] = "too_many_at_once"

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once


class DailyLimitReached(AskRefusal):
    """The Credits that a person may spend this UTC day are spent or held."""

    code: ClassVar[str] = "day_is_spent"

    def __init__(self, per_day: Credits) -> None:
        self.per_day = per_day


class OwnDailyLimitReached(AskRefusal):
    """The Credits that a person lets themselves spend this UTC day are spent or held."""

    code: ClassVar[str] = "own_day_is_spent"

    def __init__(self, per_day: Credits) -> None:
        self.per_day = per_day


class RateLimiter:
    """Admits asks within the limits of the person and the group that they come from."""

    def __init__(
        self,
        *,
        limits: UserLimits,
        deals: Deals,
        unpaid_work: UnpaidWorkBudget,
        db: Database,
        clock: Clock,
    ) -> None:
        self._limits, self._deals, self._unpaid_work = limits, deals, unpaid_work
        self._db, self._clock = db, clock
        self._admission_times: dict[str, deque[float]] = {}
        self._running_counts: Counter[str] = Counter()

    async def admit(self, question: Question) -> Question:
        """Counts an ask until `release`; gives the question as it may be asked. What is done with
        that until it runs stands inside `release_refused`. Raises `FeaturePaused`,
        `PersonBlocked`, `RateLimited`, `TooManyConcurrentAsks`, `DailyLimitReached`,
        `OwnDailyLimitReached`, `UnpaidWorkSpent`, `PicturesPaused`, `NoOwnKeyAvailable`."""
        await self._deals.load_person(question.person.id)
        self._check_limits(question)
        self._record_start(question)
        try:
            await self._check_daily_limits(question)
            return await self._unpaid_work.restrict_question(question)
        except BaseException:
            self.release(question)
            raise

    @contextlib.contextmanager
    def release_refused(self, question: Question, allowed: Question) -> Iterator[None]:
        """A context that counts the ask no more where it is refused inside; raises
        `NoOwnKeyAvailable` where that is for what `admit` allowed."""
        try:
            yield
        except BaseException as refusal:
            self.release(question)
            if isinstance(refusal, NoKeyAvailable) and allowed.person is not question.person:
                raise NoOwnKeyAvailable(question.model) from None
            raise

    def _check_limits(self, question: Question) -> None:
        person = question.person.id
        if question.is_privileged:
            return
        self._limits.check_allowed("asks", person)
        person_allowance = self._limits.get_allowance(person)
        group_allowance = self._limits.get_override(_group_of_place(question.place))
        for subject, allowance in (
            (person, person_allowance),
            (_group_of_place(question.place), group_allowance),
        ):
            self._check_per_minute(subject, allowance)
            if allowance.at_once is not None and self._running_counts[subject] >= allowance.at_once:
                raise TooManyConcurrentAsks(allowance.at_once)

    def _check_per_minute(self, subject: str, allowance: Allowance) -> None:
        if allowance.per_minute is None:
            return
        now, times = self._clock.monotonic(), self._admission_times.get(subject, ())
        recent = [at for at in times if now - at < _MINUTE]
        if len(recent) >= allowance.per_minute:
            oldest = recent[len(recent) - allowance.per_minute] if allowance.per_minute else now
            raise RateLimited(allowance.per_minute, max(1, round(_MINUTE - (now - oldest))))

    async def _check_daily_limits(self, question: Question) -> None:
        """Operators' limits don't hold for themselves; one's own holds for everybody."""
        person, own = question.person.id, question.person.daily_limit
        per_day = None if question.is_privileged else self._limits.get_allowance(person).per_day
        if own is None and per_day is None:
            return
        used = await self._measure_day(person)
        if own is not None and used >= own:
            raise OwnDailyLimitReached(own)
        if per_day is not None and used >= per_day:
            raise DailyLimitReached(per_day)

    async def _measure_day(self, person: str) -> Credits:
        """What somebody spent this UTC day, and what their asks hold."""
        today = self._clock.now_ms() // DAY_MS * DAY_MS
        usage, ask = schema.usage.c, schema.ask.c
        spent = sa.select(sa.func.coalesce(sa.func.sum(usage.charge), 0)).where(
            usage.person == person, usage.at >= today
        )
        held = sa.select(sa.func.coalesce(sa.func.sum(ask.held), 0)).where(
            ask.person == person, ask.state == "open"
        )
        rows = await self._db.fetch(
            sa.select(spent.scalar_subquery().label("spent"), held.scalar_subquery().label("held"))
        )
        return Credits(int(rows[0].spent) + int(rows[0].held))

    def _record_start(self, question: Question) -> None:
        now = self._clock.monotonic()
        for subject in (question.person.id, _group_of_place(question.place)):
            self._running_counts[subject] += 1
            times = self._admission_times.pop(subject, None)
            if times is None:
                times = deque(maxlen=1_000)
            times.append(now)
            self._admission_times[subject] = times
        while len(self._admission_times) > _SUBJECTS_MAX:
            del self._admission_times[next(iter(self._admission_times))]

    def release(self, question: Question, result: AskResult | None = None) -> None:
        """Counts an ask as running no more; `result` is how it ended, where it was settled."""
        if result is not None and (result.charge.is_zero or result.outcome is Outcome.FILTERED):
            self._unpaid_work.forget(question.person.id)
        for subject in (question.person.id, _group_of_place(question.place)):
            self._running_counts[subject] -= 1
            if not self._running_counts[subject]:
                del self._running_counts[subject]


def _group_of_place(place: str) -> str:
    """The group of a place, `<platform>:<chat>`: a chat with all its threads."""
    return ":".join(place.split(":")[:2])
