"""Prices: the models on sale, what they cost the platform, what it asks for them, token counts.

Knows neither keys nor the ledger: it reads the store and is given the function that records rows.
"""

from __future__ import annotations

from core.pricing.answers import Answers, answers
from core.pricing.catalogue import Catalogue, Model, Route, UnknownModel
from core.pricing.costs import Costs, NoCost, UsageLike
from core.pricing.counting import CALL_OVERHEAD, MESSAGE_OVERHEAD, count, count_messages
from core.pricing.files import BadOverlay
from core.pricing.formula import MARKUP_PERCENT, PAR, suggestion, tidy
from core.pricing.levels import AS_LISTED, USUAL, Level, Levels, Use
from core.pricing.mix import Mix
from core.pricing.prices import FORMULA, BadPrice, NewPrice, Price, PriceBook
from core.pricing.rates import NO_RATE, Era, Per, Rate, Rates
from core.pricing.source import PriceData, PriceSource, installed
from core.pricing.suggesting import suggested

__all__ = [
    "AS_LISTED",
    "CALL_OVERHEAD",
    "FORMULA",
    "MARKUP_PERCENT",
    "MESSAGE_OVERHEAD",
    "NO_RATE",
    "PAR",
    "USUAL",
    "Answers",
    "BadOverlay",
    "BadPrice",
    "Catalogue",
    "Costs",
    "Era",
    "Level",
    "Levels",
    "Mix",
    "Model",
    "NewPrice",
    "NoCost",
    "Per",
    "Price",
    "PriceBook",
    "PriceData",
    "PriceSource",
    "Rate",
    "Rates",
    "Route",
    "UnknownModel",
    "UsageLike",
    "Use",
    "answers",
    "count",
    "count_messages",
    "installed",
    "suggested",
    "suggestion",
    "tidy",
]
