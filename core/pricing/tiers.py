"""Tiers: what regular customers get, by what they bought or spent lately.

The rows are few and kept in memory, read again every few seconds as other processes change them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import sqlalchemy as sa

from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.writes import Companion, Delete, Insert
from core.errors import Refusal
from core.money import Credits
from core.payment_records import PaymentRecords
from core.pricing.prices import DatabaseReader, RecordCompanions

TierBasis = Literal["topups", "spending"]
TIER_BASES: tuple[TierBasis, ...] = get_args(TierBasis)
#: Each tier adds a sum to what is read of a person.
TIERS_MAX = 20


class UnknownTier(Refusal):
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
    basis: TierBasis
    threshold: Credits
    days: int
    #: Per cent off every price; per cent of what is bought, as a gift on top.
    discount_percent: int = 0
    bonus_percent: int = 0
    #: Asks a minute, asks at once, Credits a day; None: as everyone.
    per_minute: int | None = None
    at_once: int | None = None
    per_day: Credits | None = None


class Tiers:
    """`Tiers` keeps all tiers in memory, and the people to whom an admin assigned one."""

    def __init__(
        self,
        db: DatabaseReader,
        record: RecordCompanions,
        clock: Clock,
        payment_records: PaymentRecords,
    ) -> None:
        """`record` writes companions (`Ledger.record`)."""
        self._db, self._record, self._clock = db, record, clock
        self._payment_records = payment_records
        #: All tiers, the best first.
        self.all: tuple[Tier, ...] = ()
        self.assigned: Mapping[str, str] = {}

    async def load(self) -> None:
        """Reads the tiers again, as other processes may have changed them."""
        rows = [_tier_from_row(row) for row in await self._db.fetch(sa.select(schema.tier))]
        rows.sort(
            key=lambda tier: (tier.discount_percent, tier.bonus_percent, tier.threshold, tier.name),
            reverse=True,
        )
        self.all = tuple(rows)
        self.assigned = await self._read_assigned() if rows else {}

    async def _read_assigned(self) -> dict[str, str]:
        """Assigned tiers by person. Where people became one, the survivor's own tier counts before
        one that came by the link."""
        given, person = schema.tier_given.c, schema.person.c
        found = await self._db.fetch(
            sa.select(given.person, given.tier, person.merged_into).select_from(
                schema.tier_given.outerjoin(schema.person, person.id == given.person)
            )
        )
        from_merged = {row.merged_into: row.tier for row in found if row.merged_into is not None}
        return from_merged | {row.person: row.tier for row in found}

    def find(self, name: str) -> Tier:
        """The tier of a name, in any case; raises `UnknownTier`."""
        for tier in self.all:
            if tier.name.casefold() == name.strip().casefold():
                return tier
        raise UnknownTier(name)

    def find_for_person(self, person: str, reached_tier: str) -> Tier | None:
        """The tier of a person who reaches `reached_tier` by themselves: an assigned one wins."""
        name = self.assigned.get(person, reached_tier)
        return next((tier for tier in self.all if tier.name == name), None)

    async def save_tier(self, tier: Tier, *, also: Companion) -> None:
        """Adds a tier, or replaces the one of that name; `also` is written with it. Raises
        `TooManyTiers`."""
        known = any(existing.name == tier.name for existing in self.all)
        if len(self.all) >= TIERS_MAX and not known:
            raise TooManyTiers
        row = {
            "by": tier.basis,
            "least": tier.threshold.units,
            "days": tier.days,
            "discount": tier.discount_percent,
            "bonus": tier.bonus_percent,
            "per_minute": tier.per_minute,
            "at_once": tier.at_once,
            "per_day": None if tier.per_day is None else tier.per_day.units,
            "made_at": self._clock.now_ms(),
        }
        insert = Insert(schema.tier, {"name": tier.name, **row})
        await self._record(Delete(schema.tier, {"name": tier.name}), insert, also)
        await self.load()

    async def remove(self, name: str, *, also: Companion) -> None:
        """Removes a tier, also from those to whom it was assigned; `also` is written with it."""
        await self._record(
            Delete(schema.tier, {"name": name}), Delete(schema.tier_given, {"tier": name}), also
        )
        await self.load()

    async def assign_tier(self, person: str, name: str, *, by: str, also: Companion) -> None:
        """Assigns a tier to a person, whatever they buy; an empty name assigns none. `also` is
        written with it."""
        row = {"person": person, "tier": name, "by": by, "at": self._clock.now_ms()}
        await self._record(
            await self._delete_assigned(person), Insert(schema.tier_given, row), also
        )
        await self.load()

    async def unassign_tier(self, person: str, *, also: Companion) -> None:
        """Gives a person again the tier that they reach by themselves; `also` is written with
        it."""
        await self._record(await self._delete_assigned(person), also)
        await self.load()

    async def _delete_assigned(self, person: str) -> Companion:
        """Deletes what was assigned to a person, and to those who were merged into them."""
        everyone = tuple(
            row[0] for row in await self._db.fetch(sa.select(select_merged_ids(person).subquery()))
        )
        return Delete(schema.tier_given, {"person": everyone})

    async def measure_person(self, person: str) -> dict[tuple[TierBasis, int], Credits]:
        """What a person and those who were merged into them bought and spent (Credits) within the
        days of each tier; it reads their own rows, by index."""
        spans = sorted({(tier.basis, tier.days) for tier in self.all})
        if not spans:
            return {}
        sums: list[Any] = [
            self._sum_within(person, by, days).label(f"{by}{days}") for by, days in spans
        ]
        found = (await self._db.fetch(sa.select(*sums)))[0]
        return {span: Credits(int(units)) for span, units in zip(spans, found, strict=True)}

    def find_reached(self, measured: Mapping[tuple[TierBasis, int], Credits]) -> str:
        """The name of the best tier that those amounts reach; empty: none."""
        for tier in self.all:
            if measured.get((tier.basis, tier.days), Credits(0)) >= tier.threshold:
                return tier.name
        return ""

    def _sum_within(self, person: str, basis: TierBasis, days: int) -> sa.ScalarSelect[int]:
        since = self._clock.now_ms() - days * DAY_MS
        if basis == "topups":
            return self._payment_records.select_bought(select_merged_ids(person), since)
        usage = schema.usage.c
        return (
            sa.select(sa.func.coalesce(sa.func.sum(usage.charge), 0))
            .where(usage.person.in_(select_merged_ids(person)), usage.at >= since)
            .scalar_subquery()
        )


async def read_largest_tier(db: DatabaseReader) -> tuple[int, int]:
    """The most per cent that any tier has off prices, and on top of what is bought."""
    tier, largest = schema.tier.c, sa.func.max
    rows = await db.fetch(
        sa.select(largest(tier.discount).label("discount"), largest(tier.bonus).label("bonus"))
    )
    return int(rows[0].discount or 0), int(rows[0].bonus or 0)


def select_merged_ids(person: str | sa.ColumnElement[str]) -> sa.CompoundSelect[str]:
    """Selects the ids of a person and of everyone who was merged into them."""
    table = schema.person.c
    id_ = sa.literal(person) if isinstance(person, str) else person
    return sa.union_all(sa.select(id_), sa.select(table.id).where(table.merged_into == id_))


def _tier_from_row(row: sa.Row[Any]) -> Tier:
    return Tier(
        name=row.name,
        basis=row.by,
        threshold=Credits(row.least),
        days=row.days,
        discount_percent=row.discount,
        bonus_percent=row.bonus,
        per_minute=row.per_minute,
        at_once=row.at_once,
        per_day=None if row.per_day is None else Credits(row.per_day),
    )
