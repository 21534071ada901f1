"""Measures demand for each model, every hour; keeps it, so that a restart forgets nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Companion, Delete, Insert
from core.ledger.ledger import Ledger
from core.pool.pool import Pool
from core.pool.types import KeySummary
from core.pricing.catalogue import Catalogue, Model
from core.pricing.formula import Demand, calculate_demand_target
from core.repricing.margins import USAGE_DAYS

#: Fewer days of use than this say nothing about what is usual.
_MIN_USAGE_DAYS: Final = 7
_SERVING_STATES: Final = frozenset({"active", "cooling"})


@dataclass(frozen=True, slots=True)
class _SpendRate:
    """Suppliers' cost in nano-dollars, of the last day and of a usual day; 0 until known."""

    last_day: int
    usual_day: int


class DemandTracker:
    """Tracks the demand of every model and its factor on prices."""

    def __init__(self, *, ledger: Ledger, catalogue: Catalogue, pool: Pool) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._catalogue, self._pool = catalogue, pool
        self._demand_by_model: Mapping[str, Demand] = {}

    def get_factor(self, model: str) -> int:
        """The demand factor of a model in per cent; 100 until measured."""
        return self._demand_by_model.get(model, Demand()).factor

    async def load(self) -> None:
        """Reads what was measured; a job too, since one process measures for all."""
        rows = await self._db.fetch(sa.select(schema.demand))
        self._demand_by_model = {row.model: Demand(row.smoothed, row.factor) for row in rows}

    async def measure_demand(self) -> None:
        """A job, every hour: measures demand. Models with usual demand have no row."""
        await self.load()
        keys = [card for card in await self._pool.list_keys() if card.state in _SERVING_STATES]
        spend_rates, key_costs = await self._read_spend_rates(), await self._read_key_costs()
        now = self._clock.now_ms()
        rows: list[Companion] = []
        for model in self._catalogue.models.values():
            spend_rate = spend_rates.get(model.id, _SpendRate(0, 0))
            hours = _calculate_hours_left(model, keys, key_costs)
            before = self._demand_by_model.get(model.id, Demand())
            demand_target = calculate_demand_target(
                last_day=spend_rate.last_day, usual_day=spend_rate.usual_day, hours_left=hours
            )
            after = before.advance_one_hour(demand_target)
            if after == before:
                continue
            rows.append(Delete(schema.demand, {"model": model.id}))
            if after != Demand():
                row = {
                    "model": model.id,
                    "smoothed": after.smoothed,
                    "factor": after.factor,
                    "at": now,
                }
                rows.append(Insert(schema.demand, row))
        if rows:
            await self._ledger.record(*rows)
            await self.load()

    async def _read_spend_rates(self) -> dict[str, _SpendRate]:
        usage, now = schema.usage.c, self._clock.now_ms()
        recent = sa.func.sum(sa.case((usage.at >= now - DAY_MS, usage.cost), else_=0))
        rows = await self._db.fetch(
            sa.select(
                usage.model,
                recent.label("day"),
                sa.func.sum(usage.cost).label("cost"),
                sa.func.min(usage.at).label("first"),
            )
            .where(usage.at >= now - USAGE_DAYS * DAY_MS)
            .group_by(usage.model)
        )
        spend_rates = {}
        for row in rows:
            days = (now - row.first) // DAY_MS
            usual_day = int(row.cost) // days if days >= _MIN_USAGE_DAYS else 0
            spend_rates[row.model] = _SpendRate(int(row.day), usual_day)
        return spend_rates

    async def _read_key_costs(self) -> dict[str, int]:
        """What each key cost in the last day, in nano-dollars."""
        usage = schema.usage.c
        rows = await self._db.fetch(
            sa.select(usage.key, sa.func.sum(usage.cost).label("cost"))
            .where(usage.at >= self._clock.now_ms() - DAY_MS)
            .group_by(usage.key)
        )
        return {row.key: int(row.cost) for row in rows}


def _calculate_hours_left(
    model: Model, keys: list[KeySummary], key_costs: Mapping[str, int]
) -> int | None:
    """How many hours all keys that serve a model last at the cost of the last day."""
    suppliers = {route.provider for route in model.routes}
    model_keys = [card for card in keys if card.supplier in suppliers]
    daily_cost = sum(key_costs.get(card.id, 0) for card in model_keys)
    return (
        sum(card.headroom.units for card in model_keys) * 24 // daily_cost if daily_cost else None
    )
