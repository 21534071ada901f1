"""Cost overrides: what an admin says that a supplier charges, in place of its price list."""

from __future__ import annotations

import json
from typing import Final

import sqlalchemy as sa

from core.admin_log import logged
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Delete, Insert
from core.ledger.ledger import Ledger
from core.pricing.catalogue import Route
from core.pricing.costs import Costs
from core.pricing.rates import Rate, Rates

_FIELDS: Final = ("input", "output", "cached", "cache_written", "second")


class Overrides:
    """Keeps the overrides of all routes in the database and applies them to the costs."""

    def __init__(self, *, store: Store, ledger: Ledger, costs: Costs, clock: Clock) -> None:
        self._store, self._ledger = store, ledger
        self._costs, self._clock = costs, clock

    async def load(self) -> None:
        """Reads the overrides; a job too, since another process may have set one."""
        rows = await self._store.fetch(sa.select(schema.supplier_override))
        self._costs.override({Route(row.provider, row.model): _rates(row.rates) for row in rows})

    async def set(self, route: Route, rates: Rates | None, *, actor: str) -> None:
        """Sets what a route costs from now on; None: what the price list says."""
        table = schema.supplier_override
        where = {"provider": route.provider, "model": route.model}
        before = await self._store.fetch(
            sa.select(table.c.rates).where(
                table.c.provider == route.provider, table.c.model == route.model
            )
        )
        text = "" if rates is None else _text(rates)
        log = logged(
            self._clock,
            actor=actor,
            act="supplier cost",
            before={**where, "rates": before[0].rates if before else ""},
            after={"rates": text},
        )
        row = {**where, "rates": text, "by": actor, "at": self._clock.now_ms()}
        news = () if rates is None else (Insert(table, row),)
        await self._ledger.record(Delete(table, where), *news, log)
        await self.load()


def _text(rates: Rates) -> str:
    return json.dumps({name: getattr(rates, name).base for name in _FIELDS})


def _rates(text: str) -> Rates:
    kept = json.loads(text)
    return Rates(**{name: Rate(kept[name]) for name in _FIELDS})
