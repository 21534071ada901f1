"""What the formula suggests for a model in use: its base cost is the real mix's, once it is known.

Where people asked little yet, the usual mix at the dearest supplier stands in, as it does for a
first price.
"""

from __future__ import annotations

from typing import Final

from core.money import MicroCredits
from core.pricing.formula import PICO_PER_MICRO_CREDIT, tidy
from core.pricing.levels import USUAL, Level, Levels, Use
from core.pricing.mix import Mix

#: A mix of fewer answers may be one person's habit.
ANSWERS_LEAST: Final = 20

Pair = tuple[MicroCredits, MicroCredits]


def suggested(
    real: Mix | None, levels: Levels, *, blended: bool, markup_percent: int, demand_percent: int
) -> Pair:
    """Rates in and out; one for both where the price is `blended` or for seconds. `levels` holds a
    supplier at least."""
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
