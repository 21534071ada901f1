"""Advice: prices to raise, keys that run out, cheaper suppliers to add a key for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from core.admin.report import ModelSales
from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.money import MicroCredits, NanoUsd, Tokens
from core.pool.types import KeySummary
from core.pricing.catalogue import Catalogue, Model
from core.pricing.cost_change_responses import MIN_MARKUP_PERCENT
from core.pricing.costs import Costs, NoCost
from core.pricing.formula import PAR, tidy_rate
from core.pricing.prices import PriceBook

#: A key is reported when it lasts fewer hours at the cost of the last day, or so little is left.
_MIN_HOURS_LEFT: Final = 48
_LOW_PERMILLE: Final = 200
#: A supplier is reported when it is cheaper by so many per cent at least.
_MIN_CHEAPER_PERCENT: Final = 10
_SAMPLE_TOKENS: Final = (Tokens(200_000), Tokens(100_000))


@dataclass(frozen=True, slots=True)
class RaisePrice:
    """A model that was sold with too little profit, or at a loss, in the period; and the rates in
    and out that would have brought the least markup."""

    model: str
    margin_percent: int
    input_rate: MicroCredits
    output_rate: MicroCredits


@dataclass(frozen=True, slots=True)
class KeyRunsOut:
    """A key that can't pay for much more: for so many hours at the cost of the last day; None where
    it wasn't used."""

    key: str
    supplier: str
    tail: str
    left_permille: int
    hours: int | None


@dataclass(frozen=True, slots=True)
class CheaperSupplier:
    """A supplier without a key would serve a model for so many percent less."""

    model: str
    supplier: str
    percent: int


Advice = RaisePrice | KeyRunsOut | CheaperSupplier


class Advisor:
    """Finds out what the operator should do about prices and keys."""

    def __init__(
        self, *, db: Database, catalogue: Catalogue, costs: Costs, prices: PriceBook
    ) -> None:
        self._db, self._catalogue = db, catalogue
        self._costs, self._prices = costs, prices

    async def list_advice(
        self, sales: Mapping[str, ModelSales], keys: Sequence[KeySummary], now_ms: int
    ) -> list[Advice]:
        """All advice, the most urgent first: losses, keys, suppliers."""
        price_raises = [
            price_raise
            for model in sales
            if (price_raise := self._check_price(model, sales[model])) is not None
        ]
        price_raises.sort(key=lambda one: one.margin_percent)
        return [
            *price_raises,
            *await self._list_keys_running_out(keys, now_ms),
            *self._list_cheaper_suppliers(keys, now_ms),
        ]

    def _check_price(self, id_: str, sales: ModelSales) -> RaisePrice | None:
        margin, price = sales.margin_percent, self._prices.find_current(id_)
        if margin is None or margin >= MIN_MARKUP_PERCENT or price is None or sales.charge.is_zero:
            return None
        # What was charged, and what it would have to be, in the same nano-dollars.
        charged, required = (
            PAR.multiply_by(sales.charge.units * 100).units,
            sales.cost.units * (100 + MIN_MARKUP_PERCENT),
        )
        rates = [
            tidy_rate(MicroCredits(-(-rate.units * required // charged)))
            for rate in (price.input_rate, price.output_rate)
        ]
        return RaisePrice(id_, margin, *rates)

    async def _list_keys_running_out(
        self, keys: Sequence[KeySummary], now_ms: int
    ) -> list[KeyRunsOut]:
        usage = schema.usage.c
        rows = await self._db.fetch(
            sa.select(usage.key, sa.func.sum(usage.cost).label("cost"))
            .where(usage.at >= now_ms - DAY_MS)
            .group_by(usage.key)
        )
        daily_costs = {row.key: int(row.cost) for row in rows}
        advice = []
        for key in keys:
            if key.state == "dead" or key.budget.is_zero:
                continue
            daily_cost = daily_costs.get(key.id, 0)
            hours = key.headroom.units * 24 // daily_cost if daily_cost else None
            left_permille = key.headroom.units * 1_000 // key.budget.units
            if left_permille <= _LOW_PERMILLE or (hours is not None and hours < _MIN_HOURS_LEFT):
                advice.append(KeyRunsOut(key.id, key.supplier, key.tail, left_permille, hours))
        return sorted(advice, key=lambda one: (one.hours is None, one.hours or 0, one.key))

    def _list_cheaper_suppliers(
        self, keys: Sequence[KeySummary], now_ms: int
    ) -> list[CheaperSupplier]:
        suppliers_with_key = {card.supplier for card in keys if card.state in {"active", "cooling"}}
        advice = []
        for model in self._catalogue.models.values():
            costs = self._route_costs(model, now_ms)
            own_costs = [cost for name, cost in costs.items() if name in suppliers_with_key]
            other_costs = {
                name: cost for name, cost in costs.items() if name not in suppliers_with_key
            }
            if not own_costs or not other_costs:
                continue
            cheapest = min(other_costs, key=lambda one: other_costs[one])
            percent = 100 - other_costs[cheapest].units * 100 // min(own_costs).units
            if percent >= _MIN_CHEAPER_PERCENT:
                advice.append(CheaperSupplier(model.id, cheapest, percent))
        return sorted(advice, key=lambda one: -one.percent)

    def _route_costs(self, model: Model, now_ms: int) -> dict[str, NanoUsd]:
        costs = {}
        for route in model.routes:
            if model.per != "token":
                continue
            try:
                costs[route.provider] = self._costs.calculate_max_cost(
                    route, *_SAMPLE_TOKENS, now_ms
                )
            except NoCost:
                continue
        return {name: cost for name, cost in costs.items() if not cost.is_zero}
