"""The demand factor, 0.8 – 1.5 (brief § 3): how much a model is wanted, how scarce its keys are.

Smoothed, so that an hour's rush is no news, and with hysteresis, so that it doesn't flutter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

USUAL_PERCENT: Final = 100
LEAST_PERCENT: Final = 80
MOST_PERCENT: Final = 150
#: Load alone goes no further than this.
_LOAD_MOST: Final = 130
#: A point of load beside the usual moves the factor by a quarter of one.
_LOAD_PART: Final = 4
#: Keys that last a week are plenty; those that last a day are scarce, and cost half as much again.
_PLENTY_HOURS: Final = 168
_SCARCE_HOURS: Final = 24
_SCARCE_PERCENT: Final = 50
#: Of the way to its target the smoothed measure goes this part in an hour: most of it in a day.
_HOURLY_PART: Final = 8
#: The factor follows once the measure is so many points away.
_STEP_PERCENT: Final = 5
_HUNDREDTHS: Final = 100


@dataclass(frozen=True, slots=True)
class Demand:
    """A model's: the smoothed measure in hundredths of a per cent, and the factor in per cent."""

    smoothed: int = USUAL_PERCENT * _HUNDREDTHS
    factor: int = USUAL_PERCENT

    def after_an_hour(self, target: int) -> Self:
        """An hour later, with a target in per cent."""
        way = target * _HUNDREDTHS - self.smoothed
        smoothed = self.smoothed + round(way / _HOURLY_PART)
        away = abs(smoothed - self.factor * _HUNDREDTHS) >= _STEP_PERCENT * _HUNDREDTHS
        return type(self)(smoothed, round(smoothed / _HUNDREDTHS) if away else self.factor)


def target(*, day: int, usual_day: int, hours_left: int | None) -> int:
    """Where the factor tends, in per cent: from what the last day and a usual one used, and the
    hours that keys last at that day's pace; None: nobody draws on them."""
    load = USUAL_PERCENT
    if usual_day > 0:
        load += (day * 100 // usual_day - 100) // _LOAD_PART
    load = min(max(load, LEAST_PERCENT), _LOAD_MOST)
    scarce = 0
    if hours_left is not None and hours_left < _PLENTY_HOURS:
        missing = _PLENTY_HOURS - max(hours_left, _SCARCE_HOURS)
        scarce = _SCARCE_PERCENT * missing // (_PLENTY_HOURS - _SCARCE_HOURS)
    return min(max(load + scarce, LEAST_PERCENT), MOST_PERCENT)
