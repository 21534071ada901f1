"""Prices as the operator works on them, wired: margins, suggestions, what suppliers change."""

from __future__ import annotations

from dataclasses import dataclass

from bots.commands.price_bounds import BoundCommands
from bots.commands.price_news import PriceNewsCommands
from bots.commands.pricing import PriceCommands
from bots.commands.suggesting import SuggestCommands
from bots.commands.supplier_costs import CostCommands
from bots.commands.suppliers import SupplierCommands
from bots.commands.types import Room
from bots.plan import Plan
from bots.telling import OwnersCards
from core.clock import Clock
from core.desk import (
    COST_CHANGED,
    Automatic,
    Changes,
    CostWatch,
    Demands,
    Margins,
    Mixes,
    Overrides,
    PriceNews,
    Repricing,
    Suggestions,
)
from core.ledger import Ledger
from core.pool import Pool
from core.pricing import Catalogue, Costs, PriceBook, PriceSource
from core.store import Store
from core.upkeep import Chore


@dataclass(frozen=True, slots=True)
class PriceDesk:
    """What prices are decided with."""

    source: PriceSource
    overrides: Overrides
    demands: Demands
    automatic: Automatic
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

    async def load(self) -> None:
        """Reads what is kept, before anything has a price."""
        await self.overrides.load()
        await self.demands.load()

    def chores(self) -> tuple[Chore, ...]:
        """What it does by itself; no price moves by any of it but those that an admin lets."""
        fetching = Chore(
            "fetch suppliers' lists", 3_600.0, self._renew, everywhere=True, at_start=True
        )
        return (
            Chore("read costs again", 30.0, self.load, everywhere=True),
            Chore("look at suppliers' lists", 300.0, self.watch.look),
            Chore("watch absorbed changes", 300.0, self.watch.watch_absorbed),
            Chore("compare bills with lists", 3_600.0, self.watch.compare_bills),
            Chore("measure demand", 3_600.0, self.demands.measure),
            Chore("reprice", 3_600.0, self.automatic.reprice),
            *((fetching,) if self.source.fetches else ()),
        )

    async def _renew(self) -> None:
        await self.source.fetch()
        await self.watch.look()


def open_price_desk(
    plan: Plan,
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
    said = plan.pricing
    source = PriceSource(costs, clock, fetches=said.fetches, url=said.lists_url)
    margins = Margins(
        catalogue=catalogue,
        costs=costs,
        mixes=Mixes(store=store, clock=clock),
        pool=pool,
        clock=clock,
    )
    watch = CostWatch(
        store=store,
        ledger=ledger,
        catalogue=catalogue,
        margins=margins,
        clock=clock,
        ready=lambda: source.ready,
    )
    overrides = Overrides(store=store, ledger=ledger, costs=costs, clock=clock)
    demands = Demands(store=store, ledger=ledger, catalogue=catalogue, pool=pool, clock=clock)
    repricing = Repricing(prices=prices, clock=clock)
    suggestions = Suggestions(
        margins=margins, prices=prices, markup_percent=said.markup_percent, demand=demands.factor
    )
    automatic = Automatic(
        store=store,
        ledger=ledger,
        prices=prices,
        suggestions=suggestions,
        repricing=repricing,
        clock=clock,
        pace=said.pace,
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
    setting = PriceCommands(
        catalogue=catalogue, prices=prices, repricing=repricing, margins=margins, clock=clock
    )
    return PriceDesk(
        source=source,
        overrides=overrides,
        demands=demands,
        automatic=automatic,
        watch=watch,
        setting=setting,
        suggesting=SuggestCommands(
            catalogue=catalogue,
            prices=prices,
            suggestions=suggestions,
            repricing=repricing,
            setting=setting,
            bounds=BoundCommands(catalogue=catalogue, automatic=automatic),
        ),
        suppliers=SupplierCommands(
            catalogue=catalogue,
            changes=changes,
            margins=margins,
            costs=CostCommands(
                catalogue=catalogue,
                overrides=overrides,
                watch=watch,
                margins=margins,
                sandbox=plan.crowd,
            ),
            source=source,
            clock=clock,
        ),
        news=PriceNewsCommands(
            catalogue=catalogue,
            prices=prices,
            news=PriceNews(store=store, ledger=ledger, clock=clock),
        ),
    )
