"""The formula that suggests a price: Base cost × (1 + Markup) × Demand ÷ $0.01, rounded up to a
tidy rate. An admin's price wins until it is changed; the formula's stands where none was set.

The demand factor, 0.8 – 1.5, follows how much a model is asked and how scarce its keys are. It is
smoothed, so that an hour's rush doesn't move it, and has hysteresis, so that it doesn't flutter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from core.money import MicroCredits, NanoUsd

#: What a bought Credit brings: one cent.
PAR = NanoUsd(10_000_000)
MARKUP_PERCENT = 35
#: Tokens in for each token out, until a model's real usage is known.
INPUT_WEIGHT = 2
#: A Credit at par is $0.01: a micro-Credit is ten thousand pico-dollars.
PICO_PER_MICRO_CREDIT = 10_000

# Two digits at most, each step at most a ninth above the last: a price of 35 % markup stays within
# 50 %, the most that a markup may be.
_TIDY_STEPS = (
    *(10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 22, 24, 26, 28, 30, 32, 35, 38, 40, 42, 45),
    *(50, 55, 60, 65, 70, 75, 80, 85, 90, 100),
)


def calculate_average_rate(input_pico: int, output_pico: int) -> tuple[int, int]:
    """What a token of the usual mix costs on average, in pico-dollars, as a fraction (numerator,
    denominator)."""
    return INPUT_WEIGHT * input_pico + output_pico, INPUT_WEIGHT + 1


def suggest_rate(
    base_rates: Iterable[tuple[int, int]],
    *,
    markup_percent: int = MARKUP_PERCENT,
    demand_percent: int = 100,
) -> MicroCredits:
    """One rate for tokens in and out, from each route's pico-dollars per token in and out. The
    dearest route counts: whichever serves, the base cost is covered."""
    numerator, denominator = max(
        (calculate_average_rate(*base) for base in base_rates), key=lambda pair: pair[0]
    )
    factor = (100 + markup_percent) * demand_percent
    return tidy_rate(
        MicroCredits(-(-numerator * factor // (denominator * 10_000 * PICO_PER_MICRO_CREDIT)))
    )


def tidy_rate(rate: MicroCredits) -> MicroCredits:
    """The next rate up that reads well on a card, of at most two digits; at least 1."""
    if rate.units <= 0:
        return MicroCredits(1)
    scale = 1
    while rate.units > 10 * scale:
        scale *= 10
    # Below ten micro-Credits every whole number is tidy.
    if scale == 1:
        return rate
    return next(
        MicroCredits(step * scale // 10) for step in _TIDY_STEPS if step * scale >= rate.units * 10
    )


USUAL_DEMAND_PERCENT: Final = 100
MIN_DEMAND_PERCENT: Final = 80
MAX_DEMAND_PERCENT: Final = 150
#: The factor that load alone leads to is at most this, in per cent.
_MAX_LOAD_PERCENT: Final = 130
#: A point of load above or below the usual moves the factor by a quarter of a point.
_LOAD_DIVISOR: Final = 4
#: Keys that last a week are plenty; those that last a day are scarce, and cost half as much again.
_PLENTY_HOURS: Final = 168
_SCARCE_HOURS: Final = 24
_SCARCE_PERCENT: Final = 50
#: In an hour the smoothed measure goes an eighth of the way to its target: most of it in a day.
_HOURLY_DIVISOR: Final = 8
#: The factor follows once the measure is so many points away.
_STEP_PERCENT: Final = 5
_HUNDREDTHS: Final = 100


@dataclass(frozen=True, slots=True)
class Demand:
    """A model's demand is a smoothed measure in hundredths of a per cent, and a factor in per
    cent."""

    smoothed: int = USUAL_DEMAND_PERCENT * _HUNDREDTHS
    factor: int = USUAL_DEMAND_PERCENT

    def advance_one_hour(self, target: int) -> Self:
        """The demand an hour later, with a target in per cent."""
        distance = target * _HUNDREDTHS - self.smoothed
        smoothed = self.smoothed + round(distance / _HOURLY_DIVISOR)
        is_far = abs(smoothed - self.factor * _HUNDREDTHS) >= _STEP_PERCENT * _HUNDREDTHS
        return type(self)(smoothed, round(smoothed / _HUNDREDTHS) if is_far else self.factor)


def calculate_demand_target(*, last_day: int, usual_day: int, hours_left: int | None) -> int:
    """The demand factor that is aimed for, in per cent: from what the last day and a usual day
    cost, and the hours that keys last at the last day's rate of use (None: nobody uses them)."""
    load = USUAL_DEMAND_PERCENT
    if usual_day > 0:
        load += (last_day * 100 // usual_day - 100) // _LOAD_DIVISOR
    load = min(max(load, MIN_DEMAND_PERCENT), _MAX_LOAD_PERCENT)
    scarce = 0
    if hours_left is not None and hours_left < _PLENTY_HOURS:
        missing = _PLENTY_HOURS - max(hours_left, _SCARCE_HOURS)
        scarce = _SCARCE_PERCENT * missing // (_PLENTY_HOURS - _SCARCE_HOURS)
    return min(max(load + scarce, MIN_DEMAND_PERCENT), MAX_DEMAND_PERCENT)
