"""Cancellations: a buyer withdraws from a purchase, within the days that the seller gives for it.

What of its Credits is unused goes back, and the money for it; what was used is paid as the offer
sells that much, so nothing is owed afterwards. The Credits are held first, so that they can't be
used while the money is on its way. A person's first two in 90 days go by themselves; an operator
decides about more, and about what a gateway can't give back in parts.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

import sqlalchemy as sa

from core import chart, ids
from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Insert, Update
from core.errors import Refusal, describe_failure
from core.ledger.ledger import Ledger
from core.ledger.types import (
    CompanionRefused,
    HoldNotFound,
    HoldResolved,
    IdempotencyConflict,
    InsufficientFunds,
    Submission,
)
from core.money import Credits, NanoUsd, Stars
from core.notification import OPERATORS, notification_row
from core.users.service import find_survivor, list_merged_ids
from payments.fulfillment import list_cancellation_holds
from payments.offer import CENT, Entitlement, Offer
from payments.orders import Orders, current_entitlement, order_event_row, remaining_cash
from payments.refunds import EarlierRefund, Refunds
from payments.types import Cash, GatewayUnavailable, Order

_log = logging.getLogger(__name__)

#: Kinds of notifications: to operators, that a cancellation waits for them; to its buyer, what
#: became of one.
CANCELLATION_WAITS, CANCELLATION_ENDED = "cancellation_waits", "cancellation_ended"
#: So many of a person's go by themselves in so long; about more an operator decides.
AUTOMATIC_MAX: Final = 2
AUTOMATIC_PERIOD_MS: Final = 90 * DAY_MS
_ATTEMPTS_MAX = 4
_BATCH_SIZE = 50

#: asked: its Credits are held, its money is on its way; waiting: for an operator; done; refused: by
#: the operator or by the gateway.
CancellationState = Literal["asked", "waiting", "done", "refused"]


class CancellationRefused(Refusal):
    """The buyer can't withdraw from this purchase here; nothing was moved. `seller` is the page of
    whoever sold it, where that isn't the operator."""

    code: ClassVar[str] = "cancellation_refused"

    def __init__(
        self,
        order: str,
        reason: Literal["unpaid", "over", "disputed", "used", "before", "elsewhere"],
        seller: str = "",
    ) -> None:
        self.order, self.reason, self.seller = order, reason, seller


