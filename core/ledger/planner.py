"""The ledger's rules: resolves a submission's entries to transfers on the current balances.

One submission at a time, in memory. What a submission does goes straight into the write set, whose
rows say how to go back: a refused submission is undone to the last figure. No SQL here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, ClassVar

from core.clock import DAY_MS
from core.ledger import types
from core.ledger.prepare import PreparedSubmission
from core.ledger.state import (
    SUBMISSION_WIDTH,
    TRANSFER_WIDTH,
    UNBOUNDED,
    AccountState,
    HoldState,
    LedgerState,
    WriteSet,
    submission_seal,
)
from core.ledger.types import (
    AccountMismatch,
    Balance,
    BalanceLimit,
    BalanceTooLarge,
    HoldNotFound,
    HoldResolved,
    InsufficientFunds,
    SettleTooMuch,
    SubmissionReceipt,
    Transfer,
    TransferKind,
)

POSTED, PENDING, POST, VOID = (
    TransferKind.POSTED,
    TransferKind.PENDING,
    TransferKind.POST,
    TransferKind.VOID,
)
UNLIMITED = BalanceLimit.NONE
#: What an integer of either database holds.
SUM_MAX = (1 << 63) - 1
_EPOCH = date(1970, 1, 1)
#: Makes a named tuple in half the time of its own constructor.
_new_tuple = tuple.__new__
_NOTHING_WATCHED: Mapping[str, Balance] = MappingProxyType({})


def format_day(day: int) -> str:
    """A UTC day, counted since 1970, as YYYY-MM-DD."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def parse_day(day: str) -> int:
    """A UTC day, YYYY-MM-DD, as days since 1970."""
    return (date.fromisoformat(day) - _EPOCH).days


