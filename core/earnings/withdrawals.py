"""Withdrawals: earned Credits that are old enough become money.

requested → approved → sent → paid; or rejected, cancelled, returned. Credits are held from the
request on and gone when it is sent; whoever sends (`payments.payouts`) says what came of it. What
was paid may still come back: then it is returned too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa

from core import chart, ids
from core.clock import DAY_MS, Clock, as_datetime, as_ms, day_of
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Insert, Update
from core.earnings.payout_methods import Addresses
from core.earnings.payout_states import Steps
from core.earnings.payouts import (
    PAYOUT_STUCK,
    PAYOUT_WAITS,
    Earnings,
    Method,
    NothingWithdrawable,
    Payout,
    PayoutMoved,
    State,
    TooManyWithdrawals,
    WithdrawalsWait,
    cash_of,
)
from core.earnings.types import Policy
from core.ledger.daily_closings import posted_on
from core.ledger.ledger import Ledger
from core.ledger.types import (
    CompanionRefused,
    Entry,
    IdempotencyConflict,
    InsufficientFunds,
    Submission,
)
from core.money import Credits, NanoUsd
from core.notification import OWNERS, notice

#: Withdrawals wait this long after a link and after the address changed, so that the person
#: notices when somebody else did it.
QUIET_HOURS = 72
_HOUR_MS = 3_600_000
#: The gateway is asked whether a paid payout came back, until so long after its request.
_LATE: Final = timedelta(days=120)
_UNSENT: Final[tuple[State, ...]] = ("requested", "approved")
#: How many payouts of one person may wait to be sent.
OPEN_MOST: Final = 3
_AT_ONCE: Final = 50
#: More payouts than any person has unsent.
_ALL: Final = 1_000


class Withdrawals:
    """Withdrawals of all people: requested, decided, sent, paid, returned, cancelled."""

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
        self._steps = Steps(store=store, ledger=ledger, clock=clock)
        self._ageing = Ageing(
            store=store, ledger=ledger, clock=clock, hold_days=policy.payout_hold_days
        )

    # --- what there is --------------------------------------------------------------------------

    async def earnings(self, person: str) -> Earnings:
        """What a person has earned, and what of it can be withdrawn."""
        return await self._ageing.earnings(person)

    async def of(self, people: Sequence[str], most: int = 10) -> list[Payout]:
        """The payouts of these people, the newest first."""
        return await self._steps.rows(schema.payout.c.person.in_(people), most=most)

    async def get(self, payout: str) -> Payout:
        """A payout by its id; raises `PayoutStateConflict` when there is none."""
        return await self._steps.get(payout)

    async def payee(self, one: Payout) -> str:
        """Who gets a payout: its person, or whom they were merged into."""
        return (await self._steps.payee(one))[0]

    async def in_state(self, *states: State, most: int = 100) -> list[Payout]:
        """The payouts that are in these states, the oldest first."""
        return await self._steps.rows(schema.payout.c.state.in_(states), most=most, oldest=True)

    # --- asking for it --------------------------------------------------------------------------

    async def may(self, person: str, method: Method | None = None) -> None:
        """Raises `WithdrawalBlocked` for whoever can't withdraw now."""
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
        """Requests a payout: holds the Credits and notifies the operators; once for each cause (a
        button). Raises `WithdrawalBlocked`, `TooManyWithdrawals`, `NoPayoutAddress`,
        `NothingWithdrawable`."""
        id_ = ids.derived("out", at_ms, cause)
        known = await self._steps.rows(schema.payout.c.id == id_)
        if known:
            return known[0]
        await self.may(person, method)
        waiting = await self._unsent(person)
        if len(waiting) >= OPEN_MOST:
            raise TooManyWithdrawals(len(waiting))
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
        entries = chart.withdrawing(person, amount, await self._ageing.cap(person))
        companions = (Insert(schema.payout, row), self._for_owners(PAYOUT_WAITS, row))
        try:
            await self._ledger.submit(Submission(f"payout/{id_}/requested", entries, companions))
        except InsufficientFunds:  # another of theirs, or an ask, was faster
            raise short from None
        except (CompanionRefused, IdempotencyConflict):  # the same button press, on another process
            return await self.get(id_)
        return await self.get(id_)

    # --- what people and admins decide ----------------------------------------------------------

    async def cancel(self, payout: str, people: Sequence[str]) -> Payout:
        """Cancels a payout for its person, while it isn't sent. Raises `PayoutStateConflict`."""
        one = await self.get(payout)
        if one.person not in people or not one.unsent:
            raise PayoutMoved(payout)
        return await self._steps.released(one, "cancelled", by=one.person, reason="")

    async def approve(self, payout: str, *, by: str, also: Sequence[Companion] = ()) -> Payout:
        """Approves a payout for an admin; the person is checked again. Raises
        `PayoutStateConflict`, `WithdrawalBlocked`."""
        one = await self.get(payout)
        if one.state != "requested":
            raise PayoutMoved(payout)
        await self.may(await self.payee(one))
        change = {"decided_by": by, "due_at": self._clock.now_ms()}
        await self._steps.moved(one, "approved", change=change, also=also)
        return await self.get(payout)

    async def reject(
        self, payout: str, *, by: str, reason: str, also: Sequence[Companion] = ()
    ) -> Payout:
        """Rejects a payout for an admin: the Credits come back. Raises `PayoutStateConflict`."""
        one = await self.get(payout)
        if not one.unsent:
            raise PayoutMoved(payout)
        return await self._steps.released(one, "rejected", by=by, reason=reason, also=also)

    # --- what becomes of it at its gateway ------------------------------------------------------

    async def due(self, methods: Collection[Method]) -> list[Payout]:
        """The payouts of these methods that are to be sent or checked now, the oldest first."""
        table, now = schema.payout.c, self._clock.now_ms()
        late = round(_LATE.total_seconds() * 1_000)
        return await self._steps.rows(
            table.method.in_(methods),
            table.due_at <= now,
            sa.or_(
                table.state.in_(("approved", "sent")),
                sa.and_(table.state == "paid", table.id >= ids.floor("out", now - late)),
            ),
            most=_AT_ONCE,
            oldest=True,
        )

    async def claimed(self, one: Payout, *, until_ms: int) -> Payout | None:
        """Claims a payout, so that nobody else works on it until then; None when somebody does, or
        its state changed."""
        change = {"due_at": until_ms, "tries": one.tries + 1}
        if not await self._noted(one, change):
            return None
        return await self.get(one.id)

    async def sent(
        self, one: Payout, *, again_ms: int | None, also: Sequence[Companion] = ()
    ) -> Payout:
        """The payout is about to be given to its gateway, or paid by hand (never checked again):
        from here on it can't be cancelled. Raises `PayoutStateConflict`."""
        gone: tuple[Entry, ...] = chart.withdrawn(one.id, one.hold, one.credits)
        change = {"due_at": again_ms, "tries": 0, "reason": ""}
        entries = (*gone, chart.payout_sent(one.cash))
        await self._steps.moved(one, "sent", entries, change=change, also=also)
        return await self.get(one.id)

    async def noted(
        self, one: Payout, *, external: str, again_ms: int | None, stuck: str = ""
    ) -> None:
        """Records the gateway's id of a payout, and when to check it next (ms UTC). Where it has a
        `stuck_reason`, operators are notified, once until it goes on."""
        change = {"external": external or None, "due_at": again_ms, "reason": stuck}
        told = (
            (self._for_owners(PAYOUT_STUCK, _row(one, stuck)),) if stuck and not one.reason else ()
        )
        await self._noted(one, change, *told)

    async def paid(
        self,
        one: Payout,
        *,
        fee: NanoUsd,
        external: str,
        again_ms: int | None = None,
        also: Sequence[Companion] = (),
    ) -> None:
        """The payout has arrived; at `next_check_ms` the gateway is asked whether it came back.
        Raises `PayoutStateConflict`."""
        change = {"external": external or None, "due_at": again_ms, "tries": 0, "reason": ""}
        entries = chart.payout_paid(one.method, one.cash, fee)
        await self._steps.ended(one, "paid", entries, change=change, also=also)

    async def returned(self, one: Payout, *, reason: str, also: Sequence[Companion] = ()) -> None:
        """The payout was sent and didn't arrive, or was paid and came back: its Credits come back,
        as old as they were. Raises `PayoutStateConflict`."""
        if one.state not in {"sent", "paid"}:
            raise PayoutMoved(one.id)
        person, still = await self._steps.payee(one)
        gateway = one.method if one.state == "paid" else ""
        entries = chart.payout_returned(person, one.credits, one.cash, gateway)
        also = (self._steps.aged(one, person), still, *also)
        await self._steps.ended(one, "returned", entries, change={"reason": reason}, also=also)

    # --- people who owe -------------------------------------------------------------------------

    async def cancelling(self, person: str) -> tuple[list[Entry], list[Companion]]:
        """For a claw-back: the entries and rows that cancel all unsent payouts of a person and of
        whoever was merged into them."""
        entries: list[Entry] = []
        companions: list[Companion] = []
        for one in await self._unsent(person):
            moves, rows = self._steps.taken_back(one, person, "claw-back")
            entries += moves
            companions += rows
        return entries, companions

    async def release_owing(self) -> None:
        """A job: cancels unsent payouts of people who owe Credits; what comes back repays."""
        out, person, account = schema.payout, schema.person, schema.account
        payee = sa.func.coalesce(person.c.merged_into, person.c.id)
        owing = (
            sa.select(out.c.id)
            .select_from(
                out.join(person, person.c.id == out.c.person).join(
                    account, account.c.code == sa.literal("owed/") + payee
                )
            )
            .where(
                out.c.state.in_(_UNSENT),
                account.c.debits_posted > account.c.credits_posted,
            )
        )
        for one in await self._steps.rows(out.c.id.in_(owing), most=_AT_ONCE, oldest=True):
            with suppress(PayoutMoved):
                await self._steps.released(one, "cancelled", by="", reason="owes")

    # --- helpers --------------------------------------------------------------------------------

    async def _unsent(self, person: str) -> list[Payout]:
        """The unsent payouts of a person and of whoever was merged into them."""
        table, people = schema.payout.c, schema.person.c
        parts = sa.select(people.id).where(people.merged_into == person)
        theirs = sa.or_(table.person == person, table.person.in_(parts))
        return await self._steps.rows(theirs, table.state.in_(_UNSENT), most=_ALL)

    def _quiet(self, why: Literal["linked", "moved"], since: int | None) -> None:
        until = (since or 0) + QUIET_HOURS * _HOUR_MS
        if since and until > self._clock.now_ms():
            raise WithdrawalsWait(why, until)

    async def _noted(self, one: Payout, change: Mapping[str, Any], *also: Companion) -> bool:
        """Updates a payout; False when others have changed it since it was read."""
        read = {"state": one.state, "due_at": one.due_at}
        try:
            await self._ledger.record(Update(schema.payout, {"id": one.id}, change, read), *also)
        except CompanionRefused:
            return False
        return True

    def _for_owners(self, kind: str, row: Mapping[str, Any]) -> Insert:
        names = ("credits", "cash", "method", "hint", "reason")
        now = self._clock.now_ms()
        facts = {"payout": str(row["id"]), "at": now, **{name: row[name] for name in names}}
        cause = f"payout/{row['id']}/{kind}/{now}"
        return notice(self._clock, cause_id=cause, person=OWNERS, kind=kind, facts=facts)


