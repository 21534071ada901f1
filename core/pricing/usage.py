"""A model's usage by supplier, and what a price earns on it: what every margin is calculated from.

A Credit at par is a cent; amounts are pico-dollars throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.money import MicroCredits
from core.pricing.formula import PICO_PER_MICRO_CREDIT
from core.pricing.prices import SAME_FOR_ALL_KINDS, KindPercents, Price, weigh_input
from core.pricing.supplier_rates import SupplierRates, UsageMix


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """A model's usage is kept by supplier; it was measured on people's asks, or else the usual mix
    is assumed."""

    by_supplier: Mapping[str, UsageMix]
    is_measured: bool = True

    @property
    def answers(self) -> int:
        """How many answers all suppliers gave."""
        return sum(use.answers for use in self.by_supplier.values())

    @property
    def input(self) -> int:
        """The tokens in of all suppliers."""
        return sum(use.input for use in self.by_supplier.values())

    @property
    def output(self) -> int:
        """The tokens out of all suppliers."""
        return sum(use.output for use in self.by_supplier.values())

    @property
    def seconds(self) -> int:
        """The seconds of audio of all suppliers."""
        return sum(use.seconds for use in self.by_supplier.values())

    def calculate_usage_cost(self, rates: SupplierRates) -> int:
        """What the usage costs at these rates, in pico-dollars; suppliers without any don't
        count."""
        return sum(
            rates[name].calculate_usage_cost(use)
            for name, use in self.by_supplier.items()
            if name in rates
        )

    def calculate_revenue(
        self,
        input_rate: MicroCredits,
        output_rate: MicroCredits,
        *,
        seconds: bool,
        percents: KindPercents = SAME_FOR_ALL_KINDS,
    ) -> int:
        """What these prices bring for the usage at par, in pico-dollars, before any rounding up."""
        if seconds:
            return input_rate.units * self.seconds * PICO_PER_MICRO_CREDIT
        hundredths = sum(
            weigh_input(use.uncached, use.cached, use.pictures, percents)
            for use in self.by_supplier.values()
        )
        micro = input_rate.units * hundredths // 100 + output_rate.units * self.output
        return micro * PICO_PER_MICRO_CREDIT

    def calculate_margin(self, price: Price, rates: SupplierRates) -> int | None:
        """The price's profit on cost, in per cent, rounded down; None where no cost is known.

        Charges are rounded up to whole Credits, answer by answer: that extra isn't in it."""
        cost = self.calculate_usage_cost(rates)
        if cost <= 0:
            return None
        revenue = self.calculate_revenue(
            price.input_rate,
            price.output_rate,
            seconds=price.per == "second",
            percents=price.percents,
        )
        return (revenue - cost) * 100 // cost
