"""Measures demand for each model, every hour; keeps it, so that a restart forgets nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Delete, Insert
from core.ledger.ledger import Ledger
from core.pool.pool import Pool
from core.pool.types import KeyCard
from core.pricing.catalogue import Catalogue, Model
from core.pricing.formula import Demand, target
from core.repricing.margins import MIX_DAYS

#: Fewer days of use than this say nothing about what is usual.
_KNOWN_DAYS: Final = 7
_SERVING: Final = frozenset({"active", "cooling"})


@dataclass(frozen=True, slots=True)
class _Pace:
    """Suppliers' cost in nano-dollars, of the last day and of a usual day; 0 until known."""

    day: int
    usual: int


class Demands:
    """Tracks the demand of every model and its factor on prices."""

    def __init__(
        self, *, store: Store, ledger: Ledger, catalogue: Catalogue, pool: Pool, clock: Clock
    ) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock
        self._catalogue, self._pool = catalogue, pool
        self._now: Mapping[str, Demand] = {}

    def factor(self, model: str) -> int:
        """The demand factor of a model in per cent; 100 until measured."""
        return self._now.get(model, Demand()).factor

    async def load(self) -> None:
        """Reads what was measured; a job too, since one process measures for all."""
        rows = await self._store.fetch(sa.select(schema.demand))
        self._now = {row.model: Demand(row.smoothed, row.factor) for row in rows}

    async def measure(self) -> None:
        """A job, every hour: measures demand. Models with usual demand have no row."""
        await self.load()
        cards = [card for card in await self._pool.cards() if card.state in _SERVING]
        paces, keys = await self._paces(), await self._keys()
        now = self._clock.now_ms()
        rows: list[Companion] = []
        for model in self._catalogue.models.values():
            pace = paces.get(model.id, _Pace(0, 0))
            hours = _hours(model, cards, keys)
            before = self._now.get(model.id, Demand())
            goal = target(day=pace.day, usual_day=pace.usual, hours_left=hours)
            after = before.after_an_hour(goal)
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

    async def _paces(self) -> dict[str, _Pace]:
        used, now = schema.usage.c, self._clock.now_ms()
        recent = sa.func.sum(sa.case((used.at >= now - DAY_MS, used.cost), else_=0))
        rows = await self._store.fetch(
            sa.select(
                used.model,
                recent.label("day"),
                sa.func.sum(used.cost).label("cost"),
                sa.func.min(used.at).label("first"),
            )
            .where(used.at >= now - MIX_DAYS * DAY_MS)
            .group_by(used.model)
        )
        found = {}
        for row in rows:
            days = (now - row.first) // DAY_MS
            usual = int(row.cost) // days if days >= _KNOWN_DAYS else 0
            found[row.model] = _Pace(int(row.day), usual)
        return found

    async def _keys(self) -> dict[str, int]:
        """What each key cost in the last day, in nano-dollars."""
        used = schema.usage.c
        rows = await self._store.fetch(
            sa.select(used.key, sa.func.sum(used.cost).label("cost"))
            .where(used.at >= self._clock.now_ms() - DAY_MS)
            .group_by(used.key)
        )
        return {row.key: int(row.cost) for row in rows}


def _hours(model: Model, cards: list[KeyCard], paid: Mapping[str, int]) -> int | None:
    """How many hours all keys that serve a model last at the cost of the last day."""
    suppliers = {route.provider for route in model.routes}
    mine = [card for card in cards if card.supplier in suppliers]
    pace = sum(paid.get(card.id, 0) for card in mine)
    return sum(card.headroom.units for card in mine) * 24 // pace if pace else None
