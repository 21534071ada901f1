"""The monitor: what operators are alerted to, found by jobs; and the figures of the last check."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from core.admin.alerts import AlertKind, Alerts
from core.admin.audit import audit_books
from core.asks.repository import select_doubted_recordings
from core.asks.unpaid_work import select_paused_people
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Database
from core.money import NanoUsd
from core.payment_records import PaymentRecords
from core.pool.pool import Pool
from core.pool.types import KeySummary
from core.pricing.formula import PAR

#: Shares of all budgets at a supplier that are left, in per cent, at which operators are alerted.
_LEVELS: Final = (20, 5, 0)
#: A model's loss below this, in nano-dollars, raises no alert.
_MIN_LOSS: Final = NanoUsd(10_000_000)
#: How long a payout may wait for a decision, in milliseconds.
_PAYOUT_WAIT_MAX_MS: Final = DAY_MS
#: Audio is looked at for so long after its end, so that one alert tells of it, or two.
_AUDIO_WINDOW_MS: Final = 3_600_000
#: Refused pictures likewise, for less than the hour within which no alert comes twice.
_PICTURES_WINDOW_MS: Final = 1_800_000
#: Of at least so many answers within the window so many per cent may fail.
_WINDOW_SECONDS: Final = 600.0
_MIN_ANSWERS: Final = 20
_FAILED_PERCENT: Final = 20
#: What a supplier says that can't be true, or that nobody knows, is told when it came so often
#: within the window.
_REPEATED: Final = 5
_REPEATED_KINDS: Final[tuple[AlertKind, ...]] = ("usage-gap", "unknown-fault")
_FAILED_OUTCOMES: Final = ("refused", "broken", "timed_out", "lost")
#: A ledger of more transfers isn't recomputed beside the service: it would take processor time from
#: answers for too long. `creditbot audit` does that in a process of its own.
_AUDITED_MOST: Final = 500_000
#: Keys in these states count with their budget.
_COUNTED_STATES: Final = frozenset({"active", "cooling", "parked", "exhausted"})


@dataclass(frozen=True, slots=True)
class MonitorFigures:
    """The figures of the monitor's last check, for metrics."""

    #: Nano-dollars that keys can still cost, by supplier; keys, by supplier and state.
    headroom: Mapping[str, NanoUsd] = field(default_factory=dict)
    keys: Mapping[tuple[str, str], int] = field(default_factory=dict)
    #: How many wait: gateways' messages, notifications, payouts.
    webhooks: int = 0
    notifications: int = 0
    payouts: int = 0


