"""A payout's steps: each a state that follows another, its entries and its notice, all or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from core import chart
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Insert, Update
from core.earnings.payouts import PAYOUT, Payout, PayoutMoved, State, payout_of
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, Entry, HoldResolved, IdempotencyConflict, Submission
from core.notification import notice
from core.users.service import survivor

#: With its end nobody needs its address any more, nor is it to be looked at.
_OVER: Mapping[str, None] = {"due_at": None, "sealed": None}


class Steps:
    """Reads payouts, and moves them on."""

    def __init__(self, *, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock

    async def rows(
        self, *where: sa.ColumnElement[bool], most: int = 1, oldest: bool = False
    ) -> list[Payout]:
        """Those that are so, the newest first unless the oldest are wanted."""
        table = schema.payout
        order = table.c.id if oldest else table.c.id.desc()
        rows = await self._store.fetch(sa.select(table).where(*where).order_by(order).limit(most))
        return [payout_of(row) for row in rows]

    async def get(self, payout: str) -> Payout:
        """One; raises `PayoutMoved` when there is none."""
        found = await self.rows(schema.payout.c.id == payout)
        if not found:
            raise PayoutMoved(payout)
        return found[0]

    async def payee(self, one: Payout) -> tuple[str, Companion]:
        """Who gets it now: its person, or whose part they became; and what keeps that true."""
        return await survivor(self._store, one.person)

    async def moved(
        self,
        one: Payout,
        state: State,
        entries: Sequence[Entry] = (),
        *,
        change: Mapping[str, Any],
        also: Sequence[Companion] = (),
    ) -> None:
        """From where it stood when it was read. Raises `PayoutMoved` when it doesn't any more."""
        companions = (
            self._stands(one, state, change),
            self._told(one, (await self.payee(one))[0], state, str(change.get("reason", ""))),
            *also,
        )
        submission = Submission(f"payout/{one.id}/{state}", tuple(entries), companions)
        try:
            receipt = await self._ledger.submit(submission)
        except (CompanionRefused, HoldResolved, IdempotencyConflict):
            raise PayoutMoved(one.id) from None
        if receipt.existed:  # somebody else has just done the same
            raise PayoutMoved(one.id)

    async def ended(
        self,
        one: Payout,
        state: State,
        entries: Sequence[Entry],
        *,
        change: Mapping[str, Any],
        also: Sequence[Companion] = (),
    ) -> None:
        """The same, at an end: nobody needs its address any more."""
        await self.moved(one, state, entries, change={**_OVER, **change}, also=also)

    async def released(
        self, one: Payout, state: State, *, by: str, reason: str, also: Sequence[Companion] = ()
    ) -> Payout:
        """It ends before it was sent: what it held is there again, and first repays what is owed.
        Raises `PayoutMoved`."""
        person, still = await self.payee(one)
        entries: tuple[Entry, ...] = (
            *chart.not_withdrawn(one.id, one.hold),
            chart.repay_owed(one.person),
        )
        if person != one.person:  # what comes back is passed on to whom it belongs now
            also = (*also, self.aged(one, person), still)
        change = {"decided_by": by, "reason": reason}
        await self.ended(one, state, entries, change=change, also=also)
        return await self.get(one.id)

    def taken_back(
        self, one: Payout, person: str, reason: str
    ) -> tuple[list[Entry], list[Companion]]:
        """What cancels one in a submission of somebody else's, for a person who owes."""
        companions: list[Companion] = [
            self._stands(one, "cancelled", {**_OVER, "reason": reason}),
            self._told(one, person, "cancelled", reason),
        ]
        if person != one.person:
            companions.append(self.aged(one, person))
        return list(chart.not_withdrawn(one.id, one.hold)), companions

    def aged(self, one: Payout, person: str) -> Insert:
        """What comes back is as old as it was."""
        row = {
            "id": f"payout/{one.id}",
            "person": person,
            "credits": one.credits.units,
            "at": self._clock.now_ms(),
        }
        return Insert(schema.matured, row)

    def _stands(self, one: Payout, state: State, change: Mapping[str, Any]) -> Update:
        row = {"state": state, "state_at": self._clock.now_ms(), **change}
        return Update(schema.payout, {"id": one.id}, row, {"state": one.state})

    def _told(self, one: Payout, person: str, what: State, reason: str) -> Insert:
        return notice(
            self._clock,
            cause_id=f"payout/{one.id}/{what}",
            person=person,
            kind=PAYOUT,
            facts={
                "what": what,
                "payout": one.id,
                "credits": one.credits.units,
                "cash": one.cash.units,
                "reason": reason,
            },
        )
