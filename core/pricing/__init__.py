"""Prices: the models on sale, what they cost the platform, what it asks for them, token counts.

Knows neither keys nor the ledger: it reads the store and is given the function that records rows.
"""

from __future__ import annotations

from core.pricing.catalogue import Catalogue, Model, Route, UnknownModel
from core.pricing.costs import Costs, NoCost, UsageLike
from core.pricing.counting import CALL_OVERHEAD, MESSAGE_OVERHEAD, count, count_messages
from core.pricing.deals import Bonus, Deal, Deals
from core.pricing.files import BadOverlay
from core.pricing.formula import MARKUP_PERCENT, PAR, suggestion, tidy
from core.pricing.offers import BONUS_MAX, DISCOUNT_MAX, FLOOR_PERCENT, floor, mixed, offered
from core.pricing.prices import FORMULA, BadPrice, Price, PriceBook
from core.pricing.promotions import (
    PER_PERSON_MAX,
    TOTAL_MAX,
    Kind,
    Promotion,
    Promotions,
    TooManyPromotions,
    UsedUp,
)
from core.pricing.rates import Era, Rate, Rates
from core.pricing.tiers import BYS, By, NoTier, Tier, Tiers, TooManyTiers

__all__ = [
    "BONUS_MAX",
    "BYS",
    "CALL_OVERHEAD",
    "DISCOUNT_MAX",
    "FLOOR_PERCENT",
    "FORMULA",
    "MARKUP_PERCENT",
    "MESSAGE_OVERHEAD",
    "PAR",
    "PER_PERSON_MAX",
    "TOTAL_MAX",
    "BadOverlay",
    "BadPrice",
    "Bonus",
    "By",
    "Catalogue",
    "Costs",
    "Deal",
    "Deals",
    "Era",
    "Kind",
    "Model",
    "NoCost",
    "NoTier",
    "Price",
    "PriceBook",
    "Promotion",
    "Promotions",
    "Rate",
    "Rates",
    "Route",
    "Tier",
    "Tiers",
    "TooManyPromotions",
    "TooManyTiers",
    "UnknownModel",
    "UsageLike",
    "UsedUp",
    "count",
    "count_messages",
    "floor",
    "mixed",
    "offered",
    "suggestion",
    "tidy",
]