def _row(one: Payout, reason: str) -> dict[str, str | int]:
    """What operators are told about a payout."""
    return {
        "id": one.id,
        "credits": one.credits.units,
        "cash": one.cash.units,
        "method": one.method,
        "hint": one.hint,
        "reason": reason,
    }


class Ageing:
    """Knows which earned Credits are old enough to be withdrawn."""

    def __init__(self, *, store: Store, ledger: Ledger, clock: Clock, hold_days: int) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock
        self._days = hold_days

    async def earnings(self, person: str) -> Earnings:
        """What a person has earned; and what of it was there already long enough ago and hasn't
        been used since."""
        cap = await self.cap(person)
        account = chart.pocket(person, "earned")
        balance = (await self._ledger.balances([account]))[account.code]
        gone = balance.debits_posted + balance.debits_pending
        withdrawable = Credits(max(0, min(balance.available, cap.units - gone)))
        all_at = 0
        if withdrawable.units < balance.available:
            day = as_datetime(self._clock.now_ms()).replace(
                hour=0, minute=0, second=0, microsecond=0
            )
            all_at = as_ms(day + timedelta(days=self._days + 1))
        return Earnings(Credits(balance.available), withdrawable, all_at)

    async def cap(self, person: str) -> Credits:
        """All Credits that had ever come into the earned pocket when the hold period began, and
        what came later with its age."""
        account = chart.pocket(person, "earned")
        if not self._days:
            balance = (await self._ledger.balances([account]))[account.code]
            return Credits(balance.credits_posted)
        # A day more: a day of the books ends at midnight.
        before = self._clock.now_ms() - (self._days + 1) * DAY_MS
        then = await posted_on(self._store, [account.code], day_of(before))
        midnight = before - before % DAY_MS + DAY_MS
        table = schema.matured
        aged = await self._store.fetch(
            sa.select(sa.func.sum(table.c.credits)).where(
                table.c.person == person, table.c.at >= midnight
            )
        )
        return Credits(then[account.code].credits_posted + int(aged[0][0] or 0))
