"""What each step of a dispute moves: its order's Credits, its cash, its inviter's share.

A dispute holds what is left of its order. Won: it is the person's again. Lost: it goes back, and
the worth of what was spent meanwhile is bad debt. Taken up again after its end: all of that is
undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from core import chart, ids
from core.db import schema
from core.db.writes import Companion, Update
from core.ledger.ledger import Ledger
from core.ledger.types import Entry
from core.money import Credits, NanoUsd
from core.pricing.formula import PAR
from core.pricing.tiers import select_merged_ids
from payments.offer import Entitlement, Offer
from payments.orders import current_entitlement, entitlement_for, remaining_cash
from payments.referral_share import ReferralShare, compute_referral_share
from payments.types import Dispute, Order

#: Kinds of notifications to operators.
DISPUTED, DISPUTE_ENDED, DISPUTE_REOPENED = "disputed", "dispute_ended", "dispute_reopened"
#: Kinds of notifications to the buyer.
CREDITS_HELD, CREDITS_RELEASED, CREDITS_LOST = "credits_held", "credits_released", "credits_lost"

_NOTHING = Entitlement(Credits(0), Credits(0))


@dataclass(frozen=True, slots=True)
class DisputeStep:
    """A dispute's step is what a change of its state moves, and what it changes of which row."""

    kind: str
    entries: tuple[Entry, ...]
    #: Of the dispute's row; of the order's.
    row_change: Mapping[str, Any]
    order_change: Mapping[str, Any]
    figures: Mapping[str, int]
    #: What the buyer is told, if anything: the kind of notification, and of how many Credits.
    told_buyer: tuple[str, Credits] | None = None
    companions: tuple[Companion, ...] = field(default=())


