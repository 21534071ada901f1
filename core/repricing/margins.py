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
from core.db.database import Store
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue, Model
from core.pricing.costs import Costs
from core.pricing.levels import AS_LISTED, USUAL, Level, Use
from core.pricing.mix import Mix
from core.pricing.prices import Price

MIX_DAYS: Final = 30
_FRESH_SECONDS: Final = 300.0
#: Keys in these states serve nothing any more.
_OVER: Final = frozenset({"dead", "withdrawn"})

Uses = Mapping[str, Mapping[str, Use]]


class Mixes:
    """The usage of the last 30 days by model and supplier, cached for five minutes."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._uses: Uses = {}
        #: What calls cost by model and supplier, in thousandths of the list price (see
        #: `SupplierRate`).
        self.reals: Mapping[tuple[str, str], int] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def uses(self) -> Uses:
        """The usage of the last 30 days; models that nobody asked are not in it."""
        async with self._reading:
            if self._clock.monotonic() - self._read_at >= _FRESH_SECONDS:
                self._uses = await used_since(self._store, self._clock.now_ms() - MIX_DAYS * DAY_MS)
                kept = await self._store.fetch(sa.select(schema.supplier_cost))
                self.reals = {(row.model, row.provider): Level.of(row.level).real for row in kept}
                self._read_at = self._clock.monotonic()
            return self._uses


async def used_since(
    store: Store, since_ms: int, *, before: int | None = None, model: str | None = None
) -> Uses:
    """The usage from a time on, and before another; of all models or one, by supplier."""
    used = schema.usage.c
    which = [used.at >= since_ms]
    if before is not None:
        which.append(used.at < before)
    if model is not None:
        which.append(used.model == model)

    def summed(column: sa.ColumnElement[int], name: str) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.func.sum(column), 0).label(name)

    rows = await store.fetch(
        sa.select(
            used.model,
            used.provider,
            sa.func.count().label("answers"),
            summed(used.input_tokens, "input"),
            summed(used.cached_tokens, "cached"),
            summed(used.output_tokens, "output"),
            summed(used.seconds, "seconds"),
        )
        .where(*which)
        .group_by(used.model, used.provider)
    )
    found: defaultdict[str, dict[str, Use]] = defaultdict(dict)
    for row in rows:
        found[row.model][row.provider] = Use(
            answers=int(row.answers),
            plain=int(row.input) - int(row.cached),
            cached=int(row.cached),
            output=int(row.output),
            seconds=int(row.seconds),
        )
    return found


@dataclass(frozen=True, slots=True)
class Ground:
    """What a model's margin is calculated from: what suppliers charge now, and its usage."""

    model: Model
    levels: Mapping[str, Level]
    #: The usual usage at the cheapest supplier, and the real usage where people asked.
    usual: Mix
    real: Mix | None

    @property
    def mix(self) -> Mix:
        """The real usage where there is some, else the usual usage."""
        return self.real or self.usual

    def margin(self, price: Price) -> int | None:
        """Profit on cost of a price on this usage, in per cent; None where no cost is known."""
        return self.mix.margin(price, self.levels)


class Margins:
    """Collects what margins are calculated from, for one model or all."""

    def __init__(
        self, *, catalogue: Catalogue, costs: Costs, mixes: Mixes, pool: Pool, clock: Clock
    ) -> None:
        self._catalogue, self._costs, self._mixes = catalogue, costs, mixes
        self._pool, self._clock = pool, clock

    async def of(self, model: Model) -> Ground:
        """The margin basis of one model."""
        uses, suppliers = await self._mixes.uses(), await self.suppliers()
        return self._ground(model, uses, suppliers)

    async def all(self) -> list[Ground]:
        """The margin basis of every model, in the menus' order, but for those of unknown cost."""
        uses, suppliers = await self._mixes.uses(), await self.suppliers()
        models = self._catalogue.models.values()
        grounds = (self._ground(model, uses, suppliers) for model in models)
        return [ground for ground in grounds if ground.levels]

    async def uses(self) -> Uses:
        """The usage of the last 30 days, from `RecentUsage`."""
        return await self._mixes.uses()

    async def suppliers(self) -> frozenset[str]:
        """Suppliers for which there is a key, the operator's own or a contributed one."""
        cards = await self._pool.cards()
        return frozenset(card.supplier for card in cards if card.state not in _OVER)

    def levels(self, model: Model) -> dict[str, Level]:
        """What each supplier of a model charges now by its price list, where that is known."""
        now, found = self._clock.now_ms(), {}
        for route in model.routes:
            if route.provider not in found and self._costs.known(route, model.per):
                found[route.provider] = self._costs.level(route, now, model.per)
        return found

    def _ground(self, model: Model, uses: Uses, suppliers: Collection[str]) -> Ground:
        reals = self._mixes.reals
        levels = {
            name: replace(level, real=reals.get((model.id, name), AS_LISTED))
            for name, level in self.levels(model).items()
        }
        served = {name: level for name, level in levels.items() if name in suppliers} or levels
        cheapest = min(served, key=lambda name: served[name].cost(USUAL), default="")
        real = {name: use for name, use in uses.get(model.id, {}).items() if name in levels}
        return Ground(
            model,
            levels,
            Mix({cheapest: USUAL} if cheapest else {}, real=False),
            Mix(real) if any(use.answers for use in real.values()) else None,
        )
