"""Withdrawals: earned Credits that are old enough become money (brief § 7, design § Withdrawing).

requested → approved → sent → paid; or rejected, cancelled, returned. Credits are held from the
request on and gone when it is sent; whoever sends (`payments.payouts`) says what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Literal

import sqlalchemy as sa

from core import chart, ids
from core.clock import Clock, as_datetime, day_of
from core.earning.addresses import Addresses
from core.earning.payouts import (
    PAYOUT,
    Earnings,
    Method,
    NothingWithdrawable,
    Payout,
    PayoutMoved,
    State,
    WithdrawalsWait,
    cash_of,
    payout_of,
)
from core.earning.policy import Policy
from core.ledger import (
    CompanionRefused,
    Entry,
    IdempotencyConflict,
    InsufficientFunds,
    Ledger,
    Submission,
    posted_on,
)
from core.notice import notice
from core.store import Companion, Insert, Store, Update, schema
from core.units import Credits, NanoUsd

#: After a link, and after another address was given, so long (security.md).
QUIET_HOURS = 72
_HOUR_MS = 3_600_000
#: With its end nobody needs its address any more.
_OVER: Mapping[str, None] = {"due_at": None, "sealed": None}


class Withdrawals:
    """Everybody's."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        addresses: Addresses,
        clock: Clock,
        policy: Policy,
    ) -> None:
        self._store, self._ledger, self._addresses = store, ledger, addresses
        self._clock, self.policy = clock, policy

    # --- what there is --------------------------------------------------------------------------

    async def earnings(self, person: str) -> Earnings:
        """What a person has earned; and what of it was there already long enough ago and hasn't
        been used since."""
        cap = await self._cap(person)
        account = chart.pocket(person, "earned")
        balance = (await self._ledger.balances([account]))[account.code]
        gone = balance.debits_posted + balance.debits_pending
        withdrawable = Credits(max(0, min(balance.available, cap.units - gone)))
        all_at = 0
        if withdrawable.units < balance.available:
            day = as_datetime(self._clock.now_ms()).replace(hour=0, minute=0, second=0)
            all_at = round((day + timedelta(days=self._days + 1)).timestamp() * 1_000)
        return Earnings(Credits(balance.available), withdrawable, all_at)

    async def of(self, people: Sequence[str], most: int = 10) -> list[Payout]:
        """These people's, the newest first."""
        return await self._rows(schema.payout.c.person.in_(people), most=most)

    async def get(self, payout: str) -> Payout:
        """One; raises `PayoutMoved` when there is none."""
        found = await self._rows(schema.payout.c.id == payout)
        if not found:
            raise PayoutMoved(payout)
        return found[0]

    async def in_state(self, *states: State, most: int = 100) -> list[Payout]:
        """Those that stand there, the oldest first."""
        return await self._rows(schema.payout.c.state.in_(states), most=most, oldest=True)

    # --- asking for it --------------------------------------------------------------------------

    async def may(self, person: str, method: Method | None = None) -> None:
        """Raises `WithdrawalsWait` for whoever can't withdraw now."""
        owed = chart.owed(person)
        if (await self._ledger.balances([owed]))[owed.code].posted:
            raise WithdrawalsWait("owes")
        order, people = schema.order, schema.person
        disputed = await self._store.fetch(
            sa.select(order.c.id)
            .select_from(order.join(people, people.c.id == order.c.person))
            .where(
                sa.or_(people.c.id == person, people.c.merged_into == person),
                order.c.dispute_state == "open",
            )
            .limit(1)
        )
        if disputed:
            raise WithdrawalsWait("disputed")
        linked = await self._store.fetch(
            sa.select(sa.func.max(people.c.merged_at)).where(people.c.merged_into == person)
        )
        self._quiet("linked", linked[0][0])
        if method is not None:
            self._quiet("moved", await self._addresses.changed_at(person, method))

    async def request(
        self, person: str, amount: Credits, method: Method, *, cause: str, at_ms: int
    ) -> Payout:
        """Holds the Credits; once a cause (a button). Raises `WithdrawalsWait`, `NoAddress`,
        `NothingWithdrawable`."""
        id_ = ids.derived("out", at_ms, cause)
        known = await self._rows(schema.payout.c.id == id_)
        if known:
            return known[0]
        await self.may(person, method)
        sealed, hint = await self._addresses.for_payout(person, method, id_)
        earnings = await self.earnings(person)
        least = self.policy.payout_least
        short = NothingWithdrawable(earnings.withdrawable, least, earnings.available)
        if amount < least or amount > earnings.withdrawable or cash_of(amount).is_zero:
            raise short
        now = self._clock.now_ms()
        row = {
            "id": id_,
            "person": person,
            "credits": amount.units,
            "cash": cash_of(amount).units,
            "method": method,
            "sealed": sealed,
            "hint": hint,
            "state": "requested",
            "created_at": now,
            "state_at": now,
            "decided_by": "",
            "reason": "",
            "external": None,
            "tries": 0,
            "due_at": None,
        }
        entries = chart.withdrawing(person, amount, await self._cap(person))
        try:
            await self._ledger.submit(
                Submission(f"payout/{id_}/requested", entries, (Insert(schema.payout, row),))
            )
        except InsufficientFunds:  # another of theirs, or an ask, was faster
            raise short from None
        except (CompanionRefused, IdempotencyConflict):  # the same press, on another process
            return await self.get(id_)
        return await self.get(id_)

    # --- what becomes of it ---------------------------------------------------------------------

    async def cancel(self, payout: str, people: Sequence[str]) -> Payout:
        """Its person takes it back, while it isn't sent. Raises `PayoutMoved`."""
        one = await self.get(payout)
        if one.person not in people or not one.unsent:
            raise PayoutMoved(payout)
        return await self._released(one, "cancelled", by=one.person, reason="")

    async def approve(self, payout: str, *, by: str, also: Sequence[Companion] = ()) -> Payout:
        """An admin agrees; checked again. Raises `PayoutMoved`, `WithdrawalsWait`."""
        one = await self.get(payout)
        await self.may(one.person)
        now = self._clock.now_ms()
        change = {"state": "approved", "state_at": now, "decided_by": by, "due_at": now}
        await self._moved(one, change, (), also=also)
        return await self.get(payout)

    async def reject(
        self, payout: str, *, by: str, reason: str, also: Sequence[Companion] = ()
    ) -> Payout:
        """An admin says no: the Credits come back. Raises `PayoutMoved`."""
        one = await self.get(payout)
        if not one.unsent:
            raise PayoutMoved(payout)
        return await self._released(one, "rejected", by=by, reason=reason, also=also)

    async def sent(self, one: Payout, *, again_ms: int | None) -> Payout:
        """It is about to be given to its gateway: from here on it can't be cancelled. Raises
        `PayoutMoved`."""
        change = {"state": "sent", "state_at": self._clock.now_ms(), "due_at": again_ms}
        gone: tuple[Entry, ...] = chart.withdrawn(one.id, one.hold, one.credits)
        await self._moved(one, change, (*gone, chart.payout_sent(one.cash)))
        return await self.get(one.id)

    async def noted(self, one: Payout, *, external: str, again_ms: int) -> None:
        """Its gateway has it, or is to be asked again then."""
        change = {"external": external or None, "due_at": again_ms, "tries": one.tries + 1}
        with suppress(CompanionRefused):  # another process has noted more
            await self._ledger.record(
                Update(schema.payout, {"id": one.id}, change, {"state": "sent"})
            )

    async def due(self, most: int = 50) -> list[Payout]:
        """Those that are to be sent or asked about now, the oldest first."""
        table = schema.payout.c
        return await self._rows(
            table.state.in_(("approved", "sent")),
            table.due_at <= self._clock.now_ms(),
            most=most,
            oldest=True,
        )

    async def paid(self, one: Payout, *, fee: NanoUsd, external: str) -> None:
        """It has arrived. Raises `PayoutMoved`."""
        change = {
            "state": "paid",
            "state_at": self._clock.now_ms(),
            "external": external or None,
            **_OVER,
        }
        await self._moved(one, change, chart.payout_paid(one.method, one.cash, fee))

    async def returned(self, one: Payout, *, reason: str) -> None:
        """It was sent and didn't arrive: the Credits come back, as old as they were. Raises
        `PayoutMoved`."""
        now = self._clock.now_ms()
        change = {"state": "returned", "state_at": now, "reason": reason, **_OVER}
        person = await self._survivor(one.person)
        entries = chart.payout_returned(person, one.credits, one.cash)
        await self._moved(one, change, entries, also=(self._aged(one, person),))

    async def cancelling(self, person: str) -> tuple[list[Entry], list[Companion]]:
        """For a claw-back: what takes back all of a person's withdrawals that were not sent."""
        entries: list[Entry] = []
        companions: list[Companion] = []
        for one in await self._rows(
            schema.payout.c.person == person,
            schema.payout.c.state.in_(("requested", "approved")),
            most=20,
        ):
            entries += chart.not_withdrawn(one.id, one.hold)
            change = {
                "state": "cancelled",
                "state_at": self._clock.now_ms(),
                "reason": "claw-back",
                **_OVER,
            }
            companions += (
                Update(schema.payout, {"id": one.id}, change, {"state": one.state}),
                self._told(one, "cancelled", "claw-back"),
            )
        return entries, companions

    # --- helpers --------------------------------------------------------------------------------

    @property
    def _days(self) -> int:
        return self.policy.payout_hold_days

    async def _cap(self, person: str) -> Credits:
        """All that had ever come into the pocket when the hold days began, and what came later with
        its age."""
        account = chart.pocket(person, "earned")
        if not self._days:
            balance = (await self._ledger.balances([account]))[account.code]
            return Credits(balance.credits_posted)
        # A day more: a day of the books ends at midnight.
        before = self._clock.now_ms() - (self._days + 1) * 24 * _HOUR_MS
        then = await posted_on(self._store, [account.code], day_of(before))
        midnight = before - before % (24 * _HOUR_MS) + 24 * _HOUR_MS
        table = schema.matured
        aged = await self._store.fetch(
            sa.select(sa.func.sum(table.c.credits)).where(
                table.c.person == person, table.c.at >= midnight
            )
        )
        return Credits(then[account.code].credits_posted + int(aged[0][0] or 0))

    def _quiet(self, why: Literal["linked", "moved"], since: int | None) -> None:
        until = (since or 0) + QUIET_HOURS * _HOUR_MS
        if since and until > self._clock.now_ms():
            raise WithdrawalsWait(why, until)

    async def _released(
        self, one: Payout, state: State, *, by: str, reason: str, also: Sequence[Companion] = ()
    ) -> Payout:
        change = {
            "state": state,
            "state_at": self._clock.now_ms(),
            "decided_by": by,
            "reason": reason,
            **_OVER,
        }
        entries = chart.not_withdrawn(one.id, one.hold)
        person = await self._survivor(one.person)
        if person != one.person:  # what comes back is passed on to whom it belongs now
            also = (*also, self._aged(one, person))
        await self._moved(one, change, entries, also=also)
        return await self.get(one.id)

    def _aged(self, one: Payout, person: str) -> Insert:
        """What comes back is as old as it was."""
        row = {
            "id": f"payout/{one.id}",
            "person": person,
            "credits": one.credits.units,
            "at": self._clock.now_ms(),
        }
        return Insert(schema.matured, row)

    async def _moved(
        self,
        one: Payout,
        change: dict[str, Any],
        entries: Sequence[Entry],
        *,
        also: Sequence[Companion] = (),
    ) -> None:
        state = change["state"]
        companions = (
            Update(schema.payout, {"id": one.id}, change, {"state": one.state}),
            self._told(one, state, str(change.get("reason", ""))),
            *also,
        )
        try:
            await self._ledger.submit(
                Submission(f"payout/{one.id}/{state}", tuple(entries), companions)
            )
        except (CompanionRefused, IdempotencyConflict):
            raise PayoutMoved(one.id) from None

    def _told(self, one: Payout, what: str, reason: str) -> Companion:
        return notice(
            self._clock,
            cause_id=f"payout/{one.id}/{what}",
            person=one.person,
            kind=PAYOUT,
            facts={
                "what": what,
                "payout": one.id,
                "credits": one.credits.units,
                "cash": one.cash.units,
                "reason": reason,
            },
        )

    async def _survivor(self, person: str) -> str:
        table = schema.person
        rows = await self._store.fetch(sa.select(table.c.merged_into).where(table.c.id == person))
        return rows[0].merged_into or person if rows else person

    async def _rows(
        self, *where: sa.ColumnElement[bool], most: int = 1, oldest: bool = False
    ) -> list[Payout]:
        table = schema.payout
        order = table.c.id if oldest else table.c.id.desc()
        rows = await self._store.fetch(sa.select(table).where(*where).order_by(order).limit(most))
        return [payout_of(row) for row in rows]
