"""The three responses to a supplier's change of cost: pass it on, share it, absorb it.

The first two are calculated on a model's usage; absorbing leaves the price as it is. None of them
is ever chosen by itself: an admin decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Final

from core.money import MicroCredits
from core.pricing.prices import Price
from core.pricing.supplier_rates import SupplierRates
from core.pricing.usage import ModelUsage

#: The least markup, in per cent of the cost: what sharing a rise leaves.
MIN_MARKUP_PERCENT: Final = 20
_MICRO_PER_CREDIT: Final = 1_000_000

RatePair = tuple[MicroCredits, MicroCredits]


@dataclass(frozen=True, slots=True)
class CostChangeResponses:
    """An admin may respond to a change of cost with these rates in and out (micro-Credits); None
    where a response would not differ from the others."""

    passed_on: RatePair | None
    shared: RatePair | None
    #: Whether the same usage costs more than before.
    is_dearer: bool


def calculate_responses(
    price: Price, usage: ModelUsage, old_rates: SupplierRates, new_rates: SupplierRates
) -> CostChangeResponses:
    """Passing on keeps the markup, to the nearest whole Credit where the price is whole Credits.
    Sharing a rise leaves the least markup, or else goes half the way, as sharing a fall does."""
    before, after = usage.calculate_usage_cost(old_rates), usage.calculate_usage_cost(new_rates)
    if before <= 0 or after <= 0:
        return CostChangeResponses(None, None, is_dearer=after > before)
    ratio = Fraction(after, before)
    passed_on = _scale_rates(price, ratio, _round_half_up)
    now = (price.input_rate, price.output_rate)
    if passed_on == now:
        return CostChangeResponses(None, None, is_dearer=after > before)
    shared = None
    if after > before:
        revenue = usage.calculate_revenue(
            *now, seconds=price.per == "second", percents=price.percents
        )
        min_ratio = (
            Fraction(after * (100 + MIN_MARKUP_PERCENT), revenue * 100) if revenue else ratio
        )
        shared = _keep_if_between(_scale_rates(price, min_ratio, ceil), now, passed_on)
    halfway = _scale_rates(price, (1 + ratio) / 2, _round_half_up)
    return CostChangeResponses(
        passed_on, shared or _keep_if_between(halfway, now, passed_on), is_dearer=after > before
    )


def _keep_if_between(found: RatePair, now: RatePair, passed_on: RatePair) -> RatePair | None:
    sums = [sum(rate.units for rate in pair) for pair in (now, found, passed_on)]
    inside = min(sums[0], sums[2]) < sums[1] < max(sums[0], sums[2])
    return found if inside else None


def _scale_rates(price: Price, ratio: Fraction, to_whole: Callable[[Fraction], int]) -> RatePair:
    input_rate = _scale_rate(price, price.input_rate, ratio, to_whole)
    if price.is_blended:
        return input_rate, input_rate
    return input_rate, _scale_rate(price, price.output_rate, ratio, to_whole)


def _scale_rate(
    price: Price, rate: MicroCredits, ratio: Fraction, to_whole: Callable[[Fraction], int]
) -> MicroCredits:
    """A rate times `ratio`, in the steps in which it is written: whole Credits per 1K tokens or
    minute, or two digits."""
    per = 60 if price.per == "second" else 1_000
    # `/setprice` stores a minute's price as whole micro-Credits a second, rounded down.
    shown = round(rate.units * per, -4) if price.per == "second" else rate.units * per
    step = _MICRO_PER_CREDIT
    if shown % _MICRO_PER_CREDIT or to_whole(shown * ratio / step) * step in {0, shown}:
        step = _two_digit_step(shown * ratio)
    return MicroCredits(max(1, to_whole(shown * ratio / step) * step // per))


def _round_half_up(amount: Fraction) -> int:
    return floor(amount + Fraction(1, 2))


def round_to_two_digits(amount: int) -> int:
    """The nearest amount that has two digits and then zeros."""
    step = _two_digit_step(Fraction(amount))
    return _round_half_up(Fraction(amount, step)) * step


def _two_digit_step(amount: Fraction) -> int:
    """The power of ten whose multiples write an amount in two digits."""
    step = 1
    while amount >= 100 * step:
        step *= 10
    return step
