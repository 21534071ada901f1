"""The ledger's rules: resolves a submission's entries to transfers on the current balances.

One submission at a time, in memory. What a submission does goes straight into the write set, whose
rows say how to go back: a refused submission is undone to the last figure. No SQL here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, ClassVar

from core.ledger import types
from core.ledger.prepare import Job
from core.ledger.state import (
    DAY_MS,
    SUBMISSION_WIDTH,
    TRANSFER_WIDTH,
    UNBOUNDED,
    AccountState,
    Book,
    Draft,
    HoldState,
    submission_seal,
)
from core.ledger.types import (
    AccountMismatch,
    Balance,
    HoldNotFound,
    HoldResolved,
    InsufficientFunds,
    Kind,
    Limit,
    Receipt,
    SettleTooMuch,
    Transfer,
)

POSTED, PENDING, POST, VOID = Kind.POSTED, Kind.PENDING, Kind.POST, Kind.VOID
UNLIMITED = Limit.NONE
_EPOCH = date(1970, 1, 1)
#: Makes a named tuple in half the time of its own constructor.
_tuple = tuple.__new__
_NOTHING_WATCHED: Mapping[str, Balance] = MappingProxyType({})


def day_text(day: int) -> str:
    """A UTC day, counted since 1970, as YYYY-MM-DD."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_number(day: str) -> int:
    """A UTC day, YYYY-MM-DD, as days since 1970."""
    return (date.fromisoformat(day) - _EPOCH).days


