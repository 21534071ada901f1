"""What an answer costs the platform: the price package's rates, with our own where it has none.

Users never see a cost. A route whose cost is unknown or zero is refused, not sold.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from core.errors import Refusal
from core.money import NanoUsd, Seconds, Tokens
from core.pricing import files, package
from core.pricing.catalogue import Route
from core.pricing.rates import (
    PICO_PER_NANO,
    Per,
    Rate,
    RatePeriod,
    Rates,
    get_rates_at,
    list_rates_within,
)
from core.pricing.supplier_rates import SupplierRate

#: A call that is held now may run at the dearer rate of a peak hour that begins meanwhile.
HOLD_SPAN = timedelta(minutes=15)

#: Nominal rates of a custom address's own models (a local server): never sold for nothing.
#: $0.10 per million tokens in, $0.40 out; an overlay's [[cost]] with model = "*" says otherwise.
LOCAL_RATES = Rates(Rate(100_000), Rate(400_000), Rate(100_000), Rate(100_000))

_EVERY_MODEL = "*"


class NoCost(Refusal):
    """The cost of a route is unknown or zero: it can't be sold."""

    code: ClassVar[str] = "no_cost"

    def __init__(self, provider: str, model: str) -> None:
        self.provider, self.model = provider, model


class CallUsage(Protocol):
    """A call used these tokens: `input` is the whole prompt, with its cached and written parts."""

    @property
    def input(self) -> Tokens:
        """The tokens of the whole prompt."""
        ...

    @property
    def output(self) -> Tokens:
        """The tokens of the answer, reasoning included."""
        ...

    @property
    def cached(self) -> Tokens:
        """The tokens of the prompt that were read from a cache."""
        ...

    @property
    def cache_written(self) -> Tokens:
        """The tokens of the prompt that were written to a cache."""
        ...


