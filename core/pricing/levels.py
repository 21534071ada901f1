"""What a supplier takes for a model in short, and so much use of it: what costs are compared by.

Whole numbers throughout: pico-dollars (see `rates`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Final, Self

#: A level's `real` when calls came to what the supplier's list says.
AS_LISTED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Use:
    """What one supplier was asked for: answers, and their tokens, or seconds of audio."""

    answers: int = 0
    #: Tokens in that were not read from a cache, those that were, tokens out.
    plain: int = 0
    cached: int = 0
    output: int = 0
    seconds: int = 0

    @property
    def input(self) -> int:
        """All tokens in."""
        return self.plain + self.cached


#: A model's use until its own is known: two tokens in to one out, an hour of audio.
USUAL: Final = Use(plain=200_000, output=100_000, seconds=3_600)


@dataclass(frozen=True, slots=True)
class Level:
    """What a supplier takes for a model, as prices reckon with it: pico-dollars per token in, read
    from a cache and out, or per second. `real` is what calls came to, in thousandths of that:
    long prompts and what is written to caches cost more than the list's first line."""

    input: int
    cached: int
    output: int
    second: int = 0
    real: int = AS_LISTED

    def text(self) -> str:
        """As it is kept."""
        return json.dumps(astuple(self))

    @classmethod
    def of(cls, text: str) -> Self:
        """What `text` made."""
        return cls(*json.loads(text))

    def same_list(self, other: Level) -> bool:
        """Whether the list says the same of both."""
        return astuple(self)[:-1] == astuple(other)[:-1]

    def listed(self, use: Use) -> int:
        """What so much costs by the list, in pico-dollars."""
        return (
            use.plain * self.input
            + use.cached * self.cached
            + use.output * self.output
            + use.seconds * self.second
        )

    def cost(self, use: Use) -> int:
        """What so much really costs, in pico-dollars, rounded up."""
        return -(-self.listed(use) * self.real // AS_LISTED)


Levels = Mapping[str, Level]
