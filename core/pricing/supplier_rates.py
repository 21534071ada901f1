"""A supplier's rates for a model in short, and how much a model was used: what suppliers' costs are
compared by.

Whole numbers of pico-dollars throughout (see `core.pricing.rates`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Final, Self

#: `SupplierRate.billed_permille` when calls cost what the supplier's list says.
AS_LISTED: Final = 1_000


@dataclass(frozen=True, slots=True)
class UsageMix:
    """One supplier was used so much for a model: answers, and their tokens or seconds of audio."""

    answers: int = 0
    #: Tokens in that were not read from a cache, tokens in that were, tokens out.
    uncached: int = 0
    cached: int = 0
    output: int = 0
    seconds: int = 0
    #: What of the uncached tokens in are pictures.
    pictures: int = 0

    @property
    def input(self) -> int:
        """All tokens of the prompts, cached ones included."""
        return self.uncached + self.cached


#: A model's usage until its own is known: two tokens in to one out, an hour of audio.
USUAL_USAGE: Final = UsageMix(uncached=200_000, output=100_000, seconds=3_600)


@dataclass(frozen=True, slots=True)
class SupplierRate:
    """A supplier's rates for a model are pico-dollars per token in, per token read from a cache and
    per token out, or per second. `billed_permille` is what calls really cost, in thousandths of the
    list: long prompts and what is written to caches cost more than the list's first line."""

    input: int
    cached: int
    output: int
    second: int = 0
    billed_permille: int = AS_LISTED

    def to_text(self) -> str:
        """The rates as JSON, for the database."""
        return json.dumps(astuple(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The rates of a JSON text that `to_text` made."""
        return cls(*json.loads(text))

    def has_same_list_price(self, other: SupplierRate) -> bool:
        """Whether both have the same list rates, whatever calls really cost."""
        return astuple(self)[:-1] == astuple(other)[:-1]

    def calculate_list_cost(self, usage: UsageMix) -> int:
        """What so much usage costs by the list, in pico-dollars."""
        return (
            usage.uncached * self.input
            + usage.cached * self.cached
            + usage.output * self.output
            + usage.seconds * self.second
        )

    def calculate_usage_cost(self, usage: UsageMix) -> int:
        """What so much usage really costs, in pico-dollars, rounded up."""
        return -(-self.calculate_list_cost(usage) * self.billed_permille // AS_LISTED)


SupplierRates = Mapping[str, SupplierRate]
