"""Prices as the operator works on them, wired: margins, suggestions, what costs do."""

from __future__ import annotations

from dataclasses import dataclass

from bots.commands.pricing import PriceCommands
from bots.commands.suggesting import SuggestCommands
from bots.commands.types import Room
from core.clock import Clock
from core.desk import Margins, Mixes, Repricing, Suggestions
from core.pool import Pool
from core.pricing import Catalogue, Costs, PriceBook
from core.store import Store


@dataclass(frozen=True, slots=True)
class PriceDesk:
    """What prices are decided with."""

    margins: Margins
    suggestions: Suggestions
    repricing: Repricing
    setting: PriceCommands
    suggesting: SuggestCommands

    def rooms(self) -> tuple[Room, ...]:
        """Its commands, in the order of the menus."""
        return (self.setting.room(), self.suggesting.room())


def open_price_desk(
    *,
    store: Store,
    catalogue: Catalogue,
    costs: Costs,
    prices: PriceBook,
    pool: Pool,
    clock: Clock,
) -> PriceDesk:
    """Wires it."""
    mixes = Mixes(store=store, clock=clock)
    margins = Margins(catalogue=catalogue, costs=costs, mixes=mixes, pool=pool, clock=clock)
    repricing = Repricing(prices=prices, clock=clock)
    suggestions = Suggestions(margins=margins, prices=prices)
    setting = PriceCommands(
        catalogue=catalogue, prices=prices, repricing=repricing, margins=margins, clock=clock
    )
    return PriceDesk(
        margins=margins,
        suggestions=suggestions,
        repricing=repricing,
        setting=setting,
        suggesting=SuggestCommands(
            catalogue=catalogue,
            prices=prices,
            suggestions=suggestions,
            repricing=repricing,
            setting=setting,
        ),
    )
