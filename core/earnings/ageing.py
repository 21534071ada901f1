"""What of a person's earned Credits is old enough to be paid out (design § Withdrawing)."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from core import chart
from core.clock import DAY_MS, Clock, as_datetime, as_ms, day_of
from core.db import schema
from core.db.database import Store
from core.earnings.payouts import Earnings
from core.ledger.daily_closings import posted_on
from core.ledger.ledger import Ledger
from core.money import Credits


class Ageing:
    """Knows how long ago Credits came."""

    def __init__(self, *, store: Store, ledger: Ledger, clock: Clock, hold_days: int) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock
        self._days = hold_days

    async def earnings(self, person: str) -> Earnings:
        """What a person has earned; and what of it was there already long enough ago and hasn't
        been used since."""
        cap = await self.cap(person)
        account = chart.pocket(person, "earned")
        balance = (await self._ledger.balances([account]))[account.code]
        gone = balance.debits_posted + balance.debits_pending
        withdrawable = Credits(max(0, min(balance.available, cap.units - gone)))
        all_at = 0
        if withdrawable.units < balance.available:
            day = as_datetime(self._clock.now_ms()).replace(
                hour=0, minute=0, second=0, microsecond=0
            )
            all_at = as_ms(day + timedelta(days=self._days + 1))
        return Earnings(Credits(balance.available), withdrawable, all_at)

    async def cap(self, person: str) -> Credits:
        """All that had ever come into the pocket when the hold days began, and what came later with
        its age."""
        account = chart.pocket(person, "earned")
        if not self._days:
            balance = (await self._ledger.balances([account]))[account.code]
            return Credits(balance.credits_posted)
        # A day more: a day of the books ends at midnight.
        before = self._clock.now_ms() - (self._days + 1) * DAY_MS
        then = await posted_on(self._store, [account.code], day_of(before))
        midnight = before - before % DAY_MS + DAY_MS
        table = schema.matured
        aged = await self._store.fetch(
            sa.select(sa.func.sum(table.c.credits)).where(
                table.c.person == person, table.c.at >= midnight
            )
        )
        return Credits(then[account.code].credits_posted + int(aged[0][0] or 0))
