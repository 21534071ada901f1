"""How the owner's margins read."""

from __future__ import annotations

from bots.reply import Said, say
from core.pricing import PAR, Costs, Model, Price
from core.units import Seconds, Tokens

_MODELS_SHOWN = 10
#: What a margin is worked out on until a model's real mix is known: 2 : 1 (design § Prices).
_MIX = (Tokens(200_000), Tokens(100_000))
_HOUR = Seconds(3_600)


def margin_line(costs: Costs, model: Model, price: Price, at_ms: int) -> Said:
    """Profit on cost at par, by the model's cheapest supplier and the usual mix."""
    audio = model.per == "second"
    known = [
        costs.seconds(route, _HOUR, at_ms) if audio else costs.most(route, *_MIX, at_ms)
        for route in model.routes
        if costs.known(route, model.per)
    ]
    if not known:
        return say("No supplier's cost is known for {model}.", model=model.name)
    cost = min(known)
    charge = price.charge_seconds(_HOUR) if audio else price.charge(*_MIX)
    revenue = PAR.times(charge.units)
    percent = (revenue - cost).units * 100 // cost.units
    said = f"{percent:+,} %".replace("-", "−")
    return say("Profit on cost at the usual mix: {percent}", percent=said)
