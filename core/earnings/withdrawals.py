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
from core.clock import DAY_MS, as_datetime, as_ms, as_utc_day
from core.db import schema
from core.db.writes import Companion, Insert, Update
from core.earnings.payout_methods import PayoutMethods
from core.earnings.payout_states import PayoutStateMachine
from core.earnings.payouts import (
    PAYOUT_STUCK,
    PAYOUT_WAITS,
    Earnings,
    NothingWithdrawable,
    Payout,
    PayoutMethod,
    PayoutState,
    PayoutStateConflict,
    TooManyWithdrawals,
    WithdrawalBlocked,
    convert_to_cash,
)
from core.earnings.types import EarningPolicy
from core.ledger.daily_closings import read_posted_balances
from core.ledger.ledger import Ledger
from core.ledger.types import (
    CompanionRefused,
    Entry,
    IdempotencyConflict,
    InsufficientFunds,
    Submission,
)
from core.money import Credits, NanoUsd
from core.notification import OPERATORS, notification_row
from core.payment_records import PaymentRecords
from core.pricing.tiers import select_merged_ids
from core.users.service import list_merged_ids

#: Withdrawals wait this long after a link and after the address changed, so that the person
#: notices when somebody else did it.
QUIET_HOURS = 72
_HOUR_MS = 3_600_000
#: The gateway is asked whether a paid payout came back, until so long after its request.
_RECHECK_PERIOD: Final = timedelta(days=120)
_UNSENT: Final[tuple[PayoutState, ...]] = ("requested", "approved")
#: How many payouts of one person may wait to be sent.
UNSENT_MAX: Final = 3
_BATCH_SIZE: Final = 50
#: More payouts than any person has unsent.
_NO_LIMIT: Final = 1_000


