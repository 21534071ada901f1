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
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.money import NanoUsd
from core.notification import OWNERS, Facts, notice
from core.pricing.catalogue import Catalogue
from core.pricing.levels import AS_LISTED, Level, Use
from core.pricing.rates import PICO
from core.repricing.margins import Margins, used_since
from core.repricing.supplier_changes import COST_CHANGED, CostChange, change_of

#: What calls really cost is compared over so many days at most, by so many answers at least; it is
#: a change when it differs by so many thousandths.
_DRIFT_DAYS: Final = 7
_DRIFT_ANSWERS: Final = 20
_DRIFT: Final = 100
#: An answer's row may be written this much later than its time says.
_LATE_MS: Final = 60_000
#: How many changes one notification names.
_TOLD: Final = 20


@dataclass(frozen=True, slots=True)
class _Kept:
    """The rate of a supplier that the last check found, and when (ms UTC)."""

    level: Level
    at: int


class CostWatch:
    """The jobs that compare what suppliers charge with what is known."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        catalogue: Catalogue,
        margins: Margins,
        clock: Clock,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """`is_ready` says whether the price lists are loaded yet."""
        self._ready = ready
        self._store, self._ledger, self._clock = store, ledger, clock
        self._catalogue, self._margins = catalogue, margins

    # --- lists ----------------------------------------------------------------------------------

    async def look(self) -> None:
        """Compares every known price list with what the last check found; safe to run at any time,
        on several processes at once."""
        if not self._ready():
            return
        kept = await self._kept()
        rows: list[Companion] = []
        moved: list[tuple[str, str, Level, Level]] = []
        for model, provider, level in self._levels():
            known = kept.get((model, provider))
            if known is None:
                rows.append(self._first(model, provider, level))
            elif not known.level.same_list(level):
                new = replace(level, real=known.level.real)
                moved.append((model, provider, known.level, new))
        raised: list[str] = []
        if moved:
            waiting = await self._waiting()
            used, suppliers = await self._margins.uses(), await self._margins.suppliers()
            for model, provider, old, new in moved:
                if provider in suppliers or provider in used.get(model, {}):
                    change = waiting.get((model, provider))
                    rows += self._raise("list", model, provider, old, new, change, raised)
                rows.append(self._remember(model, provider, old, new, moved=True))
        await self._write(rows, raised)

    def _levels(self) -> Iterator[tuple[str, str, Level]]:
        for model in self._catalogue.models.values():
            for provider, level in self._margins.levels(model).items():
                yield model.id, provider, level

    # --- bills ----------------------------------------------------------------------------------

    async def compare_bills(self) -> None:
        """Compares what calls really cost with what the price lists say: long prompts, other hours,
        and whatever else a list's first line doesn't show."""
        kept, waiting = await self._kept(), await self._waiting()
        week = self._clock.now_ms() - _DRIFT_DAYS * DAY_MS
        rows: list[Companion] = []
        raised: list[str] = []
        for since in sorted({max(one.at, week) for one in kept.values()}):
            billed = await self._billed(since)
            for (model, provider), use in (await self._used(since)).items():
                known = kept.get((model, provider))
                if known is None or max(known.at, week) != since or use.answers < _DRIFT_ANSWERS:
                    continue
                listed = known.level.listed(use)
                real = billed[model, provider] * PICO * AS_LISTED // listed if listed else AS_LISTED
                if abs(real - known.level.real) < _DRIFT:
                    continue
                new = replace(known.level, real=real)
                change = waiting.get((model, provider))
                rows += self._raise("drift", model, provider, known.level, new, change, raised)
                rows.append(self._remember(model, provider, known.level, new, moved=False))
        await self._write(rows, raised)

    async def _used(self, since: int) -> dict[tuple[str, str], Use]:
        uses = await used_since(self._store, since)
        return {(model, name): use for model, each in uses.items() for name, use in each.items()}

    async def _billed(self, since: int) -> dict[tuple[str, str], int]:
        used = schema.usage.c
        rows = await self._store.fetch(
            sa.select(used.model, used.provider, sa.func.sum(used.cost).label("cost"))
            .where(used.at >= since)
            .group_by(used.model, used.provider)
        )
        return {(row.model, row.provider): int(row.cost) for row in rows}

    # --- what is absorbed -----------------------------------------------------------------------

    async def watch_absorbed(self) -> None:
        """Counts what absorbed changes lose; raises again those that reached their end."""
        now = self._clock.now_ms()
        for change in (await self._waiting()).values():
            if change.state != "absorbed":
                continue
            to = now - _LATE_MS
            lost = change.lost
            if change.cap is not None and change.counted_to is not None and to > change.counted_to:
                lost += await self._lost(change, change.counted_to, to)
                expected = {"state": "absorbed", "counted_to": change.counted_to}
                counted = {"lost": lost.units, "counted_to": to}
                with contextlib.suppress(CompanionRefused):
                    await self._ledger.record(_update(change, counted, expected))
            over = change.cap is not None and lost >= change.cap
            if over or (change.until is not None and change.until <= now):
                await self._again(change)

    async def _lost(self, change: CostChange, since: int, to: int) -> NanoUsd:
        """What the supplier charged more than before the change, for the answers of a time."""
        uses = await used_since(self._store, since, before=to, model=change.model)
        use = uses.get(change.model, {}).get(change.provider, Use())
        pico = change.new.cost(use) - change.old.cost(use)
        return NanoUsd(max(0, -(-pico // PICO)))

    async def _again(self, change: CostChange) -> None:
        raised: list[str] = []
        over = _update(change, {"state": "gone"}, {"state": "absorbed"})
        new = self._opened("again", change.model, change.provider, change.old, change.new, raised)
        await self._write([over, new], raised)

    # --- rows -----------------------------------------------------------------------------------

    def _raise(
        self,
        why: str,
        model: str,
        provider: str,
        known: Level,
        new: Level,
        waiting: CostChange | None,
        raised: list[str],
    ) -> list[Companion]:
        """The rows of a change; one that waits, or is absorbed, is measured from its own beginning,
        since the price was made for that."""
        if waiting is None:
            return [self._opened(why, model, provider, known, new, raised)]
        seen = {"state": waiting.state, "version": waiting.version}
        back = waiting.old.same_list(new) and abs(waiting.old.real - new.real) < _DRIFT
        if back:
            return [_update(waiting, {"state": "gone"}, seen)]
        if waiting.state == "absorbed":
            opened = self._opened(why, model, provider, waiting.old, new, raised)
            return [_update(waiting, {"state": "gone"}, seen), opened]
        raised.append(waiting.id)
        newer = {
            "new": new.text(),
            "version": waiting.version + 1,
            "raised_at": self._clock.now_ms(),
        }
        return [_update(waiting, newer, seen)]

    def _opened(
        self, why: str, model: str, provider: str, old: Level, new: Level, raised: list[str]
    ) -> Insert:
        now = self._clock.now_ms()
        raised.append(ids.new("chg", now))
        row = {
            "id": raised[-1],
            "model": model,
            "provider": provider,
            "why": why,
            "old": old.text(),
            "new": new.text(),
            "version": 1,
            "raised_at": now,
            "state": "open",
            "decided_at": None,
            "decided_by": "",
            "price": "",
            "until": None,
            "cap": None,
            "lost": 0,
            "counted_to": None,
        }
        return Insert(schema.supplier_change, row)

    def _first(self, model: str, provider: str, level: Level) -> Insert:
        row = {
            "model": model,
            "provider": provider,
            "level": level.text(),
            "at": self._clock.now_ms(),
        }
        return Insert(schema.supplier_cost, row, ignore=True)

    def _remember(
        self, model: str, provider: str, known: Level, new: Level, *, moved: bool
    ) -> Update:
        key = {"model": model, "provider": provider}
        change: dict[str, Any] = {"level": new.text()}
        if moved:
            change["at"] = self._clock.now_ms()
        return Update(schema.supplier_cost, key, change, {"level": known.text()})

    async def _write(self, rows: list[Companion], raised: list[str]) -> None:
        """Writes all rows with one notification, or none where another process was faster."""
        if raised:
            facts: Facts = {"changes": " ".join(raised[:_TOLD]), "count": len(raised)}
            cause = f"changes/{raised[0]}/{self._clock.now_ms()}"
            rows.append(
                notice(self._clock, cause_id=cause, person=OWNERS, kind=COST_CHANGED, facts=facts)
            )
        if rows:
            with contextlib.suppress(CompanionRefused):
                await self._ledger.record(*rows)

    async def _kept(self) -> dict[tuple[str, str], _Kept]:
        rows = await self._store.fetch(sa.select(schema.supplier_cost))
        return {(row.model, row.provider): _Kept(Level.of(row.level), row.at) for row in rows}

    async def _waiting(self) -> dict[tuple[str, str], CostChange]:
        table = schema.supplier_change
        rows = await self._store.fetch(
            sa.select(table).where(table.c.state.in_(("open", "absorbed"))).order_by(table.c.id)
        )
        return {(row.model, row.provider): change_of(row) for row in rows}


def _update(change: CostChange, to: dict[str, Any], expected: dict[str, Any]) -> Update:
    return Update(schema.supplier_change, {"id": change.id}, to, expected)