class Costs:
    """Costs are suppliers' rates by route. The first that there is counts: an admin's override, the
    operator's overlay, the overrides that ship, the price package."""

    def __init__(
        self, fixed_rates: Mapping[Route, Rates | Sequence[RatePeriod]] | None = None
    ) -> None:
        """With `fixed_rates` the package is ignored (in tests); the product's costs come by
        `load`."""
        self._fixed_periods: dict[tuple[str, str], tuple[RatePeriod, ...]] = {}
        self._ignores_package = fixed_rates is not None
        self._renewed_data: Mapping[str, Any] = {}
        self._overrides: dict[tuple[str, str], tuple[RatePeriod, ...]] = {}
        for route, rates in (fixed_rates or {}).items():
            periods = (RatePeriod(rates),) if isinstance(rates, Rates) else tuple(rates)
            self._fixed_periods[route.provider, route.model] = periods
        self._find_periods = functools.cache(self._look_up_periods)

    @classmethod
    def load(cls, overlay: Path | None = None) -> Self:
        """The product's costs, with the operator's `overlay` file; raises `BadOverlay`."""
        costs = cls()
        for row in (*files.read_cost_overrides(), *files.read_overlay(overlay).cost):
            costs._fixed_periods[row.provider, row.model] = (RatePeriod(row.to_rates()),)
        return costs

    def preload(self) -> None:
        """Reads the price package, which takes half a second: call it from a thread before the
        first question."""
        if not self._ignores_package:
            package.read_package()

    def add_local_supplier(self, provider: str) -> None:
        """Gives the models of a custom address a cost: `LOCAL_RATES` unless the overlay has one."""
        self._fixed_periods.setdefault((provider, _EVERY_MODEL), (RatePeriod(LOCAL_RATES),))
        self._find_periods.cache_clear()

    def renew_data(self, data: Mapping[str, Any]) -> None:
        """Takes newer data of the price package, in place of the installed data."""
        self._renewed_data = data
        self._find_periods.cache_clear()

    def set_overrides(self, overrides: Mapping[Route, Rates]) -> None:
        """Takes the admins' overrides, in place of all earlier ones."""
        self._overrides = {
            (route.provider, route.model): (RatePeriod(rates),)
            for route, rates in overrides.items()
        }
        self._find_periods.cache_clear()

    def has_cost(self, route: Route, per: Per = "token") -> bool:
        """Whether the route has a cost above zero per token, or second, at every hour."""
        periods = self._find_periods(route)
        return bool(periods) and all(era.rates.is_sellable(per) for era in periods)

    def get_rates(self, route: Route, at_ms: int) -> Rates:
        """A route's rates at a time; raises `NoCost`."""
        return get_rates_at(self._require_periods(route), at_ms)

    def calculate_call_cost(self, route: Route, usage: CallUsage, at_ms: int) -> NanoUsd:
        """The cost of a call at a time, in nano-dollars, rounded up; raises `NoCost`."""
        cached, written = usage.cached.units, usage.cache_written.units
        uncached = max(0, usage.input.units - cached - written)
        return self.get_rates(route, at_ms).calculate_call_cost(
            uncached, cached, written, usage.output.units
        )

    def calculate_max_cost(
        self,
        route: Route,
        input: Tokens,  # noqa: A002
        output: Tokens,
        at_ms: int,
    ) -> NanoUsd:
        """The most that a call can cost, in nano-dollars: nothing cached, or all of it written to a
        cache, at the dearest hour within the next `HOLD_SPAN`; raises `NoCost`."""
        possible_rates = list_rates_within(self._require_periods(route), at_ms, HOLD_SPAN)
        return max(rates.calculate_max_cost(input.units, output.units) for rates in possible_rates)

    def calculate_audio_cost(self, route: Route, length: Seconds, at_ms: int) -> NanoUsd:
        """The cost of audio of a length, in nano-dollars, rounded up; raises `NoCost`."""
        rate = get_rates_at(self._require_periods(route, "second"), at_ms).second.base
        return NanoUsd(-(-rate * length.units // PICO_PER_NANO))

    def get_base_rates(self, route: Route, at_ms: int, per: Per = "token") -> tuple[int, int]:
        """The rates that prices are made from: pico-dollars per token in and out for a short
        prompt (for audio both are the rate per second), at the dearest hour of the next day;
        raises `NoCost`."""
        return self._find_dearest_rates(route, at_ms, per).get_base_rates(per)

    def get_supplier_rate(self, route: Route, at_ms: int, per: Per = "token") -> SupplierRate:
        """The same rates with that of cached tokens, by which costs are compared; raises
        `NoCost`."""
        rates = self._find_dearest_rates(route, at_ms, per)
        if per == "second":
            return SupplierRate(0, 0, 0, rates.second.base)
        return SupplierRate(rates.input.base, rates.cached.base, rates.output.base)

    def _find_dearest_rates(self, route: Route, at_ms: int, per: Per) -> Rates:
        def weight(rates: Rates) -> int:
            input_rate, output_rate = rates.get_base_rates(per)
            return 2 * input_rate + output_rate

        possible_rates = list_rates_within(
            self._require_periods(route, per), at_ms, timedelta(days=1)
        )
        return max(possible_rates, key=weight)

    def _require_periods(self, route: Route, per: Per = "token") -> tuple[RatePeriod, ...]:
        if not self.has_cost(route, per):
            raise NoCost(route.provider, route.model)
        return self._find_periods(route)

    def _look_up_periods(self, route: Route) -> tuple[RatePeriod, ...]:
        override = self._overrides.get((route.provider, route.model))
        if override is not None:
            return override
        periods = self._fixed_periods.get((route.provider, route.model))
        if periods is None and not self._ignores_package:
            periods = package.find_rate_periods(
                self._renewed_data or package.read_package(), route.provider, route.model
            )
        return periods or self._fixed_periods.get((route.provider, _EVERY_MODEL), ())
