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
from core.pricing.levels import Levels
from core.pricing.mix import Mix
from core.pricing.prices import Price

#: The least markup, in per cent of the cost: what sharing a rise leaves.
LEAST_PERCENT: Final = 20
_CREDIT: Final = 1_000_000

Pair = tuple[MicroCredits, MicroCredits]


@dataclass(frozen=True, slots=True)
class Answers:
    """An admin may respond to a change of cost with these rates in and out (micro-Credits); None
    where a response would not differ from the others."""

    passed: Pair | None
    shared: Pair | None
    #: Whether the same usage costs more than before.
    dearer: bool


def answers(price: Price, mix: Mix, old: Levels, new: Levels) -> Answers:
    """Passing on keeps the markup, to the nearest whole Credit where the price is whole Credits.
    Sharing a rise leaves the least markup, or else goes half the way, as sharing a fall does."""
    before, after = mix.cost(old), mix.cost(new)
    if before <= 0 or after <= 0:
        return Answers(None, None, dearer=after > before)
    ratio = Fraction(after, before)
    passed = _moved(price, ratio, _nearest)
    now = (price.input_rate, price.output_rate)
    if passed == now:
        return Answers(None, None, dearer=after > before)
    shared = None
    if after > before:
        brought = mix.brings(*now, seconds=price.per == "second")
        least = Fraction(after * (100 + LEAST_PERCENT), brought * 100) if brought else ratio
        shared = _between(_moved(price, least, ceil), now, passed)
    half = _moved(price, (1 + ratio) / 2, _nearest)
    return Answers(passed, shared or _between(half, now, passed), dearer=after > before)


def _between(found: Pair, now: Pair, passed: Pair) -> Pair | None:
    sums = [sum(rate.units for rate in pair) for pair in (now, found, passed)]
    inside = min(sums[0], sums[2]) < sums[1] < max(sums[0], sums[2])
    return found if inside else None


def _moved(price: Price, ratio: Fraction, to_whole: Callable[[Fraction], int]) -> Pair:
    inward = _rate(price, price.input_rate, ratio, to_whole)
    if price.blended:
        return inward, inward
    return inward, _rate(price, price.output_rate, ratio, to_whole)


def _rate(
    price: Price, rate: MicroCredits, ratio: Fraction, to_whole: Callable[[Fraction], int]
) -> MicroCredits:
    """A rate times `ratio`, in the steps in which it is written: whole Credits per 1K tokens or
    minute, or two digits."""
    per = 60 if price.per == "second" else 1_000
    # `/setprice` stores a minute's price as whole micro-Credits a second, rounded down.
    shown = round(rate.units * per, -4) if price.per == "second" else rate.units * per
    step = _CREDIT
    if shown % _CREDIT or to_whole(shown * ratio / step) * step in {0, shown}:
        step = _two_digits(shown * ratio)
    return MicroCredits(max(1, to_whole(shown * ratio / step) * step // per))


def _nearest(amount: Fraction) -> int:
    return floor(amount + Fraction(1, 2))


def nearest_digits(amount: int) -> int:
    """The nearest amount that has two digits and then zeros."""
    step = _two_digits(Fraction(amount))
    return _nearest(Fraction(amount, step)) * step


def _two_digits(amount: Fraction) -> int:
    """The power of ten whose multiples write an amount in two digits."""
    step = 1
    while amount >= 100 * step:
        step *= 10
    return step
