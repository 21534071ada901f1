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
from core.db.database import Store
from core.db.writes import Companion, Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import Entry, Submission
from core.money import Credits, NanoUsd
from core.notification import OWNERS, notice
from core.pricing.formula import PAR
from core.users.service import survivor
from payments.offer import Given, Offer
from payments.orders import Orders, changed, event, given_for, left, standing
from payments.referral_share import shared
from payments.types import Dispute, Order, PaymentRefused

#: Kinds of notifications to operators.
DISPUTED, DISPUTE_ENDED = "disputed", "dispute_ended"


class Disputes:
    """The service that works out what each step of a dispute does to its order."""

    def __init__(
        self, *, orders: Orders, store: Store, ledger: Ledger, clock: Clock, offer: Offer
    ) -> None:
        self._orders, self._store, self._ledger = orders, store, ledger
        self._clock, self._offer = clock, offer

    @staticmethod
    def steps(dispute: Dispute) -> Sequence[Dispute]:
        """The dispute with the steps that must have come before: a loss counts, though no gateway
        had said that it was open."""
        return (replace(dispute, state="open"), dispute) if dispute.state == "lost" else (dispute,)

    async def worked(self, order_id: str, dispute: Dispute) -> Submission | None:
        """The submission of one step, None when it was done before or concerns nothing."""
        order = await self._orders.get(order_id)
        if type(dispute.amount) is not NanoUsd:
            raise PaymentRefused(order.id, "unit")
        every = await self._of(order.id)
        known = every.get((dispute.gateway, dispute.id))
        if dispute.state == "open":
            return None if known is not None else await self._opened(order, dispute)
        if known is None or known.state != "open":
            return None  # done before; or won before we heard of it, and nothing was moved
        others = any(row.state == "open" for row in every.values() if row is not known)
        return await self._ended(order, replace(dispute, amount=NanoUsd(known.amount)), others)

    async def _opened(self, order: Order, dispute: Dispute) -> Submission:
        assert isinstance(dispute.amount, NanoUsd)
        person, still = await survivor(self._store, order.person)
        now = self._clock.now_ms()
        row = {
            "gateway": dispute.gateway,
            "external": dispute.id,
            "id": ids.derived("dsp", now, dispute.gateway, dispute.id),
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
            _name(dispute),
            chart.dispute_opened(
                person,
                order.id,
                dispute.gateway,
                dispute.amount,
                bought=order.bought,
                bonus=order.bonus,
            ),
            (
                Insert(schema.dispute, row),
                changed(order, {"dispute": dispute.id, "dispute_state": "open"}),
                event(self._clock, order.id, "dispute open", amount=dispute.amount.units),
                self._told(DISPUTED, order, dispute),
                still,
            ),
        )

    async def _ended(self, order: Order, dispute: Dispute, others: bool) -> Submission:
        """`others_open`: more of this order's payments are disputed still, so the rest stays
        held."""
        person, still = await survivor(self._store, order.person)
        end = _won(dispute) if dispute.state == "won" else await self._lost(order, dispute, person)
        rest = await self._held(order.id) - end.gone
        released = chart.dispute_released(person, order.id, bought=rest.bought, bonus=rest.bonus)
        state = "open" if others else dispute.state
        key = {"gateway": dispute.gateway, "external": dispute.id}
        ended = {"state": dispute.state, "ended_at": self._clock.now_ms()}
        return Submission(
            _name(dispute),
            (*end.entries, *(() if others else released)),
            (
                Update(schema.dispute, key, ended, {"state": "open"}),
                changed(order, {"dispute": dispute.id, "dispute_state": state, **end.change}),
                event(self._clock, order.id, f"dispute {dispute.state}", **end.figures),
                self._told(DISPUTE_ENDED, order, dispute),
                still,
                *end.rows,
            ),
        )

    async def _lost(self, order: Order, dispute: Dispute, person: str) -> _End:
        """The order keeps what the offer gives for what is left of its cash."""
        assert isinstance(dispute.amount, NanoUsd)
        stands, held = standing(order), await self._held(order.id)
        now_left = left(order) - dispute.amount.units
        kept = given_for(order, now_left, self._offer).at_most(stands)
        gone = held.at_most(stands - kept)
        returned = min(PAR.times(gone.bought.units), dispute.amount)
        friend = await shared(
            self._store,
            self._clock,
            order,
            gives=kept.total,
            payer=person,
            offer=self._offer,
            cause=_name(dispute),
        )
        entries = chart.dispute_lost(order.id, dispute.amount, returned, gone.bought, gone.bonus)
        return _End(
            (*entries, *friend.entries),
            gone,
            {
                "lost": order.lost.units + dispute.amount.units,
                "bought": kept.bought.units,
                "bonus": kept.bonus.units,
                **friend.change,
            },
            {
                "amount": dispute.amount.units,
                "bad_debt": (dispute.amount - returned).units,
                **friend.figures,
            },
            friend.rows,
        )

    async def _of(self, order: str) -> Mapping[tuple[str, str], sa.Row[Any]]:
        table = schema.dispute
        rows = await self._store.fetch(sa.select(table).where(table.c.order == order))
        return {(row.gateway, row.external): row for row in rows}

    async def _held(self, order: str) -> Given:
        accounts = [chart.disputed(order, "bought"), chart.disputed(order, "gift")]
        held = await self._ledger.balances(accounts)
        bought, bonus = (Credits(held[account.code].available) for account in accounts)
        return Given(bought, bonus)

    def _told(self, kind: str, order: Order, dispute: Dispute) -> Insert:
        assert isinstance(dispute.amount, NanoUsd)
        return notice(
            self._clock,
            cause_id=f"{_name(dispute)}/told",
            person=OWNERS,
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
class _End:
    """The outcome of a dispute: what its end moves, and what it changes of its order."""

    entries: tuple[Entry, ...]
    #: Of what was held, what is nobody's any more.
    gone: Given
    change: Mapping[str, Any]
    figures: Mapping[str, int]
    rows: tuple[Companion, ...] = ()


def _won(dispute: Dispute) -> _End:
    """Everything is as it was before the dispute."""
    assert isinstance(dispute.amount, NanoUsd)
    cash = (chart.dispute_won(dispute.gateway, dispute.amount),)
    return _End(cash, Given(Credits(0), Credits(0)), {}, {"amount": dispute.amount.units})


def _name(dispute: Dispute) -> str:
    return f"dispute/{dispute.gateway}/{dispute.id}/{dispute.state}"
