"""The states of a payout: each transition writes its entries and its notification, all or none."""

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

#: Columns of a payout at its end: its address is deleted, and nothing more is due.
_OVER: Mapping[str, None] = {"due_at": None, "sealed": None}


class Steps:
    """Reads payouts and moves each from one state to the next."""

    def __init__(self, *, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock

    async def rows(
        self, *where: sa.ColumnElement[bool], most: int = 1, oldest: bool = False
    ) -> list[Payout]:
        """Payouts that match the conditions, the newest first unless the oldest are wanted."""
        table = schema.payout
        order = table.c.id if oldest else table.c.id.desc()
        rows = await self._store.fetch(sa.select(table).where(*where).order_by(order).limit(most))
        return [payout_of(row) for row in rows]

    async def get(self, payout: str) -> Payout:
        """A payout by its id; raises `PayoutStateConflict` when there is none."""
        found = await self.rows(schema.payout.c.id == payout)
        if not found:
            raise PayoutMoved(payout)
        return found[0]

    async def payee(self, one: Payout) -> tuple[str, Companion]:
        """Who gets a payout now: its person, or whom they were merged into; and a companion that
        refuses the submission when that changes."""
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
        """Moves a payout from the state in which it was read to `state`. Raises
        `PayoutStateConflict` when it has left that state."""
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
        """Moves a payout to a final state, where its address is deleted."""
        await self.moved(one, state, entries, change={**_OVER, **change}, also=also)

    async def released(
        self, one: Payout, state: State, *, by: str, reason: str, also: Sequence[Companion] = ()
    ) -> Payout:
        """Ends a payout before it was sent: its held Credits come back, and first repay what is
        owed. Raises `PayoutStateConflict`."""
        person, still = await self.payee(one)
        entries: tuple[Entry, ...] = (
            *chart.not_withdrawn(one.id, one.hold),
            chart.repay_owed(one.person),
        )
        if person != one.person:  # what comes back is passed on to whom they were merged into
            also = (*also, self.aged(one, person), still)
        change = {"decided_by": by, "reason": reason}
        await self.ended(one, state, entries, change=change, also=also)
        return await self.get(one.id)

    def taken_back(
        self, one: Payout, person: str, reason: str
    ) -> tuple[list[Entry], list[Companion]]:
        """The entries and rows that cancel a payout within another submission, for a person who
        owes."""
        companions: list[Companion] = [
            self._stands(one, "cancelled", {**_OVER, "reason": reason}),
            self._told(one, person, "cancelled", reason),
        ]
        if person != one.person:
            companions.append(self.aged(one, person))
        return list(chart.not_withdrawn(one.id, one.hold)), companions

    def aged(self, one: Payout, person: str) -> Insert:
        """The row by which Credits that come back keep their age."""
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