class Withdrawals:
    """Withdrawals of all people: requested, decided, sent, paid, returned, cancelled."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        payout_methods: PayoutMethods,
        policy: EarningPolicy,
        payment_records: PaymentRecords,
    ) -> None:
        self._db, self._ledger, self._payout_methods = ledger.db, ledger, payout_methods
        self._payment_records = payment_records
        self._clock, self.policy = ledger.clock, policy
        self._state_machine = PayoutStateMachine(ledger=ledger)
        self._hold_period = HoldPeriod(ledger=ledger, hold_days=policy.payout_hold_days)

    # --- what there is --------------------------------------------------------------------------

    async def get_earnings(self, person: str) -> Earnings:
        """What a person has earned, and what of it can be withdrawn."""
        return await self._hold_period.get_earnings(person)

    async def list_for_people(self, people: Sequence[str], limit: int = 10) -> list[Payout]:
        """The payouts of these people, the newest first."""
        return await self._state_machine.list_payouts(
            schema.payout.c.person.in_(people), limit=limit
        )

    async def get(self, payout: str) -> Payout:
        """A payout by its id; raises `PayoutStateConflict` when there is none."""
        return await self._state_machine.get(payout)

    async def find_payee(self, payout: Payout) -> str:
        """Who gets a payout: its person, or whom they were merged into."""
        return (await self._state_machine.find_payee(payout))[0]

    async def list_in_state(self, *states: PayoutState, limit: int = 100) -> list[Payout]:
        """The payouts that are in these states, the oldest first."""
        return await self._state_machine.list_payouts(
            schema.payout.c.state.in_(states), limit=limit, oldest_first=True
        )

    # --- asking for it --------------------------------------------------------------------------

    async def check_may_withdraw(self, person: str, method: PayoutMethod | None = None) -> None:
        """Raises `WithdrawalBlocked` for whoever can't withdraw now."""
        owed = chart.owed(person)
        if (await self._ledger.read_balances([owed]))[owed.code].posted:
            raise WithdrawalBlocked("owes")
        if await self._payment_records.has_open_dispute(await list_merged_ids(self._db, person)):
            raise WithdrawalBlocked("disputed")
        people = schema.person
        linked = await self._db.fetch(
            sa.select(sa.func.max(people.c.merged_at)).where(people.c.merged_into == person)
        )
        self._check_quiet_period("linked", linked[0][0])
        if method is not None:
            self._check_quiet_period(
                "moved", await self._payout_methods.get_changed_at(person, method)
            )

    async def request_payout(
        self, person: str, amount: Credits, method: PayoutMethod, *, cause: str, at_ms: int
    ) -> Payout:
        """Requests a payout: holds the Credits and notifies the operators; once for each cause (a
        button). Raises `WithdrawalBlocked`, `TooManyWithdrawals`, `NoPayoutAddress`,
        `NothingWithdrawable`."""
        id_ = ids.derive_id("out", at_ms, cause)
        existing = await self._state_machine.list_payouts(schema.payout.c.id == id_)
        if existing:
            return existing[0]
        await self.check_may_withdraw(person, method)
        unsent = await self._list_unsent(person)
        if len(unsent) >= UNSENT_MAX:
            raise TooManyWithdrawals(len(unsent))
        sealed, hint = await self._payout_methods.seal_for_payout(person, method, id_)
        earnings = await self.get_earnings(person)
        minimum = self.policy.payout_least
        refusal = NothingWithdrawable(earnings.withdrawable, minimum, earnings.available)
        if amount < minimum or amount > earnings.withdrawable or convert_to_cash(amount).is_zero:
            raise refusal
        now = self._clock.now_ms()
        row = {
            "id": id_,
            "person": person,
            "credits": amount.units,
            "cash": convert_to_cash(amount).units,
            "method": method,
            "sealed": sealed,
            "hint": hint,
            "state": "requested",
            "created_at": now,
            "state_at": now,
            "decided_by": "",
            "reason": "",
            "tries": 0,
        }
        entries = chart.hold_withdrawal(
            person, amount, await self._hold_period.calculate_cap(person)
        )
        companions = (
            Insert(schema.payout, row),
            self._build_operator_notification(PAYOUT_WAITS, row),
        )
        try:
            await self._ledger.submit(Submission(f"payout/{id_}/requested", entries, companions))
        except InsufficientFunds:  # another of theirs, or an ask, was faster
            raise refusal from None
        except (CompanionRefused, IdempotencyConflict):  # the same button press, on another process
            return await self.get(id_)
        return await self.get(id_)

    # --- what people and admins decide ----------------------------------------------------------

    async def cancel_payout(self, payout_id: str, people: Sequence[str]) -> Payout:
        """Cancels a payout for its person, while it isn't sent. Raises `PayoutStateConflict`."""
        payout = await self.get(payout_id)
        if payout.person not in people or not payout.is_unsent:
            raise PayoutStateConflict(payout_id)
        return await self._state_machine.release_payout(
            payout, "cancelled", actor=payout.person, reason=""
        )

    async def approve_payout(
        self, payout_id: str, *, actor: str, companions: Sequence[Companion] = ()
    ) -> Payout:
        """Approves a payout for an admin; the person is checked again. Raises
        `PayoutStateConflict`, `WithdrawalBlocked`."""
        payout = await self.get(payout_id)
        if payout.state != "requested":
            raise PayoutStateConflict(payout_id)
        await self.check_may_withdraw(await self.find_payee(payout))
        change = {"decided_by": actor, "due_at": self._clock.now_ms()}
        await self._state_machine.transition(
            payout, "approved", change=change, companions=companions
        )
        return await self.get(payout_id)

    async def reject_payout(
        self, payout_id: str, *, actor: str, reason: str, companions: Sequence[Companion] = ()
    ) -> Payout:
        """Rejects a payout for an admin: the Credits come back. Raises `PayoutStateConflict`."""
        payout = await self.get(payout_id)
        if not payout.is_unsent:
            raise PayoutStateConflict(payout_id)
        return await self._state_machine.release_payout(
            payout, "rejected", actor=actor, reason=reason, companions=companions
        )

    # --- what becomes of it at its gateway ------------------------------------------------------

    async def list_due(self, methods: Collection[PayoutMethod]) -> list[Payout]:
        """The payouts of these methods that are to be sent or checked now, the oldest first."""
        table, now = schema.payout.c, self._clock.now_ms()
        recheck_ms = round(_RECHECK_PERIOD.total_seconds() * 1_000)
        return await self._state_machine.list_payouts(
            table.method.in_(methods),
            table.due_at <= now,
            sa.or_(
                table.state.in_(("approved", "sent")),
                sa.and_(table.state == "paid", table.id >= ids.min_id("out", now - recheck_ms)),
            ),
            limit=_BATCH_SIZE,
            oldest_first=True,
        )

    async def claim_payout(self, payout: Payout, *, until_ms: int) -> Payout | None:
        """Claims a payout, so that nobody else works on it until then; None when somebody does, or
        its state changed."""
        change = {"due_at": until_ms, "tries": payout.attempts + 1}
        if not await self._update_payout(payout, change):
            return None
        return await self.get(payout.id)

    async def mark_sent(
        self, payout: Payout, *, next_check_ms: int | None, companions: Sequence[Companion] = ()
    ) -> Payout:
        """The payout is about to be given to its gateway, or paid by hand (never checked again):
        from here on it can't be cancelled. Raises `PayoutStateConflict`."""
        redeemed_entries: tuple[Entry, ...] = chart.settle_withdrawal(
            payout.id, payout.hold, payout.credits
        )
        change = {"due_at": next_check_ms, "tries": 0, "reason": ""}
        entries = (*redeemed_entries, chart.send_payout(payout.cash))
        await self._state_machine.transition(
            payout, "sent", entries, change=change, companions=companions
        )
        return await self.get(payout.id)

    async def schedule_check(
        self, payout: Payout, *, external_id: str, next_check_ms: int | None, stuck_reason: str = ""
    ) -> None:
        """Records the gateway's id of a payout, and when to check it next (ms UTC). Where it has a
        `stuck_reason`, operators are notified, once until it goes on."""
        change = {"external": external_id or None, "due_at": next_check_ms, "reason": stuck_reason}
        notifications = (
            (
                self._build_operator_notification(
                    PAYOUT_STUCK, _operator_facts(payout, stuck_reason)
                ),
            )
            if stuck_reason and not payout.reason
            else ()
        )
        await self._update_payout(payout, change, *notifications)

    async def mark_paid(
        self,
        payout: Payout,
        *,
        fee: NanoUsd,
        external_id: str,
        next_check_ms: int | None = None,
        companions: Sequence[Companion] = (),
    ) -> None:
        """The payout has arrived; at `next_check_ms` the gateway is asked whether it came back.
        Raises `PayoutStateConflict`."""
        change = {
            "external": external_id or None,
            "due_at": next_check_ms,
            "tries": 0,
            "reason": "",
        }
        entries = chart.complete_payout(payout.method, payout.cash, fee)
        await self._state_machine.end_payout(
            payout, "paid", entries, change=change, companions=companions
        )

    async def mark_returned(
        self, payout: Payout, *, reason: str, companions: Sequence[Companion] = ()
    ) -> None:
        """The payout was sent and didn't arrive, or was paid and came back: its Credits come back,
        as old as they were. Raises `PayoutStateConflict`."""
        if payout.state not in {"sent", "paid"}:
            raise PayoutStateConflict(payout.id)
        person, payee_unmerged = await self._state_machine.find_payee(payout)
        gateway = payout.method if payout.state == "paid" else ""
        entries = chart.return_payout(person, payout.credits, payout.cash, gateway)
        companions = (
            self._state_machine.build_matured_row(payout, person),
            payee_unmerged,
            *companions,
        )
        await self._state_machine.end_payout(
            payout, "returned", entries, change={"reason": reason}, companions=companions
        )

    # --- people who owe -------------------------------------------------------------------------

    async def plan_cancellation(self, person: str) -> tuple[list[Entry], list[Companion]]:
        """For a claw-back: the entries and rows that cancel all unsent payouts of a person and of
        whoever was merged into them."""
        entries: list[Entry] = []
        companions: list[Companion] = []
        for payout in await self._list_unsent(person):
            moves, rows = self._state_machine.build_cancellation(payout, person, "claw-back")
            entries += moves
            companions += rows
        return entries, companions

    async def plan_merge(self, cause: str, merged: str, survivor: str) -> list[Insert]:
        """What of a person's earned Credits is old enough to be withdrawn stays so where they
        become a part of another, by this `cause`."""
        withdrawable = (await self.get_earnings(merged)).withdrawable
        if withdrawable.is_zero:
            return []
        row = {
            "id": cause,
            "person": survivor,
            "credits": withdrawable.units,
            "at": self._clock.now_ms(),
        }
        return [Insert(schema.matured, row)]

    async def cancel_for_debtors(self) -> None:
        """A job: cancels unsent payouts of people who owe Credits; what comes back repays."""
        payout, person, account = schema.payout, schema.person, schema.account
        payee = sa.func.coalesce(person.c.merged_into, person.c.id)
        owing = (
            sa.select(payout.c.id)
            .select_from(
                payout.join(person, person.c.id == payout.c.person).join(
                    account, account.c.code == sa.literal("owed/") + payee
                )
            )
            .where(
                payout.c.state.in_(_UNSENT),
                account.c.debits_posted > account.c.credits_posted,
            )
        )
        for unsent in await self._state_machine.list_payouts(
            payout.c.id.in_(owing), limit=_BATCH_SIZE, oldest_first=True
        ):
            with suppress(PayoutStateConflict):
                await self._state_machine.release_payout(
                    unsent, "cancelled", actor="", reason="owes"
                )

    # --- helpers --------------------------------------------------------------------------------

    async def _list_unsent(self, person: str) -> list[Payout]:
        """The unsent payouts of a person and of whoever was merged into them."""
        table = schema.payout.c
        is_theirs = table.person.in_(select_merged_ids(person))
        return await self._state_machine.list_payouts(
            is_theirs, table.state.in_(_UNSENT), limit=_NO_LIMIT
        )

    def _check_quiet_period(self, reason: Literal["linked", "moved"], since: int | None) -> None:
        until = (since or 0) + QUIET_HOURS * _HOUR_MS
        if since and until > self._clock.now_ms():
            raise WithdrawalBlocked(reason, until)

    async def _update_payout(
        self, payout: Payout, change: Mapping[str, Any], *companions: Companion
    ) -> bool:
        """Updates a payout; False when others have changed it since it was read."""
        expected = {"state": payout.state, "due_at": payout.due_at}
        return await self._ledger.try_record(
            Update(schema.payout, {"id": payout.id}, change, expected), *companions
        )

    def _build_operator_notification(self, kind: str, row: Mapping[str, Any]) -> Insert:
        names = ("credits", "cash", "method", "hint", "reason")
        now = self._clock.now_ms()
        facts = {"payout": str(row["id"]), "at": now, **{name: row[name] for name in names}}
        cause = f"payout/{row['id']}/{kind}/{now}"
        return notification_row(
            self._clock, cause_id=cause, person=OPERATORS, kind=kind, facts=facts
        )


