"""Cost overrides: what an admin says that a supplier charges, in place of its price list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from core.admin_log import admin_log_row
from core.db import schema
from core.db.writes import Delete, Insert
from core.ledger.ledger import Ledger
from core.pricing.catalogue import Route
from core.pricing.costs import Costs
from core.pricing.rates import Rate, Rates

_FIELDS: Final = ("input", "output", "cached", "cache_written", "second")


class CostOverrides:
    """Keeps the overrides of all routes in the database and applies them to the costs."""

    def __init__(self, *, ledger: Ledger, costs: Costs) -> None:
        self._db, self._ledger = ledger.db, ledger
        self._costs, self._clock = costs, ledger.clock

    async def load(self) -> None:
        """Reads the overrides; a job too, since another process may have set one."""
        rows = await self._db.fetch(sa.select(schema.supplier_override))
        self._costs.set_overrides(
            {Route(row.provider, row.model): _rates_from_text(row.rates) for row in rows}
        )

    async def set_override(self, route: Route, rates: Rates | None, *, actor: str) -> None:
        """Sets what a route costs from now on; None: what the price list says."""
        table = schema.supplier_override
        key = {"provider": route.provider, "model": route.model}
        before = await self._db.fetch(
            sa.select(table.c.rates).where(
                table.c.provider == route.provider, table.c.model == route.model
            )
        )
        text = "" if rates is None else _rates_to_text(rates)
        log_row = admin_log_row(
            self._clock,
            actor=actor,
            act="supplier cost",
            before={**key, "rates": before[0].rates if before else ""},
            after={"rates": text},
        )
        inserts = () if rates is None else (self._override_row(route, rates, actor),)
        await self._ledger.record(Delete(table, key), *inserts, log_row)
        await self.load()

    async def set_overrides(self, rates_by_route: Mapping[Route, Rates], *, actor: str) -> None:
        """Sets what many routes cost, where none was set before, as one act: all or none."""
        log_row = admin_log_row(
            self._clock,
            actor=actor,
            act="supplier cost",
            before={},
            after={"routes": len(rates_by_route)},
        )
        rows = (self._override_row(route, each, actor) for route, each in rates_by_route.items())
        await self._ledger.record(*rows, log_row)
        await self.load()

    def _override_row(self, route: Route, rates: Rates, actor: str) -> Insert:
        row = {
            "provider": route.provider,
            "model": route.model,
            "rates": _rates_to_text(rates),
            "by": actor,
            "at": self._clock.now_ms(),
        }
        return Insert(schema.supplier_override, row)


def _rates_to_text(rates: Rates) -> str:
    return json.dumps({name: getattr(rates, name).base for name in _FIELDS})


def _rates_from_text(text: str) -> Rates:
    values = json.loads(text)
    return Rates(**{name: Rate(values[name]) for name in _FIELDS})
