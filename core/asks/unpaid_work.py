"""Unpaid work: answers that cost a supplier's money and their asker nothing, since they were
refused by a model's rules, thought away, stopped before anything was seen, or taken by no chat.

What people cause of it has a budget a person and UTC day, in nano-dollars of suppliers' cost: when
it is spent, their asks wait until the next day. Whoever is refused by models' rules too often in a
day is served by the operator's own keys alone until the next one: each such refusal counts against
the account whose key was used, and contributors didn't agree to that. Pictures wait for the
next day after fewer such refusals of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Literal

import sqlalchemy as sa
from cachetools import TTLCache

from core.asks.types import AskFailure, AskRefusal, Outcome, Question
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Database
from core.db.prepared import PreparedSelect
from core.db.writes import Insert
from core.money import NanoUsd
from core.pricing.catalogue import Model
from core.pricing.tiers import select_merged_ids

#: So many of a person's asks may be refused by models' rules in a day before contributed keys serve
#: them no more.
CONTENT_REFUSALS_MAX: Final = 5

#: So many of their pictures, before they send none until the next day.
PICTURE_REFUSALS_MAX: Final = 3

#: What was read of a person is believed for so many seconds: other processes may add to it.
_REMEMBERED_SECONDS: Final = 30
_PEOPLE_MAX: Final = 20_000

_SUM_UNPAID: Final = PreparedSelect(
    sa.select(
        sa.func.coalesce(sa.func.sum(schema.unpaid_work.c.cost), 0).label("cost"),
        sa.func.count()
        .filter(
            sa.or_(schema.unpaid_work.c.cause == "content", schema.unpaid_work.c.cause == "picture")
        )
        .label("refusals"),
        sa.func.count().filter(schema.unpaid_work.c.cause == "picture").label("pictures"),
    ).where(
        schema.unpaid_work.c.person.in_(select_merged_ids(sa.bindparam("person", type_=sa.Text))),
        schema.unpaid_work.c.at >= sa.bindparam("since_ms"),
    )
)

#: content: refused, or cut off, by a model's rules; picture: that, with a picture. unseen: nothing
#: in the answer can be seen. stopped: by the asker, before anything was shown. undelivered: no chat
#: of theirs took any of it. broken: a program's answer that broke after some of it.
UnpaidCause = Literal["content", "picture", "unseen", "stopped", "undelivered", "broken"]


class UnpaidWorkSpent(AskRefusal):
    """What a person's unpaid answers may cost in a UTC day is spent."""

    code: ClassVar[str] = "unpaid_work_spent"


class PicturesPaused(AskRefusal):
    """Models' rules refused too many pictures of this person in a UTC day."""

    code: ClassVar[str] = "pictures_paused"


class NoOwnKeyAvailable(AskRefusal):
    """Contributed keys don't serve this person today, and no key of the operator's own can."""

    code: ClassVar[str] = "no_own_key"

    def __init__(self, model: Model) -> None:
        self.model = model


@dataclass(frozen=True, slots=True)
class UnpaidWork:
    """What a person caused on one UTC day: suppliers' cost, and refusals by models' rules."""

    cost: NanoUsd
    #: Of pictures, too.
    content_refusals: int
    picture_refusals: int = 0


class UnpaidWorkBudget:
    """Reads what each person caused today, and holds their asks against the budget."""

    def __init__(self, *, db: Database, clock: Clock, per_day: NanoUsd) -> None:
        """`per_day` is what one person's unpaid answers may cost suppliers."""
        self._db, self._clock, self._per_day = db, clock, per_day
        self._read: TTLCache[tuple[str, int], UnpaidWork] = TTLCache(
            maxsize=_PEOPLE_MAX, ttl=_REMEMBERED_SECONDS, timer=clock.monotonic
        )

    async def restrict_question(self, question: Question) -> Question:
        """The question as it may be asked: for the operator's own keys alone after too many
        refusals, and without pictures of before after too many of pictures. Raises
        `UnpaidWorkSpent` and `PicturesPaused`."""
        work = await self.read_today(question.person.id)
        if work.cost >= self._per_day and not question.is_privileged:
            raise UnpaidWorkSpent
        if work.picture_refusals >= PICTURE_REFUSALS_MAX and not question.is_privileged:
            if question.pictures:
                raise PicturesPaused
            question = replace(question, leaves_pictures=True)
        if work.content_refusals < CONTENT_REFUSALS_MAX:
            return question
        return replace(question, person=replace(question.person, own_keys_only=True))

    async def read_today(self, person: str) -> UnpaidWork:
        """What a person, and everyone who became a part of them, caused since midnight UTC."""
        day = self._clock.now_ms() // DAY_MS
        found = self._read.get((person, day))
        if found is None:
            found = self._read[person, day] = await self._fetch(person, day * DAY_MS)
        return found

    def forget(self, person: str) -> None:
        """Reads a person's again when they ask next, since an answer of theirs added to it."""
        self._read.pop((person, self._clock.now_ms() // DAY_MS), None)

    async def _fetch(self, person: str, since_ms: int) -> UnpaidWork:
        rows = await self._db.fetch(_SUM_UNPAID, {"person": person, "since_ms": since_ms})
        found = rows[0]
        return UnpaidWork(NanoUsd(int(found.cost)), int(found.refusals), int(found.pictures))


def find_unpaid_cause(
    outcome: Outcome,
    failure: AskFailure,
    *,
    is_seen: bool,
    was_reasoning: bool,
    has_pictures: bool = False,
    is_free: bool = False,
) -> UnpaidCause | None:
    """Why an ask is work that its asker caused and doesn't pay; None where they paid for it, or
    where the supplier or the service is to blame that they didn't."""
    if failure is AskFailure.CONTENT or outcome is Outcome.FILTERED:
        return "picture" if has_pictures else "content"
    if is_free and is_seen:
        return "broken"
    if is_seen:
        return None
    if outcome in {Outcome.DONE, Outcome.LENGTH}:
        return "unseen"
    if outcome is Outcome.STOPPED:
        return "stopped"
    return "unseen" if outcome is Outcome.TIMED_OUT and was_reasoning else None


def select_paused_people(since_ms: int, newest_since_ms: int) -> sa.Select[Any]:
    """Selects the people whose pictures wait for the next day, by refusals since its midnight, of
    which the newest is no older than that. Whoever became a part of another counts as them."""
    work, people = schema.unpaid_work, schema.person
    whole: sa.ColumnElement[Any] = sa.func.coalesce(people.c.merged_into, work.c.person)
    count: sa.ColumnElement[Any] = sa.func.count()
    return (
        sa.select(whole.label("person"), count.label("refusals"))
        .select_from(work.outerjoin(people, people.c.id == work.c.person))
        .where(work.c.at >= since_ms, work.c.cause == "picture")
        .group_by(whole)
        .having(count >= PICTURE_REFUSALS_MAX, sa.func.max(work.c.at) >= newest_since_ms)
    )


def insert_unpaid_work(
    ask: str, person: str, cause: UnpaidCause, cost: NanoUsd, at_ms: int
) -> Insert:
    """The companion of a settlement, or of its reversal, that keeps what nobody paid; a cause that
    was kept before stays."""
    row = {"ask": ask, "person": person, "at": at_ms, "cause": cause, "cost": cost.units}
    return Insert(schema.unpaid_work, row, ignore=True)
