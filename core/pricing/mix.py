"""A model's use by supplier, and what a price brings on it: the ground of every margin.

A Credit at par is a cent; pico-dollars throughout.
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
    """A model's use by supplier; `real` when people made it, else the usual one is assumed."""

    uses: Mapping[str, Use]
    real: bool = True

    @property
    def answers(self) -> int:
        """How many answers it was."""
        return sum(use.answers for use in self.uses.values())

    @property
    def input(self) -> int:
        """All tokens in."""
        return sum(use.input for use in self.uses.values())

    @property
    def output(self) -> int:
        """All tokens out."""
        return sum(use.output for use in self.uses.values())

    @property
    def seconds(self) -> int:
        """All seconds of audio."""
        return sum(use.seconds for use in self.uses.values())

    def cost(self, levels: Levels) -> int:
        """What it costs at these levels, in pico-dollars; suppliers without one don't count."""
        return sum(levels[name].cost(use) for name, use in self.uses.items() if name in levels)

    def brings(self, inward: MicroCredits, outward: MicroCredits, *, seconds: bool) -> int:
        """What these rates bring for it at par, in pico-dollars, before any rounding up."""
        micro = (
            inward.units * self.seconds
            if seconds
            else inward.units * self.input + outward.units * self.output
        )
        return micro * PICO_PER_MICRO_CREDIT

    def margin(self, price: Price, levels: Levels) -> int | None:
        """Profit on cost in per cent, rounded down; None where nothing is known to cost anything.

        Charges are rounded up to whole Credits, answer by answer: what that brings is extra."""
        cost = self.cost(levels)
        if cost <= 0:
            return None
        brought = self.brings(price.input_rate, price.output_rate, seconds=price.per == "second")
        return (brought - cost) * 100 // cost
