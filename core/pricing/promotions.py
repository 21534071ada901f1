"""Promotions: what is cheaper, or brings more, for a while; and how often each may be used.

Each use of a limited promotion is a row with a place among all its uses, and one among its person's
uses. No two rows have the same place, so a limit holds on however many processes: who is faster
has the place, who is slower takes the next one.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import sqlalchemy as sa

from core.clock import Clock
from core.db import schema
from core.db.writes import Companion, Delete, Insert, Update
from core.errors import Refusal
from core.money import Credits
from core.pricing.prices import DatabaseReader, RecordCompanions
from core.pricing.tiers import select_merged_ids

PromotionKind = Literal["discount", "bonus", "credits"]

#: All places are read through when few are left.
TOTAL_MAX = 100_000
PER_PERSON_MAX = 1_000
#: All promotions that run or are to come are kept in memory.
RUNNING_MAX = 200


class PromotionUsedUp(Refusal):
    """A promotion was used as often as it may be, by all or by this person."""

    code: ClassVar[str] = "used_up"


class TooManyPromotions(Refusal):
    """There are as many promotions as there may be at once."""

    code: ClassVar[str] = "too_many_promotions"


@dataclass(frozen=True, slots=True)
class Promotion:
    """A promotion is as its admin made it: what it gives, to whom, when, and how often."""

    id: str
    kind: PromotionKind
    #: Per cent off prices, or on top of what is bought; and the Credits of a gift.
    percent: int = 0
    credits: Credits = Credits(0)  # noqa: RUF009 - a constant
    #: Ids of the models whose price it lowers; empty: all.
    models: frozenset[str] = frozenset()
    #: Whether it is only for whoever redeemed a voucher of it.
    needs_code: bool = False
    #: From and to, in milliseconds UTC; None: until it is ended.
    starts_at: int = 0
    ends_at: int | None = None
    #: How often it may be used by all, and by each; None: as often as they like.
    total: int | None = None
    per_person: int | None = None

    @property
    def is_limited(self) -> bool:
        """Whether its uses are counted."""
        return self.total is not None or self.per_person is not None

    def is_running_at(self, at_ms: int) -> bool:
        """Whether it runs at a time (milliseconds UTC)."""
        return self.starts_at <= at_ms and (self.ends_at is None or at_ms < self.ends_at)

    def discounts_model(self, model: str) -> bool:
        """Whether it lowers this model's price."""
        return self.kind == "discount" and (not self.models or model in self.models)


