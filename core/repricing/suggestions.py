"""Suggestions: what the formula makes of a model's base cost, which is that of its real usage once
it is known. Where people asked little yet, the usual usage at the dearest supplier stands in, as it
does for a first price.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from core.money import MicroCredits
from core.pricing.catalogue import Model
from core.pricing.formula import MARKUP_PERCENT, PICO_PER_MICRO_CREDIT, tidy
from core.pricing.levels import USUAL, Level, Levels, Use
from core.pricing.mix import Mix
from core.pricing.prices import FORMULA, NewPrice, Price, PriceBook
from core.repricing.margins import Ground, Margins

#: The actor of prices that automatic pricing sets.
AUTOMATIC: Final = "automatic"
#: A suggestion is worth changing the price for from this difference on, in per cent of the price.
_NEAR_PERCENT: Final = 5


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The price of a model, and the rates that the formula suggests for it."""

    ground: Ground
    now: Price
    input_rate: MicroCredits
    output_rate: MicroCredits
    #: The demand factor in per cent.
    demand: int

    @property
    def model(self) -> Model:
        """The model that the suggestion is for."""
        return self.ground.model

    @property
    def wanted(self) -> NewPrice:
        """The suggestion as a price to be set."""
        return NewPrice(self.now.model, self.input_rate, self.output_rate, self.now.per)

    @property
    def price(self) -> Price:
        """The suggestion as a price to be shown; it is in no price book."""
        return Price(
            "", self.now.model, self.now.per, self.input_rate, self.output_rate, 0, AUTOMATIC
        )

    @property
    def by_hand(self) -> bool:
        """Whether a person decided the price that holds."""
        return self.now.set_by not in {FORMULA, AUTOMATIC}

    @property
    def differs(self) -> bool:
        """Whether the suggestion is far enough from the price to be worth a change."""
        return any(
            abs(new.units - old.units) * 100 >= old.units * _NEAR_PERCENT
            for old, new in (
                (self.now.input_rate, self.input_rate),
                (self.now.output_rate, self.output_rate),
            )
        )


def _usual_demand(_: str) -> int:
    return 100


class Suggestions:
    """Calculates price suggestions from margins, markup and demand."""

    def __init__(
        self,
        *,
        margins: Margins,
        prices: PriceBook,
        markup_percent: int = MARKUP_PERCENT,
        demand: Callable[[str], int] = _usual_demand,
    ) -> None:
        """`get_demand_percent` gives the demand factor of a model in per cent."""
        self._margins, self._prices = margins, prices
        self._markup, self._demand = markup_percent, demand

    @property
    def markup_percent(self) -> int:
        """What is added to the base cost, in per cent."""
        return self._markup

    async def of(self, model: Model) -> Suggestion | None:
        """The suggestion for one model; None where its cost or price is unknown."""
        return self._of(await self._margins.of(model))

    async def all(self) -> list[Suggestion]:
        """The suggestions for all models, in the menus' order."""
        found = (self._of(ground) for ground in await self._margins.all())
        return [one for one in found if one is not None]

    def _of(self, ground: Ground) -> Suggestion | None:
        now = self._prices.current(ground.model.id)
        if now is None or not ground.levels:
            return None
        demand = self._demand(ground.model.id)
        rates = suggested(
            ground.real,
            ground.levels,
            blended=now.blended,
            markup_percent=self._markup,
            demand_percent=demand,
        )
        return Suggestion(ground, now, *rates, demand)


#: The usage of fewer answers may be one person's habit.
ANSWERS_LEAST: Final = 20

Pair = tuple[MicroCredits, MicroCredits]


def suggested(
    real: Mix | None, levels: Levels, *, blended: bool, markup_percent: int, demand_percent: int
) -> Pair:
    """Suggests rates in and out; one for both where the price is blended or for seconds. `rates`
    must have one supplier at least."""
    factor = (100 + markup_percent) * demand_percent
    if real is not None and real.answers >= ANSWERS_LEAST:
        costs = [(levels[name], use) for name, use in real.uses.items() if name in levels]
        if blended or real.seconds:
            rate = _rate(costs, factor)
            return rate, rate
        return _rate(_inward(costs), factor), _rate(_outward(costs), factor)
    each = [[(level, USUAL if level.input else _SECONDS)] for level in levels.values()]
    if blended or any(level.second for level in levels.values()):
        rate = max(_rate(costs, factor) for costs in each)
        return rate, rate
    return (
        max(_rate(_inward(costs), factor) for costs in each),
        max(_rate(_outward(costs), factor) for costs in each),
    )


_SECONDS: Final = Use(seconds=USUAL.seconds)
_Costs = list[tuple[Level, Use]]


def _inward(costs: _Costs) -> _Costs:
    return [(level, Use(plain=use.plain, cached=use.cached)) for level, use in costs]


def _outward(costs: _Costs) -> _Costs:
    return [(level, Use(output=use.output)) for level, use in costs]


def _rate(costs: _Costs, factor: int) -> MicroCredits:
    """The tidy rate that brings the cost and its markup; `factor` in ten-thousandths."""
    pico = sum(level.cost(use) for level, use in costs)
    count = sum(
        use.input + use.output + (use.seconds if level.second else 0) for level, use in costs
    )
    return tidy(MicroCredits(-(-pico * factor // (max(1, count) * 10_000 * PICO_PER_MICRO_CREDIT))))