class Monitor:
    """Checks the service, alerts operators, and keeps the figures."""

    def __init__(
        self,
        *,
        alerts: Alerts,
        db: Database,
        payment_records: PaymentRecords,
        pool: Pool,
        outcome_counts: Mapping[str, int],
        usage_gap_counts: Mapping[str, int],
        clock: Clock,
    ) -> None:
        """`outcome_counts` says how many asks ended in this process, by outcome;
        `usage_gap_counts`, by supplier, how many were told a usage that can't be true."""
        self._alerts, self._db, self._pool = alerts, db, pool
        self._payment_records = payment_records
        self._outcome_counts, self._clock = outcome_counts, clock
        self._usage_gap_counts = usage_gap_counts
        self.figures = MonitorFigures()
        self._samples: deque[tuple[float, Counter[tuple[str, str]]]] = deque()

    async def check_process(self) -> None:
        """A job on every process: checks what this process alone knows, and updates the figures."""
        for supplier in self._pool.list_down_suppliers():
            await self._alerts.send_alert("supplier", supplier, {"supplier": supplier})
        recent = self._count_recent()
        await self._check_error_rate(recent)
        await self._check_suppliers_words(recent)
        keys = await self._pool.list_keys()
        headroom: Counter[str] = Counter()
        for key in keys:
            headroom[key.supplier] += key.headroom.units
        self.figures = MonitorFigures(
            headroom={name: NanoUsd(left) for name, left in headroom.items()},
            keys=Counter((card.supplier, card.state) for card in keys),
            webhooks=await self._payment_records.count_waiting_webhooks(),
            notifications=await self._count(schema.notice, schema.notice.c.due_at.is_not(None)),
            payouts=await self._count(
                schema.payout, schema.payout.c.state.in_(("requested", "approved", "sent"))
            ),
        )

    async def check_service(self) -> None:
        """A job: models sold under cost, suppliers whose keys run out, audio that was longer
        than counted, what waits for operators."""
        usage = schema.usage.c
        rows = await self._db.fetch(
            sa.select(
                usage.model,
                usage.provider,
                sa.func.sum(usage.charge).label("charge"),
                sa.func.sum(usage.cost).label("cost"),
            )
            .where(usage.at >= self._clock.now_ms() - DAY_MS)
            .group_by(usage.model, usage.provider)
        )
        profits: Counter[str] = Counter()
        daily_costs: Counter[str] = Counter()
        for row in rows:
            profits[row.model] += PAR.multiply_by(int(row.charge)).units - int(row.cost)
            daily_costs[row.provider] += int(row.cost)
        for model, profit in profits.items():
            if profit <= -_MIN_LOSS.units:
                await self._alerts.send_alert(
                    "under-cost", model, {"model": model, "loss": -profit}
                )
        await self._check_budgets(daily_costs)
        await self._check_audio()
        await self._check_pictures()
        await self._check_payouts()

    async def audit_ledger(self) -> None:
        """A job: recomputes the whole ledger and compares other tables with it, unless it has grown
        too large for that."""
        transfers = sa.select(schema.transfer.c.seq).order_by(schema.transfer.c.seq)
        if await self._db.fetch(transfers.offset(_AUDITED_MOST).limit(1)):
            return
        findings = (await audit_books(self._db, self._payment_records)).findings
        if findings:
            await self._alerts.send_alert(
                "audit", "", {"count": len(findings), "first": findings[0]}
            )

    # --- helpers --------------------------------------------------------------------------------

    async def _check_budgets(self, daily_costs: Mapping[str, int]) -> None:
        keys = [card for card in await self._pool.list_keys() if card.state in _COUNTED_STATES]
        supplier_of = lambda card: card.supplier  # noqa: E731 - both sort and group by it
        for supplier, supplier_keys in itertools.groupby(
            sorted(keys, key=supplier_of), supplier_of
        ):
            level = _find_lowest_level(list(supplier_keys))
            if level is None:
                continue
            percent, headroom = level
            daily_cost = daily_costs.get(supplier, 0)
            facts: dict[str, str | int] = {
                "supplier": supplier,
                "percent": percent,
                "left": headroom.units,
            }
            if daily_cost:
                facts["hours"] = headroom.units * 24 // daily_cost
            await self._alerts.send_alert("pool", f"{supplier}/{percent}", facts)

    async def _check_audio(self) -> None:
        """Audio in which its supplier heard far more than was counted, by whom it was sent."""
        since = self._clock.now_ms() - _AUDIO_WINDOW_MS
        for row in await self._db.fetch(select_doubted_recordings(since)):
            facts = {
                "person": row.person,
                "supplier": row.provider,
                "held": int(row.held),
                "heard": int(row.heard),
            }
            await self._alerts.send_alert("audio", row.person, facts)

    async def _check_pictures(self) -> None:
        """People whose pictures models' rules refused too often today, once."""
        now = self._clock.now_ms()
        paused = select_paused_people(now // DAY_MS * DAY_MS, now - _PICTURES_WINDOW_MS)
        for row in await self._db.fetch(paused):
            facts = {"person": row.person, "count": int(row.refusals)}
            await self._alerts.send_alert("pictures", row.person, facts)

    async def _check_payouts(self) -> None:
        table, before = schema.payout.c, self._clock.now_ms() - _PAYOUT_WAIT_MAX_MS
        count = await self._count(
            schema.payout, table.state == "requested", table.created_at < before
        )
        if count:
            await self._alerts.send_alert("payout", "", {"count": count})

    def _count_recent(self) -> Counter[tuple[str, str]]:
        """What this process counted in the last minutes, by what it is and of whom."""
        counts = Counter(
            {
                (what, name): count
                for what, counted in (
                    ("outcome", self._outcome_counts),
                    ("usage-gap", self._usage_gap_counts),
                    ("unknown-fault", self._pool.unknown_fault_counts),
                )
                for name, count in counted.items()
            }
        )
        now = self._clock.monotonic()
        self._samples.append((now, counts))
        while len(self._samples) > 1 and self._samples[1][0] <= now - _WINDOW_SECONDS:
            self._samples.popleft()
        return counts - self._samples[0][1]

    async def _check_suppliers_words(self, recent: Mapping[tuple[str, str], int]) -> None:
        """Checks what suppliers say that can't be true, or that nobody knows."""
        for (what, supplier), count in recent.items():
            for kind in _REPEATED_KINDS:
                if what == kind and count >= _REPEATED:
                    facts: dict[str, str | int] = {"supplier": supplier, "count": count}
                    await self._alerts.send_alert(kind, supplier, facts)

    async def _check_error_rate(self, recent: Mapping[tuple[str, str], int]) -> None:
        """Checks the answers that ended in this process in the last minutes."""
        outcomes = Counter({name: n for (what, name), n in recent.items() if what == "outcome"})
        answers, failed = outcomes.total(), sum(outcomes[one] for one in _FAILED_OUTCOMES)
        if answers >= _MIN_ANSWERS and failed * 100 >= answers * _FAILED_PERCENT:
            await self._alerts.send_alert("errors", "", {"failed": failed, "answers": answers})

    async def _count(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
        rows = await self._db.fetch(sa.select(sa.func.count()).select_from(table).where(*where))
        return int(rows[0][0])


def _find_lowest_level(keys: list[KeySummary]) -> tuple[int, NanoUsd] | None:
    """The lowest level in per cent that a supplier's keys have reached, and what is left."""
    budget = sum(card.budget.units for card in keys)
    headroom = sum(card.headroom.units for card in keys if card.state in {"active", "cooling"})
    reached = [level for level in _LEVELS if headroom * 100 <= budget * level]
    return (min(reached), NanoUsd(headroom)) if reached else None
