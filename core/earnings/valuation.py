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
from core.db.database import Database
from core.money import Credits, NanoUsd
from core.pricing.catalogue import Catalogue, Model, Route
from core.pricing.costs import Costs
from core.pricing.prices import Price, PriceBook

FEE_PERCENT = 10
REQUEST_TOKENS = 1_000
#: Tokens in for each token out.
_INPUT_PER_OUTPUT = 2
_USAGE_WINDOW_MS = 30 * DAY_MS
#: Fewer answers than this say nothing about the usual mix.
_MIN_ANSWERS = 50
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Valuation:
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
class AverageRequest:
    """An average request: its cost in nano-dollars and its price in micro-Credits, as fractions of
    the same denominator."""

    cost: int
    price: int
    denominator: int

    def value_quota(self, quota: NanoUsd) -> Valuation:
        """What a quota is worth."""
        return self._value_requests(quota.units * self.denominator // self.cost, quota)

    def count_requests(self, credits: Credits) -> int:  # noqa: A002
        """How many average requests so many Credits pay for."""
        return credits.units * _MICRO * self.denominator // self.price

    def find_min_quota(self, net: Credits) -> Valuation:
        """The least quota that is worth so many Credits after the fee."""
        gross = -(-net.units * 100 // (100 - FEE_PERCENT))
        requests = -(-gross * _MICRO * self.denominator // self.price)
        while self._value_requests(requests, NanoUsd(0)).net < net:
            requests += 1
        return self._value_requests(requests, NanoUsd(-(-requests * self.cost // self.denominator)))

    def _value_requests(self, requests: int, quota: NanoUsd) -> Valuation:
        gross = Credits(requests * self.price // (self.denominator * _MICRO))
        return Valuation(quota, requests, gross, gross.share_down(FEE_PERCENT, 100))


def calculate_average(weighted: Sequence[tuple[int, tuple[int, int], Price]]) -> AverageRequest:
    """The average request of (weight, pico-dollars per token in and out, price)."""
    tokens_per_output = _INPUT_PER_OUTPUT + 1
    total_weight = sum(weight for weight, _, _ in weighted)
    # A pico-dollar a token is a nano-dollar for a thousand of them.
    cost = sum(weight * (_INPUT_PER_OUTPUT * base[0] + base[1]) for weight, base, _ in weighted)
    price = sum(
        weight
        * REQUEST_TOKENS
        * (_INPUT_PER_OUTPUT * model_price.input_rate.units + model_price.output_rate.units)
        for weight, _, model_price in weighted
    )
    return AverageRequest(cost, price, tokens_per_output * total_weight)


class KeyValuer:
    """Calculates average requests from prices, costs and what suppliers served lately."""

    def __init__(
        self,
        *,
        db: Database,
        catalogue: Catalogue,
        prices: PriceBook,
        costs: Costs,
        clock: Clock,
    ) -> None:
        self._db, self._catalogue, self._clock = db, catalogue, clock
        self._prices, self._costs = prices, costs

    async def calculate_average(
        self, supplier: str, usable_models: Collection[str]
    ) -> AverageRequest | None:
        """The average request to a supplier's models that a key can use; None when none of them is
        on sale."""
        await self._prices.refresh()
        routes = [
            (model, route, price)
            for model in self._catalogue.models.values()
            for route in model.routes
            if route.provider == supplier
            and route.model in usable_models
            and (price := self._find_price(model, route)) is not None
        ]
        if not routes:
            return None
        answer_counts = await self._count_answers(supplier)
        now = self._clock.now_ms()
        weighted = [
            (answer_counts[model.id], self._costs.get_base_rates(route, now), price)
            for model, route, price in routes
            if answer_counts.get(model.id)
        ]
        if sum(weight for weight, _, _ in weighted) < _MIN_ANSWERS:
            _, route, price = self._find_typical_route(routes)
            weighted = [(1, self._costs.get_base_rates(route, now), price)]
        return calculate_average(weighted)

    def _find_price(self, model: Model, route: Route) -> Price | None:
        if model.per != "token" or not self._costs.has_cost(route):
            return None
        return self._prices.find_current(model.id)

    def _find_typical_route(
        self, routes: Sequence[tuple[Model, Route, Price]]
    ) -> tuple[Model, Route, Price]:
        """The service's usual model where the key serves it, else the supplier's first."""
        default_id = self._catalogue.default_model.id
        return next((candidate for candidate in routes if candidate[0].id == default_id), routes[0])

    async def _count_answers(self, supplier: str) -> dict[str, int]:
        """Answers of the last 30 days by model."""
        table = schema.usage
        rows = await self._db.fetch(
            sa.select(table.c.model, sa.func.count().label("answers"))
            .where(
                table.c.provider == supplier, table.c.at >= self._clock.now_ms() - _USAGE_WINDOW_MS
            )
            .group_by(table.c.model)
        )
        return {row.model: row.answers for row in rows}
