"""Disputes: a payer's bank takes money back until it is decided who is right.

While one is open what is left of its order is held. Won: it is the person's again. Lost: it goes
back, and the worth of what was spent meanwhile is bad debt. An end may not be the last word: an
appeal or another review takes it up again, and then all of that is undone. Operators are notified
of each step, and the buyer of what is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from core import chart
from core.db import schema
from core.db.writes import Companion, Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import (
    CompanionRefused,
    Entry,
    IdempotencyConflict,
    InsufficientFunds,
    Submission,
)
from core.money import NanoUsd
from core.notification import OPERATORS, notification_row
from core.users.service import find_survivor
from payments.dispute_steps import DisputeStep, DisputeSteps, amount_of, step_id
from payments.gateways.base import Gateway, SupportsDisputeLookup
from payments.offer import Offer
from payments.orders import (
    Orders,
    order_event_row,
    order_update,
)
from payments.types import Dispute, Order, PaymentMismatch

#: The kind of notification to operators of what a gateway takes for a dispute.
DISPUTE_FEE = "dispute_fee"


class Disputes:
    """The service that works out what each step of a dispute does to its order."""

    def __init__(
        self, *, orders: Orders, ledger: Ledger, offer: Offer, gateways: Mapping[str, Gateway]
    ) -> None:
        """`gateways` are asked again before what ended is taken up on their word."""
        self._orders, self._db, self._ledger = orders, ledger.db, ledger
        self._clock, self._gateways = ledger.clock, gateways
        self._steps = DisputeSteps(ledger=ledger, offer=offer)

    async def prepare_submission(
        self, order_id: str, dispute: Dispute
    ) -> tuple[Submission | None, Dispute]:
        """The submission of the next step towards how the dispute stands, which is given too, since
        its gateway may have been asked; None when it stands like that already, or concerns nothing.
        A loss that nobody had heard begin has begun. Raises `GatewayUnavailable`."""
        order = await self._orders.get(order_id)
        if type(dispute.amount) is not NanoUsd:
            raise PaymentMismatch(order.id, "unit")
        rows = await self._list_rows(order.id)
        row = rows.get((dispute.gateway, dispute.id))
        person, person_guard = await find_survivor(self._db, order.person)
        if row is None:
            if dispute.state == "won" and (dispute.fee is None or dispute.fee.is_zero):
                return None, dispute  # nothing was moved
            step = await self._steps.open_dispute(order, dispute, person)
            return self._compose(order, dispute, person, step, None, person_guard), dispute
        if _contradicts(row, dispute):
            dispute = await self._ask_again(order, dispute)
        if row.state == dispute.state:
            return self._prepare_fee(order, dispute, row), dispute
        if row.state == "won":
            stepped = replace(dispute, turn=row.turn + 1)
            step = await self._steps.reopen_won(order, stepped, person)
        elif row.state == "lost":
            stepped = replace(dispute, turn=row.turn + 1, amount=NanoUsd(row.amount))
            step = await self._steps.reopen_lost(order, stepped, person, row)
        else:
            stepped = replace(dispute, turn=row.turn, amount=NanoUsd(row.amount))
            others = any(one.state == "open" for one in rows.values() if one is not row)
            step = await self._steps.close_dispute(order, stepped, person, row, others_open=others)
        return self._compose(order, stepped, person, step, row, person_guard), dispute

    async def hold_returned_credits(self) -> None:
        """A job: holds what answers that were being written when a dispute began have given back
        since, before it is spent."""
        table = schema.dispute
        for row in await self._db.fetch(
            sa.select(table).where(table.c.state == "open", table.c.running > 0)
        ):
            order = await self._orders.get(row.order)
            person, person_guard = await find_survivor(self._db, order.person)
            amount, entries = await self._steps.hold_returned_credits(order, person, row)
            if amount.is_zero:
                continue
            key = {"gateway": row.gateway, "external": row.external}
            known = {"state": "open", "turn": row.turn, "running": row.running}
            submission = Submission(
                f"dispute/{row.gateway}/{row.external}/held/{row.turn}/{row.running}",
                entries,
                (
                    Update(table, key, {"running": row.running - amount.units}, known),
                    # It is still held for this order alone, as it stands.
                    order_update(order, {"dispute_state": "open"}),
                    order_event_row(self._clock, order.id, "held", credits=amount.units),
                    person_guard,
                ),
            )
            # Spent or changed meanwhile: the next turn looks again.
            with suppress(CompanionRefused, InsufficientFunds, IdempotencyConflict):
                await self._ledger.submit(submission)

    async def _ask_again(self, order: Order, dispute: Dispute) -> Dispute:
        """How it stands now, since what was said may be older than what is recorded."""
        provider: object = self._gateways.get(dispute.gateway)
        if not isinstance(provider, SupportsDisputeLookup):
            return dispute
        return await provider.fetch_dispute(order, dispute)

    def _prepare_fee(self, order: Order, dispute: Dispute, row: sa.Row[Any]) -> Submission | None:
        """What the gateway takes for it, known since or changed; None when it is in the books."""
        if dispute.fee is None or dispute.fee.units == row.fee:
            return None
        fee = dispute.fee.units
        dispute = replace(dispute, turn=row.turn, amount=NanoUsd(row.amount))
        change, known = {"fee": fee}, {"fee": row.fee, "turn": row.turn}
        cause = f"dispute/{dispute.gateway}/{dispute.id}/fee/{row.turn}/{row.fee}-{fee}"
        return Submission(
            cause,
            _fee_entries(dispute, row.fee),
            (
                Update(schema.dispute, _key(dispute), change, known),
                order_event_row(self._clock, order.id, "dispute fee", fee=fee),
                self._notification(cause, DISPUTE_FEE, order, dispute),
            ),
        )

    def _compose(
        self,
        order: Order,
        dispute: Dispute,
        person: str,
        step: DisputeStep,
        row: sa.Row[Any] | None,
        person_guard: Companion,
    ) -> Submission:
        """The submission of a step, with the gateway's fee as far as it is told."""
        fee_entries = _fee_entries(dispute, 0 if row is None else row.fee)
        change = dict(step.row_change)
        state = str(change["state"])
        cause = step_id(replace(dispute, state=state))  # type: ignore[arg-type]
        if fee_entries and dispute.fee is not None:
            change |= {"fee": dispute.fee.units}
        elif row is not None:
            dispute = replace(dispute, fee=NanoUsd(row.fee))
        written = (
            Insert(schema.dispute, change)
            if row is None
            else Update(
                schema.dispute, _key(dispute), change, {"state": row.state, "turn": row.turn}
            )
        )
        return Submission(
            cause,
            (*step.entries, *fee_entries),
            (
                written,
                order_update(
                    order, {"dispute": dispute.id, "dispute_state": state, **step.order_change}
                ),
                order_event_row(self._clock, order.id, f"dispute {state}", **step.figures),
                self._notification(cause, step.kind, order, replace(dispute, state=state)),  # type: ignore[arg-type]
                *self._buyer_notifications(cause, order, dispute, person, step),
                person_guard,
                *step.companions,
            ),
        )

    async def _list_rows(self, order: str) -> Mapping[tuple[str, str], sa.Row[Any]]:
        table = schema.dispute
        rows = await self._db.fetch(sa.select(table).where(table.c.order == order))
        return {(row.gateway, row.external): row for row in rows}

    def _buyer_notifications(
        self, cause: str, order: Order, dispute: Dispute, person: str, step: DisputeStep
    ) -> tuple[Insert, ...]:
        if step.told_buyer is None:
            return ()
        kind, credits_ = step.told_buyer
        return (
            notification_row(
                self._clock,
                cause_id=f"{cause}/buyer",
                person=person,
                kind=kind,
                facts={
                    "order": order.id,
                    "credits": credits_.units,
                    "amount": amount_of(dispute).units,
                    "turn": dispute.turn,
                },
            ),
        )

    def _notification(self, cause: str, kind: str, order: Order, dispute: Dispute) -> Insert:
        return notification_row(
            self._clock,
            cause_id=f"{cause}/told",
            person=OPERATORS,
            kind=kind,
            facts={
                "order": order.id,
                "gateway": dispute.gateway,
                "dispute": dispute.id,
                "state": dispute.state,
                "amount": amount_of(dispute).units,
                "fee": 0 if dispute.fee is None else dispute.fee.units,
                "due_at": dispute.due_at or 0,
            },
        )


def _contradicts(row: sa.Row[Any], dispute: Dispute) -> bool:
    """Whether it may be old news: a state that the dispute has had before comes to differ from what
    is recorded."""
    return bool(row.state != dispute.state and (row.state != "open" or row.turn))


def _fee_entries(dispute: Dispute, known: int) -> tuple[Entry, ...]:
    if dispute.fee is None or dispute.fee.units == known:
        return ()
    change = dispute.fee.units - known
    fee = NanoUsd(abs(change))
    return (chart.book_dispute_fee(dispute.gateway, fee, is_returned=change < 0),)


def _key(dispute: Dispute) -> dict[str, str]:
    return {"gateway": dispute.gateway, "external": dispute.id}
