"""The rules: resolves a submission's entries to transfers on the book's current balances.

Plain functions over values, one submission at a time. What a submission did is kept aside until it
is accepted into the draft; a refused one is undone to the last figure. No SQL here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any, ClassVar

from core.ledger import book as books
from core.ledger import types
from core.ledger.book import DAY_MS, UNBOUNDED, AccountState, Book, Draft, HoldState
from core.ledger.job import Job
from core.ledger.types import (
    AccountMismatch,
    HoldNotFound,
    HoldResolved,
    InsufficientFunds,
    Kind,
    Receipt,
    SettleTooMuch,
    Transfer,
)

POSTED, PENDING, POST, VOID = Kind.POSTED, Kind.PENDING, Kind.POST, Kind.VOID
_EPOCH = date(1970, 1, 1)

_Undo = tuple[AccountState, int, int, int, int, int, int]


def day_text(day: int) -> str:
    """A day, counted since 1970, as YYYY-MM-DD."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_number(day: str) -> int:
    """YYYY-MM-DD as days since 1970."""
    return (date.fromisoformat(day) - _EPOCH).days


class Planner:
    """Works out one batch: `plan` a submission, then `accept` it or `undo` it."""

    def __init__(
        self, book: Book, draft: Draft, now_ms: int, was_hold: Callable[[str], bool]
    ) -> None:
        """`was_hold` tells whether a hold of that name was ever written."""
        self._book, self._draft, self._now = book, draft, now_ms
        self._was_hold = was_hold
        self._today = now_ms // DAY_MS
        #: Holds that submissions of this batch ended.
        self._ended: set[str] = set()
        self._clear()

    def _clear(self) -> None:
        self._undo: list[_Undo] = []
        self._rows: list[books.TransferRow] = []
        self._transfers: list[Transfer] = []
        self._closings: list[books.ClosingRow] = []
        self._opened: list[HoldState] = []
        self._closed: list[HoldState] = []
        self._holds_before: dict[str, tuple[HoldState, ...]] = {}
        self._submission: books.SubmissionRow | None = None

    # --- a submission as a whole -----------------------------------------------------------------

    def plan(self, job: Job) -> Receipt:
        """What the submission does, staged. Raises a LedgerRefusal after undoing what it did."""
        submission = job.submission
        assert submission is not None
        self._clear()
        self._first = first = self._book.next_transfer
        self._seq = self._book.next_submission
        self._id = submission.id
        self._day = self._counted_day(job)
        try:
            for entry in submission.entries:
                self._PLANS[type(entry)](self, entry)
        except types.LedgerRefusal:
            self.undo()
            raise
        self._book.next_submission += 1
        at = self._now if self._day == self._today else self._day * DAY_MS
        names = "".join([f"{row[2]}\0{row[3]}\0" for row in self._rows])
        seal = books.submission_seal(submission.id, job.digest, at, names)
        self._submission = (
            *(self._seq, submission.id, job.digest, at, first),
            *(len(self._rows), seal),
        )
        return Receipt(submission.id, tuple(self._transfers))

    def close(self, job: Job) -> None:
        """Closes the named accounts before the job's day, staged like a submission."""
        self._clear()
        self._first, self._seq = self._book.next_transfer, self._book.next_submission
        for code in job.watch if job.close_day else ():
            account = self._book.accounts.get(code)
            if account is not None and account.head and account.day < job.close_day:
                self._remember(account)
                self._turn(account, job.close_day)

    def accept(self) -> None:
        """Takes what was planned last into the draft."""
        draft = self._draft
        if self._submission is not None:
            draft.submissions.append(self._submission)
        draft.transfers += self._rows
        draft.closings += self._closings
        for hold in self._opened:
            draft.opened[hold.seq] = hold
        for hold in self._closed:
            if draft.opened.pop(hold.seq, None) is None:
                draft.closed.append(hold.seq)
            self._ended.add(hold.name)
            if not self._book.holds.get(hold.name, True):
                del self._book.holds[hold.name]
        for saved in self._undo:
            account = saved[0]
            if not account.dirty:
                account.dirty = True
                draft.changed.append(account)

    def undo(self) -> None:
        """Forgets what was planned last: every figure is as it was before."""
        for account, *sums, head, day in reversed(self._undo):
            account.debits_pending, account.debits_posted = sums[0], sums[1]
            account.credits_pending, account.credits_posted = sums[2], sums[3]
            account.head, account.day = head, day
        for name, holds in self._holds_before.items():
            if holds:
                self._book.holds[name] = holds
            else:
                self._book.holds.pop(name, None)
        self._book.next_transfer, self._book.next_submission = self._first, self._seq
        self._clear()

    def _counted_day(self, job: Job) -> int:
        """Today, or later when an account already counts to a later day: days never go back."""
        day = self._today
        accounts = self._book.accounts
        for code, account in job.accounts.items():
            state = accounts[code]
            if state.unit is not account.unit or state.limit is not account.limit:
                raise AccountMismatch(code)
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
        for account in (debit, credit):
            self._remember(account)
            if account.day != self._day:
                self._turn(account, self._day)
        if kind is POSTED:
            debit.debits_posted += amount
            credit.credits_posted += amount
        elif kind is PENDING:
            debit.debits_pending += amount
            credit.credits_pending += amount
        else:
            assert hold is not None
            debit.debits_pending -= hold.amount
            credit.credits_pending -= hold.amount
            if kind is POST:
                debit.debits_posted += amount
                credit.credits_posted += amount
        seq = self._book.next_transfer
        self._book.next_transfer = seq + 1
        self._rows.append(
            (
                *(seq, self._seq, entry, n, kind.value, debit.id, credit.id, amount),
                *(hold.seq if hold is not None else None, debit.head, credit.head),
            )
        )
        debit.head = credit.head = seq
        self._transfers.append(
            Transfer(seq, self._id, entry, n, kind, debit.code, credit.code, amount)
        )
        if kind is PENDING:
            self._open(HoldState(seq, f"{self._id}/{entry}", debit, credit, amount))

    def _remember(self, account: AccountState) -> None:
        self._undo.append(
            (
                *(account, account.debits_pending, account.debits_posted),
                *(account.credits_pending, account.credits_posted, account.head, account.day),
            )
        )

    def _turn(self, account: AccountState, day: int) -> None:
        """The account moves on a new day: keep what it was when its last day ended."""
        if account.head:
            sums = (account.debits_posted, account.credits_posted)
            self._closings.append((account.id, day_text(account.day), *sums, account.head))
        account.day = day

    def _open(self, hold: HoldState) -> None:
        before = self._book.holds.get(hold.name, ())
        self._holds_before.setdefault(hold.name, before)
        self._book.holds[hold.name] = (*before, hold)
        self._opened.append(hold)

    # --- plans: each resolves one kind of entry --------------------------------------------------

    def _move(self, entry: Any) -> None:
        accounts = self._book.accounts
        debit, credit = accounts[entry.debit.code], accounts[entry.credit.code]
        amount = entry.amount.units
        if amount > debit.debit_room or amount > credit.credit_room:
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
    }
