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
from core.pricing.formula import MARKUP_PERCENT, PICO_PER_MICRO_CREDIT, tidy_rate
from core.pricing.prices import (
    FORMULA,
    SAME_FOR_ALL_KINDS,
    KindPercents,
    NewPrice,
    Price,
    PriceBook,
    weigh_input,
)
from core.pricing.supplier_rates import USUAL_USAGE, SupplierRate, SupplierRates, UsageMix
from core.pricing.usage import ModelUsage
from core.repricing.margins import MarginBasis, Margins

#: The actor of prices that automatic pricing sets.
AUTOMATIC: Final = "automatic"
#: A suggestion is worth changing the price for from this difference on, in per cent of the price.
_NEAR_PERCENT: Final = 5


@dataclass(frozen=True, slots=True)
class PriceSuggestion:
    """The price of a model, and the rates that the formula suggests for it."""

    basis: MarginBasis
    current: Price
    input_rate: MicroCredits
    output_rate: MicroCredits
    #: The demand factor in per cent.
    demand_percent: int

    @property
    def model(self) -> Model:
        """The model that the suggestion is for."""
        return self.basis.model

    @property
    def new_price(self) -> NewPrice:
        """The suggestion as a price to be set."""
        return NewPrice(self.current.model, self.input_rate, self.output_rate, self.current.per)

    @property
    def suggested_price(self) -> Price:
        """The suggestion as a price to be shown; it is in no price book."""
        return Price(
            "",
            self.current.model,
            self.current.per,
            self.input_rate,
            self.output_rate,
            0,
            AUTOMATIC,
        )

    @property
    def is_set_by_hand(self) -> bool:
        """Whether a person decided the price that holds."""
        return self.current.set_by not in {FORMULA, AUTOMATIC}

    @property
    def is_worth_changing(self) -> bool:
        """Whether the suggestion is far enough from the price to be worth a change."""
        return any(
            abs(new.units - old.units) * 100 >= old.units * _NEAR_PERCENT
            for old, new in (
                (self.current.input_rate, self.input_rate),
                (self.current.output_rate, self.output_rate),
            )
        )


def _neutral_demand(_: str) -> int:
    return 100


class PriceSuggestions:
    """Calculates price suggestions from margins, markup and demand."""

    def __init__(
        self,
        *,
        margins: Margins,
        prices: PriceBook,
        markup_percent: int = MARKUP_PERCENT,
        get_demand_percent: Callable[[str], int] = _neutral_demand,
    ) -> None:
        """`get_demand_percent` gives the demand factor of a model in per cent."""
        self._margins, self._prices = margins, prices
        self._markup_percent, self._get_demand_percent = markup_percent, get_demand_percent

    @property
    def markup_percent(self) -> int:
        """What is added to the base cost, in per cent."""
        return self._markup_percent

    async def suggest_price(self, model: Model) -> PriceSuggestion | None:
        """The suggestion for one model; None where its cost or price is unknown."""
        return self._build_suggestion(await self._margins.get_basis(model))

    async def list_suggestions(self) -> list[PriceSuggestion]:
        """The suggestions for all models, in the menus' order."""
        suggestions = (
            self._build_suggestion(ground) for ground in await self._margins.list_bases()
        )
        return [suggestion for suggestion in suggestions if suggestion is not None]

    def _build_suggestion(self, basis: MarginBasis) -> PriceSuggestion | None:
        current = self._prices.find_current(basis.model.id)
        if current is None or not basis.rates:
            return None
        demand_percent = self._get_demand_percent(basis.model.id)
        rates = suggest_rates(
            basis.real_usage,
            basis.rates,
            is_blended=current.is_blended,
            markup_percent=self._markup_percent,
            demand_percent=demand_percent,
            percents=current.percents,
        )
        return PriceSuggestion(basis, current, *rates, demand_percent)


#: The usage of fewer answers may be one person's habit.
MIN_ANSWERS: Final = 20

SuggestedRates = tuple[MicroCredits, MicroCredits]


def suggest_rates(
    real_usage: ModelUsage | None,
    rates: SupplierRates,
    *,
    is_blended: bool,
    markup_percent: int,
    demand_percent: int,
    percents: KindPercents = SAME_FOR_ALL_KINDS,
) -> SuggestedRates:
    """Suggests rates in and out; one for both where the price is blended or for seconds. `rates`
    must have one supplier at least; `percents` are what kinds of tokens cost of the rate in."""
    factor = (100 + markup_percent) * demand_percent
    if real_usage is not None and real_usage.answers >= MIN_ANSWERS:
        costs = [
            (rates[name], use) for name, use in real_usage.by_supplier.items() if name in rates
        ]
        if is_blended or real_usage.seconds:
            rate = _calculate_rate(costs, factor, percents)
            return rate, rate
        return _calculate_rate(_input_only(costs), factor, percents), _calculate_rate(
            _output_only(costs), factor
        )
    costs_by_supplier = [
        [(level, USUAL_USAGE if level.input else _AUDIO_USAGE)] for level in rates.values()
    ]
    if is_blended or any(level.second for level in rates.values()):
        rate = max(_calculate_rate(costs, factor) for costs in costs_by_supplier)
        return rate, rate
    return (
        max(_calculate_rate(_input_only(costs), factor) for costs in costs_by_supplier),
        max(_calculate_rate(_output_only(costs), factor) for costs in costs_by_supplier),
    )


_AUDIO_USAGE: Final = UsageMix(seconds=USUAL_USAGE.seconds)
_RatedUsage = list[tuple[SupplierRate, UsageMix]]


def _input_only(rated_usage: _RatedUsage) -> _RatedUsage:
    return [
        (level, UsageMix(uncached=use.uncached, cached=use.cached, pictures=use.pictures))
        for level, use in rated_usage
    ]


def _output_only(rated_usage: _RatedUsage) -> _RatedUsage:
    return [(level, UsageMix(output=use.output)) for level, use in rated_usage]


def _calculate_rate(
    rated_usage: _RatedUsage, factor: int, percents: KindPercents = SAME_FOR_ALL_KINDS
) -> MicroCredits:
    """The tidy rate that brings the cost and its markup; `factor` in ten-thousandths."""
    pico = sum(level.calculate_usage_cost(use) for level, use in rated_usage)
    hundredths = sum(
        weigh_input(use.uncached, use.cached, use.pictures, percents)
        + 100 * (use.output + (use.seconds if level.second else 0))
        for level, use in rated_usage
    )
    paid = max(1, hundredths) * 100 * PICO_PER_MICRO_CREDIT
    return tidy_rate(MicroCredits(-(-pico * factor // paid)))
