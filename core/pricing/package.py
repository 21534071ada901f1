"""Suppliers' rates out of genai-prices: read once per route, so that an ask computes whole numbers.

The package is large (0.3 s and 27 MB to import), so it is imported at the first question.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

from core.pricing.rates import NO_RATE, Rate, RatePeriod, Rates

#: Our suppliers' names where the package's differ.
_PACKAGE_NAMES = {"xai": "x-ai", "moonshot": "moonshotai"}

#: Pico-dollars per token, or per second, in a dollar per million tokens, or per hour.
_PER_TOKEN = Fraction(1_000_000)
_PER_SECOND = Fraction(10**12, 3600)


def find_rate_periods(data: Mapping[str, Any], provider: str, model: str) -> tuple[RatePeriod, ...]:
    """The data's rates for a supplier's model, oldest first; empty where it has none."""
    found = data.get(_PACKAGE_NAMES.get(provider, provider))
    info = found.find_model(model) if found is not None else None
    if info is None:
        return ()
    prices = info.prices if isinstance(info.prices, list) else [info]
    return tuple(_to_rate_period(price) for price in prices)


@functools.cache
def read_package() -> dict[str, Any]:
    """The installed package's data, by its own names of the suppliers; read once."""
    from genai_prices import data

    return {provider.id: provider for provider in data.providers}


def _to_rate_period(priced: Any) -> RatePeriod:
    constraint = getattr(priced, "constraint", None)
    start: date | None = getattr(constraint, "start_date", None)
    first, last = getattr(constraint, "start_time", None), getattr(constraint, "end_time", None)
    hours = (_to_utc(first), _to_utc(last)) if first is not None and last is not None else None
    return RatePeriod(_to_rates(priced.prices), since=start, hours=hours)


def _to_utc(at: time) -> time:
    if at.tzinfo is None:
        return at
    return datetime.combine(date(2000, 1, 1), at).astimezone(UTC).time()


def _to_rates(prices: Any) -> Rates:
    input_rate = _to_rate(prices.input_mtok)
    return Rates(
        input=input_rate,
        output=_to_rate(prices.output_mtok),
        cached=_to_rate(prices.cache_read_mtok, input_rate),
        cache_written=_to_rate(prices.cache_write_mtok, input_rate),
        second=_to_rate(prices.input_audio_hours, factor=_PER_SECOND),
    )


def _to_rate(price: Any, otherwise: Rate = NO_RATE, *, factor: Fraction = _PER_TOKEN) -> Rate:
    if price is None:
        return otherwise
    if isinstance(price, Decimal):
        return Rate(ceil(Fraction(price) * factor))
    steps = tuple((tier.start, ceil(Fraction(tier.price) * factor)) for tier in price.tiers)
    return Rate(ceil(Fraction(price.base) * factor), steps)