class Planner:
    """A planner plans one batch: `plan_submission`, then `accept_plan` or `undo_plan`, one at a
    time."""

    def __init__(
        self, book: Book, draft: Draft, now_ms: int, was_hold: Callable[[str], bool]
    ) -> None:
        """`was_hold_written` says whether a hold of that name was ever written."""
        self._book, self._draft, self._now = book, draft, now_ms
        self._was_hold = was_hold
        self._today = now_ms // DAY_MS
        #: Names of holds that submissions of this batch ended.
        self._ended: set[str] = set()
        self._id = ""
        #: What the submission that is being planned does to holds and days.
        self._opened: list[HoldState] = []
        self._closed: list[HoldState] = []
        self._holds_before: dict[str, tuple[HoldState, ...]] = {}
        self._turned: list[tuple[AccountState, int]] = []
        self._begin()

    def _begin(self) -> None:
        """Remembers where the state and the write set stand, for `undo_plan`."""
        book, draft = self._book, self._draft
        self._first, self._seq = book.next_transfer, book.next_submission
        self._changed, self._closings = len(draft.changed), len(draft.closings)
        self._planned = False
        self._transfers: list[Transfer] = []
        self._names = ""
        if self._opened or self._closed or self._turned or self._holds_before:
            self._opened, self._closed, self._turned = [], [], []
            self._holds_before = {}

    # --- a submission as a whole -----------------------------------------------------------------

    def plan(self, job: Job) -> Receipt:
        """Puts what a submission does into the write set. Raises a LedgerRefusal after undoing
        it."""
        submission = job.submission
        assert submission is not None
        row_id = self._id = submission.id
        self._begin()
        self._day = day = self._counted_day(job)
        try:
            for entry in submission.entries:
                self._PLANS[type(entry)](self, entry)
        except types.LedgerRefusal:
            self.undo()
            raise
        self._book.next_submission = self._seq + 1
        self._planned = True
        at = self._now if day == self._today else day * DAY_MS
        seal = submission_seal(row_id, job.digest, at, self._names)
        transfers = self._transfers
        row = (self._seq, row_id, job.digest, at, self._first, len(transfers), seal)
        self._draft.submissions.extend(row)
        return _tuple(Receipt, (row_id, tuple(transfers), False, _NOTHING_WATCHED))

    def close(self, job: Job) -> None:
        """Closes accounts before a day, in the write set like a submission."""
        self._begin()
        for code in job.watch if job.close_day else ():
            account = self._book.accounts.get(code)
            if account is not None and account.head and account.day < job.close_day:
                self._turn(account, job.close_day)
                self._change(account)

    def accept(self) -> None:
        """Accepts what was planned last; it can't be undone any more."""
        draft = self._draft
        for hold in self._opened:
            draft.opened[hold.seq] = hold
        for hold in self._closed:
            if draft.opened.pop(hold.seq, None) is None:
                draft.closed.append(hold.seq)
            self._ended.add(hold.name)
            if not self._book.holds.get(hold.name, True):
                del self._book.holds[hold.name]

    def undo(self) -> None:
        """Undoes what was planned last: every figure is as it was before."""
        book, draft = self._book, self._draft
        resolved = {hold.seq: hold.amount for hold in self._closed}
        rows = draft.transfers
        kept = len(rows) - len(self._transfers) * TRANSFER_WIDTH
        for at in range(len(rows) - TRANSFER_WIDTH, kept - 1, -TRANSFER_WIDTH):
            kind, debit_id, credit_id, amount, pending = rows[at + 4 : at + 9]
            debit, credit = book.by_id[debit_id], book.by_id[credit_id]
            self._add(Kind(kind), debit, credit, -amount, -resolved.get(pending, 0))
            debit.head, credit.head = rows[at + 9 : at + 11]
        for account, day in reversed(self._turned):
            account.day = day
        for account in draft.changed[self._changed :]:
            account.dirty = False
        del rows[kept:], draft.closings[self._closings :], draft.changed[self._changed :]
        if self._planned:
            del draft.submissions[-SUBMISSION_WIDTH:]
        for name, holds in self._holds_before.items():
            if holds:
                book.holds[name] = holds
            else:
                book.holds.pop(name, None)
        book.next_transfer, book.next_submission = self._first, self._seq
        self._begin()

    def _counted_day(self, job: Job) -> int:
        """The day that a submission counts to: today, or a later day when one of its accounts
        counts to that already, for days never go back."""
        day = self._today
        accounts = self._book.accounts
        for code, account in job.accounts.items():
            state = accounts[code]
            if state.unit is not account.unit or state.limit is not account.limit:
                raise AccountMismatch(code)
            if state.day != day:
                day = max(day, state.day)
        for name in job.holds:
            for hold in self._book.holds.get(name, ()):
                day = max(day, hold.debit.day, hold.credit.day)
        return day

    # --- one transfer ----------------------------------------------------------------------------

    def _transfer(
        self,
        entry: str,
        n: int,
        kind: Kind,
        debit: AccountState,
        credit: AccountState,
        amount: int,
        hold: HoldState | None = None,
    ) -> None:
        day = self._day
        if debit.day != day:
            self._turn(debit, day)
        if credit.day != day:
            self._turn(credit, day)
        if not debit.dirty:
            self._change(debit)
        if not credit.dirty:
            self._change(credit)
        book, row_id = self._book, self._id
        seq = book.next_transfer
        book.next_transfer = seq + 1
        if hold is None:
            self._add(kind, debit, credit, amount, 0)
            pending = None
        else:
            self._add(kind, debit, credit, amount, hold.amount)
            pending = hold.seq
        add = self._draft.transfers.extend
        add((seq, self._seq, entry, n, kind._value_, debit.id, credit.id, amount))
        add((pending, debit.head, credit.head))
        debit.head = credit.head = seq
        self._names += f"{entry}\0{n}\0"
        self._transfers.append(
            _tuple(Transfer, (seq, row_id, entry, n, kind, debit.code, credit.code, amount))
        )
        if kind is PENDING:
            self._open(HoldState(seq, f"{row_id}/{entry}", debit, credit, amount))

    def _add(
        self, kind: Kind, debit: AccountState, credit: AccountState, amount: int, held: int
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

    def _change(self, account: AccountState) -> None:
        """Marks an account's row as one that the batch will write."""
        if not account.dirty:
            account.dirty = True
            self._draft.changed.append(account)

    def _turn(self, account: AccountState, day: int) -> None:
        """Begins an account's new day: what it stood at when its last day ended is a closing."""
        self._turned.append((account, account.day))
        if account.head:
            self._draft.closings += (
                *(account.id, day_text(account.day)),
                *(account.debits_posted, account.credits_posted, account.head),
            )
        account.day = day

    def _open(self, hold: HoldState) -> None:
        holds = self._book.holds
        before = holds.get(hold.name, ())
        self._holds_before.setdefault(hold.name, before)
        holds[hold.name] = (*before, hold)
        self._opened.append(hold)

    # --- plans: each resolves one kind of entry --------------------------------------------------

    def _move(self, entry: Any) -> None:
        accounts = self._book.accounts
        debit, credit = accounts[entry.debit.code], accounts[entry.credit.code]
        amount = entry.amount.units
        if (debit.limit is not UNLIMITED and amount > debit.debit_room) or (
            credit.limit is not UNLIMITED and amount > credit.credit_room
        ):
            raise self._short(entry, (debit,), credit)
        self._transfer(entry.name, 0, PENDING if entry.pending else POSTED, debit, credit, amount)

    def _cascade(self, entry: Any) -> None:
        accounts = self._book.accounts
        debits = [accounts[account.code] for account in entry.debits]
        credit = accounts[entry.credit.code]
        left = entry.amount.units
        if left > credit.credit_room:
            raise self._short(entry, debits, credit)
        kind = PENDING if entry.pending else POSTED
        steps = []
        for debit in dict.fromkeys(debits):
            take = min(left, max(0, debit.debit_room))
            if take:
                steps.append((debit, take))
                left -= take
        if left:
            raise self._short(entry, debits, credit)
        for n, (debit, take) in enumerate(steps):
            self._transfer(entry.name, n, kind, debit, credit, take)

    def _at_most(self, entry: Any) -> None:
        accounts = self._book.accounts
        debit, credit = accounts[entry.debit.code], accounts[entry.credit.code]
        amount = min(entry.amount.units, debit.debit_room, credit.credit_room)
        if amount > 0:
            self._transfer(entry.name, 0, POSTED, debit, credit, amount)

    def _settle(self, entry: Any) -> None:
        holds = self._book.holds.get(entry.hold, ())
        if not holds:
            if entry.hold in self._ended or self._ended_here(entry.hold):
                raise HoldResolved(entry.hold)
            raise (
                HoldResolved(entry.hold) if self._was_hold(entry.hold) else HoldNotFound(entry.hold)
            )
        unit = holds[0].debit.unit
        if unit is not type(entry.amount):
            raise AccountMismatch(holds[0].debit.code)
        held, left = sum(hold.amount for hold in holds), entry.amount.units
        if left > held:
            raise SettleTooMuch(entry.hold, unit(held), entry.amount)
        self._holds_before.setdefault(entry.hold, holds)
        self._book.holds[entry.hold] = ()
        for n, hold in enumerate(holds):
            take = min(left, hold.amount)
            left -= take
            kind = POST if take else VOID
            self._transfer(entry.name, n, kind, hold.debit, hold.credit, take or hold.amount, hold)
            self._closed.append(hold)

    def _ended_here(self, name: str) -> bool:
        return any(hold.name == name for hold in self._closed)

    def _sweep(self, entry: Any) -> None:
        accounts = self._book.accounts
        owed = accounts[entry.owed.code]
        n = 0
        for account in entry.pockets:
            pocket = accounts[account.code]
            take = min(owed.credit_room, pocket.debit_room)
            if take > 0:
                self._transfer(entry.name, n, POSTED, pocket, owed, take)
                n += 1

    def _capped(self, entry: Any) -> None:
        accounts = self._book.accounts
        debit, credit = accounts[entry.debit.code], accounts[entry.credit.code]
        amount = entry.amount.units
        left = entry.cap.units - debit.debits_posted - debit.debits_pending
        if amount > min(left, debit.debit_room):
            unit = type(entry.amount)
            available = unit(max(0, min(left, debit.debit_room)))
            raise InsufficientFunds(entry.name, entry.amount, available, unit(debit.debits_pending))
        if amount > credit.credit_room:
            raise self._short(entry, (debit,), credit)
        self._transfer(entry.name, 0, PENDING, debit, credit, amount)

    def _accrue(self, entry: Any) -> None:
        accounts = self._book.accounts
        source, counter = accounts[entry.source.code], accounts[entry.counter.code]
        before = counter.credits_posted
        after = before + entry.amount.units
        self._transfer(entry.name, 0, POSTED, source, counter, entry.amount.units)
        n = 1
        for share in entry.shares:
            debit = accounts[share.debit.code]
            grown = after * share.numerator // share.denominator
            left = min(grown - before * share.numerator // share.denominator, debit.debit_room)
            for account, level in (*share.fills, (share.credit, None)):
                into = accounts[account.code]
                take = min(left, into.credit_room)
                if level is not None:
                    take = min(take, level.units - into.credits_posted + into.debits_posted)
                if take > 0:
                    self._transfer(entry.name, n, POSTED, debit, into, take)
                    left -= take
                    n += 1

    def _short(
        self, entry: Any, debits: Sequence[AccountState], credit: AccountState
    ) -> InsufficientFunds:
        """The refusal, its figures summed over the limited accounts that could have paid."""
        unit = type(entry.amount)
        limited = [account for account in dict.fromkeys(debits) if account.debit_room < UNBOUNDED]
        available = sum(account.debit_room for account in limited)
        held = sum(account.debits_pending for account in limited)
        if entry.amount.units > credit.credit_room:
            available, held = credit.credit_room, credit.credits_pending
        return InsufficientFunds(entry.name, entry.amount, unit(available), unit(held))

    _PLANS: ClassVar[dict[type, Callable[[Planner, Any], None]]] = {
        types.Move: _move,
        types.Cascade: _cascade,
        types.AtMost: _at_most,
        types.Settle: _settle,
        types.SweepOwed: _sweep,
        types.Capped: _capped,
        types.Accrue: _accrue,
    }
