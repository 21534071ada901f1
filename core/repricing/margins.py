"""Margins: what each model's usage of the last 30 days costs now, and what a price brings on it.

Usage is read from the rows of answers, by their time, at most every five minutes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Database
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue, Model
from core.pricing.costs import Costs
from core.pricing.prices import Price
from core.pricing.supplier_rates import AS_LISTED, USUAL_USAGE, SupplierRate, UsageMix
from core.pricing.usage import ModelUsage

USAGE_DAYS: Final = 30
_CACHE_SECONDS: Final = 300.0
#: Keys in these states serve nothing any more.
_ENDED_STATES: Final = frozenset({"dead", "withdrawn"})

UsageByModel = Mapping[str, Mapping[str, UsageMix]]


class RecentUsage:
    """The usage of the last 30 days by model and supplier, cached for five minutes."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock
        self._usage: UsageByModel = {}
        #: What calls cost by model and supplier, in thousandths of the list price (see
        #: `SupplierRate`).
        self.billed_permille: Mapping[tuple[str, str], int] = {}
        self._read_at = float("-inf")
        self._read_lock = asyncio.Lock()

    async def get_usage(self) -> UsageByModel:
        """The usage of the last 30 days; models that nobody asked are not in it."""
        async with self._read_lock:
            if self._clock.monotonic() - self._read_at >= _CACHE_SECONDS:
                self._usage = await read_usage_since(
                    self._db, self._clock.now_ms() - USAGE_DAYS * DAY_MS
                )
                rows = await self._db.fetch(sa.select(schema.supplier_cost))
                self.billed_permille = {
                    (row.model, row.provider): SupplierRate.from_text(row.level).billed_permille
                    for row in rows
                }
                self._read_at = self._clock.monotonic()
            return self._usage


async def read_usage_since(
    db: Database, since_ms: int, *, before: int | None = None, model: str | None = None
) -> UsageByModel:
    """The usage from a time on, and before another; of all models or one, by supplier."""
    usage = schema.usage.c
    conditions = [usage.at >= since_ms]
    if before is not None:
        conditions.append(usage.at < before)
    if model is not None:
        conditions.append(usage.model == model)

    def sum_of(column: sa.ColumnElement[int], name: str) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.func.sum(column), 0).label(name)

    rows = await db.fetch(
        sa.select(
            usage.model,
            usage.provider,
            sa.func.count().label("answers"),
            sum_of(usage.input_tokens, "input"),
            sum_of(usage.cached_tokens, "cached"),
            sum_of(usage.output_tokens, "output"),
            sum_of(usage.seconds, "seconds"),
            sum_of(usage.picture_tokens, "pictures"),
        )
        .where(*conditions)
        .group_by(usage.model, usage.provider)
    )
    by_model: defaultdict[str, dict[str, UsageMix]] = defaultdict(dict)
    for row in rows:
        by_model[row.model][row.provider] = UsageMix(
            answers=int(row.answers),
            uncached=int(row.input) - int(row.cached),
            cached=int(row.cached),
            output=int(row.output),
            seconds=int(row.seconds),
            pictures=int(row.pictures),
        )
    return by_model


@dataclass(frozen=True, slots=True)
class MarginBasis:
    """What a model's margin is calculated from: what suppliers charge now, and its usage."""

    model: Model
    rates: Mapping[str, SupplierRate]
    #: The usual usage at the cheapest supplier, and the real usage where people asked.
    usual_usage: ModelUsage
    real_usage: ModelUsage | None

    @property
    def usage(self) -> ModelUsage:
        """The real usage where there is some, else the usual usage."""
        return self.real_usage or self.usual_usage

    def calculate_margin(self, price: Price) -> int | None:
        """Profit on cost of a price on this usage, in per cent; None where no cost is known."""
        return self.usage.calculate_margin(price, self.rates)


class Margins:
    """Collects what margins are calculated from, for one model or all."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        costs: Costs,
        recent_usage: RecentUsage,
        pool: Pool,
        clock: Clock,
    ) -> None:
        self._catalogue, self._costs, self._recent_usage = catalogue, costs, recent_usage
        self._pool, self._clock = pool, clock

    async def get_basis(self, model: Model) -> MarginBasis:
        """The margin basis of one model."""
        usage, suppliers = await self._recent_usage.get_usage(), await self.list_paid_suppliers()
        return self._build_basis(model, usage, suppliers)

    async def list_bases(self) -> list[MarginBasis]:
        """The margin basis of every model, in the menus' order, but for those of unknown cost."""
        usage, suppliers = await self._recent_usage.get_usage(), await self.list_paid_suppliers()
        models = self._catalogue.models.values()
        bases = (self._build_basis(model, usage, suppliers) for model in models)
        return [ground for ground in bases if ground.rates]

    async def get_usage(self) -> UsageByModel:
        """The usage of the last 30 days, from `RecentUsage`."""
        return await self._recent_usage.get_usage()

    async def list_paid_suppliers(self) -> frozenset[str]:
        """Suppliers for which there is a key, the operator's own or a contributed one."""
        keys = await self._pool.list_keys()
        return frozenset(card.supplier for card in keys if card.state not in _ENDED_STATES)

    def list_rates(self, model: Model) -> dict[str, SupplierRate]:
        """What each supplier of a model charges now by its price list, where that is known."""
        now, rates = self._clock.now_ms(), {}
        for route in model.routes:
            if route.provider not in rates and self._costs.has_cost(route, model.per):
                rates[route.provider] = self._costs.get_supplier_rate(route, now, model.per)
        return rates

    def _build_basis(
        self, model: Model, usage: UsageByModel, suppliers: Collection[str]
    ) -> MarginBasis:
        billed_permille = self._recent_usage.billed_permille
        rates = {
            name: replace(level, billed_permille=billed_permille.get((model.id, name), AS_LISTED))
            for name, level in self.list_rates(model).items()
        }
        paid_rates = {name: level for name, level in rates.items() if name in suppliers} or rates
        cheapest = min(
            paid_rates,
            key=lambda name: paid_rates[name].calculate_usage_cost(USUAL_USAGE),
            default="",
        )
        real_usage = {name: use for name, use in usage.get(model.id, {}).items() if name in rates}
        return MarginBasis(
            model,
            rates,
            ModelUsage({cheapest: USUAL_USAGE} if cheapest else {}, is_measured=False),
            ModelUsage(real_usage) if any(use.answers for use in real_usage.values()) else None,
        )
