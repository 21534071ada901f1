"""What the sandbox's models cost, and what the demo's owner asks for them, on a new database.

Four models are sold as this service was first drawn: GPT-4 at 5 Credits for a supplier's 3 cents,
Claude at 4 for 2.5 cents, Llama at 1 for half a cent, Whisper at 2 a minute for 0.6 cents. All
others cost the sandbox their real rates times one factor, so that they keep their order and the
formula's prices stand beside those four.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bots.repricing_services import RepricingServices
from bots.services import PricingServices, Services
from core.clock import Clock
from core.money import MicroCredits
from core.pricing.catalogue import Model, Route
from core.pricing.prices import NewPrice
from core.pricing.rates import Rate, Rates
from core.pricing.supplier_rates import SupplierRate

#: What the demo's people ask unless they choose: GPT-4, by the name that leads to its successor.
DEFAULT_MODEL: Final = "gpt-4"
#: The sandbox's rates are the suppliers' real ones times this: with it the formula gives about 5
#: Credits for what has GPT-4's place today.
COST_FACTOR: Final = 8
#: By name: micro-Credits per token or second that the owner asks, and pico-dollars that one costs.
_OWNER_PRICES: Final[Mapping[str, tuple[int, int]]] = {
    DEFAULT_MODEL: (5_000, 30_000_000),
    "claude": (4_000, 25_000_000),
    "llama": (1_000, 5_000_000),
    "whisper": (2_000_000 // 60, 100_000_000),
}


async def write_price_list(services: Services, actor: str) -> None:
    """Writes what the sandbox's models cost, before the first of them has a price; `actor` is the
    owner."""
    overrides = _list_rates(services.pricing, services.base.clock)
    await services.repricing.cost_overrides.set_overrides(overrides, actor=actor)


async def set_owner_prices(
    pricing: PricingServices, repricing: RepricingServices, actor: str
) -> None:
    """Sets the prices of the four as their owner would."""
    found = ((pricing.catalogue.find(name), rate) for name, (rate, _) in _OWNER_PRICES.items())
    await repricing.price_changes.set_prices(
        [
            NewPrice(model.id, MicroCredits(rate), MicroCredits(rate), model.per)
            for model, rate in found
        ],
        actor=actor,
    )


def _list_rates(pricing: PricingServices, clock: Clock) -> dict[Route, Rates]:
    owner_costs = {
        pricing.catalogue.find(name).id: cost for name, (_, cost) in _OWNER_PRICES.items()
    }
    return {
        route: _flat_rates(model, owner_costs[model.id])
        if model.id in owner_costs
        else _raise_rates(pricing.costs.get_supplier_rate(route, clock.now_ms(), model.per))
        for model in pricing.catalogue.models.values()
        for route in model.routes
        if pricing.costs.has_cost(route, model.per)
    }


def _flat_rates(model: Model, cost: int) -> Rates:
    """One rate for tokens in and out, cached or not; or for seconds."""
    rate, none = Rate(cost), Rate(0)
    if model.per == "second":
        return Rates(none, none, none, none, second=rate)
    return Rates(rate, rate, rate, rate)


def _raise_rates(supplier_rate: SupplierRate) -> Rates:
    """The rates of a short prompt, times the factor; writing to a cache costs what reading does."""
    inward, outward, cached, second = (
        Rate(each * COST_FACTOR)
        for each in (
            supplier_rate.input,
            supplier_rate.output,
            supplier_rate.cached,
            supplier_rate.second,
        )
    )
    return Rates(inward, outward, cached, inward, second)
