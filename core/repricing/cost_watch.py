"""Watches what suppliers charge: their price lists, what calls really cost, and absorbed changes.

Finds changes and raises them, with a notification for the operators; decides nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from core import ids
from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Companion, Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.money import NanoUsd
from core.notification import OPERATORS, Facts, notification_row
from core.pricing.catalogue import Catalogue
from core.pricing.rates import PICO_PER_NANO
from core.pricing.supplier_rates import AS_LISTED, SupplierRate, UsageMix
from core.repricing.margins import Margins, read_usage_since
from core.repricing.supplier_changes import COST_CHANGED, CostChange, change_from_row

#: What calls really cost is compared over so many days at most, by so many answers at least; it is
#: a change when it differs by so many thousandths.
_DRIFT_DAYS: Final = 7
_DRIFT_ANSWERS: Final = 20
_DRIFT_PERMILLE: Final = 100
#: An answer's row may be written this much later than its time says.
_WRITE_DELAY_MS: Final = 60_000
#: How many changes one notification names.
_NAMED_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class _LastSeen:
    """The rate of a supplier that the last check found, and when (ms UTC)."""

    rate: SupplierRate
    at: int


class CostWatch:
    """The jobs that compare what suppliers charge with what is known."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        catalogue: Catalogue,
        margins: Margins,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """`is_ready` says whether the price lists are loaded yet."""
        self._is_ready = is_ready
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._catalogue, self._margins = catalogue, margins

    # --- lists ----------------------------------------------------------------------------------

    async def check_price_lists(self) -> None:
        """Compares every known price list with what the last check found; safe to run at any time,
        on several processes at once."""
        if not self._is_ready():
            return
        last_seen = await self._read_last_seen()
        rows: list[Companion] = []
        changed: list[tuple[str, str, SupplierRate, SupplierRate]] = []
        for model, provider, rate in self._iterate_rates():
            previous = last_seen.get((model, provider))
            if previous is None:
                rows.append(self._build_first_seen(model, provider, rate))
            elif not previous.rate.has_same_list_price(rate):
                new = replace(rate, billed_permille=previous.rate.billed_permille)
                changed.append((model, provider, previous.rate, new))
        raised_ids: list[str] = []
        if changed:
            waiting = await self._read_waiting_changes()
            usage, suppliers = (
                await self._margins.get_usage(),
                await self._margins.list_paid_suppliers(),
            )
            for model, provider, old, new in changed:
                if provider in suppliers or provider in usage.get(model, {}):
                    change = waiting.get((model, provider))
                    rows += self._raise_change(
                        "list", model, provider, old, new, change, raised_ids
                    )
                rows.append(self._build_last_seen(model, provider, old, new, is_changed=True))
        await self._write(rows, raised_ids)

    def _iterate_rates(self) -> Iterator[tuple[str, str, SupplierRate]]:
        for model in self._catalogue.models.values():
            for provider, rate in self._margins.list_rates(model).items():
                yield model.id, provider, rate

    # --- bills ----------------------------------------------------------------------------------

    async def compare_bills(self) -> None:
        """Compares what calls really cost with what the price lists say: long prompts, other hours,
        and whatever else a list's first line doesn't show."""
        last_seen, waiting = await self._read_last_seen(), await self._read_waiting_changes()
        week_start = self._clock.now_ms() - _DRIFT_DAYS * DAY_MS
        rows: list[Companion] = []
        raised_ids: list[str] = []
        for since in sorted({max(seen.at, week_start) for seen in last_seen.values()}):
            billed = await self._read_billed_costs(since)
            for (model, provider), usage in (await self._read_usage(since)).items():
                previous = last_seen.get((model, provider))
                if (
                    previous is None
                    or max(previous.at, week_start) != since
                    or usage.answers < _DRIFT_ANSWERS
                ):
                    continue
                list_cost = previous.rate.calculate_list_cost(usage)
                billed_permille = (
                    billed[model, provider] * PICO_PER_NANO * AS_LISTED // list_cost
                    if list_cost
                    else AS_LISTED
                )
                if abs(billed_permille - previous.rate.billed_permille) < _DRIFT_PERMILLE:
                    continue
                new = replace(previous.rate, billed_permille=billed_permille)
                change = waiting.get((model, provider))
                rows += self._raise_change(
                    "drift", model, provider, previous.rate, new, change, raised_ids
                )
                rows.append(
                    self._build_last_seen(model, provider, previous.rate, new, is_changed=False)
                )
        await self._write(rows, raised_ids)

    async def _read_usage(self, since: int) -> dict[tuple[str, str], UsageMix]:
        usage = await read_usage_since(self._db, since)
        return {(model, name): use for model, each in usage.items() for name, use in each.items()}

    async def _read_billed_costs(self, since: int) -> dict[tuple[str, str], int]:
        usage = schema.usage.c
        rows = await self._db.fetch(
            sa.select(usage.model, usage.provider, sa.func.sum(usage.cost).label("cost"))
            .where(usage.at >= since)
            .group_by(usage.model, usage.provider)
        )
        return {(row.model, row.provider): int(row.cost) for row in rows}

    # --- what is absorbed -----------------------------------------------------------------------

    async def check_absorbed_changes(self) -> None:
        """Counts what absorbed changes lose; raises again those that reached their end."""
        now = self._clock.now_ms()
        for change in (await self._read_waiting_changes()).values():
            if change.state != "absorbed":
                continue
            count_to = now - _WRITE_DELAY_MS
            lost = change.lost
            if (
                change.cap is not None
                and change.counted_to is not None
                and count_to > change.counted_to
            ):
                lost += await self._calculate_loss(change, change.counted_to, count_to)
                expected = {"state": "absorbed", "counted_to": change.counted_to}
                counted = {"lost": lost.units, "counted_to": count_to}
                with contextlib.suppress(CompanionRefused):
                    await self._ledger.record(_update_change(change, counted, expected))
            is_over = change.cap is not None and lost >= change.cap
            if is_over or (change.until is not None and change.until <= now):
                await self._reopen_change(change)

    async def _calculate_loss(self, change: CostChange, since: int, before: int) -> NanoUsd:
        """What the supplier charged more than before the change, for the answers of a time."""
        usage_by_model = await read_usage_since(self._db, since, before=before, model=change.model)
        usage = usage_by_model.get(change.model, {}).get(change.provider, UsageMix())
        pico = change.new.calculate_usage_cost(usage) - change.old.calculate_usage_cost(usage)
        return NanoUsd(max(0, -(-pico // PICO_PER_NANO)))

    async def _reopen_change(self, change: CostChange) -> None:
        raised_ids: list[str] = []
        close_old = _update_change(change, {"state": "gone"}, {"state": "absorbed"})
        open_new = self._open_change(
            "again", change.model, change.provider, change.old, change.new, raised_ids
        )
        await self._write([close_old, open_new], raised_ids)

    # --- rows -----------------------------------------------------------------------------------

    def _raise_change(
        self,
        reason: str,
        model: str,
        provider: str,
        old: SupplierRate,
        new: SupplierRate,
        waiting: CostChange | None,
        raised_ids: list[str],
    ) -> list[Companion]:
        """The rows of a change; one that waits, or is absorbed, is measured from its own beginning,
        since the price was made for that."""
        if waiting is None:
            return [self._open_change(reason, model, provider, old, new, raised_ids)]
        expected = {"state": waiting.state, "version": waiting.version}
        is_reverted = (
            waiting.old.has_same_list_price(new)
            and abs(waiting.old.billed_permille - new.billed_permille) < _DRIFT_PERMILLE
        )
        if is_reverted:
            return [_update_change(waiting, {"state": "gone"}, expected)]
        if waiting.state == "absorbed":
            open_new = self._open_change(reason, model, provider, waiting.old, new, raised_ids)
            return [_update_change(waiting, {"state": "gone"}, expected), open_new]
        raised_ids.append(waiting.id)
        newer = {
            "new": new.to_text(),
            "version": waiting.version + 1,
            "raised_at": self._clock.now_ms(),
        }
        return [_update_change(waiting, newer, expected)]

    def _open_change(
        self,
        reason: str,
        model: str,
        provider: str,
        old: SupplierRate,
        new: SupplierRate,
        raised_ids: list[str],
    ) -> Insert:
        now = self._clock.now_ms()
        raised_ids.append(ids.new_id("chg", now))
        row = {
            "id": raised_ids[-1],
            "model": model,
            "provider": provider,
            "why": reason,
            "old": old.to_text(),
            "new": new.to_text(),
            "version": 1,
            "raised_at": now,
            "state": "open",
            "decided_by": "",
            "price": "",
            "lost": 0,
        }
        return Insert(schema.supplier_change, row)

    def _build_first_seen(self, model: str, provider: str, rate: SupplierRate) -> Insert:
        row = {
            "model": model,
            "provider": provider,
            "level": rate.to_text(),
            "at": self._clock.now_ms(),
        }
        return Insert(schema.supplier_cost, row, ignore=True)

    def _build_last_seen(
        self, model: str, provider: str, old: SupplierRate, new: SupplierRate, *, is_changed: bool
    ) -> Update:
        key = {"model": model, "provider": provider}
        change: dict[str, Any] = {"level": new.to_text()}
        if is_changed:
            change["at"] = self._clock.now_ms()
        return Update(schema.supplier_cost, key, change, {"level": old.to_text()})

    async def _write(self, rows: list[Companion], raised_ids: list[str]) -> None:
        """Writes all rows with one notification, or none where another process was faster."""
        if raised_ids:
            facts: Facts = {"changes": " ".join(raised_ids[:_NAMED_MAX]), "count": len(raised_ids)}
            cause = f"changes/{raised_ids[0]}/{self._clock.now_ms()}"
            rows.append(
                notification_row(
                    self._clock, cause_id=cause, person=OPERATORS, kind=COST_CHANGED, facts=facts
                )
            )
        if rows:
            with contextlib.suppress(CompanionRefused):
                await self._ledger.record(*rows)

    async def _read_last_seen(self) -> dict[tuple[str, str], _LastSeen]:
        rows = await self._db.fetch(sa.select(schema.supplier_cost))
        return {
            (row.model, row.provider): _LastSeen(SupplierRate.from_text(row.level), row.at)
            for row in rows
        }

    async def _read_waiting_changes(self) -> dict[tuple[str, str], CostChange]:
        table = schema.supplier_change
        rows = await self._db.fetch(
            sa.select(table).where(table.c.state.in_(("open", "absorbed"))).order_by(table.c.id)
        )
        return {(row.model, row.provider): change_from_row(row) for row in rows}


def _update_change(change: CostChange, values: dict[str, Any], expected: dict[str, Any]) -> Update:
    return Update(schema.supplier_change, {"id": change.id}, values, expected)
