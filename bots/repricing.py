"""Prices as the operator works on them, wired: margins, suggestions, what suppliers change."""

from __future__ import annotations

from dataclasses import dataclass

from bots.chat.command import CommandGroup
from bots.commands.admin.pricing import PriceBoundCommands, PricingCommands
from bots.commands.admin.setprice import PriceAnnouncementCommands, SetPriceCommands
from bots.commands.admin.suppliers import CostCommands, SupplierCommands
from bots.notifications import OperatorCards
from bots.plan import Plan
from core.clock import Clock
from core.db.database import Database
from core.jobs.scheduler import Job
from core.ledger.ledger import Ledger
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.prices import PriceBook
from core.pricing.source import PriceSource
from core.repricing.announcements import PriceAnnouncements
from core.repricing.automatic import AutomaticPricing
from core.repricing.cost_overrides import CostOverrides
from core.repricing.cost_watch import CostWatch
from core.repricing.demand import DemandTracker
from core.repricing.margins import Margins, RecentUsage
from core.repricing.price_changes import PriceChanges
from core.repricing.suggestions import PriceSuggestions
from core.repricing.supplier_changes import COST_CHANGED, SupplierChanges


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
    suggestions: PriceSuggestions
    repricing: PriceChanges
    automatic: AutomaticPricing
    demands: DemandTracker
    overrides: CostOverrides
    changes: SupplierChanges
    watch: CostWatch
    news: PriceAnnouncements

    def rooms(self) -> tuple[CommandGroup, ...]:
        """Its commands, in the order of the menus."""
        suggesting = PricingCommands(
            catalogue=self.catalogue,
            prices=self.prices,
            suggestions=self.suggestions,
            price_changes=self.repricing,
            set_price_commands=self.setting(),
            bound_commands=PriceBoundCommands(
                catalogue=self.catalogue, automatic_pricing=self.automatic
            ),
        )
        news = PriceAnnouncementCommands(
            catalogue=self.catalogue, prices=self.prices, announcements=self.news
        )
        return (self.setting().room(), suggesting.room(), self._suppliers().room(), news.room())

    def setting(self) -> SetPriceCommands:
        """`/setprice`."""
        return SetPriceCommands(
            catalogue=self.catalogue,
            prices=self.prices,
            price_changes=self.repricing,
            margins=self.margins,
            clock=self.clock,
        )

    def _suppliers(self) -> SupplierCommands:
        return SupplierCommands(
            catalogue=self.catalogue,
            supplier_changes=self.changes,
            margins=self.margins,
            cost_commands=CostCommands(
                catalogue=self.catalogue,
                cost_overrides=self.overrides,
                cost_watch=self.watch,
                margins=self.margins,
                is_sandbox=self.sandbox,
            ),
            source=self.source,
            clock=self.clock,
        )

    def cards(self) -> OperatorCards:
        """How owners see its notices."""
        return {COST_CHANGED: self._suppliers().make_notification_card}

    async def load(self) -> None:
        """Reads what is kept, before anything has a price."""
        await self.overrides.load()
        await self.demands.load()

    def chores(self) -> tuple[Job, ...]:
        """What it does by itself; no price moves by any of it but those that an admin lets."""
        fetching = Job(
            "fetch suppliers' lists",
            3_600.0,
            self._renew,
            on_every_process=True,
            runs_at_start=True,
        )
        return (
            Job("read costs again", 30.0, self.load, on_every_process=True),
            Job("look at suppliers' lists", 300.0, self.watch.check_price_lists),
            Job("watch absorbed changes", 300.0, self.watch.check_absorbed_changes),
            Job("compare bills with lists", 3_600.0, self.watch.compare_bills),
            Job("measure demand", 3_600.0, self.demands.measure_demand),
            Job("reprice", 3_600.0, self.automatic.reprice_models),
            *((fetching,) if self.source.may_fetch else ()),
        )

    async def _renew(self) -> None:
        await self.source.fetch_data()
        await self.watch.check_price_lists()


def open_price_desk(
    plan: Plan,
    *,
    store: Database,
    ledger: Ledger,
    catalogue: Catalogue,
    costs: Costs,
    prices: PriceBook,
    pool: Pool,
    clock: Clock,
) -> PriceDesk:
    """Wires it."""
    said = plan.pricing
    source = PriceSource(costs, clock, may_fetch=said.fetches, url=said.lists_url)
    mixes = RecentUsage(db=store, clock=clock)
    margins = Margins(catalogue=catalogue, costs=costs, recent_usage=mixes, pool=pool, clock=clock)
    demands = DemandTracker(db=store, ledger=ledger, catalogue=catalogue, pool=pool, clock=clock)
    repricing = PriceChanges(prices=prices, clock=clock)
    suggestions = PriceSuggestions(
        margins=margins,
        prices=prices,
        markup_percent=said.markup_percent,
        get_demand_percent=demands.get_factor,
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
        automatic=AutomaticPricing(
            db=store,
            ledger=ledger,
            prices=prices,
            suggestions=suggestions,
            price_changes=repricing,
            clock=clock,
            limits=said.pace,
        ),
        demands=demands,
        overrides=CostOverrides(db=store, ledger=ledger, costs=costs, clock=clock),
        changes=SupplierChanges(
            db=store,
            ledger=ledger,
            catalogue=catalogue,
            prices=prices,
            price_changes=repricing,
            margins=margins,
            clock=clock,
        ),
        watch=CostWatch(
            db=store,
            ledger=ledger,
            catalogue=catalogue,
            margins=margins,
            clock=clock,
            is_ready=lambda: source.is_ready,
        ),
        news=PriceAnnouncements(db=store, ledger=ledger, clock=clock),
    )
