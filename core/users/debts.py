"""Debts: what people owe is repaid out of whatever they have, also while they ask nothing."""

from __future__ import annotations

import sqlalchemy as sa

from core import chart, ids
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.ledger.ledger import Ledger
from core.ledger.types import Submission


class Debts:
    """The chore."""

    def __init__(self, *, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock

    async def repay(self) -> None:
        """Everybody who owes something and has something pays."""
        account = schema.account.c
        for row in await self._store.fetch(
            sa.select(account.code).where(
                account.code.like("owed/%"), account.debits_posted > account.credits_posted
            )
        ):
            person = row.code.removeprefix("owed/")
            pockets = await self._ledger.balances(chart.pockets(person))
            if any(balance.available > 0 for balance in pockets.values()):
                cause = f"owed/{person}/{ids.new('rep', self._clock.now_ms())}"
                await self._ledger.submit(Submission(cause, (chart.repay_owed(person),)))
