"""Automatic pricing: off until an admin gives a model bounds, and then only within them.

The formula is followed no further than so many per cent from the last price that a person set (or
the first one), so much a day, so often. A model with a supplier's change that waits, or that is
absorbed, is left alone: that is a person's decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from core.admin_log import admin_log_row
from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Companion, Delete, Insert
from core.ledger.ledger import Ledger
from core.money import MicroCredits
from core.pricing.cost_change_responses import round_to_two_digits
from core.pricing.prices import NewPrice, Price, PriceBook
from core.repricing.price_changes import PriceChanges
from core.repricing.suggestions import AUTOMATIC, PriceSuggestion, PriceSuggestions

#: An admin gives no wider bounds than this.
MAX_BOUND_PERCENT: Final = 50
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class RepricingLimits:
    """Limits of automatic price changes: hours between two, and per cent a day."""

    interval_hours: int = 24
    max_daily_percent: int = 10


class AutomaticPricing:
    """Keeps the bounds of models, and moves their prices within them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        prices: PriceBook,
        suggestions: PriceSuggestions,
        price_changes: PriceChanges,
        limits: RepricingLimits,
    ) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._prices, self._suggestions = prices, suggestions
        self._price_changes, self.limits = price_changes, limits

    async def list_bounds(self) -> Mapping[str, int]:
        """Bounds in per cent by model; prices of all other models change only by hand."""
        rows = await self._db.fetch(sa.select(schema.price_bound))
        return {row.model: row.percent for row in rows}

    async def set_bounds(self, models: Sequence[str], percent: int, *, actor: str) -> None:
        """Sets the bounds of models in per cent; 0 removes them."""
        before, now = await self.list_bounds(), self._clock.now_ms()
        rows: list[Companion] = []
        for model in models:
            rows.append(Delete(schema.price_bound, {"model": model}))
            if percent:
                row = {"model": model, "percent": percent, "by": actor, "at": now}
                rows.append(Insert(schema.price_bound, row))
            rows.append(
                admin_log_row(
                    self._clock,
                    actor=actor,
                    act="automatic price",
                    before={"model": model, "percent": before.get(model, 0)},
                    after={"percent": percent},
                )
            )
        await self._ledger.record(*rows)

    async def reprice_models(self) -> None:
        """A job: moves the price of every model that has bounds, where it is time."""
        bounds = await self.list_bounds()
        if not bounds:
            return
        await self._prices.refresh(at_most_seconds=0)
        waiting_models = await self._list_waiting_models()
        new_prices = []
        for suggestion in await self._suggestions.list_suggestions():
            if suggestion.model.id in bounds and suggestion.model.id not in waiting_models:
                new_price = self._find_next_price(suggestion, bounds[suggestion.model.id])
                if new_price is not None:
                    new_prices.append(new_price)
        if new_prices:
            await self._price_changes.set_prices(new_prices, actor=AUTOMATIC, act="reprice")

    async def _list_waiting_models(self) -> set[str]:
        table = schema.supplier_change.c
        rows = await self._db.fetch(
            sa.select(table.model).where(table.state.in_(("open", "absorbed"))).distinct()
        )
        return {row.model for row in rows}

    def _find_next_price(self, suggestion: PriceSuggestion, percent: int) -> NewPrice | None:
        """The next price of a model; None where it is not time, or nothing would change."""
        now, model = self._clock.now_ms(), suggestion.model.id
        is_automatic = suggestion.current.set_by == AUTOMATIC
        if (
            is_automatic
            and now - suggestion.current.effective_at < self.limits.interval_hours * _HOUR_MS
        ):
            return None
        if not suggestion.is_worth_changing or self._prices.find_upcoming(model) is not None:
            return None
        anchor, day_ago = self._find_anchor(model), now - DAY_MS
        day_start_price = (
            self._prices.find_at(model, day_ago) if anchor.effective_at <= day_ago else anchor
        )
        day_start_price, daily_percent = day_start_price or anchor, self.limits.max_daily_percent
        input_rate, output_rate = (
            _limit_rate(
                goal,
                current=was,
                minimum=max(_lower_bound(base, percent), _lower_bound(day, daily_percent)),
                maximum=min(_upper_bound(base, percent), _upper_bound(day, daily_percent)),
            )
            for goal, was, base, day in (
                (
                    suggestion.input_rate,
                    suggestion.current.input_rate,
                    anchor.input_rate,
                    day_start_price.input_rate,
                ),
                (
                    suggestion.output_rate,
                    suggestion.current.output_rate,
                    anchor.output_rate,
                    day_start_price.output_rate,
                ),
            )
        )
        if (input_rate, output_rate) == (
            suggestion.current.input_rate,
            suggestion.current.output_rate,
        ):
            return None
        return NewPrice(model, input_rate, output_rate, suggestion.current.per)

    def _find_anchor(self, model: str) -> Price:
        """The last price that a person set, or the first one."""
        now = self._clock.now_ms()
        past_prices = [one for one in self._prices.list_history(model) if one.effective_at <= now]
        return next(
            (one for one in reversed(past_prices) if one.set_by != AUTOMATIC), past_prices[0]
        )


def _limit_rate(
    target: MicroCredits, *, current: MicroCredits, minimum: int, maximum: int
) -> MicroCredits:
    """The target, no further than the bounds allow, in two digits where those fit between them."""
    if minimum > maximum:
        return current
    limited = min(max(target.units, minimum), maximum)
    rounded = round_to_two_digits(limited)
    return MicroCredits(max(1, rounded if minimum <= rounded <= maximum else limited))


def _lower_bound(rate: MicroCredits, percent: int) -> int:
    return -(-rate.units * (100 - percent) // 100)


def _upper_bound(rate: MicroCredits, percent: int) -> int:
    return rate.units * (100 + percent) // 100