@dataclass(frozen=True, slots=True)
class CancellationPolicy:
    """A policy says within how many days of the payment a buyer may withdraw (0: never), and which
    gateways' purchases were sold by somebody else, with the page of theirs."""

    days: int = 14
    sellers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CancellationPlan:
    """A plan says what withdrawing from an order gives back now: cash in the order's unit, and how
    many of its Credits are unused and were used."""

    order: Order
    cash: Cash
    unused: Entitlement
    used: Credits
    #: Whether an operator decides about it.
    needs_operator: bool


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A cancellation as it was asked for, and as it stands; times in milliseconds UTC."""

    id: str
    order: str
    person: str
    state: CancellationState
    #: What goes back, in the order's unit.
    cash: int
    at_ms: int

    @property
    def hold(self) -> str:
        """The submission that holds its Credits."""
        return f"cancellation/{self.id}"


class Cancellations:
    """The service by which buyers withdraw from purchases."""

    def __init__(
        self, *, orders: Orders, refunds: Refunds, ledger: Ledger, policy: CancellationPolicy
    ) -> None:
        self._orders, self._refunds, self._db = orders, refunds, ledger.db
        self._ledger, self._clock, self.policy = ledger, ledger.clock, policy

    def may_offer(self, order: Order) -> bool:
        """Whether a purchase that was paid just now shows the way to withdraw from it."""
        return self.policy.days > 0 and self.policy.sellers.get(order.gateway) != ""

    async def list_cancellable(self, orders: list[Order]) -> list[Order]:
        """Of these orders those that show the way to withdraw: paid here, within the days, and not
        given back."""
        if not self.policy.days:
            return []
        credited_at = await self._read_credited_times([order.id for order in orders])
        since = self._clock.now_ms() - self.policy.days * DAY_MS
        return [
            order
            for order in orders
            if credited_at.get(order.id, 0) > since and remaining_cash(order) > 0
        ]

    async def plan_cancellation(self, order_id: str, person: str) -> CancellationPlan:
        """What withdrawing from an order of this person's would give back. Raises `UnknownOrder`,
        `CancellationRefused`."""
        order = await self._orders.get_of_person(order_id, person)
        await self._check_may_cancel(order)
        return await self._plan(order, is_over=await self._has_used_up(person))

    async def cancel_purchase(self, order_id: str, person: str, *, cause: str) -> Cancellation:
        """Withdraws from a purchase, once a cause (a button): by itself, or it waits for an
        operator. Raises `UnknownOrder`, `CancellationRefused`."""
        id_ = ids.derive_id("cnl", ids.time_of_id(cause), cause)
        if (known := await self._find(id_)) is not None:
            return known
        for _ in range(_ATTEMPTS_MAX):
            plan = await self.plan_cancellation(order_id, person)
            with suppress(CompanionRefused, IdempotencyConflict, InsufficientFunds):
                await self._record_request(id_, plan, person)
                break
        else:
            raise CancellationRefused(order_id, "before")
        return await self._carry_out(await self.get(id_))

    async def approve(self, id_: str) -> Cancellation:
        """An operator gives back what waited for them, as much as is unused by now. Raises
        `CancellationRefused`."""
        waiting = await self.get(id_)
        if waiting.state == "waiting":
            order = await self._orders.get(waiting.order)
            if order.dispute_state == "open":
                raise CancellationRefused(order.id, "disputed")
            await self._hold(waiting, await self._plan(order, is_over=True))
        return await self._carry_out(await self.get(id_))

    async def decline(self, id_: str) -> Cancellation:
        """An operator gives nothing back; the buyer is told."""
        waiting = await self.get(id_)
        if waiting.state == "waiting":
            await self._end(waiting, "refused", before="waiting")
        return await self.get(id_)

    async def get(self, id_: str) -> Cancellation:
        """A cancellation by its id; raises `CancellationRefused` where there is none."""
        if (found := await self._find(id_)) is None:
            raise CancellationRefused(id_, "unpaid")
        return found

    async def finish_pending(self) -> int:
        """A job: ends what a crash or a gateway left on its way; how many ended."""
        table = schema.cancellation
        rows = await self._db.fetch(
            sa.select(table).where(table.c.state == "asked").order_by(table.c.at).limit(_BATCH_SIZE)
        )
        ended = 0
        for row in rows:
            try:
                ended += (await self._carry_out(_from_row(row))).state != "asked"
            except Exception as failure:  # noqa: BLE001 - one purchase is no other's trouble
                _log.warning("%s is not over: %s", row.id, describe_failure(failure))
        return ended

    # --- helpers --------------------------------------------------------------------------------

    async def _check_may_cancel(self, order: Order) -> None:
        if order.state != "credited":
            raise CancellationRefused(order.id, "unpaid")
        if (seller := self.policy.sellers.get(order.gateway)) is not None:
            raise CancellationRefused(order.id, "elsewhere", seller)
        if order.dispute_state == "open":
            raise CancellationRefused(order.id, "disputed")
        if not await self.list_cancellable([order]):
            raise CancellationRefused(order.id, "over")
        table = schema.cancellation.c
        if await self._db.fetch(
            sa.select(table.id).where(
                table.order == order.id, table.state.in_(("asked", "waiting"))
            )
        ):
            raise CancellationRefused(order.id, "before")

    async def _has_used_up(self, person: str) -> bool:
        """Whether as many of this person's went by themselves as may."""
        table = schema.cancellation.c
        people = await list_merged_ids(self._db, person)
        rows = await self._db.fetch(
            sa.select(sa.func.count().label("number")).where(
                table.person.in_(people),
                table.state.in_(("asked", "done")),
                table.at > self._clock.now_ms() - AUTOMATIC_PERIOD_MS,
            )
        )
        return int(rows[0].number) >= AUTOMATIC_MAX

    async def _plan(self, order: Order, *, is_over: bool) -> CancellationPlan:
        """`is_over`: an operator decides in any case."""
        survivor, _ = await find_survivor(self._db, order.person)
        accounts = [chart.pocket(survivor, "bought"), chart.pocket(survivor, "gift")]
        balances = await self._ledger.read_balances(accounts)
        bought, gift = (Credits(max(0, balances[one.code].available)) for one in accounts)
        current = current_entitlement(order)
        unused = current.cap_at(Entitlement(bought, gift))
        used = current.total - unused.total
        cash = type(order.paid)(_find_returned_cash(order, used, self._orders.offer))
        if unused.total.is_zero or cash.units <= 0:
            raise CancellationRefused(order.id, "used")
        is_indivisible = isinstance(cash, Stars) and not used.is_zero
        if is_indivisible:  # all of it or nothing: what was used is owed then
            cash = type(order.paid)(remaining_cash(order))
        return CancellationPlan(order, cash, unused, used, is_over or is_indivisible)

    async def _read_credited_times(self, orders: list[str]) -> dict[str, int]:
        """When each of these orders was paid first (ms UTC)."""
        table = schema.payment.c
        rows = await self._db.fetch(
            sa.select(table.order, sa.func.min(table.at).label("at"))
            .where(table.order.in_(orders))
            .group_by(table.order)
        )
        return {row.order: int(row.at) for row in rows}

    async def _record_request(self, id_: str, plan: CancellationPlan, person: str) -> None:
        order, unused, now = plan.order, plan.unused, self._clock.now_ms()
        survivor, person_guard = await find_survivor(self._db, order.person)
        state: CancellationState = "waiting" if plan.needs_operator else "asked"
        row = {
            "id": id_,
            "order": order.id,
            "person": person,
            "state": state,
            "cash": plan.cash.units,
            "at": now,
        }
        facts = {"cash": plan.cash.units, "credits": unused.total.units, "used": plan.used.units}
        notification = notification_row(
            self._clock,
            cause_id=f"cancellation/{id_}/waits",
            person=OPERATORS,
            kind=CANCELLATION_WAITS,
            facts={"cancellation": id_},
        )
        await self._ledger.submit(
            Submission(
                f"cancellation/{id_}",
                ()
                if plan.needs_operator
                else chart.hold_cancellation(survivor, unused.bought, unused.bonus),
                (
                    Insert(schema.cancellation, row),
                    order_event_row(self._clock, order.id, "withdrawn from", **facts),
                    *((notification,) if plan.needs_operator else ()),
                    person_guard,
                ),
            )
        )

    async def _hold(self, waiting: Cancellation, plan: CancellationPlan) -> None:
        """Holds what is left of a purchase about which an operator has decided."""
        survivor, person_guard = await find_survivor(self._db, plan.order.person)
        key, change = {"id": waiting.id}, {"state": "asked", "cash": plan.cash.units}
        with suppress(CompanionRefused, IdempotencyConflict):  # another operator was faster
            await self._ledger.submit(
                Submission(
                    f"{waiting.hold}/approved",
                    chart.hold_cancellation(survivor, plan.unused.bought, plan.unused.bonus),
                    (
                        Update(schema.cancellation, key, change, {"state": "waiting"}),
                        person_guard,
                    ),
                )
            )

    async def _carry_out(self, asked: Cancellation) -> Cancellation:
        """Gives the money back of one that is on its way, and ends it by what the gateway says."""
        if asked.state != "asked":
            return asked
        order = await self._orders.get(asked.order)
        amount = type(order.paid)(asked.cash)
        try:
            await self._refunds.refund_order(order, amount, cause=asked.hold)
        except GatewayUnavailable as unknown:
            _log.warning("%s is on its way: %s", asked.id, describe_failure(unknown))
            return asked  # the job goes on
        except EarlierRefund:
            return asked  # what went before is known now: the job goes on
        except Refusal as refusal:
            _log.warning("%s was refused: %s", asked.id, describe_failure(refusal))
        # A refund takes what was held for it: what is held still was not given back.
        is_held = bool(await list_cancellation_holds(self._db, asked.hold))
        await self._end(asked, "refused" if is_held else "done", before="asked")
        return await self.get(asked.id)

    async def _end(
        self, ended: Cancellation, state: CancellationState, *, before: CancellationState
    ) -> None:
        survivor, person_guard = await find_survivor(self._db, ended.person)
        notification = notification_row(
            self._clock,
            cause_id=f"cancellation/{ended.id}/{state}",
            person=ended.person,
            kind=CANCELLATION_ENDED,
            facts={"order": ended.order, "state": state, "credits": 0},
        )
        change = {"state": state, "ended_at": self._clock.now_ms()}
        entries = tuple(
            map(chart.void_cancellation, await list_cancellation_holds(self._db, ended.hold))
        )
        with suppress(CompanionRefused, IdempotencyConflict, HoldNotFound, HoldResolved):
            await self._ledger.submit(
                Submission(
                    f"{ended.hold}/{state}",
                    (*entries, chart.repay_owed(survivor)) if entries else (),
                    (
                        Update(schema.cancellation, {"id": ended.id}, change, {"state": before}),
                        *((notification,) if state == "refused" else ()),
                        person_guard,
                    ),
                )
            )

    async def _find(self, id_: str) -> Cancellation | None:
        table = schema.cancellation
        rows = await self._db.fetch(sa.select(table).where(table.c.id == id_))
        return _from_row(rows[0]) if rows else None


def _find_returned_cash(order: Order, used: Credits, offer: Offer) -> int:
    """The most of an order's cash that can go back so that what stays buys, by the order's offer,
    as many of its Credits as were used; in the order's unit, dollars in whole cents."""
    offer, current = order.offer or offer, current_entitlement(order)
    remaining, step = remaining_cash(order), CENT.units if isinstance(order.paid, NanoUsd) else 1

    def buys_used(kept: int, entitle: Callable[[NanoUsd], Entitlement]) -> bool:
        value = NanoUsd(order.value.units * kept // order.amount.units)
        return entitle(value).cap_at(current).total >= used

    kept = step * bisect_left(
        range(remaining // step + 1),
        True,
        key=lambda count: buys_used(count * step, offer.compute_entitlement_without_pack),
    )
    packs = (order.amount.units * pack.cash.units // order.value.units for pack in offer.packs)
    prices = [price for price in packs if buys_used(price, offer.compute_entitlement)]
    return remaining - min([kept, remaining, *prices])


def _from_row(row: sa.Row[Any]) -> Cancellation:
    return Cancellation(
        id=row.id,
        order=row.order,
        person=row.person,
        state=row.state,
        cash=int(row.cash),
        at_ms=int(row.at),
    )
