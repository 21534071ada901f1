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

from core.admin_log import logged
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Delete, Insert
from core.ledger.ledger import Ledger
from core.money import MicroCredits
from core.pricing.answers import nearest_digits
from core.pricing.prices import NewPrice, Price, PriceBook
from core.repricing.price_changes import Repricing
from core.repricing.suggestions import AUTOMATIC, Suggestion, Suggestions

#: An admin gives no wider bounds than this.
BOUND_MOST: Final = 50
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Pace:
    """Limits of automatic price changes: hours between two, and per cent a day."""

    hours: int = 24
    day_percent: int = 10


class Automatic:
    """Keeps the bounds of models, and moves their prices within them."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        prices: PriceBook,
        suggestions: Suggestions,
        repricing: Repricing,
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock
        self._prices, self._suggestions = prices, suggestions
        self._repricing, self.pace = repricing, pace

    async def bounds(self) -> Mapping[str, int]:
        """Bounds in per cent by model; prices of all other models change only by hand."""
        rows = await self._store.fetch(sa.select(schema.price_bound))
        return {row.model: row.percent for row in rows}

    async def bind(self, models: Sequence[str], percent: int, *, actor: str) -> None:
        """Sets the bounds of models in per cent; 0 removes them."""
        before, now = await self.bounds(), self._clock.now_ms()
        rows: list[Companion] = []
        for model in models:
            rows.append(Delete(schema.price_bound, {"model": model}))
            if percent:
                row = {"model": model, "percent": percent, "by": actor, "at": now}
                rows.append(Insert(schema.price_bound, row))
            rows.append(
                logged(
                    self._clock,
                    actor=actor,
                    act="automatic price",
                    before={"model": model, "percent": before.get(model, 0)},
                    after={"percent": percent},
                )
            )
        await self._ledger.record(*rows)

    async def reprice(self) -> None:
        """A job: moves the price of every model that has bounds, where it is time."""
        bounds = await self.bounds()
        if not bounds:
            return
        await self._prices.refresh(at_most_seconds=0)
        held = await self._held()
        wanted = []
        for one in await self._suggestions.all():
            if one.model.id in bounds and one.model.id not in held:
                new = self._next(one, bounds[one.model.id])
                if new is not None:
                    wanted.append(new)
        if wanted:
            await self._repricing.set_all(wanted, actor=AUTOMATIC, act="reprice")

    async def _held(self) -> set[str]:
        table = schema.supplier_change.c
        rows = await self._store.fetch(
            sa.select(table.model).where(table.state.in_(("open", "absorbed"))).distinct()
        )
        return {row.model for row in rows}

    def _next(self, one: Suggestion, percent: int) -> NewPrice | None:
        """The next price of a model; None where it is not time, or nothing would change."""
        now, model = self._clock.now_ms(), one.model.id
        moved = one.now.set_by == AUTOMATIC
        if moved and now - one.now.effective_at < self.pace.hours * _HOUR_MS:
            return None
        if not one.differs or self._prices.coming(model) is not None:
            return None
        anchor, day_ago = self._anchor(model), now - DAY_MS
        begun = self._prices.at(model, day_ago) if anchor.effective_at <= day_ago else anchor
        begun, step = begun or anchor, self.pace.day_percent
        inward, outward = (
            _within(
                goal,
                now=was,
                least=max(_less(base, percent), _less(day, step)),
                most=min(_more(base, percent), _more(day, step)),
            )
            for goal, was, base, day in (
                (one.input_rate, one.now.input_rate, anchor.input_rate, begun.input_rate),
                (one.output_rate, one.now.output_rate, anchor.output_rate, begun.output_rate),
            )
        )
        if (inward, outward) == (one.now.input_rate, one.now.output_rate):
            return None
        return NewPrice(model, inward, outward, one.now.per)

    def _anchor(self, model: str) -> Price:
        """The last price that a person set, or the first one."""
        now = self._clock.now_ms()
        held = [one for one in self._prices.history(model) if one.effective_at <= now]
        return next((one for one in reversed(held) if one.set_by != AUTOMATIC), held[0])


def _within(goal: MicroCredits, *, now: MicroCredits, least: int, most: int) -> MicroCredits:
    """The target, no further than the bounds allow, in two digits where those fit between them."""
    if least > most:
        return now
    held = min(max(goal.units, least), most)
    written = nearest_digits(held)
    return MicroCredits(max(1, written if least <= written <= most else held))


def _less(rate: MicroCredits, percent: int) -> int:
    return -(-rate.units * (100 - percent) // 100)


def _more(rate: MicroCredits, percent: int) -> int:
    return rate.units * (100 + percent) // 100
