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
from core.pricing.levels import Level
from core.pricing.rates import PICO, Era, Per, Rate, Rates, rates_at, rates_within

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


class UsageLike(Protocol):
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

    def __init__(self, given: Mapping[Route, Rates | Sequence[Era]] | None = None) -> None:
        """With `fixed_rates` the package is ignored (in tests); the product's costs come by
        `load`."""
        self._given: dict[tuple[str, str], tuple[Era, ...]] = {}
        self._alone = given is not None
        self._renewed: Mapping[str, Any] = {}
        self._said: dict[tuple[str, str], tuple[Era, ...]] = {}
        for route, rates in (given or {}).items():
            eras = (Era(rates),) if isinstance(rates, Rates) else tuple(rates)
            self._given[route.provider, route.model] = eras
        self._eras = functools.cache(self._find)

    @classmethod
    def load(cls, overlay: Path | None = None) -> Self:
        """The product's costs, with the operator's `overlay` file; raises `BadOverlay`."""
        costs = cls()
        for row in (*files.overrides(), *files.overlay(overlay).cost):
            costs._given[row.provider, row.model] = (Era(row.rates()),)
        return costs

    def prepare(self) -> None:
        """Reads the price package, which takes half a second: call it from a thread before the
        first question."""
        if not self._alone:
            package.read()

    def add_local(self, provider: str) -> None:
        """Gives the models of a custom address a cost: `LOCAL_RATES` unless the overlay has one."""
        self._given.setdefault((provider, _EVERY_MODEL), (Era(LOCAL_RATES),))
        self._eras.cache_clear()

    def renew(self, data: Mapping[str, Any]) -> None:
        """Takes newer data of the price package, in place of the installed data."""
        self._renewed = data
        self._eras.cache_clear()

    def override(self, said: Mapping[Route, Rates]) -> None:
        """Takes the admins' overrides, in place of all earlier ones."""
        self._said = {(route.provider, route.model): (Era(rates),) for route, rates in said.items()}
        self._eras.cache_clear()

    def known(self, route: Route, per: Per = "token") -> bool:
        """Whether the route has a cost above zero per token, or second, at every hour."""
        eras = self._eras(route)
        return bool(eras) and all(era.rates.sellable(per) for era in eras)

    def rates(self, route: Route, at_ms: int) -> Rates:
        """A route's rates at a time; raises `NoCost`."""
        return rates_at(self._known(route), at_ms)

    def cost(self, route: Route, usage: UsageLike, at_ms: int) -> NanoUsd:
        """The cost of a call at a time, in nano-dollars, rounded up; raises `NoCost`."""
        cached, written = usage.cached.units, usage.cache_written.units
        plain = max(0, usage.input.units - cached - written)
        return self.rates(route, at_ms).cost(plain, cached, written, usage.output.units)

    def most(self, route: Route, input: Tokens, output: Tokens, at_ms: int) -> NanoUsd:  # noqa: A002
        """The most that a call can cost, in nano-dollars: nothing cached, or all of it written to a
        cache, at the dearest hour within the next `HOLD_SPAN`; raises `NoCost`."""
        every = rates_within(self._known(route), at_ms, HOLD_SPAN)
        return max(rates.most(input.units, output.units) for rates in every)

    def seconds(self, route: Route, length: Seconds, at_ms: int) -> NanoUsd:
        """The cost of audio of a length, in nano-dollars, rounded up; raises `NoCost`."""
        rate = rates_at(self._known(route, "second"), at_ms).second.base
        return NanoUsd(-(-rate * length.units // PICO))

    def base(self, route: Route, at_ms: int, per: Per = "token") -> tuple[int, int]:
        """The rates that prices are made from: pico-dollars per token in and out for a short
        prompt (for audio both are the rate per second), at the dearest hour of the next day;
        raises `NoCost`."""
        return self._dearest(route, at_ms, per).base(per)

    def level(self, route: Route, at_ms: int, per: Per = "token") -> Level:
        """The same rates with that of cached tokens, by which costs are compared; raises
        `NoCost`."""
        rates = self._dearest(route, at_ms, per)
        if per == "second":
            return Level(0, 0, 0, rates.second.base)
        return Level(rates.input.base, rates.cached.base, rates.output.base)

    def _dearest(self, route: Route, at_ms: int, per: Per) -> Rates:
        def weight(rates: Rates) -> int:
            inward, outward = rates.base(per)
            return 2 * inward + outward

        every = rates_within(self._known(route, per), at_ms, timedelta(days=1))
        return max(every, key=weight)

    def _known(self, route: Route, per: Per = "token") -> tuple[Era, ...]:
        if not self.known(route, per):
            raise NoCost(route.provider, route.model)
        return self._eras(route)

    def _find(self, route: Route) -> tuple[Era, ...]:
        said = self._said.get((route.provider, route.model))
        if said is not None:
            return said
        given = self._given.get((route.provider, route.model))
        if given is None and not self._alone:
            given = package.eras_of(self._renewed or package.read(), route.provider, route.model)
        return given or self._given.get((route.provider, _EVERY_MODEL), ())
