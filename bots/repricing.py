"""Prices as the operator works on them, wired: margins, suggestions, what suppliers change."""

from __future__ import annotations

from dataclasses import dataclass

from bots.chat.command import Room
from bots.commands.admin.pricing import BoundCommands, SuggestCommands
from bots.commands.admin.setprice import PriceCommands, PriceNewsCommands
from bots.commands.admin.suppliers import CostCommands, SupplierCommands
from bots.notifications import OwnersCards
from bots.plan import Plan
from core.clock import Clock
from core.db.database import Store
from core.jobs.scheduler import Chore
from core.ledger.ledger import Ledger
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.prices import PriceBook
from core.pricing.source import PriceSource
from core.repricing.announcements import PriceNews
from core.repricing.automatic import Automatic
from core.repricing.cost_overrides import Overrides
from core.repricing.cost_watch import CostWatch
from core.repricing.demand import Demands
from core.repricing.margins import Margins, Mixes
from core.repricing.price_changes import Repricing
from core.repricing.suggestions import Suggestions
from core.repricing.supplier_changes import COST_CHANGED, Changes


@dataclass(frozen=True, slots=True)
class PriceDesk:
    """What prices are decided with."""

    catalogue: Catalogue
    prices: PriceBook
    clock: Clock
    #: Whether the suppliers are the demo's.
    sandbox: bool
    source: PriceSource
    margins: Margins
    suggestions: Suggestions
    repricing: Repricing
    automatic: Automatic
    demands: Demands
    overrides: Overrides
    changes: Changes
    watch: CostWatch
    news: PriceNews

    def rooms(self) -> tuple[Room, ...]:
        """Its commands, in the order of the menus."""
        suggesting = SuggestCommands(
            catalogue=self.catalogue,
            prices=self.prices,
            suggestions=self.suggestions,
            repricing=self.repricing,
            setting=self.setting(),
            bounds=BoundCommands(catalogue=self.catalogue, automatic=self.automatic),
        )
        news = PriceNewsCommands(catalogue=self.catalogue, prices=self.prices, news=self.news)
        return (self.setting().room(), suggesting.room(), self._suppliers().room(), news.room())

    def setting(self) -> PriceCommands:
        """`/setprice`."""
        return PriceCommands(
            catalogue=self.catalogue,
            prices=self.prices,
            repricing=self.repricing,
            margins=self.margins,
            clock=self.clock,
        )

    def _suppliers(self) -> SupplierCommands:
        return SupplierCommands(
            catalogue=self.catalogue,
            changes=self.changes,
            margins=self.margins,
            costs=CostCommands(
                catalogue=self.catalogue,
                overrides=self.overrides,
                watch=self.watch,
                margins=self.margins,
                sandbox=self.sandbox,
            ),
            source=self.source,
            clock=self.clock,
        )

    def cards(self) -> OwnersCards:
        """How owners see its notices."""
        return {COST_CHANGED: self._suppliers().told}

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
    mixes = Mixes(store=store, clock=clock)
    margins = Margins(catalogue=catalogue, costs=costs, mixes=mixes, pool=pool, clock=clock)
    demands = Demands(store=store, ledger=ledger, catalogue=catalogue, pool=pool, clock=clock)
    repricing = Repricing(prices=prices, clock=clock)
    suggestions = Suggestions(
        margins=margins, prices=prices, markup_percent=said.markup_percent, demand=demands.factor
    )
    return PriceDesk(
        catalogue=catalogue,
        prices=prices,
        clock=clock,
        sandbox=plan.crowd,
        source=source,
        margins=margins,
        suggestions=suggestions,
        repricing=repricing,
        automatic=Automatic(
            store=store,
            ledger=ledger,
            prices=prices,
            suggestions=suggestions,
            repricing=repricing,
            clock=clock,
            pace=said.pace,
        ),
        demands=demands,
        overrides=Overrides(store=store, ledger=ledger, costs=costs, clock=clock),
        changes=Changes(
            store=store,
            ledger=ledger,
            catalogue=catalogue,
            prices=prices,
            repricing=repricing,
            margins=margins,
            clock=clock,
        ),
        watch=CostWatch(
            store=store,
            ledger=ledger,
            catalogue=catalogue,
            margins=margins,
            clock=clock,
            ready=lambda: source.ready,
        ),
        news=PriceNews(store=store, ledger=ledger, clock=clock),
    )
