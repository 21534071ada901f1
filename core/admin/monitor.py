"""The monitor: what operators are alerted to, found by jobs; and the figures of the last check."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from core.admin.alerts import Alerts
from core.asks.audit import check
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Store
from core.earnings.audit import check_earning
from core.ledger.audit import audit
from core.money import NanoUsd
from core.pool.pool import Pool
from core.pool.types import KeyCard
from core.pricing.formula import PAR

#: Shares of all budgets at a supplier that are left, in per cent, at which operators are alerted.
_LEVELS: Final = (20, 5, 0)
#: A model's loss below this, in nano-dollars, raises no alert.
_LOSS_LEAST: Final = NanoUsd(10_000_000)
#: How long a payout may wait for a decision, in milliseconds.
_PAYOUT_MS: Final = DAY_MS
#: Of at least so many answers within the window so many per cent may fail.
_WINDOW_SECONDS: Final = 600.0
_ANSWERS_LEAST: Final = 20
_FAILED_PERCENT: Final = 20
_FAILED: Final = ("refused", "broken", "timed_out", "lost")
#: A ledger of more transfers isn't recomputed beside the service: it would take processor time from
#: answers for too long. `creditbot audit` does that in a process of its own.
_AUDITED_MOST: Final = 500_000
#: Keys in these states count with their budget.
_COUNTS: Final = frozenset({"active", "cooling", "parked", "exhausted"})


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the monitor's last check, for metrics."""

    #: Nano-dollars that keys can still cost, by supplier; keys, by supplier and state.
    headroom: Mapping[str, NanoUsd] = field(default_factory=dict)
    keys: Mapping[tuple[str, str], int] = field(default_factory=dict)
    #: How many wait: gateways' messages, notifications, payouts.
    webhooks: int = 0
    notices: int = 0
    payouts: int = 0


class Lookout:
    """Checks the service, alerts operators, and keeps the figures."""

    def __init__(
        self,
        *,
        alerts: Alerts,
        store: Store,
        pool: Pool,
        ended: Mapping[str, int],
        clock: Clock,
    ) -> None:
        """`outcome_counts` says how many asks ended in this process, by outcome."""
        self._alerts, self._store, self._pool = alerts, store, pool
        self._ended, self._clock = ended, clock
        self.figures = Figures()
        self._seen: deque[tuple[float, Counter[str]]] = deque()

    async def look_here(self) -> None:
        """A job on every process: checks what this process alone knows, and updates the figures."""
        for supplier in self._pool.down():
            await self._alerts.tell("supplier", supplier, {"supplier": supplier})
        await self._errors()
        cards = await self._pool.cards()
        headroom: Counter[str] = Counter()
        for card in cards:
            headroom[card.supplier] += card.headroom.units
        self.figures = Figures(
            headroom={name: NanoUsd(left) for name, left in headroom.items()},
            keys=Counter((card.supplier, card.state) for card in cards),
            webhooks=await self._count(schema.webhook, schema.webhook.c.due_at.is_not(None)),
            notices=await self._count(schema.notice, schema.notice.c.due_at.is_not(None)),
            payouts=await self._count(
                schema.payout, schema.payout.c.state.in_(("requested", "approved", "sent"))
            ),
        )

    async def look(self) -> None:
        """A job: models sold under cost, suppliers whose keys run out, what waits for operators."""
        used = schema.usage.c
        rows = await self._store.fetch(
            sa.select(
                used.model,
                used.provider,
                sa.func.sum(used.charge).label("charge"),
                sa.func.sum(used.cost).label("cost"),
            )
            .where(used.at >= self._clock.now_ms() - DAY_MS)
            .group_by(used.model, used.provider)
        )
        profits: Counter[str] = Counter()
        paces: Counter[str] = Counter()
        for row in rows:
            profits[row.model] += PAR.times(int(row.charge)).units - int(row.cost)
            paces[row.provider] += int(row.cost)
        for model, profit in profits.items():
            if profit <= -_LOSS_LEAST.units:
                await self._alerts.tell("under-cost", model, {"model": model, "loss": -profit})
        await self._running_out(paces)
        await self._payouts()

    async def audited(self) -> None:
        """A job: recomputes the whole ledger and compares other tables with it, unless it has grown
        too large for that."""
        beyond = sa.select(schema.transfer.c.seq).order_by(schema.transfer.c.seq)
        if await self._store.fetch(beyond.offset(_AUDITED_MOST).limit(1)):
            return
        found, asks = await audit(self._store), await check(self._store)
        findings = (*found.findings, *asks.findings, *await check_earning(self._store))
        if findings:
            await self._alerts.tell("audit", "", {"count": len(findings), "first": findings[0]})

    # --- helpers --------------------------------------------------------------------------------

    async def _running_out(self, paces: Mapping[str, int]) -> None:
        cards = [card for card in await self._pool.cards() if card.state in _COUNTS]
        name = lambda card: card.supplier  # noqa: E731 - both sort and group by it
        for supplier, keys in itertools.groupby(sorted(cards, key=name), name):
            level = _level(list(keys))
            if level is None:
                continue
            percent, left = level
            pace = paces.get(supplier, 0)
            facts: dict[str, str | int] = {
                "supplier": supplier,
                "percent": percent,
                "left": left.units,
            }
            if pace:
                facts["hours"] = left.units * 24 // pace
            await self._alerts.tell("pool", f"{supplier}/{percent}", facts)

    async def _payouts(self) -> None:
        table, before = schema.payout.c, self._clock.now_ms() - _PAYOUT_MS
        count = await self._count(
            schema.payout, table.state == "requested", table.created_at < before
        )
        if count:
            await self._alerts.tell("payout", "", {"count": count})

    async def _errors(self) -> None:
        """Checks the answers that ended in this process in the last minutes."""
        now, ended = self._clock.monotonic(), Counter(self._ended)
        self._seen.append((now, ended))
        while len(self._seen) > 1 and self._seen[1][0] <= now - _WINDOW_SECONDS:
            self._seen.popleft()
        lately = ended - self._seen[0][1]
        answers, failed = lately.total(), sum(lately[outcome] for outcome in _FAILED)
        if answers >= _ANSWERS_LEAST and failed * 100 >= answers * _FAILED_PERCENT:
            await self._alerts.tell("errors", "", {"failed": failed, "answers": answers})

    async def _count(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
        rows = await self._store.fetch(sa.select(sa.func.count()).select_from(table).where(*where))
        return int(rows[0][0])


def _level(cards: list[KeyCard]) -> tuple[int, NanoUsd] | None:
    """The lowest level in per cent that a supplier's keys have reached, and what is left."""
    budget = sum(card.budget.units for card in cards)
    left = sum(card.headroom.units for card in cards if card.state in {"active", "cooling"})
    fallen = [level for level in _LEVELS if left * 100 <= budget * level]
    return (min(fallen), NanoUsd(left)) if fallen else None
