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
#: Each costs a sum in whatever is read of a person.
TIERS_MAX = 20


class NoTier(Refusal):
    """There is no tier of that name."""

    code: ClassVar[str] = "no_tier"

    def __init__(self, name: str) -> None:
        self.name = name


class TooManyTiers(Refusal):
    """Nobody needs more."""

    code: ClassVar[str] = "too_many_tiers"


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier, and who reaches it."""

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
    """All tiers, and to whom an admin gave one."""

    def __init__(self, store: Reads, record: Record, clock: Clock) -> None:
        """`record` writes companions (`Ledger.record`)."""
        self._store, self._record, self._clock = store, record, clock
        #: The best first.
        self.all: tuple[Tier, ...] = ()
        self.given: Mapping[str, str] = {}

    async def load(self) -> None:
        """Reads them again."""
        rows = [_tier(row) for row in await self._store.fetch(sa.select(schema.tier))]
        rows.sort(key=lambda tier: (tier.discount, tier.bonus, tier.least, tier.name), reverse=True)
        self.all = tuple(rows)
        self.given = await self._given() if rows else {}

    async def _given(self) -> dict[str, str]:
        """By whom they belong to now; one of their own before one that came by a link."""
        given, person = schema.tier_given.c, schema.person.c
        found = await self._store.fetch(
            sa.select(given.person, given.tier, person.merged_into).select_from(
                schema.tier_given.outerjoin(schema.person, person.id == given.person)
            )
        )
        came = {row.merged_into: row.tier for row in found if row.merged_into is not None}
        return came | {row.person: row.tier for row in found}

    def find(self, name: str) -> Tier:
        """By its name, in any case; raises `NoTier`."""
        for tier in self.all:
            if tier.name.casefold() == name.strip().casefold():
                return tier
        raise NoTier(name)

    def of(self, person: str, reached: str) -> Tier | None:
        """What a person has who has `reached` that one: an admin's word wins."""
        name = self.given.get(person, reached)
        return next((tier for tier in self.all if tier.name == name), None)

    async def put(self, tier: Tier, *, also: Companion) -> None:
        """From now on this is the tier of that name; `also` is written with it. Raises
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
        """Nobody has it any more."""
        await self._record(
            Delete(schema.tier, {"name": name}), Delete(schema.tier_given, {"tier": name}), also
        )
        await self.load()

    async def give(self, person: str, name: str, *, by: str, also: Companion) -> None:
        """Gives a person a tier, whatever they buy; an empty name: none."""
        row = {"person": person, "tier": name, "by": by, "at": self._clock.now_ms()}
        await self._record(await self._nothing_given(person), Insert(schema.tier_given, row), also)
        await self.load()

    async def take_back(self, person: str, *, also: Companion) -> None:
        """They have again what they reach by themselves."""
        await self._record(await self._nothing_given(person), also)
        await self.load()

    async def _nothing_given(self, person: str) -> Companion:
        """Nor to anyone who became a part of them."""
        everyone = tuple(
            row[0] for row in await self._store.fetch(sa.select(theirs(person).subquery()))
        )
        return Delete(schema.tier_given, {"person": everyone})

    async def measured(self, person: str) -> dict[tuple[By, int], Credits]:
        """What a person and those who became a part of them bought and spent within the days of
        each tier: reads of their own rows, by index."""
        spans = sorted({(tier.by, tier.days) for tier in self.all})
        if not spans:
            return {}
        sums: list[Any] = [self._sum(person, by, days).label(f"{by}{days}") for by, days in spans]
        found = (await self._store.fetch(sa.select(*sums)))[0]
        return {span: Credits(int(units)) for span, units in zip(spans, found, strict=True)}

    def reached(self, measured: Mapping[tuple[By, int], Credits]) -> str:
        """The best tier for that much; empty: none."""
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
    """The ids of a person and of everyone who became a part of them."""
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
