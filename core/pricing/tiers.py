"""Tiers: what regular customers get, by what they bought or spent lately.

The rows are few and kept in memory, read again every few seconds as other processes change them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import sqlalchemy as sa

from core import ids
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.writes import Companion, Delete, Insert
from core.errors import Refusal
from core.money import Credits
from core.pricing.prices import Reads, Record

By = Literal["topups", "spending"]
BYS: tuple[By, ...] = get_args(By)
#: Each tier adds a sum to what is read of a person.
TIERS_MAX = 20


class NoTier(Refusal):
    """There is no tier of the name that was asked for."""

    code: ClassVar[str] = "no_tier"

    def __init__(self, name: str) -> None:
        self.name = name


class TooManyTiers(Refusal):
    """There are as many tiers as there may be."""

    code: ClassVar[str] = "too_many_tiers"


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier says who reaches it, and what they get."""

    name: str
    #: Credits bought (without any bonus), or spent on answers, within so many days.
    by: By
    least: Credits
    days: int
    #: Per cent off every price; per cent of what is bought, as a gift on top.
    discount: int = 0
    bonus: int = 0
    #: Asks a minute, asks at once, Credits a day; None: as everyone.
    per_minute: int | None = None
    at_once: int | None = None
    per_day: Credits | None = None


class Tiers:
    """`Tiers` keeps all tiers in memory, and the people to whom an admin assigned one."""

    def __init__(self, store: Reads, record: Record, clock: Clock) -> None:
        """`record` writes companions (`Ledger.record`)."""
        self._store, self._record, self._clock = store, record, clock
        #: All tiers, the best first.
        self.all: tuple[Tier, ...] = ()
        self.given: Mapping[str, str] = {}

    async def load(self) -> None:
        """Reads the tiers again, as other processes may have changed them."""
        rows = [_tier(row) for row in await self._store.fetch(sa.select(schema.tier))]
        rows.sort(key=lambda tier: (tier.discount, tier.bonus, tier.least, tier.name), reverse=True)
        self.all = tuple(rows)
        self.given = await self._given() if rows else {}

    async def _given(self) -> dict[str, str]:
        """Assigned tiers by person. Where people became one, the survivor's own tier counts before
        one that came by the link."""
        given, person = schema.tier_given.c, schema.person.c
        found = await self._store.fetch(
            sa.select(given.person, given.tier, person.merged_into).select_from(
                schema.tier_given.outerjoin(schema.person, person.id == given.person)
            )
        )
        came = {row.merged_into: row.tier for row in found if row.merged_into is not None}
        return came | {row.person: row.tier for row in found}

    def find(self, name: str) -> Tier:
        """The tier of a name, in any case; raises `UnknownTier`."""
        for tier in self.all:
            if tier.name.casefold() == name.strip().casefold():
                return tier
        raise NoTier(name)

    def of(self, person: str, reached: str) -> Tier | None:
        """The tier of a person who reaches `reached_tier` by themselves: an assigned one wins."""
        name = self.given.get(person, reached)
        return next((tier for tier in self.all if tier.name == name), None)

    async def put(self, tier: Tier, *, also: Companion) -> None:
        """Adds a tier, or replaces the one of that name; `also` is written with it. Raises
        `TooManyTiers`."""
        known = any(one.name == tier.name for one in self.all)
        if len(self.all) >= TIERS_MAX and not known:
            raise TooManyTiers
        row = {
            "by": tier.by,
            "least": tier.least.units,
            "days": tier.days,
            "discount": tier.discount,
            "bonus": tier.bonus,
            "per_minute": tier.per_minute,
            "at_once": tier.at_once,
            "per_day": None if tier.per_day is None else tier.per_day.units,
            "made_at": self._clock.now_ms(),
        }
        fresh = Insert(schema.tier, {"name": tier.name, **row})
        await self._record(Delete(schema.tier, {"name": tier.name}), fresh, also)
        await self.load()

    async def remove(self, name: str, *, also: Companion) -> None:
        """Removes a tier, also from those to whom it was assigned; `also` is written with it."""
        await self._record(
            Delete(schema.tier, {"name": name}), Delete(schema.tier_given, {"tier": name}), also
        )
        await self.load()

    async def give(self, person: str, name: str, *, by: str, also: Companion) -> None:
        """Assigns a tier to a person, whatever they buy; an empty name assigns none. `also` is
        written with it."""
        row = {"person": person, "tier": name, "by": by, "at": self._clock.now_ms()}
        await self._record(await self._nothing_given(person), Insert(schema.tier_given, row), also)
        await self.load()

    async def take_back(self, person: str, *, also: Companion) -> None:
        """Gives a person again the tier that they reach by themselves; `also` is written with
        it."""
        await self._record(await self._nothing_given(person), also)
        await self.load()

    async def _nothing_given(self, person: str) -> Companion:
        """Deletes what was assigned to a person, and to those who were merged into them."""
        everyone = tuple(
            row[0] for row in await self._store.fetch(sa.select(theirs(person).subquery()))
        )
        return Delete(schema.tier_given, {"person": everyone})

    async def measured(self, person: str) -> dict[tuple[By, int], Credits]:
        """What a person and those who were merged into them bought and spent (Credits) within the
        days of each tier; it reads their own rows, by index."""
        spans = sorted({(tier.by, tier.days) for tier in self.all})
        if not spans:
            return {}
        sums: list[Any] = [self._sum(person, by, days).label(f"{by}{days}") for by, days in spans]
        found = (await self._store.fetch(sa.select(*sums)))[0]
        return {span: Credits(int(units)) for span, units in zip(spans, found, strict=True)}

    def reached(self, measured: Mapping[tuple[By, int], Credits]) -> str:
        """The name of the best tier that those amounts reach; empty: none."""
        for tier in self.all:
            if measured.get((tier.by, tier.days), Credits(0)) >= tier.least:
                return tier.name
        return ""

    def _sum(self, person: str, by: By, days: int) -> sa.ScalarSelect[int]:
        since = self._clock.now_ms() - days * DAY_MS
        if by == "spending":
            usage = schema.usage.c
            summed = sa.select(sa.func.coalesce(sa.func.sum(usage.charge), 0)).where(
                usage.person.in_(theirs(person)), usage.at >= since
            )
        else:
            order = schema.order.c
            summed = sa.select(sa.func.coalesce(sa.func.sum(order.bought), 0)).where(
                order.person.in_(theirs(person)),
                order.id >= ids.floor("ord", since),
                order.state == "credited",
            )
        return summed.scalar_subquery()


def theirs(person: str) -> sa.CompoundSelect[str]:
    """Selects the ids of a person and of everyone who was merged into them."""
    table = schema.person.c
    return sa.union_all(
        sa.select(sa.literal(person)), sa.select(table.id).where(table.merged_into == person)
    )


def _tier(row: sa.Row[Any]) -> Tier:
    return Tier(
        name=row.name,
        by=row.by,
        least=Credits(row.least),
        days=row.days,
        discount=row.discount,
        bonus=row.bonus,
        per_minute=row.per_minute,
        at_once=row.at_once,
        per_day=None if row.per_day is None else Credits(row.per_day),
    )
