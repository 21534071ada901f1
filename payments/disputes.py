"""Disputes: a payer's bank takes money back until it is decided who is right.

While one is open what is left of its order is held. Won: it is the person's again. Lost: it goes
back, and the worth of what was spent meanwhile is bad debt. Operators are notified of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from core import chart, ids
from core.clock import Clock
from core.db import schema
from core.db.database import Database
from core.db.writes import Companion, Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import Entry, Submission
from core.money import Credits, NanoUsd
from core.notification import OPERATORS, notification_row
from core.pricing.formula import PAR
from core.pricing.tiers import select_merged_ids
from core.users.service import find_survivor
from payments.offer import Entitlement, Offer
from payments.orders import (
    Orders,
    current_entitlement,
    entitlement_for,
    order_event_row,
    order_update,
    remaining_cash,
)
from payments.referral_share import compute_referral_share
from payments.types import Dispute, Order, PaymentMismatch

#: Kinds of notifications to operators.
DISPUTED, DISPUTE_ENDED = "disputed", "dispute_ended"


class Disputes:
    """The service that works out what each step of a dispute does to its order."""

    def __init__(
        self, *, orders: Orders, db: Database, ledger: Ledger, clock: Clock, offer: Offer
    ) -> None:
        self._orders, self._db, self._ledger = orders, db, ledger
        self._clock, self._offer = clock, offer

    @staticmethod
    def expand_steps(dispute: Dispute) -> Sequence[Dispute]:
        """The dispute with the steps that must have come before: a loss counts, though no gateway
        had said that it was open."""
        return (replace(dispute, state="open"), dispute) if dispute.state == "lost" else (dispute,)

    async def prepare_submission(self, order_id: str, dispute: Dispute) -> Submission | None:
        """The submission of one step, None when it was done before or concerns nothing."""
        order = await self._orders.get(order_id)
        if type(dispute.amount) is not NanoUsd:
            raise PaymentMismatch(order.id, "unit")
        known_disputes = await self._list_rows(order.id)
        recorded = known_disputes.get((dispute.gateway, dispute.id))
        if dispute.state == "open":
            return None if recorded is not None else await self._open(order, dispute)
        if recorded is None or recorded.state != "open":
            return None  # done before; or won before we heard of it, and nothing was moved
        others = any(row.state == "open" for row in known_disputes.values() if row is not recorded)
        dispute = replace(dispute, amount=NanoUsd(recorded.amount))
        return await self._close(order, dispute, int(recorded.opened_at), others)

    async def _open(self, order: Order, dispute: Dispute) -> Submission:
        assert isinstance(dispute.amount, NanoUsd)
        person, person_guard = await find_survivor(self._db, order.person)
        now = self._clock.now_ms()
        row = {
            "gateway": dispute.gateway,
            "external": dispute.id,
            "id": ids.derive_id("dsp", now, dispute.gateway, dispute.id),
            "order": order.id,
            "payment": dispute.payment,
            "amount": dispute.amount.units,
            "state": "open",
            "reason": dispute.reason,
            "opened_at": now,
            "due_at": dispute.due_at,
            "ended_at": None,
        }
        return Submission(
            _submission_id(dispute),
            chart.open_dispute(
                person,
                order.id,
                dispute.gateway,
                dispute.amount,
                bought=order.bought,
                bonus=order.bonus,
            ),
            (
                Insert(schema.dispute, row),
                order_update(order, {"dispute": dispute.id, "dispute_state": "open"}),
                order_event_row(self._clock, order.id, "dispute open", amount=dispute.amount.units),
                self._notification(DISPUTED, order, dispute),
                person_guard,
            ),
        )

    async def _close(
        self, order: Order, dispute: Dispute, opened_at: int, others_open: bool
    ) -> Submission:
        """`others_open`: more of this order's payments are disputed still, so the rest stays
        held."""
        person, person_guard = await find_survivor(self._db, order.person)
        held = await self._held_entitlement(order.id)
        outcome = (
            _win(dispute)
            if dispute.state == "won"
            else await self._lose(order, dispute, person, opened_at, held)
        )
        still_held = Entitlement(held.bought + outcome.came_back, held.bonus) - outcome.removed
        released = chart.release_dispute(
            person, order.id, bought=still_held.bought, bonus=still_held.bonus
        )
        state = "open" if others_open else dispute.state
        key = {"gateway": dispute.gateway, "external": dispute.id}
        change = {"state": dispute.state, "ended_at": self._clock.now_ms()}
        return Submission(
            _submission_id(dispute),
            (*outcome.entries, *(() if others_open else released)),
            (
                Update(schema.dispute, key, change, {"state": "open"}),
                order_update(
                    order, {"dispute": dispute.id, "dispute_state": state, **outcome.change}
                ),
                order_event_row(
                    self._clock, order.id, f"dispute {dispute.state}", **outcome.figures
                ),
                self._notification(DISPUTE_ENDED, order, dispute),
                person_guard,
                *outcome.companions,
            ),
        )

    async def _lose(
        self, order: Order, dispute: Dispute, person: str, opened_at: int, held: Entitlement
    ) -> _DisputeOutcome:
        """The order keeps what the offer gives for what is left of its cash. What running asks held
        of it when the dispute began, and gave back since, is lost too."""
        assert isinstance(dispute.amount, NanoUsd)
        current = current_entitlement(order)
        remaining = remaining_cash(order) - dispute.amount.units
        kept = entitlement_for(order, remaining, self._offer).cap_at(current)
        missing = (current - kept).bought - min(held.bought, (current - kept).bought)
        came_back = min(missing, await self._find_returned_credits(order, person, opened_at))
        held = Entitlement(held.bought + came_back, held.bonus)
        removed = held.cap_at(current - kept)
        returned = min(PAR.multiply_by(removed.bought.units), dispute.amount)
        share = await compute_referral_share(
            self._db,
            self._clock,
            order,
            total_given=kept.total,
            payer=person,
            offer=self._offer,
            cause=_submission_id(dispute),
        )
        entries = (
            *chart.hold_returned_credits(person, order.id, came_back),
            *chart.lose_dispute(order.id, dispute.amount, returned, removed.bought, removed.bonus),
        )
        return _DisputeOutcome(
            (*entries, *share.entries),
            removed,
            {
                "lost": order.lost.units + dispute.amount.units,
                "bought": kept.bought.units,
                "bonus": kept.bonus.units,
                **share.change,
            },
            {
                "amount": dispute.amount.units,
                "bad_debt": (dispute.amount - returned).units,
                **share.figures,
            },
            came_back,
            share.companions,
        )

    async def _find_returned_credits(self, order: Order, person: str, opened_at: int) -> Credits:
        """Bought Credits in a person's pocket that no purchase since the dispute brought there."""
        bought_pocket = chart.pocket(person, "bought")
        balance = (await self._ledger.read_balances([bought_pocket]))[bought_pocket.code]
        paid, table = schema.payment.c, schema.order.c
        later = sa.select(paid.order).where(paid.at >= opened_at)
        rows = await self._db.fetch(
            sa.select(sa.func.coalesce(sa.func.sum(table.bought), 0).label("bought")).where(
                table.person.in_(select_merged_ids(person)),
                table.id != order.id,
                table.id.in_(later),
            )
        )
        return Credits(max(0, balance.available - int(rows[0].bought)))

    async def _list_rows(self, order: str) -> Mapping[tuple[str, str], sa.Row[Any]]:
        table = schema.dispute
        rows = await self._db.fetch(sa.select(table).where(table.c.order == order))
        return {(row.gateway, row.external): row for row in rows}

    async def _held_entitlement(self, order: str) -> Entitlement:
        accounts = [chart.disputed_credits(order, "bought"), chart.disputed_credits(order, "gift")]
        held = await self._ledger.read_balances(accounts)
        bought, bonus = (Credits(held[account.code].available) for account in accounts)
        return Entitlement(bought, bonus)

    def _notification(self, kind: str, order: Order, dispute: Dispute) -> Insert:
        assert isinstance(dispute.amount, NanoUsd)
        return notification_row(
            self._clock,
            cause_id=f"{_submission_id(dispute)}/told",
            person=OPERATORS,
            kind=kind,
            facts={
                "order": order.id,
                "gateway": dispute.gateway,
                "dispute": dispute.id,
                "state": dispute.state,
                "amount": dispute.amount.units,
                "due_at": dispute.due_at or 0,
            },
        )


@dataclass(frozen=True, slots=True)
class _DisputeOutcome:
    """The outcome of a dispute: what its end moves, and what it changes of its order."""

    entries: tuple[Entry, ...]
    #: Of what was held, what is nobody's any more.
    removed: Entitlement
    change: Mapping[str, Any]
    figures: Mapping[str, int]
    #: What its end itself holds first, since it came back to the person while it ran.
    came_back: Credits
    companions: tuple[Companion, ...] = ()


def _win(dispute: Dispute) -> _DisputeOutcome:
    """Everything is as it was before the dispute."""
    assert isinstance(dispute.amount, NanoUsd)
    cash = (chart.win_dispute(dispute.gateway, dispute.amount),)
    nothing, figures = Credits(0), {"amount": dispute.amount.units}
    return _DisputeOutcome(cash, Entitlement(nothing, nothing), {}, figures, came_back=nothing)


def _submission_id(dispute: Dispute) -> str:
    return f"dispute/{dispute.gateway}/{dispute.id}/{dispute.state}"
