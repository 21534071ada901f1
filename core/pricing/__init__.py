"""Prices: the models on sale, what they cost the platform, what it asks for them, token counts.

Knows neither keys nor the ledger: it reads the store and is given the function that records rows.
"""

from __future__ import annotations

from core.pricing.answers import Answers, answers
from core.pricing.catalogue import Catalogue, Model, Route, UnknownModel
from core.pricing.costs import Costs, NoCost, UsageLike
from core.pricing.counting import CALL_OVERHEAD, MESSAGE_OVERHEAD, count, count_messages
from core.pricing.deals import Bonus, Deal, Deals
from core.pricing.files import BadOverlay
from core.pricing.formula import MARKUP_PERCENT, PAR, suggestion, tidy
from core.pricing.levels import AS_LISTED, USUAL, Level, Levels, Use
from core.pricing.mix import Mix
from core.pricing.offers import BONUS_MAX, DISCOUNT_MAX, FLOOR_PERCENT, floor, mixed, offered
from core.pricing.prices import FORMULA, BadPrice, NewPrice, Price, PriceBook
from core.pricing.promotions import (
    PER_PERSON_MAX,
    TOTAL_MAX,
    Kind,
    Promotion,
    Promotions,
    TooManyPromotions,
    UsedUp,
)
from core.pricing.rates import NO_RATE, Era, Per, Rate, Rates
from core.pricing.source import PriceData, PriceSource, installed
from core.pricing.suggesting import suggested
from core.pricing.tiers import BYS, By, NoTier, Tier, Tiers, TooManyTiers

__all__ = [
    "AS_LISTED",
    "BONUS_MAX",
    "BYS",
    "CALL_OVERHEAD",
    "DISCOUNT_MAX",
    "FLOOR_PERCENT",
    "FORMULA",
    "MARKUP_PERCENT",
    "MESSAGE_OVERHEAD",
    "NO_RATE",
    "PAR",
    "PER_PERSON_MAX",
    "TOTAL_MAX",
    "USUAL",
    "Answers",
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
    "Level",
    "Levels",
    "Mix",
    "Model",
    "NewPrice",
    "NoCost",
    "NoTier",
    "Per",
    "Price",
    "PriceBook",
    "PriceData",
    "PriceSource",
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
    "Use",
    "UsedUp",
    "answers",
    "count",
    "count_messages",
    "floor",
    "installed",
    "mixed",
    "offered",
    "suggested",
    "suggestion",
    "tidy",
]
