"""Offers on a price, in one order: price → tier → the best one promotion → round up → floor.

What comes out is the price that its person sees and pays, and no other; never above the plain
price, never below the floor. A price that is below the floor by itself stays what it is.
"""

from __future__ import annotations

from dataclasses import replace

from core.money import MicroCredits
from core.pricing.catalogue import Model
from core.pricing.costs import Costs
from core.pricing.formula import INPUT_WEIGHT, PICO_PER_MICRO_CREDIT
from core.pricing.prices import Price

#: No offer is as good as free.
DISCOUNT_MAX = 99
#: Of a bonus on top-ups: more is a slip.
BONUS_MAX = 100
#: Over the supplier's cost: what a payment's fees take.
FLOOR_PERCENT = 10


def offered(price: Price, *, tier: int, promotion: int, least: MicroCredits) -> Price:
    """The price less so many per cent for a tier, then so many for a promotion; `least` is what
    tokens of the usual mix cost at least (`floor`). The rates are rounded up, once."""
    plain = mixed(price.input_rate, price.output_rate)
    least = min(least, plain)
    inward, outward = (
        max(
            rate.share_up((100 - tier) * (100 - promotion), 10_000),
            rate.share_up(least.units, plain.units),
        )
        for rate in (price.input_rate, price.output_rate)
    )
    return replace(price, input_rate=inward, output_rate=outward)


def floor(costs: Costs, model: Model, at_ms: int, percent: int) -> MicroCredits | None:
    """What tokens of the usual mix cost at least: so many per cent over what the dearest supplier
    takes, at par. None while no supplier's cost is known: then nothing is taken off."""
    known = [route for route in model.routes if costs.known(route, model.per)]
    if not known:
        return None
    bases = (costs.base(route, at_ms, model.per) for route in known)
    pico = max(INPUT_WEIGHT * inward + outward for inward, outward in bases)
    return MicroCredits(-(-pico * (100 + percent) // (100 * PICO_PER_MICRO_CREDIT)))


def mixed(inward: MicroCredits, outward: MicroCredits) -> MicroCredits:
    """What tokens of the usual mix cost, two in for each one out; likewise three seconds."""
    return inward.times(INPUT_WEIGHT) + outward
