"""When a gateway is asked about an order without a message: often while it waits, ever more seldom
as it grows older, for as long as money can come, and as long as it can go back.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Update
from core.ledger.ledger import Ledger
from payments.orders import FIRST_CHECK_MS
from payments.types import Order

#: Money of a payment can go back for so long, by a refund or a dispute.
REVERSIBLE_DAYS = 180
#: What was given up may still be paid so long after its checkout closed: BTCPay Server watches for
#: a week, a payment in review takes days.
LATE_DAYS = 14
#: The longest pauses: while money is on its way, once an order was given up, once it was paid.
_PROCESSING_PAUSE_MAX_MS = DAY_MS // 2
_ENDED_PAUSE_MAX_MS = DAY_MS
_CREDITED_PAUSE_MAX_MS = 7 * DAY_MS
_CREDITED_PAUSE_MIN_MS = 3_600_000
#: A pause is an order's age divided by this.
_AGE_SHARE = 2


def compute_next_check(order: Order, now_ms: int, *, is_listed: bool) -> int | None:
    """When an order is to be asked about again (ms UTC), None: never. `is_listed`: its gateway's
    own list has all that is paid and all that goes back."""
    age = now_ms - order.created_at
    growing = max(FIRST_CHECK_MS, age // _AGE_SHARE)
    if order.is_open:
        return now_ms  # at each turn
    if order.state == "processing":
        return now_ms + min(growing, _PROCESSING_PAUSE_MAX_MS)
    if order.dispute_state == "open":
        return now_ms + min(growing, _ENDED_PAUSE_MAX_MS)
    if is_listed:
        return None
    if order.state == "credited":
        pause = min(max(growing, _CREDITED_PAUSE_MIN_MS), _CREDITED_PAUSE_MAX_MS)
        return now_ms + pause if age + pause <= REVERSIBLE_DAYS * DAY_MS else None
    pause = min(growing, _ENDED_PAUSE_MAX_MS)
    return now_ms + pause if now_ms + pause <= order.expires_at + LATE_DAYS * DAY_MS else None


class OrderChecks:
    """The schedule by which orders are asked about."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock

    async def list_due(self, gateway: str, *, waiting_max: int, paid_max: int) -> list[str]:
        """The ids of a gateway's orders that are due, those first that have waited longest: whose
        money hasn't come, then the others."""
        table = schema.order.c
        is_waiting = table.state.in_(("created", "pending", "processing"))
        return [
            *await self._list_ids(gateway, is_waiting, waiting_max),
            *await self._list_ids(gateway, ~is_waiting, paid_max),
        ]

    async def list_paid(self, gateway: str, *, since_ms: int) -> list[str]:
        """The ids of all orders of a gateway since then of which something was paid."""
        table = schema.order.c
        rows = await self._db.fetch(
            sa.select(table.id)
            .where(table.gateway == gateway, table.created_at >= since_ms, table.paid > 0)
            .order_by(table.id)
        )
        return [row.id for row in rows]

    async def schedule_next(self, order: Order, *, is_listed: bool, at_most_ms: int = 0) -> None:
        """It was asked about: says when it is due again; `at_most_ms`: in so many at the latest."""
        now = self._clock.now_ms()
        due = compute_next_check(order, now, is_listed=is_listed)
        if at_most_ms:
            due = min(now + at_most_ms, due or now + at_most_ms)
        await self._ledger.record(Update(schema.order, {"id": order.id}, {"check_at": due}))

    async def _list_ids(self, gateway: str, which: sa.ColumnElement[bool], limit: int) -> list[Any]:
        table = schema.order.c
        rows = await self._db.fetch(
            sa.select(table.id)
            .where(table.gateway == gateway, table.check_at <= self._clock.now_ms(), which)
            .order_by(table.check_at, table.id)
            .limit(limit)
        )
        return [row.id for row in rows]