def _operator_facts(payout: Payout, reason: str) -> dict[str, str | int]:
    """What operators are told about a payout."""
    return {
        "id": payout.id,
        "credits": payout.credits.units,
        "cash": payout.cash.units,
        "method": payout.method,
        "hint": payout.hint,
        "reason": reason,
    }


class HoldPeriod:
    """Knows which earned Credits are old enough to be withdrawn."""

    def __init__(self, *, ledger: Ledger, hold_days: int) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._hold_days = hold_days

    async def get_earnings(self, person: str) -> Earnings:
        """What a person has earned; and what of it was there already long enough ago and hasn't
        been used since."""
        cap = await self.calculate_cap(person)
        account = chart.pocket(person, "earned")
        balance = (await self._ledger.read_balances([account]))[account.code]
        used = balance.debits_posted + balance.debits_pending
        withdrawable = Credits(max(0, min(balance.available, cap.units - used)))
        all_at = 0
        if withdrawable.units < balance.available:
            today = as_datetime(self._clock.now_ms()).replace(
                hour=0, minute=0, second=0, microsecond=0
            )
            all_at = as_ms(today + timedelta(days=self._hold_days + 1))
        return Earnings(Credits(balance.available), withdrawable, all_at)

    async def calculate_cap(self, person: str) -> Credits:
        """All Credits that had ever come into the earned pocket when the hold period began, and
        what came later with its age."""
        account = chart.pocket(person, "earned")
        if not self._hold_days:
            balance = (await self._ledger.read_balances([account]))[account.code]
            return Credits(balance.credits_posted)
        # A day more: a day of the books ends at midnight.
        before = self._clock.now_ms() - (self._hold_days + 1) * DAY_MS
        balances = await read_posted_balances(self._db, [account.code], as_utc_day(before))
        midnight = before - before % DAY_MS + DAY_MS
        table = schema.matured
        matured = await self._db.fetch(
            sa.select(sa.func.sum(table.c.credits)).where(
                table.c.person == person, table.c.at >= midnight
            )
        )
        return Credits(balances[account.code].credits_posted + int(matured[0][0] or 0))
