"""Supplier changes: what a supplier charges now differs from what a price was made for.

Each waits for an admin, who passes it on, shares it or absorbs it; until then no price moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Literal

import sqlalchemy as sa

from core.admin_log import Facts, admin_log_row
from core.db import schema
from core.db.writes import Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.money import NanoUsd
from core.pricing.catalogue import Catalogue, Model
from core.pricing.cost_change_responses import CostChangeResponses, RatePair, calculate_responses
from core.pricing.prices import NewPrice, Price, PriceBook
from core.pricing.supplier_rates import USUAL_USAGE, SupplierRate
from core.pricing.usage import ModelUsage
from core.repricing.margins import Margins
from core.repricing.price_changes import PriceChange, PriceChanges

#: The kind of the notification that operators get.
COST_CHANGED: Final = "supplier changes"

DecisionKind = Literal["passed", "shared"]


class AlreadyDecided(Refusal):
    """The change was decided already, or the supplier took it back."""

    code: ClassVar[str] = "decided"


@dataclass(frozen=True, slots=True)
class CostChange:
    """A change of what a supplier charges, as its row in `schema.supplier_change` says."""

    id: str
    model: str
    provider: str
    reason: str
    old: SupplierRate
    new: SupplierRate
    version: int
    raised_at: int
    state: str
    until: int | None
    cap: NanoUsd | None
    lost: NanoUsd
    counted_to: int | None


@dataclass(frozen=True, slots=True)
class ChangeOptions:
    """A change with the rates that may be set in response, and their margins on real usage."""

    change: CostChange
    model: Model
    current_price: Price
    usage: ModelUsage
    old_rates: Mapping[str, SupplierRate]
    new_rates: Mapping[str, SupplierRate]
    responses: CostChangeResponses

    @property
    def margin_before(self) -> int | None:
        """Profit on the old cost at today's price, in per cent."""
        return self.usage.calculate_margin(self.current_price, self.old_rates)

    def calculate_margin(self, rates: RatePair | None = None) -> int | None:
        """Profit on the new cost at these rates, or else at today's price, in per cent."""
        return self.usage.calculate_margin(
            self.current_price if rates is None else self.to_price(rates), self.new_rates
        )

    def to_price(self, rates: RatePair) -> Price:
        """These rates as a price of the model, to be shown."""
        return replace(self.current_price, input_rate=rates[0], output_rate=rates[1])

    def get_rates(self, kind: DecisionKind) -> RatePair | None:
        """The rates of a kind of response; None where there are none."""
        return self.responses.passed_on if kind == "passed" else self.responses.shared


class SupplierChanges:
    """Reads supplier changes, and writes what an admin decided about them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        catalogue: Catalogue,
        prices: PriceBook,
        price_changes: PriceChanges,
        margins: Margins,
    ) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._catalogue, self._prices = catalogue, prices
        self._price_changes, self._margins = price_changes, margins

    async def list_waiting(self, *states: str) -> list[CostChange]:
        """The changes that wait for a decision, or are in given states; the oldest first."""
        table = schema.supplier_change
        return await self._read(table.c.state.in_(states or ("open",)))

    async def get(self, id_: str) -> CostChange:
        """A change by its id, in whatever state; raises `AlreadyDecided` where there is none."""
        changes = await self._read(schema.supplier_change.c.id == id_)
        if not changes:
            raise AlreadyDecided
        return changes[0]

    async def _read(self, condition: sa.ColumnElement[bool]) -> list[CostChange]:
        table = schema.supplier_change
        rows = await self._db.fetch(sa.select(table).where(condition).order_by(table.c.id))
        return [change_from_row(row) for row in rows]

    async def get_options(self, change: CostChange) -> ChangeOptions | None:
        """The options for a change; None where the model is no longer sold."""
        model = self._catalogue.models.get(change.model)
        await self._prices.refresh()
        current_price = None if model is None else self._prices.find_current(model.id)
        if model is None or current_price is None:
            return None
        basis = await self._margins.get_basis(model)
        usage_by_supplier = {} if basis.real_usage is None else basis.real_usage.by_supplier
        usage = (
            basis.usage
            if change.provider in usage_by_supplier
            else ModelUsage({change.provider: USUAL_USAGE}, is_measured=False)
        )
        old_rates = {**basis.rates, change.provider: change.old}
        new_rates = {**basis.rates, change.provider: change.new}
        return ChangeOptions(
            change,
            model,
            current_price,
            usage,
            old_rates,
            new_rates,
            calculate_responses(current_price, usage, old_rates, new_rates),
        )

    async def decide_change(
        self, change: CostChange, kind: DecisionKind, rates: RatePair, *, actor: str, act: str
    ) -> PriceChange:
        """Sets the price that was chosen and closes the change, both or neither; raises
        `AlreadyDecided`. `act` says in the admin log what was done."""

        def close_change(price: Price) -> Sequence[Update]:
            now = {"decided_at": self._clock.now_ms(), "decided_by": actor}
            return (self._update(change, {"state": kind, "price": price.id, **now}),)

        model = self._catalogue.models.get(change.model)
        if model is None:  # it ended meanwhile
            raise AlreadyDecided
        new_price = NewPrice(model.id, *rates, model.per)
        try:
            return await self._price_changes.set_price(
                new_price, actor=actor, act=act, build_companions=close_change
            )
        except CompanionRefused:
            raise AlreadyDecided from None

    async def absorb_change(
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
        is_temporary = until is not None or cap is not None
        facts: Facts = {
            "change": change.id,
            "model": change.model,
            "until": until or 0,
            "cap": 0 if cap is None else cap.units,
        }
        values = {
            "state": "absorbed" if is_temporary else "kept",
            "until": until,
            "cap": None if cap is None else cap.units,
            "counted_to": now,
            "decided_at": now,
            "decided_by": actor,
        }
        row = admin_log_row(
            self._clock,
            actor=actor,
            act="absorb supplier change",
            before={"state": change.state},
            after=facts,
        )
        if not await self._ledger.try_record(self._update(change, values), row):
            raise AlreadyDecided

    def _update(self, change: CostChange, values: Mapping[str, Any]) -> Update:
        expected = {"state": "open", "version": change.version}
        return Update(schema.supplier_change, {"id": change.id}, values, expected)


def change_from_row(row: sa.Row[Any]) -> CostChange:
    """A supplier change as its row says."""
    return CostChange(
        id=row.id,
        model=row.model,
        provider=row.provider,
        reason=row.why,
        old=SupplierRate.from_text(row.old),
        new=SupplierRate.from_text(row.new),
        version=row.version,
        raised_at=row.raised_at,
        state=row.state,
        until=row.until,
        cap=None if row.cap is None else NanoUsd(row.cap),
        lost=NanoUsd(row.lost),
        counted_to=row.counted_to,
    )
