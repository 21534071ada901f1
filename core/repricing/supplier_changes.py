"""Supplier changes: what a supplier charges now differs from what a price was made for.

Each waits for an admin, who passes it on, shares it or absorbs it; until then no price moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Literal

import sqlalchemy as sa

from core.admin_log import Facts, logged
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.money import NanoUsd
from core.pricing.answers import Answers, Pair, answers
from core.pricing.catalogue import Catalogue, Model
from core.pricing.levels import USUAL, Level
from core.pricing.mix import Mix
from core.pricing.prices import NewPrice, Price, PriceBook
from core.repricing.margins import Margins
from core.repricing.price_changes import Change, Repricing

#: The kind of the notification that operators get.
COST_CHANGED: Final = "supplier changes"

Kind = Literal["passed", "shared"]


class Decided(Refusal):
    """The change was decided already, or the supplier took it back."""

    code: ClassVar[str] = "decided"


@dataclass(frozen=True, slots=True)
class CostChange:
    """A change of what a supplier charges, as its row in `schema.supplier_change` says."""

    id: str
    model: str
    provider: str
    why: str
    old: Level
    new: Level
    version: int
    raised_at: int
    state: str
    until: int | None
    cap: NanoUsd | None
    lost: NanoUsd
    counted_to: int | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A change with the rates that may be set in response, and their margins on real usage."""

    change: CostChange
    model: Model
    now: Price
    mix: Mix
    old: Mapping[str, Level]
    new: Mapping[str, Level]
    answers: Answers

    @property
    def before(self) -> int | None:
        """Profit on the old cost at today's price, in per cent."""
        return self.mix.margin(self.now, self.old)

    def margin(self, rates: Pair | None = None) -> int | None:
        """Profit on the new cost at these rates, or else at today's price, in per cent."""
        return self.mix.margin(self.now if rates is None else self.priced(rates), self.new)

    def priced(self, rates: Pair) -> Price:
        """These rates as a price of the model, to be shown."""
        return replace(self.now, input_rate=rates[0], output_rate=rates[1])

    def rates(self, kind: Kind) -> Pair | None:
        """The rates of a kind of response; None where there are none."""
        return self.answers.passed if kind == "passed" else self.answers.shared


class Changes:
    """Reads supplier changes, and writes what an admin decided about them."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        catalogue: Catalogue,
        prices: PriceBook,
        repricing: Repricing,
        margins: Margins,
        clock: Clock,
    ) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock
        self._catalogue, self._prices = catalogue, prices
        self._repricing, self._margins = repricing, margins

    async def waiting(self, *states: str) -> list[CostChange]:
        """The changes that wait for a decision, or are in given states; the oldest first."""
        table = schema.supplier_change
        return await self._read(table.c.state.in_(states or ("open",)))

    async def get(self, id_: str) -> CostChange:
        """A change by its id, in whatever state; raises `AlreadyDecided` where there is none."""
        found = await self._read(schema.supplier_change.c.id == id_)
        if not found:
            raise Decided
        return found[0]

    async def _read(self, which: sa.ColumnElement[bool]) -> list[CostChange]:
        table = schema.supplier_change
        rows = await self._store.fetch(sa.select(table).where(which).order_by(table.c.id))
        return [change_of(row) for row in rows]

    async def offer(self, change: CostChange) -> Offer | None:
        """The options for a change; None where the model is no longer sold."""
        model = self._catalogue.models.get(change.model)
        await self._prices.refresh()
        now = None if model is None else self._prices.current(model.id)
        if model is None or now is None:
            return None
        ground = await self._margins.of(model)
        uses = {} if ground.real is None else ground.real.uses
        mix = ground.mix if change.provider in uses else Mix({change.provider: USUAL}, real=False)
        old = {**ground.levels, change.provider: change.old}
        new = {**ground.levels, change.provider: change.new}
        return Offer(change, model, now, mix, old, new, answers(now, mix, old, new))

    async def decide(
        self, change: CostChange, kind: Kind, rates: Pair, *, actor: str, about: str
    ) -> Change:
        """Sets the price that was chosen and closes the change, both or neither; raises
        `AlreadyDecided`. `act` says in the admin log what was done."""

        def closed(price: Price) -> Sequence[Update]:
            now = {"decided_at": self._clock.now_ms(), "decided_by": actor}
            return (self._update(change, {"state": kind, "price": price.id, **now}),)

        model = self._catalogue.models[change.model]
        wanted = NewPrice(model.id, *rates, model.per)
        try:
            return await self._repricing.set(wanted, actor=actor, act=about, also=closed)
        except CompanionRefused:
            raise Decided from None

    async def absorb(
        self,
        change: CostChange,
        *,
        actor: str,
        until: int | None = None,
        cap: NanoUsd | None = None,
    ) -> None:
        """Absorbs a change: the price stays. It is raised again at a time (ms UTC) or once so many
        nano-dollars are lost; without either it is kept for good. Raises `AlreadyDecided`."""
        now = self._clock.now_ms()
        ends = until is not None or cap is not None
        facts: Facts = {
            "change": change.id,
            "model": change.model,
            "until": until or 0,
            "cap": 0 if cap is None else cap.units,
        }
        state = {
            "state": "absorbed" if ends else "kept",
            "until": until,
            "cap": None if cap is None else cap.units,
            "counted_to": now,
            "decided_at": now,
            "decided_by": actor,
        }
        row = logged(
            self._clock,
            actor=actor,
            act="absorb supplier change",
            before={"state": change.state},
            after=facts,
        )
        try:
            await self._ledger.record(self._update(change, state), row)
        except CompanionRefused:
            raise Decided from None

    def _update(self, change: CostChange, to: Mapping[str, Any]) -> Update:
        expected = {"state": "open", "version": change.version}
        return Update(schema.supplier_change, {"id": change.id}, to, expected)


def change_of(row: sa.Row[Any]) -> CostChange:
    """A supplier change as its row says."""
    return CostChange(
        id=row.id,
        model=row.model,
        provider=row.provider,
        why=row.why,
        old=Level.of(row.old),
        new=Level.of(row.new),
        version=row.version,
        raised_at=row.raised_at,
        state=row.state,
        until=row.until,
        cap=None if row.cap is None else NanoUsd(row.cap),
        lost=NanoUsd(row.lost),
        counted_to=row.counted_to,
    )
