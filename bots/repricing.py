"""Prices as the operator works on them, wired: margins, suggestions, what suppliers change."""

from __future__ import annotations

from dataclasses import dataclass

from bots.commands.price_news import PriceNewsCommands
from bots.commands.pricing import PriceCommands
from bots.commands.suggesting import SuggestCommands
from bots.commands.suppliers import SupplierCommands
from bots.commands.types import Room
from bots.telling import OwnersCards
from core.clock import Clock
from core.desk import (
    COST_CHANGED,
    Changes,
    CostWatch,
    Margins,
    Mixes,
    Overrides,
    PriceNews,
    Repricing,
    Suggestions,
)
from core.ledger import Ledger
from core.pool import Pool
from core.pricing import Catalogue, Costs, PriceBook
from core.store import Store
from core.upkeep import Chore


@dataclass(frozen=True, slots=True)
class PriceDesk:
    """What prices are decided with."""

    suggestions: Suggestions
    overrides: Overrides
    watch: CostWatch
    setting: PriceCommands
    suggesting: SuggestCommands
    suppliers: SupplierCommands
    news: PriceNewsCommands

    def rooms(self) -> tuple[Room, ...]:
        """Its commands, in the order of the menus."""
        return (
            self.setting.room(),
            self.suggesting.room(),
            self.suppliers.room(),
            self.news.room(),
        )

    def cards(self) -> OwnersCards:
        """How owners see its notices."""
        return {COST_CHANGED: self.suppliers.told}

    def chores(self) -> tuple[Chore, ...]:
        """What it does by itself; no price moves by any of it."""
        return (
            Chore("read costs again", 30.0, self.overrides.load, everywhere=True),
            Chore("look at suppliers' lists", 300.0, self.watch.look),
            Chore("watch absorbed changes", 300.0, self.watch.watch_absorbed),
            Chore("compare bills with lists", 3_600.0, self.watch.compare_bills),
        )


def open_price_desk(
    *,
    store: Store,
    ledger: Ledger,
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
    changes = Changes(
        store=store,
        ledger=ledger,
        catalogue=catalogue,
        prices=prices,
        repricing=repricing,
        margins=margins,
        clock=clock,
    )
    return PriceDesk(
        suggestions=suggestions,
        overrides=Overrides(store=store, ledger=ledger, costs=costs, clock=clock),
        watch=CostWatch(
            store=store, ledger=ledger, catalogue=catalogue, margins=margins, clock=clock
        ),
        setting=setting,
        suggesting=SuggestCommands(
            catalogue=catalogue,
            prices=prices,
            suggestions=suggestions,
            repricing=repricing,
            setting=setting,
        ),
        suppliers=SupplierCommands(
            catalogue=catalogue, changes=changes, margins=margins, clock=clock
        ),
        news=PriceNewsCommands(
            catalogue=catalogue,
            prices=prices,
            news=PriceNews(store=store, ledger=ledger, clock=clock),
        ),
    )
