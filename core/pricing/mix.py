"""A model's usage by supplier, and what a price earns on it: what every margin is calculated from.

A Credit at par is a cent; amounts are pico-dollars throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.money import MicroCredits
from core.pricing.formula import PICO_PER_MICRO_CREDIT
from core.pricing.levels import Levels, Use
from core.pricing.prices import Price


@dataclass(frozen=True, slots=True)
class Mix:
    """A model's usage is kept by supplier; it was measured on people's asks, or else the usual mix
    is assumed."""

    uses: Mapping[str, Use]
    real: bool = True

    @property
    def answers(self) -> int:
        """How many answers all suppliers gave."""
        return sum(use.answers for use in self.uses.values())

    @property
    def input(self) -> int:
        """The tokens in of all suppliers."""
        return sum(use.input for use in self.uses.values())

    @property
    def output(self) -> int:
        """The tokens out of all suppliers."""
        return sum(use.output for use in self.uses.values())

    @property
    def seconds(self) -> int:
        """The seconds of audio of all suppliers."""
        return sum(use.seconds for use in self.uses.values())

    def cost(self, levels: Levels) -> int:
        """What the usage costs at these rates, in pico-dollars; suppliers without any don't
        count."""
        return sum(levels[name].cost(use) for name, use in self.uses.items() if name in levels)

    def brings(self, inward: MicroCredits, outward: MicroCredits, *, seconds: bool) -> int:
        """What these prices bring for the usage at par, in pico-dollars, before any rounding up."""
        micro = (
            inward.units * self.seconds
            if seconds
            else inward.units * self.input + outward.units * self.output
        )
        return micro * PICO_PER_MICRO_CREDIT

    def margin(self, price: Price, levels: Levels) -> int | None:
        """The price's profit on cost, in per cent, rounded down; None where no cost is known.

        Charges are rounded up to whole Credits, answer by answer: that extra isn't in it."""
        cost = self.cost(levels)
        if cost <= 0:
            return None
        brought = self.brings(price.input_rate, price.output_rate, seconds=price.per == "second")
        return (brought - cost) * 100 // cost