class Planner:
    """A planner plans one batch: `plan_submission`, then `accept_plan` or `undo_plan`, one at a
    time."""

    def __init__(
        self,
        ledger_state: LedgerState,
        write_set: WriteSet,
        now_ms: int,
        was_hold_written: Callable[[str], bool],
    ) -> None:
        """`was_hold_written` says whether a hold of that name was ever written."""
        self._ledger_state, self._write_set, self._now_ms = ledger_state, write_set, now_ms
        self._was_hold_written = was_hold_written
        self._today = now_ms // DAY_MS
        #: A day still to come that accounts of this batch count to; 0: there is none.
        self.day_ahead = 0
        #: Names of holds that submissions of this batch ended.
        self._ended_holds: set[str] = set()
        self._submission_id = ""
        #: What the submission that is being planned does to holds and days.
        self._opened_holds: list[HoldState] = []
        self._closed_holds: list[HoldState] = []
        self._holds_before: dict[str, tuple[HoldState, ...]] = {}
        self._previous_days: list[tuple[AccountState, int]] = []
        self._begin_plan()

    def _begin_plan(self) -> None:
        """Remembers where the state and the write set stand, for `undo_plan`."""
        ledger_state, write_set = self._ledger_state, self._write_set
        self._first_transfer, self._submission_seq = (
            ledger_state.next_transfer,
            ledger_state.next_submission,
        )
        self._changed_before, self._closings_before = (
            len(write_set.changed_accounts),
            len(write_set.closings),
        )
        self._is_planned = False
        self._transfers: list[Transfer] = []
        self._entry_names = ""
        if self._opened_holds or self._closed_holds or self._previous_days or self._holds_before:
            self._opened_holds, self._closed_holds, self._previous_days = [], [], []
            self._holds_before = {}

    # --- a submission as a whole -----------------------------------------------------------------

    def plan_submission(self, prepared: PreparedSubmission) -> SubmissionReceipt:
        """Puts what a submission does into the write set. Raises a LedgerRefusal after undoing
        it."""
        submission = prepared.submission
        assert submission is not None
        row_id = self._submission_id = submission.id
        self._begin_plan()
        self._day = day = self._choose_day(prepared)
        try:
            for entry in submission.entries:
                self._PLANNERS[type(entry)](self, entry)
        except types.LedgerRefusal:
            self.undo_plan()
            raise
        self._ledger_state.next_submission = self._submission_seq + 1
        self._is_planned = True
        at = self._now_ms if day == self._today else day * DAY_MS
        seal = submission_seal(row_id, prepared.digest, at, self._entry_names)
        transfers = self._transfers
        row = (
            self._submission_seq,
            row_id,
            prepared.digest,
            at,
            self._first_transfer,
            len(transfers),
            seal,
        )
        self._write_set.submissions.extend(row)
        return _new_tuple(SubmissionReceipt, (row_id, tuple(transfers), False, _NOTHING_WATCHED))

    def close_accounts(self, prepared: PreparedSubmission) -> None:
        """Closes accounts before a day that has begun, in the write set like a submission."""
        self._begin_plan()
        close_day = min(prepared.close_day, self._today)
        for code in prepared.watch if close_day else ():
            account = self._ledger_state.accounts.get(code)
            if account is not None and account.head and account.day < close_day:
                self._start_day(account, close_day)
                self._mark_changed(account)

    def accept_plan(self) -> None:
        """Accepts what was planned last; it can't be undone any more."""
        write_set = self._write_set
        for hold in self._opened_holds:
            write_set.opened_holds[hold.seq] = hold
        for hold in self._closed_holds:
            if write_set.opened_holds.pop(hold.seq, None) is None:
                write_set.closed_holds.append(hold.seq)
            self._ended_holds.add(hold.name)
            if not self._ledger_state.holds.get(hold.name, True):
                del self._ledger_state.holds[hold.name]

    def undo_plan(self) -> None:
        """Undoes what was planned last: every figure is as it was before."""
        ledger_state, write_set = self._ledger_state, self._write_set
        resolved = {hold.seq: hold.amount for hold in self._closed_holds}
        rows = write_set.transfers
        kept = len(rows) - len(self._transfers) * TRANSFER_WIDTH
        for at in range(len(rows) - TRANSFER_WIDTH, kept - 1, -TRANSFER_WIDTH):
            kind, debit_id, credit_id, amount, pending = rows[at + 4 : at + 9]
            debit, credit = (
                ledger_state.accounts_by_id[debit_id],
                ledger_state.accounts_by_id[credit_id],
            )
            self._add_to_sums(TransferKind(kind), debit, credit, -amount, -resolved.get(pending, 0))
            debit.head, credit.head = rows[at + 9 : at + 11]
        for account, day in reversed(self._previous_days):
            account.day = day
        for account in write_set.changed_accounts[self._changed_before :]:
            account.is_dirty = False
        del (
            rows[kept:],
            write_set.closings[self._closings_before :],
            write_set.changed_accounts[self._changed_before :],
        )
        if self._is_planned:
            del write_set.submissions[-SUBMISSION_WIDTH:]
        for name, holds in self._holds_before.items():
            if holds:
                ledger_state.holds[name] = holds
            else:
                ledger_state.holds.pop(name, None)
        ledger_state.next_transfer, ledger_state.next_submission = (
            self._first_transfer,
            self._submission_seq,
        )
        self._begin_plan()

    def _choose_day(self, prepared: PreparedSubmission) -> int:
        """The day that a submission counts to: today, or a later day when one of its accounts
        counts to that already, for days never go back."""
        day = self._today
        accounts = self._ledger_state.accounts
        for code, account in prepared.accounts.items():
            state = accounts[code]
            if state.unit is not account.unit or state.limit is not account.limit:
                raise AccountMismatch(code)
            if state.day != day:
                day = max(day, state.day)
        for name in prepared.holds:
            for hold in self._ledger_state.holds.get(name, ()):
                day = max(day, hold.debit.day, hold.credit.day)
        if day > self._today:
            self.day_ahead = day
        return day

    # --- one transfer ----------------------------------------------------------------------------

    def _add_transfer(
        self,
        entry: str,
        n: int,
        kind: TransferKind,
        debit: AccountState,
        credit: AccountState,
        amount: int,
        hold: HoldState | None = None,
    ) -> None:
        if hold is None:
            # What settles a hold moves a part of what was counted with it.
            if debit.debits_posted + debit.debits_pending > SUM_MAX - amount:
                raise BalanceTooLarge(debit.code)
            if credit.credits_posted + credit.credits_pending > SUM_MAX - amount:
                raise BalanceTooLarge(credit.code)
        day = self._day
        if debit.day != day:
            self._start_day(debit, day)
        if credit.day != day:
            self._start_day(credit, day)
        if not debit.is_dirty:
            self._mark_changed(debit)
        if not credit.is_dirty:
            self._mark_changed(credit)
        ledger_state, row_id = self._ledger_state, self._submission_id
        seq = ledger_state.next_transfer
        ledger_state.next_transfer = seq + 1
        if hold is None:
            self._add_to_sums(kind, debit, credit, amount, 0)
            pending = None
        else:
            self._add_to_sums(kind, debit, credit, amount, hold.amount)
            pending = hold.seq
        add = self._write_set.transfers.extend
        add((seq, self._submission_seq, entry, n, kind._value_, debit.id, credit.id, amount))
        add((pending, debit.head, credit.head))
        debit.head = credit.head = seq
        self._entry_names += f"{entry}\0{n}\0"
        self._transfers.append(
            _new_tuple(Transfer, (seq, row_id, entry, n, kind, debit.code, credit.code, amount))
        )
        if kind is PENDING:
            self._open_hold(HoldState(seq, f"{row_id}/{entry}", debit, credit, amount))

    def _add_to_sums(
        self, kind: TransferKind, debit: AccountState, credit: AccountState, amount: int, held: int
    ) -> None:
        """Adds a transfer to both accounts' sums; `held` is the amount of the hold that it ends."""
        if kind is PENDING:
            debit.debits_pending += amount
            credit.credits_pending += amount
            return
        if kind is not VOID:
            debit.debits_posted += amount
            credit.credits_posted += amount
        if held:
            debit.debits_pending -= held
            credit.credits_pending -= held

    def _mark_changed(self, account: AccountState) -> None:
        """Marks an account's row as one that the batch will write."""
        if not account.is_dirty:
            account.is_dirty = True
            self._write_set.changed_accounts.append(account)

    def _start_day(self, account: AccountState, day: int) -> None:
        """Begins an account's new day: what it stood at when its last day ended is a closing."""
        self._previous_days.append((account, account.day))
        if account.head:
            self._write_set.closings += (
                *(account.id, format_day(account.day)),
                *(account.debits_posted, account.credits_posted, account.head),
            )
        account.day = day

    def _open_hold(self, hold: HoldState) -> None:
        holds = self._ledger_state.holds
        before = holds.get(hold.name, ())
        self._holds_before.setdefault(hold.name, before)
        holds[hold.name] = (*before, hold)
        self._opened_holds.append(hold)

    # --- plans: each resolves one kind of entry --------------------------------------------------

    def _plan_move(self, entry: Any) -> None:
        accounts = self._ledger_state.accounts
        debit, credit = accounts[entry.debit.code], accounts[entry.credit.code]
        amount = entry.amount.units
        if (debit.limit is not UNLIMITED and amount > debit.max_debit) or (
            credit.limit is not UNLIMITED and amount > credit.max_credit
        ):
            raise self._insufficient_funds(entry, (debit,), credit)
        self._add_transfer(
            entry.name, 0, PENDING if entry.pending else POSTED, debit, credit, amount
        )

    def _plan_cascade(self, entry: Any) -> None:
        accounts = self._ledger_state.accounts
        debits = [accounts[account.code] for account in entry.debits]
        credit = accounts[entry.credit.code]
        left = entry.amount.units
        if left > credit.max_credit:
            raise self._insufficient_funds(entry, debits, credit)
        kind = PENDING if entry.pending else POSTED
        steps = []
        for debit in dict.fromkeys(debits):
            take = min(left, max(0, debit.max_debit))
            if take:
                steps.append((debit, take))
                left -= take
        if left:
            raise self._insufficient_funds(entry, debits, credit)
        for n, (debit, take) in enumerate(steps):
            self._add_transfer(entry.name, n, kind, debit, credit, take)

    def _plan_at_most(self, entry: Any) -> None:
        accounts = self._ledger_state.accounts
        debit, credit = accounts[entry.debit.code], accounts[entry.credit.code]
        amount = min(entry.amount.units, debit.max_debit, credit.max_credit)
        if amount > 0:
            self._add_transfer(entry.name, 0, POSTED, debit, credit, amount)

    def _plan_settle(self, entry: Any) -> None:
        holds = self._ledger_state.holds.get(entry.hold, ())
        if not holds:
            if entry.hold in self._ended_holds or self._is_closed_here(entry.hold):
                raise HoldResolved(entry.hold)
            raise (
                HoldResolved(entry.hold)
                if self._was_hold_written(entry.hold)
                else HoldNotFound(entry.hold)
            )
        unit = holds[0].debit.unit
        if unit is not type(entry.amount):
            raise AccountMismatch(holds[0].debit.code)
        held, left = sum(hold.amount for hold in holds), entry.amount.units
        if left > held:
            raise SettleTooMuch(entry.hold, unit(held), entry.amount)
        self._holds_before.setdefault(entry.hold, holds)
        self._ledger_state.holds[entry.hold] = ()
        for n, hold in enumerate(holds):
            take = min(left, hold.amount)
            left -= take
            kind = POST if take else VOID
            self._add_transfer(
                entry.name, n, kind, hold.debit, hold.credit, take or hold.amount, hold
            )
            self._closed_holds.append(hold)

    def _is_closed_here(self, name: str) -> bool:
        return any(hold.name == name for hold in self._closed_holds)

    def _plan_sweep(self, entry: Any) -> None:
        accounts = self._ledger_state.accounts
        owed = accounts[entry.owed.code]
        n = 0
        for account in entry.pockets:
            pocket = accounts[account.code]
            take = min(owed.max_credit, pocket.max_debit)
            if take > 0:
                self._add_transfer(entry.name, n, POSTED, pocket, owed, take)
                n += 1

    def _plan_capped(self, entry: Any) -> None:
        accounts = self._ledger_state.accounts
        debit, credit = accounts[entry.debit.code], accounts[entry.credit.code]
        amount = entry.amount.units
        left = entry.cap.units - debit.debits_posted - debit.debits_pending
        if amount > min(left, debit.max_debit):
            unit = type(entry.amount)
            available = unit(max(0, min(left, debit.max_debit)))
            raise InsufficientFunds(entry.name, entry.amount, available, unit(debit.debits_pending))
        if amount > credit.max_credit:
            raise self._insufficient_funds(entry, (debit,), credit)
        self._add_transfer(entry.name, 0, PENDING, debit, credit, amount)

    def _plan_accrue(self, entry: Any) -> None:
        accounts = self._ledger_state.accounts
        source, counter = accounts[entry.source.code], accounts[entry.counter.code]
        before = counter.credits_posted
        after = before + entry.amount.units
        self._add_transfer(entry.name, 0, POSTED, source, counter, entry.amount.units)
        n = 1
        for share in entry.shares:
            debit = accounts[share.debit.code]
            share_after = after * share.numerator // share.denominator
            left = min(share_after - before * share.numerator // share.denominator, debit.max_debit)
            for account, level in (*share.fills, (share.credit, None)):
                target = accounts[account.code]
                take = min(left, target.max_credit)
                if level is not None:
                    take = min(take, level.units - target.credits_posted + target.debits_posted)
                if take > 0:
                    self._add_transfer(entry.name, n, POSTED, debit, target, take)
                    left -= take
                    n += 1

    def _insufficient_funds(
        self, entry: Any, debits: Sequence[AccountState], credit: AccountState
    ) -> InsufficientFunds:
        """The refusal, its figures summed over the limited accounts that could have paid."""
        unit = type(entry.amount)
        limited = [account for account in dict.fromkeys(debits) if account.max_debit < UNBOUNDED]
        available = sum(account.max_debit for account in limited)
        held = sum(account.debits_pending for account in limited)
        if entry.amount.units > credit.max_credit:
            available, held = credit.max_credit, credit.credits_pending
        return InsufficientFunds(entry.name, entry.amount, unit(available), unit(held))

    _PLANNERS: ClassVar[dict[type, Callable[[Planner, Any], None]]] = {
        types.Move: _plan_move,
        types.Cascade: _plan_cascade,
        types.AtMost: _plan_at_most,
        types.Settle: _plan_settle,
        types.SweepOwed: _plan_sweep,
        types.Capped: _plan_capped,
        types.Accrue: _plan_accrue,
    }
