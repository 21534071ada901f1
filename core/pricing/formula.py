"""The formula that suggests a price: Base cost × (1 + Markup) × Demand ÷ $0.01, tidied upwards.

An admin's price wins until changed; this one stands where none was set.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.money import MicroCredits, NanoUsd

#: What a bought Credit brings (brief § 2): one cent.
PAR = NanoUsd(10_000_000)
MARKUP_PERCENT = 35
#: Tokens in for each token out, until a model's real mix is known.
INPUT_WEIGHT = 2
#: A Credit at par is $0.01: a micro-Credit is ten thousand pico-dollars.
PICO_PER_MICRO_CREDIT = 10_000

# Two digits at most, each step at most a ninth above the last: a price of 35 % markup stays within
# the 50 % that the brief allows.
_TIDY = (
    *(10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 22, 24, 26, 28, 30, 32, 35, 38, 40, 42, 45),
    *(50, 55, 60, 65, 70, 75, 80, 85, 90, 100),
)


def base_rate(input_pico: int, output_pico: int) -> tuple[int, int]:
    """What a token costs on average, in pico-dollars, as a fraction (numerator, denominator)."""
    return INPUT_WEIGHT * input_pico + output_pico, INPUT_WEIGHT + 1


def suggestion(
    bases: Iterable[tuple[int, int]],
    *,
    markup_percent: int = MARKUP_PERCENT,
    demand_percent: int = 100,
) -> MicroCredits:
    """One price for tokens in and out, from each route's pico-dollars per token in and out. The
    dearest route counts: whichever serves, the base cost is covered."""
    numerator, denominator = max((base_rate(*base) for base in bases), key=lambda pair: pair[0])
    factor = (100 + markup_percent) * demand_percent
    return tidy(
        MicroCredits(-(-numerator * factor // (denominator * 10_000 * PICO_PER_MICRO_CREDIT)))
    )


def tidy(rate: MicroCredits) -> MicroCredits:
    """The next rate up that reads well on a card: two digits, small steps; at least 1."""
    if rate.units <= 0:
        return MicroCredits(1)
    scale = 1
    while rate.units > 10 * scale:
        scale *= 10
    # Below ten micro-Credits every whole number is tidy.
    if scale == 1:
        return rate
    return next(
        MicroCredits(step * scale // 10) for step in _TIDY if step * scale >= rate.units * 10
    )
