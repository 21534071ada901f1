"""The part of the object graph that changes prices: what is known of costs and margins, and what
suppliers change.
"""

from __future__ import annotations

from dataclasses import dataclass

from bots.config.settings import PricingConfig
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
from core.repricing.model_ends import ModelEndNotices
from core.repricing.price_changes import PriceChanges
from core.repricing.suggestions import PriceSuggestions
from core.repricing.supplier_changes import SupplierChanges


@dataclass(frozen=True, slots=True)
class RepricingServices:
    """What is known of costs, margins and demand, and what changes prices by it."""

    source: PriceSource
    margins: Margins
    suggestions: PriceSuggestions
    price_changes: PriceChanges
    automatic_pricing: AutomaticPricing
    demand: DemandTracker
    cost_overrides: CostOverrides
    supplier_changes: SupplierChanges
    cost_watch: CostWatch
    announcements: PriceAnnouncements
    model_ends: ModelEndNotices

    async def load(self) -> None:
        """Reads what is kept of suppliers' costs and demand, before anything has a price."""
        await self.cost_overrides.load()
        await self.demand.load()


def build_repricing(
    *,
    ledger: Ledger,
    settings: PricingConfig,
    catalogue: Catalogue,
    costs: Costs,
    prices: PriceBook,
    pool: Pool,
) -> RepricingServices:
    """Margins, suggestions, and what suppliers change."""
    clock = ledger.clock
    source = PriceSource(
        costs, clock, may_fetch=settings.price_updates, url=settings.price_updates_url
    )
    margins = Margins(
        catalogue=catalogue,
        costs=costs,
        recent_usage=RecentUsage(db=ledger.db, clock=clock),
        pool=pool,
        clock=clock,
    )
    demand = DemandTracker(ledger=ledger, catalogue=catalogue, pool=pool)
    price_changes = PriceChanges(prices=prices, clock=clock)
    suggestions = PriceSuggestions(
        margins=margins,
        prices=prices,
        markup_percent=settings.markup_percent,
        get_demand_percent=demand.get_factor,
    )
    return RepricingServices(
        source=source,
        margins=margins,
        suggestions=suggestions,
        price_changes=price_changes,
        automatic_pricing=AutomaticPricing(
            ledger=ledger,
            prices=prices,
            suggestions=suggestions,
            price_changes=price_changes,
            limits=settings.repricing_limits,
        ),
        demand=demand,
        cost_overrides=CostOverrides(ledger=ledger, costs=costs),
        supplier_changes=SupplierChanges(
            ledger=ledger,
            catalogue=catalogue,
            prices=prices,
            price_changes=price_changes,
            margins=margins,
        ),
        cost_watch=CostWatch(
            ledger=ledger, catalogue=catalogue, margins=margins, is_ready=lambda: source.is_ready
        ),
        announcements=PriceAnnouncements(ledger=ledger),
        model_ends=ModelEndNotices(ledger=ledger, catalogue=catalogue, pool=pool),
    )
