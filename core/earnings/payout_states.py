"""The states of a payout: each transition writes its entries and its notification, all or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from core import chart
from core.db import schema
from core.db.writes import Companion, Insert, Update, UpdateAll
from core.earnings.payouts import (
    PAYOUT_CHANGED,
    Payout,
    PayoutState,
    PayoutStateConflict,
    payout_from_row,
)
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, Entry, HoldResolved, IdempotencyConflict, Submission
from core.notification import cancel_notification, list_undelivered, notification_row
from core.users.service import find_survivor

#: Columns of a payout at its end: its address is deleted, and nothing more is due.
_FINAL_VALUES: Mapping[str, None] = {"due_at": None, "sealed": None}
#: Steps on the way are told a minute later, unless the next step was taken by then.
_PASSING_STEPS: Final = frozenset({"approved", "sent"})
_PASSING_STEP_DELAY_MS: Final = 60_000


class PayoutStateMachine:
    """Reads payouts and moves each from one state to the next."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock

    async def list_payouts(
        self, *where: sa.ColumnElement[bool], limit: int = 1, oldest_first: bool = False
    ) -> list[Payout]:
        """Payouts that match the conditions, the newest first unless the oldest are wanted."""
        table = schema.payout
        order = table.c.id if oldest_first else table.c.id.desc()
        rows = await self._db.fetch(sa.select(table).where(*where).order_by(order).limit(limit))
        return [payout_from_row(row) for row in rows]

    async def get(self, payout: str) -> Payout:
        """A payout by its id; raises `PayoutStateConflict` when there is none."""
        payouts = await self.list_payouts(schema.payout.c.id == payout)
        if not payouts:
            raise PayoutStateConflict(payout)
        return payouts[0]

    async def find_payee(self, payout: Payout) -> tuple[str, Companion]:
        """Who gets a payout now: its person, or whom they were merged into; and a companion that
        refuses the submission when that changes."""
        return await find_survivor(self._db, payout.person)

    async def transition(
        self,
        payout: Payout,
        state: PayoutState,
        entries: Sequence[Entry] = (),
        *,
        change: Mapping[str, Any],
        companions: Sequence[Companion] = (),
    ) -> None:
        """Moves a payout from the state in which it was read to `state`. Raises
        `PayoutStateConflict` when it has left that state."""
        payee, _ = await self.find_payee(payout)
        all_companions = (
            self._build_update(payout, state, change),
            *await self._list_outdated_notifications(payout, payee),
            self._build_notification(payout, payee, state, str(change.get("reason", ""))),
            *companions,
        )
        submission = Submission(f"payout/{payout.id}/{state}", tuple(entries), all_companions)
        try:
            receipt = await self._ledger.submit(submission)
        except (CompanionRefused, HoldResolved, IdempotencyConflict):
            raise PayoutStateConflict(payout.id) from None
        if receipt.existed:  # somebody else has just done the same
            raise PayoutStateConflict(payout.id)

    async def end_payout(
        self,
        payout: Payout,
        state: PayoutState,
        entries: Sequence[Entry],
        *,
        change: Mapping[str, Any],
        companions: Sequence[Companion] = (),
    ) -> None:
        """Moves a payout to a final state, where its address is deleted."""
        await self.transition(
            payout, state, entries, change={**_FINAL_VALUES, **change}, companions=companions
        )

    async def release_payout(
        self,
        payout: Payout,
        state: PayoutState,
        *,
        actor: str,
        reason: str,
        companions: Sequence[Companion] = (),
    ) -> Payout:
        """Ends a payout before it was sent: its held Credits come back, and first repay what is
        owed. Raises `PayoutStateConflict`."""
        person, payee_unmerged = await self.find_payee(payout)
        entries: tuple[Entry, ...] = (
            *chart.void_withdrawal(payout.id, payout.hold),
            chart.repay_owed(payout.person),
        )
        if person != payout.person:  # what comes back is passed on to whom they were merged into
            companions = (*companions, self.build_matured_row(payout, person), payee_unmerged)
        change = {"decided_by": actor, "reason": reason}
        await self.end_payout(payout, state, entries, change=change, companions=companions)
        return await self.get(payout.id)

    def build_cancellation(
        self, payout: Payout, person: str, reason: str
    ) -> tuple[list[Entry], list[Companion]]:
        """The entries and rows that cancel a payout within another submission, for a person who
        owes."""
        companions: list[Companion] = [
            self._build_update(payout, "cancelled", {**_FINAL_VALUES, "reason": reason}),
            self._build_notification(payout, person, "cancelled", reason),
        ]
        if person != payout.person:
            companions.append(self.build_matured_row(payout, person))
        return list(chart.void_withdrawal(payout.id, payout.hold)), companions

    def build_matured_row(self, payout: Payout, person: str) -> Insert:
        """The row by which Credits that come back keep their age."""
        row = {
            "id": f"payout/{payout.id}",
            "person": person,
            "credits": payout.credits.units,
            "at": self._clock.now_ms(),
        }
        return Insert(schema.matured, row)

    def _build_update(
        self, payout: Payout, state: PayoutState, change: Mapping[str, Any]
    ) -> Update:
        row = {"state": state, "state_at": self._clock.now_ms(), **change}
        return Update(schema.payout, {"id": payout.id}, row, {"state": payout.state})

    async def _list_outdated_notifications(self, payout: Payout, person: str) -> list[UpdateAll]:
        """What of a payout nobody was told yet: its next step says it, too."""
        waiting = await list_undelivered(self._db, kind=PAYOUT_CHANGED, person=person)
        return [
            cancel_notification(id_) for id_, facts in waiting if facts.get("payout") == payout.id
        ]

    def _build_notification(
        self, payout: Payout, person: str, state: PayoutState, reason: str
    ) -> Insert:
        return notification_row(
            self._clock,
            cause_id=f"payout/{payout.id}/{state}",
            person=person,
            kind=PAYOUT_CHANGED,
            facts={
                "what": state,
                "payout": payout.id,
                "credits": payout.credits.units,
                "cash": payout.cash.units,
                "reason": reason,
            },
            delay_ms=_PASSING_STEP_DELAY_MS if state in _PASSING_STEPS else 0,
        )