class Promotions:
    """`Promotions` keeps all that run or are to come in memory; their uses are in the database."""

    def __init__(self, db: DatabaseReader, record: RecordCompanions, clock: Clock) -> None:
        """`record` writes companions (`Ledger.record`)."""
        self._db, self._record, self._clock = db, record, clock
        self.all: tuple[Promotion, ...] = ()
        #: By promotion, the places that this process is about to take.
        self._reserved_places: defaultdict[str, set[int]] = defaultdict(set)

    async def load(self) -> None:
        """Reads the promotions again, as other processes may have changed them."""
        table = schema.promotion
        rows = await self._db.fetch(
            sa.select(table)
            .where(
                table.c.ended_at.is_(None),
                sa.or_(table.c.ends_at.is_(None), table.c.ends_at > self._clock.now_ms()),
            )
            .order_by(table.c.id)
        )
        self.all = tuple(promotion_from_row(row) for row in rows)

    def list_running(self, kind: PromotionKind) -> list[Promotion]:
        """The promotions of a kind that run now."""
        now = self._clock.now_ms()
        return [
            promotion
            for promotion in self.all
            if promotion.kind == kind and promotion.is_running_at(now)
        ]

    async def find(self, id_: str) -> Promotion | None:
        """A promotion by its id, unless it was ended early."""
        table = schema.promotion
        rows = await self._db.fetch(
            sa.select(table).where(table.c.id == id_, table.c.ended_at.is_(None))
        )
        return promotion_from_row(rows[0]) if rows else None

    async def add(self, promotion: Promotion, *also: Companion, by: str) -> None:
        """Adds a promotion, which runs from its time on; `also` is written with it. Raises
        `TooManyPromotions`."""
        if len(self.all) >= RUNNING_MAX:
            raise TooManyPromotions
        row = {
            "id": promotion.id,
            "kind": promotion.kind,
            "percent": promotion.percent,
            "credits": promotion.credits.units,
            "models": json.dumps(sorted(promotion.models)) if promotion.models else "",
            "coded": promotion.needs_code,
            "starts_at": promotion.starts_at,
            "ends_at": promotion.ends_at,
            "total": promotion.total,
            "per_person": promotion.per_person,
            "made_by": by,
            "made_at": self._clock.now_ms(),
        }
        await self._record(Insert(schema.promotion, row), *also)
        await self.load()

    async def end_promotion(self, id_: str, *, also: Companion) -> None:
        """Ends a promotion now; what was quoted before is honoured. Raises the ledger's
        `CompanionRefused` when it was ended before."""
        now = {"ended_at": self._clock.now_ms()}
        await self._record(Update(schema.promotion, {"id": id_}, now, {"ended_at": None}), also)
        await self.load()

    async def count_uses(
        self, promotions: Collection[Promotion], person: str
    ) -> dict[str, list[int]]:
        """How often each limited promotion was used: by all, and by this person; by its id."""
        limited = [one for one in promotions if one.is_limited]
        if not limited:
            return {}
        counts: list[Any] = [
            count for one in limited for count in self._count_queries(one.id, person)
        ]
        found = (await self._db.fetch(sa.select(*counts)))[0]
        return {
            one.id: [int(found[2 * at]), int(found[2 * at + 1])] for at, one in enumerate(limited)
        }

    async def count_all_uses(self, promotion: Promotion) -> int:
        """How often a limited promotion was used by all."""
        use = schema.promotion_use.c.promotion
        statement = sa.select(sa.func.count()).where(use == promotion.id)
        return int((await self._db.fetch(statement))[0][0])

    async def find_redeemed(self, promotions: Collection[Promotion], person: str) -> frozenset[str]:
        """The ids of those promotions that this person redeemed a voucher of."""
        code_ids = [promotion.id for promotion in promotions if promotion.needs_code]
        if not code_ids:
            return frozenset()
        table = schema.promotion_holder
        rows = await self._db.fetch(
            sa.select(table.c.promotion).where(
                table.c.person.in_(select_merged_ids(person)), table.c.promotion.in_(code_ids)
            )
        )
        return frozenset(row.promotion for row in rows)

    @contextlib.asynccontextmanager
    async def reserve_use(
        self, promotion: Promotion | None, person: str, cause: str
    ) -> AsyncIterator[tuple[Companion, ...]]:
        """A context with the row of a use, to be written inside it together with its `cause`; no
        row where the promotion isn't limited. The ledger refuses the row when somebody took its
        place meanwhile: then try again. Raises `PromotionUsedUp`."""
        if promotion is None or not promotion.is_limited:
            yield ()
            return
        own = await self._find_own_place(promotion, person)
        place = await self._find_place(promotion)
        row = {
            "promotion": promotion.id,
            "cause": cause,
            "person": person,
            "place": place,
            "own_place": own,
            "at": self._clock.now_ms(),
        }
        with self._reserve_place(promotion.id, place):
            yield (Insert(schema.promotion_use, row),)

    @contextlib.contextmanager
    def _reserve_place(self, promotion: str, place: int | None) -> Iterator[None]:
        reserved = self._reserved_places[promotion]
        if place is not None:
            reserved.add(place)
        try:
            yield
        finally:
            reserved.discard(-1 if place is None else place)
            if not reserved:
                self._reserved_places.pop(promotion, None)

    async def _find_own_place(self, promotion: Promotion, person: str) -> int | None:
        if promotion.per_person is None:
            return None
        table = schema.promotion_use
        rows = await self._db.fetch(
            sa.select(table.c.own_place).where(
                table.c.promotion == promotion.id, table.c.person.in_(select_merged_ids(person))
            )
        )
        return _find_free_place(promotion.per_person, {row.own_place for row in rows})

    async def _find_place(self, promotion: Promotion) -> int | None:
        if promotion.total is None:
            return None
        table, reserved = schema.promotion_use, self._reserved_places[promotion.id]
        newest = await self._db.fetch(
            sa.select(sa.func.max(table.c.place)).where(table.c.promotion == promotion.id)
        )
        after = -1 if newest[0][0] is None else int(newest[0][0])
        after = max(after, *reserved) if reserved else after
        if after + 1 < promotion.total:
            return after + 1
        rows = await self._db.fetch(
            sa.select(table.c.place).where(table.c.promotion == promotion.id)
        )
        taken = {row.place for row in rows}
        try:
            return _find_free_place(promotion.total, taken | reserved)
        except PromotionUsedUp:  # unless one of those doesn't get its place
            return _find_free_place(promotion.total, taken)

    def _count_queries(self, id_: str, person: str) -> Sequence[sa.Label[int]]:
        table = schema.promotion_use
        count = sa.select(sa.func.count()).select_from(table).where(table.c.promotion == id_)
        own = count.where(table.c.person.in_(select_merged_ids(person)))
        return (
            count.scalar_subquery().label(f"all_{id_}"),
            own.scalar_subquery().label(f"own_{id_}"),
        )


def _find_free_place(places: int, taken: Collection[int]) -> int:
    """The first place that nobody has; raises `PromotionUsedUp`."""
    for place in range(places):
        if place not in taken:
            return place
    raise PromotionUsedUp


def release_use(cause: str) -> Delete:
    """What gave nothing uses nothing up: somebody else may have its place."""
    return Delete(schema.promotion_use, {"cause": cause})


def guard_running(promotion: Promotion) -> Update:
    """A companion that refuses its submission when the promotion was ended by then."""
    running = {"ended_at": None}
    return Update(schema.promotion, {"id": promotion.id}, running, running)


def hold_promotion(promotion: Promotion, person: str, now_ms: int) -> Insert:
    """A person has a promotion by its code; refused where they have it already."""
    row = {"person": person, "promotion": promotion.id, "at": now_ms}
    return Insert(schema.promotion_holder, row)


def build_discount_erasure(person_ids: tuple[str, ...]) -> tuple[Companion, ...]:
    """What people were given deleted: tiers, and promotions by a code."""
    whose = {"person": person_ids}
    return Delete(schema.tier_given, whose), Delete(schema.promotion_holder, whose)


def promotion_from_row(row: sa.Row[Any]) -> Promotion:
    """A promotion from its row in the database."""
    return Promotion(
        id=row.id,
        kind=row.kind,
        percent=row.percent,
        credits=Credits(row.credits),
        models=frozenset(json.loads(row.models)) if row.models else frozenset(),
        needs_code=bool(row.coded),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        total=row.total,
        per_person=row.per_person,
    )


async def read_largest_promotions(db: DatabaseReader, now_ms: int) -> dict[str, int]:
    """The most per cent of the promotions that run now, by their kind."""
    table = schema.promotion.c
    rows = await db.fetch(
        sa.select(table.kind, sa.func.max(table.percent).label("percent"))
        .where(
            table.ended_at.is_(None),
            table.starts_at <= now_ms,
            sa.or_(table.ends_at.is_(None), table.ends_at > now_ms),
        )
        .group_by(table.kind)
    )
    return {row.kind: int(row.percent) for row in rows}