class DisputeSteps:
    """The service that works out what a step of a dispute moves, on its order as it stands."""

    def __init__(self, *, ledger: Ledger, offer: Offer) -> None:
        """`offer` counts for orders that kept none."""
        self._db, self._ledger, self._clock, self._offer = ledger.db, ledger, ledger.clock, offer

    async def open_dispute(self, order: Order, dispute: Dispute, person: str) -> DisputeStep:
        """Holds what is left of the order; its cash is undecided."""
        held = await self._held_entitlement(order.id)
        taken, running, entries = await self._hold(order, dispute, person, held)
        now = self._clock.now_ms()
        row = {
            "gateway": dispute.gateway,
            "external": dispute.id,
            "id": ids.derive_id("dsp", now, dispute.gateway, dispute.id),
            "order": order.id,
            "payment": dispute.payment,
            "opened_at": now,
            "fee": 0,
            "bad_debt": 0,
            "unrecovered_bought": 0,
            "unrecovered_bonus": 0,
        }
        return DisputeStep(
            DISPUTED,
            entries,
            row | _opened(dispute, running),
            {},
            {"amount": amount_of(dispute).units},
            _tell_held(dispute, held + taken),
        )

    async def reopen_won(self, order: Order, dispute: Dispute, person: str) -> DisputeStep:
        """What was the person's again is held again. What its end had given the payer in part is
        undecided with the rest."""
        held, current = await self._held_entitlement(order.id), current_entitlement(order)
        taken, running, entries = await self._hold(order, dispute, person, held)
        parts = await self._list_parts(dispute)
        part = NanoUsd(sum(one.amount for one in parts))
        remaining = remaining_cash(order) + part.units
        entitlement = entitlement_for(order, remaining, self._offer).raise_to(current)
        restored = entitlement - current
        if not part.is_zero:
            entries += chart.reverse_dispute_refund(
                order.id, dispute.gateway, part, restored.bought, restored.bonus
            )
        return DisputeStep(
            DISPUTE_REOPENED,
            entries,
            {"opened_at": self._clock.now_ms(), **_opened(dispute, running)},
            {
                "refunded": order.refunded.units - part.units,
                "bought": entitlement.bought.units,
                "bonus": entitlement.bonus.units,
            },
            {"amount": amount_of(dispute).units},
            _tell_held(dispute, held + taken + restored),
            tuple(
                Update(
                    schema.refund,
                    {"gateway": one.gateway, "external": one.external},
                    {"failed_at": self._clock.now_ms()},
                    {"failed_at": None},
                )
                for one in parts
            ),
        )

    async def reopen_lost(
        self, order: Order, dispute: Dispute, person: str, row: sa.Row[Any]
    ) -> DisputeStep:
        """What the loss took is held; what was spent by then is no bad debt while it is undecided.
        The inviter's share comes back when it is won."""
        current, held = current_entitlement(order), await self._held_entitlement(order.id)
        amount = amount_of(dispute)
        remaining = remaining_cash(order) + amount.units
        entitlement = entitlement_for(order, remaining, self._offer).raise_to(current)
        spent = Entitlement(Credits(row.unrecovered_bought), Credits(row.unrecovered_bonus))
        added = entitlement - current
        restored, excess = added - spent.cap_at(added), spent - spent.cap_at(added)
        entries = chart.reopen_lost_dispute(
            person,
            order.id,
            amount,
            NanoUsd(row.bad_debt),
            restored=(restored.bought, restored.bonus),
            excess=(excess.bought, excess.bonus),
        )
        return DisputeStep(
            DISPUTE_REOPENED,
            entries,
            {
                "opened_at": self._clock.now_ms(),
                "bad_debt": 0,
                "unrecovered_bought": 0,
                "unrecovered_bonus": 0,
                **_opened(dispute, row.running),
            },
            {
                "lost": order.lost.units - amount.units,
                "bought": entitlement.bought.units,
                "bonus": entitlement.bonus.units,
            },
            {"amount": amount.units},
            _tell_held(dispute, held + restored),
        )

    async def close_dispute(
        self, order: Order, dispute: Dispute, person: str, row: sa.Row[Any], *, others_open: bool
    ) -> DisputeStep:
        """`others_open`: more of this order's payments are disputed still, so the rest stays
        held."""
        held = await self._held_entitlement(order.id)
        outcome = (
            await self._win(order, dispute, person)
            if dispute.state == "won"
            else await self._lose(order, dispute, person, row, held)
        )
        rest = Entitlement(held.bought + outcome.came_back, held.bonus) - outcome.removed
        released = () if others_open else _release(person, order.id, rest)
        is_won = dispute.state == "won"
        return DisputeStep(
            DISPUTE_ENDED,
            (*outcome.entries, *released),
            {
                "state": dispute.state,
                "ended_at": self._clock.now_ms(),
                **outcome.row_change,
            },
            {"dispute_state": "open" if others_open else dispute.state, **outcome.order_change},
            outcome.figures,
            (CREDITS_RELEASED, _NOTHING.total if others_open else rest.total)
            if is_won
            else (CREDITS_LOST, outcome.removed.total),
            outcome.companions,
        )

    async def _win(self, order: Order, dispute: Dispute, person: str) -> _Outcome:
        """Everything is as it was before the dispute."""
        share = await self._share(order, current_entitlement(order).total, person, dispute)
        amount = amount_of(dispute)
        return _Outcome(
            (chart.win_dispute(dispute.gateway, amount), *share.entries),
            order_change=share.change,
            figures={"amount": amount.units, **share.figures},
            companions=share.companions,
        )

    async def _lose(
        self, order: Order, dispute: Dispute, person: str, row: sa.Row[Any], held: Entitlement
    ) -> _Outcome:
        """The order keeps what the offer gives for what is left of its cash. What running asks held
        of it when the dispute began, and gave back since, is lost too."""
        amount, current = amount_of(dispute), current_entitlement(order)
        kept = entitlement_for(order, remaining_cash(order) - amount.units, self._offer)
        kept = kept.cap_at(current)
        missing = (current - kept).bought - min(held.bought, (current - kept).bought)
        came_back = min(missing, await self._find_returned_credits(order, person, row))
        held = Entitlement(held.bought + came_back, held.bonus)
        removed = held.cap_at(current - kept)
        unrecovered = current - kept - removed
        returned = min(PAR.multiply_by(removed.bought.units), amount)
        share = await self._share(order, kept.total, person, dispute)
        entries = (
            *chart.hold_returned_credits(person, order.id, came_back),
            *chart.lose_dispute(order.id, amount, returned, removed.bought, removed.bonus),
        )
        return _Outcome(
            (*entries, *share.entries),
            removed,
            came_back,
            {
                "bad_debt": (amount - returned).units,
                "unrecovered_bought": unrecovered.bought.units,
                "unrecovered_bonus": unrecovered.bonus.units,
            },
            {
                "lost": order.lost.units + amount.units,
                "bought": kept.bought.units,
                "bonus": kept.bonus.units,
                **share.change,
            },
            {"amount": amount.units, "bad_debt": (amount - returned).units, **share.figures},
            share.companions,
        )

    async def hold_returned_credits(
        self, order: Order, person: str, row: sa.Row[Any]
    ) -> tuple[Credits, tuple[Entry, ...]]:
        """What running asks have given back of an order while it is disputed, to be held with it:
        never more than the order gives."""
        held, current = await self._held_entitlement(order.id), current_entitlement(order)
        missing = current.bought - min(held.bought, current.bought)
        amount = min(missing, await self._find_returned_credits(order, person, row))
        return amount, chart.hold_returned_credits(person, order.id, amount)

    # --- parts of steps -------------------------------------------------------------------------

    async def _hold(
        self, order: Order, dispute: Dispute, person: str, held: Entitlement
    ) -> tuple[Entitlement, int, tuple[Entry, ...]]:
        """What of the order is there to be held, beside what another dispute of it holds; how much
        running asks have of it; and the entries."""
        current = current_entitlement(order)
        wanted = current - held.cap_at(current)
        pockets = {name: chart.pocket(person, name) for name in ("bought", "gift")}
        balances = await self._ledger.read_balances(list(pockets.values()))
        bought, gift = (balances[pocket.code] for pocket in pockets.values())
        available = Entitlement(Credits(max(0, bought.available)), Credits(max(0, gift.available)))
        taken = wanted.cap_at(available)
        running = min((wanted - taken).bought.units, bought.held)
        entries = chart.open_dispute(
            person,
            order.id,
            dispute.gateway,
            amount_of(dispute),
            bought=wanted.bought,
            bonus=wanted.bonus,
        )
        return taken, running, entries

    async def _find_returned_credits(self, order: Order, person: str, row: sa.Row[Any]) -> Credits:
        """Bought Credits in a person's pocket that running asks held of this order when the dispute
        began, and that no purchase since brought there."""
        bought_pocket = chart.pocket(person, "bought")
        balance = (await self._ledger.read_balances([bought_pocket]))[bought_pocket.code]
        paid, table = schema.payment.c, schema.order.c
        later = sa.select(paid.order).where(paid.at >= int(row.opened_at))
        rows = await self._db.fetch(
            sa.select(sa.func.coalesce(sa.func.sum(table.bought), 0).label("bought")).where(
                table.person.in_(select_merged_ids(person)),
                table.id != order.id,
                table.id.in_(later),
            )
        )
        returned = max(0, balance.available - int(rows[0].bought))
        return Credits(returned if row.running is None else min(returned, int(row.running)))

    async def _share(
        self, order: Order, total_given: Credits, person: str, dispute: Dispute
    ) -> ReferralShare:
        return await compute_referral_share(
            self._db,
            self._clock,
            order,
            total_given=total_given,
            payer=person,
            offer=self._offer,
            cause=step_id(dispute),
        )

    async def _list_parts(self, dispute: Dispute) -> Sequence[sa.Row[Any]]:
        """The refunds by which an end of it gave the payer a part."""
        rows = await self._db.fetch(select_dispute_refunds(dispute.gateway, dispute.id))
        return [row for row in rows if row.failed_at is None]

    async def _held_entitlement(self, order: str) -> Entitlement:
        accounts = [chart.disputed_credits(order, "bought"), chart.disputed_credits(order, "gift")]
        held = await self._ledger.read_balances(accounts)
        bought, bonus = (Credits(held[account.code].available) for account in accounts)
        return Entitlement(bought, bonus)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The outcome of a dispute: what its end moves, and what it changes of which row."""

    entries: tuple[Entry, ...]
    #: Of what was held, what is nobody's any more; and what its end itself held first, since it
    #: came back to the person while it ran.
    removed: Entitlement = _NOTHING
    came_back: Credits = Credits(0)  # noqa: RUF009 - a constant
    row_change: Mapping[str, Any] = field(default_factory=dict)
    order_change: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, int] = field(default_factory=dict)
    companions: tuple[Companion, ...] = ()


def select_dispute_refunds(gateway: str, dispute_id: str) -> sa.Select[Any]:
    """The refunds that are parts of a dispute, the oldest first: one a turn at most."""
    table = schema.refund
    is_part = sa.or_(
        table.c.external == dispute_id,
        table.c.external.startswith(f"{dispute_id}/", autoescape=True),
    )
    return sa.select(table).where(table.c.gateway == gateway, is_part).order_by(table.c.external)


def _opened(dispute: Dispute, running: int | None) -> dict[str, Any]:
    return {
        "amount": amount_of(dispute).units,
        "state": "open",
        "reason": dispute.reason,
        "due_at": dispute.due_at,
        "ended_at": None,
        "turn": dispute.turn,
        "running": running,
    }


def _tell_held(dispute: Dispute, held: Entitlement) -> tuple[str, Credits] | None:
    """Nothing is told of a beginning that was heard with the end: they are told of that."""
    return (CREDITS_HELD, held.total) if dispute.state == "open" else None


def _release(person: str, order: str, rest: Entitlement) -> tuple[Entry, ...]:
    return chart.release_dispute(person, order, bought=rest.bought, bonus=rest.bonus)


def amount_of(dispute: Dispute) -> NanoUsd:
    """What is disputed: Stars never are."""
    assert isinstance(dispute.amount, NanoUsd)
    return dispute.amount


def step_id(dispute: Dispute) -> str:
    """One a state and turn; the first turn has none in it."""
    step = f"dispute/{dispute.gateway}/{dispute.id}/{dispute.state}"
    return f"{step}/{dispute.turn}" if dispute.turn else step
