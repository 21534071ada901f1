"""What a key is worth: the average requests that its quota pays for, at their price, less the fee.

An average request is 1,000 tokens, two in for one out. For a key with many models it is the usual
mix of those that its supplier served.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Store
from core.money import Credits, NanoUsd
from core.pricing.catalogue import Catalogue, Model, Route
from core.pricing.costs import Costs
from core.pricing.prices import Price, PriceBook

FEE_PERCENT = 10
REQUEST_TOKENS = 1_000
#: Tokens in for each token out.
_INWARD = 2
_DAYS_MS = 30 * DAY_MS
#: Fewer answers than this say nothing about the usual mix.
_MIX_LEAST = 50
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Worth:
    """What a quota is worth: requests, and Credits; `net` is `gross` less the fee."""

    quota: NanoUsd
    requests: int
    gross: Credits
    fee: Credits

    @property
    def net(self) -> Credits:
        """The Credits that the contributor gets."""
        return self.gross - self.fee


@dataclass(frozen=True, slots=True)
class Average:
    """An average request: its cost in nano-dollars and its price in micro-Credits, as fractions of
    the same denominator."""

    cost: int
    price: int
    denominator: int

    def worth(self, quota: NanoUsd) -> Worth:
        """What a quota is worth."""
        return self._of(quota.units * self.denominator // self.cost, quota)

    def answers(self, credits: Credits) -> int:  # noqa: A002
        """How many average requests so many Credits pay for."""
        return credits.units * _MICRO * self.denominator // self.price

    def for_net(self, net: Credits) -> Worth:
        """The least quota that is worth so many Credits after the fee."""
        gross = -(-net.units * 100 // (100 - FEE_PERCENT))
        requests = -(-gross * _MICRO * self.denominator // self.price)
        while self._of(requests, NanoUsd(0)).net < net:
            requests += 1
        return self._of(requests, NanoUsd(-(-requests * self.cost // self.denominator)))

    def _of(self, requests: int, quota: NanoUsd) -> Worth:
        gross = Credits(requests * self.price // (self.denominator * _MICRO))
        return Worth(quota, requests, gross, gross.share_down(FEE_PERCENT, 100))


def average(mix: Sequence[tuple[int, tuple[int, int], Price]]) -> Average:
    """The average request of (weight, pico-dollars per token in and out, price)."""
    parts = _INWARD + 1
    weights = sum(weight for weight, _, _ in mix)
    # A pico-dollar a token is a nano-dollar for a thousand of them.
    cost = sum(weight * (_INWARD * base[0] + base[1]) for weight, base, _ in mix)
    price = sum(
        weight * REQUEST_TOKENS * (_INWARD * one.input_rate.units + one.output_rate.units)
        for weight, _, one in mix
    )
    return Average(cost, price, parts * weights)


class Valuer:
    """Calculates average requests from prices, costs and what suppliers served lately."""

    def __init__(
        self,
        *,
        store: Store,
        catalogue: Catalogue,
        prices: PriceBook,
        costs: Costs,
        clock: Clock,
    ) -> None:
        self._store, self._catalogue, self._clock = store, catalogue, clock
        self._prices, self._costs = prices, costs

    async def average(self, supplier: str, usable: Collection[str]) -> Average | None:
        """The average request to a supplier's models that a key can use; None when none of them is
        on sale."""
        await self._prices.refresh()
        found = [
            (model, route, price)
            for model in self._catalogue.models.values()
            for route in model.routes
            if route.provider == supplier
            and route.model in usable
            and (price := self._priced(model, route)) is not None
        ]
        if not found:
            return None
        served = await self._served(supplier)
        now = self._clock.now_ms()
        mix = [
            (served[model.id], self._costs.base(route, now), price)
            for model, route, price in found
            if served.get(model.id)
        ]
        if sum(weight for weight, _, _ in mix) < _MIX_LEAST:
            _, route, price = self._typical(found)
            mix = [(1, self._costs.base(route, now), price)]
        return average(mix)

    def _priced(self, model: Model, route: Route) -> Price | None:
        if model.per != "token" or not self._costs.known(route):
            return None
        return self._prices.current(model.id)

    def _typical(self, found: Sequence[tuple[Model, Route, Price]]) -> tuple[Model, Route, Price]:
        """The service's usual model where the key serves it, else the supplier's first."""
        usual = self._catalogue.default.id
        return next((one for one in found if one[0].id == usual), found[0])

    async def _served(self, supplier: str) -> dict[str, int]:
        """Answers of the last 30 days by model."""
        table = schema.usage
        rows = await self._store.fetch(
            sa.select(table.c.model, sa.func.count().label("answers"))
            .where(table.c.provider == supplier, table.c.at >= self._clock.now_ms() - _DAYS_MS)
            .group_by(table.c.model)
        )
        return {row.model: row.answers for row in rows}
