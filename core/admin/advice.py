"""Advice: prices to raise, keys that run out, cheaper suppliers to add a key for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from core.admin.report import Sold
from core.clock import DAY_MS
from core.db import schema
from core.db.database import Store
from core.money import MicroCredits, NanoUsd, Tokens
from core.pool.types import KeyCard
from core.pricing.catalogue import Catalogue, Model
from core.pricing.costs import Costs, NoCost
from core.pricing.formula import PAR, tidy
from core.pricing.prices import PriceBook

#: The least markup in per cent: below it a price is too low, below zero it loses money.
LEAST_PERCENT: Final = 20
#: A key is reported when it lasts fewer hours at the cost of the last day, or so little is left.
_HOURS: Final = 48
_LOW_PERMILLE: Final = 200
#: A supplier is reported when it is cheaper by so many per cent at least.
_CHEAPER_PERCENT: Final = 10
_MIX: Final = (Tokens(200_000), Tokens(100_000))


@dataclass(frozen=True, slots=True)
class RaisePrice:
    """A model that was sold with too little profit, or at a loss, in the period; and the rates in
    and out that would have brought the least markup."""

    model: str
    margin_percent: int
    input_rate: MicroCredits
    output_rate: MicroCredits


@dataclass(frozen=True, slots=True)
class RunsOut:
    """A key that can't pay for much more: for so many hours at the cost of the last day; None where
    it wasn't used."""

    key: str
    supplier: str
    tail: str
    left_permille: int
    hours: int | None


@dataclass(frozen=True, slots=True)
class Cheaper:
    """A supplier without a key would serve a model for so many percent less."""

    model: str
    supplier: str
    percent: int


Advice = RaisePrice | RunsOut | Cheaper


class Adviser:
    """Finds out what the operator should do about prices and keys."""

    def __init__(
        self, *, store: Store, catalogue: Catalogue, costs: Costs, prices: PriceBook
    ) -> None:
        self._store, self._catalogue = store, catalogue
        self._costs, self._prices = costs, prices

    async def advice(
        self, sold: Mapping[str, Sold], cards: Sequence[KeyCard], now_ms: int
    ) -> list[Advice]:
        """All advice, the most urgent first: losses, keys, suppliers."""
        raises = [one for model in sold if (one := self._too_low(model, sold[model])) is not None]
        raises.sort(key=lambda one: one.margin_percent)
        return [*raises, *await self._running_out(cards, now_ms), *self._cheaper(cards, now_ms)]

    def _too_low(self, id_: str, sold: Sold) -> RaisePrice | None:
        margin, price = sold.margin_percent, self._prices.current(id_)
        if margin is None or margin >= LEAST_PERCENT or price is None or sold.charge.is_zero:
            return None
        # What was charged, and what it would have to be, in the same nano-dollars.
        have, need = (
            PAR.times(sold.charge.units * 100).units,
            sold.cost.units * (100 + LEAST_PERCENT),
        )
        rates = [
            tidy(MicroCredits(-(-rate.units * need // have)))
            for rate in (price.input_rate, price.output_rate)
        ]
        return RaisePrice(id_, margin, *rates)

    async def _running_out(self, cards: Sequence[KeyCard], now_ms: int) -> list[RunsOut]:
        used = schema.usage.c
        rows = await self._store.fetch(
            sa.select(used.key, sa.func.sum(used.cost).label("cost"))
            .where(used.at >= now_ms - DAY_MS)
            .group_by(used.key)
        )
        paces = {row.key: int(row.cost) for row in rows}
        found = []
        for card in cards:
            if card.state == "dead" or card.budget.is_zero:
                continue
            pace = paces.get(card.id, 0)
            hours = card.headroom.units * 24 // pace if pace else None
            left = card.headroom.units * 1_000 // card.budget.units
            if left <= _LOW_PERMILLE or (hours is not None and hours < _HOURS):
                found.append(RunsOut(card.id, card.supplier, card.tail, left, hours))
        return sorted(found, key=lambda one: (one.hours is None, one.hours or 0, one.key))

    def _cheaper(self, cards: Sequence[KeyCard], now_ms: int) -> list[Cheaper]:
        has_key = {card.supplier for card in cards if card.state in {"active", "cooling"}}
        found = []
        for model in self._catalogue.models.values():
            costs = self._route_costs(model, now_ms)
            served = [cost for name, cost in costs.items() if name in has_key]
            others = {name: cost for name, cost in costs.items() if name not in has_key}
            if not served or not others:
                continue
            name = min(others, key=lambda one: others[one])
            percent = 100 - others[name].units * 100 // min(served).units
            if percent >= _CHEAPER_PERCENT:
                found.append(Cheaper(model.id, name, percent))
        return sorted(found, key=lambda one: -one.percent)

    def _route_costs(self, model: Model, now_ms: int) -> dict[str, NanoUsd]:
        found = {}
        for route in model.routes:
            if model.per != "token":
                continue
            try:
                found[route.provider] = self._costs.most(route, *_MIX, now_ms)
            except NoCost:
                continue
        return {name: cost for name, cost in found.items() if not cost.is_zero}
