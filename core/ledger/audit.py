"""The audit: recomputes the whole ledger from its transfers, in one snapshot, and lists every flaw.

It reads transfers once, in order, and keeps only accounts and open holds in memory. It trusts no
figure that it can compute, and may run while the service works.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from core.clock import DAY_MS
from core.db import schema
from core.db.database import Store
from core.ledger.planner import day_number, day_text
from core.ledger.state import account_seal, submission_seal
from core.ledger.types import UNITS, Kind, Limit

#: Findings past this many are counted, not listed.
FINDINGS_MAX = 100
_ROWS_A_TIME = 5_000
_LIMITS = {limit.value for limit in Limit}
POSTED, PENDING, POST, VOID = (kind.value for kind in Kind)


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit says how many rows it went through, and what it found wrong: nothing,
    if all is well."""

    accounts: int
    transfers: int
    holds: int
    findings: tuple[str, ...]


async def audit(store: Store) -> Audit:
    """Audits the ledger in `db`. Raises DatabaseUnavailable when it can't be read."""
    return await store.read(audit_snapshot)


def audit_snapshot(connection: sa.Connection) -> Audit:
    """Audits the ledger in the transaction of a connection that the caller holds."""
    return _Auditor(connection).run()


@dataclass(slots=True)
class _Account:
    """An account's row is kept beside the figures that its transfers add up to."""

    code: str
    unit: str
    limit: str
    stored: tuple[int, int, int, int]
    stored_head: int
    stored_day: int
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    head: int = 0
    day: int = 0
    #: The last day that has a closing row.
    closed: int = -1

    @property
    def sums(self) -> tuple[int, int, int, int]:
        return (
            self.debits_pending,
            self.debits_posted,
            self.credits_pending,
            self.credits_posted,
        )


@dataclass(slots=True)
class _Submission:
    """One submission's transfers are read at a time; these are the names of those read so far."""

    row: Any
    names: list[str] = field(default_factory=list)


class _Auditor:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._findings: list[str] = []
        self._unsaid = 0
        self._accounts: dict[int, _Account] = {}
        #: Pending transfers not resolved yet, by number: name, debit, credit, amount.
        self._open: dict[int, tuple[str, int, int, int]] = {}
        self._transfers = 0

    def run(self) -> Audit:
        self._read_accounts()
        told = schema.closing
        closings = self._stream(sa.select(told).order_by(told.c.head, told.c.day))
        closing = next(closings, None)
        current: _Submission | None = None
        for row in self._read_transfers():
            self._transfers += 1
            if current is None or current.row.submission != row.submission:
                self._check_submission(current)
                current = _Submission(row)
            current.names.append(f"{row.entry}\0{row.n}\0")
            self._apply(row)
            while closing is not None and closing.head <= row.seq:
                self._check_closing(closing, row)
                closing = next(closings, None)
        self._check_submission(current)
        while closing is not None:
            self._find(f"closing of account {closing.account} on {closing.day}: no such transfer")
            closing = next(closings, None)
        self._check_empty_submissions()
        self._check_accounts()
        holds = self._check_holds()
        self._check_totals()
        findings = self._findings
        if self._unsaid:
            findings = [*findings, f"and {self._unsaid} more"]
        return Audit(len(self._accounts), self._transfers, holds, tuple(findings))

    def _find(self, finding: str) -> None:
        if len(self._findings) < FINDINGS_MAX:
            self._findings.append(finding)
        else:
            self._unsaid += 1

    def _stream(self, statement: sa.Select[Any]) -> Iterator[Any]:
        statement = statement.execution_options(yield_per=_ROWS_A_TIME)
        result = self._connection.execute(statement)
        for rows in result.partitions():
            yield from rows

    # --- reading ---------------------------------------------------------------------------------

    def _read_accounts(self) -> None:
        for row in self._stream(sa.select(schema.account)):
            sums = (row.debits_pending, row.debits_posted, row.credits_pending, row.credits_posted)
            self._accounts[row.id] = _Account(
                *(row.code, row.unit, row.limit_kind, sums, row.head, row.day)
            )
            if row.unit not in UNITS or row.limit_kind not in _LIMITS:
                self._find(f"{row.code}: unit {row.unit!r}, limit {row.limit_kind!r}")
            if bytes(row.seal) != account_seal(row.code, row.unit, row.limit_kind):
                self._find(f"{row.code}: code, unit or limit was altered")

    def _read_transfers(self) -> Iterator[Any]:
        transfer, submission = schema.transfer, schema.submission
        return self._stream(
            sa.select(
                transfer,
                *(submission.c.id.label("submission_id"), submission.c.digest, submission.c.at),
                *(submission.c.first, submission.c.transfers, submission.c.seal),
            )
            .outerjoin(submission, submission.c.seq == transfer.c.submission)
            .order_by(transfer.c.seq)
        )

    # --- one transfer ----------------------------------------------------------------------------

    def _apply(self, row: Any) -> None:
        debit, credit = self._accounts.get(row.debit), self._accounts.get(row.credit)
        if debit is None or credit is None:
            self._find(f"transfer {row.seq}: an account of it is missing")
            return
        if debit.unit != credit.unit:
            self._find(f"transfer {row.seq}: {debit.code} and {credit.code} differ in unit")
        if (row.debit_previous, row.credit_previous) != (debit.head, credit.head):
            self._find(f"transfer {row.seq}: the chain of {debit.code} or {credit.code} is broken")
        debit.head = credit.head = row.seq
        self._count_day(row, debit)
        self._count_day(row, credit)
        if row.kind in {POSTED, POST}:
            debit.debits_posted += row.amount
            credit.credits_posted += row.amount
        if row.kind == PENDING:
            debit.debits_pending += row.amount
            credit.credits_pending += row.amount
            name = f"{row.submission_id}/{row.entry}"
            self._open[row.seq] = (name, row.debit, row.credit, row.amount)
        elif row.kind in {POST, VOID}:
            self._resolve(row, debit, credit)
        elif row.kind != POSTED:
            self._find(f"transfer {row.seq}: of kind {row.kind}, which there isn't")
        if row.kind in {POSTED, PENDING} and row.pending is not None:
            self._find(f"transfer {row.seq}: resolves a hold though it is none that could")

    def _resolve(self, row: Any, debit: _Account, credit: _Account) -> None:
        hold = self._open.pop(row.pending, None)
        if hold is None:
            self._find(f"transfer {row.seq}: resolves a hold that isn't open")
            return
        _, hold_debit, hold_credit, amount = hold
        debit.debits_pending -= amount
        credit.credits_pending -= amount
        fits = row.amount == amount if row.kind == VOID else row.amount <= amount
        if (hold_debit, hold_credit) != (row.debit, row.credit) or not fits:
            self._find(f"transfer {row.seq}: isn't the hold that it resolves")

    def _count_day(self, row: Any, account: _Account) -> None:
        day = row.at // DAY_MS if row.at is not None else account.day
        if day < account.day:
            self._find(f"{account.code}: transfer {row.seq} counts to an earlier day")
        elif day <= account.closed:
            self._find(f"{account.code}: moved on {day_text(day)} after that day was closed")
        elif day > account.day and account.day and account.closed < account.day:
            self._find(f"{account.code}: {day_text(account.day)} was never closed")
        account.day = day

    # --- what belongs to transfers ---------------------------------------------------------------

    def _check_submission(self, current: _Submission | None) -> None:
        if current is None:
            return
        row, names = current.row, current.names
        if row.submission_id is None:
            self._find(f"transfer {row.seq}: its submission is missing")
        elif (row.first, row.transfers) != (row.seq, len(names)):
            self._find(f"submission {row.submission_id}: its transfers aren't those it made")
        elif bytes(row.seal) != submission_seal(
            row.submission_id, bytes(row.digest), row.at, "".join(names)
        ):
            self._find(f"submission {row.submission_id}: it or its transfers' names were altered")

    def _check_empty_submissions(self) -> None:
        """Checks submissions that have no transfers, and that no other lacks its transfers."""
        submission = schema.submission
        total = self._connection.execute(sa.select(sa.func.sum(submission.c.transfers))).scalar()
        if (total or 0) != self._transfers:
            self._find(f"submissions made {total or 0} transfers, there are {self._transfers}")
        for row in self._stream(sa.select(submission).where(submission.c.transfers == 0)):
            if bytes(row.seal) != submission_seal(row.id, bytes(row.digest), row.at, ""):
                self._find(f"submission {row.id}: it was altered")

    def _check_closing(self, closing: Any, row: Any) -> None:
        account = self._accounts.get(closing.account)
        what = f"closing of account {closing.account} on {closing.day}"
        if account is None or closing.head != row.seq or account.head != row.seq:
            self._find(f"{what}: no such transfer")
            return
        # An account is closed once the day of its transfer is over, and once more, with the same
        # figures, before it moves again.
        day, quiet = day_number(closing.day), account.closed >= account.day
        if day <= account.closed if quiet else day != account.day:
            self._find(f"{what}: not the day of its transfer")
        elif (closing.debits_posted, closing.credits_posted) != (
            account.debits_posted,
            account.credits_posted,
        ):
            self._find(f"{what}: not what its transfers make")
        account.closed = max(day, account.day)

    def _check_accounts(self) -> None:
        for account in self._accounts.values():
            if account.stored != account.sums:
                self._find(f"{account.code}: stands at {account.stored}, should at {account.sums}")
            if account.stored_head != account.head:
                self._find(f"{account.code}: its newest transfer is not {account.stored_head}")
            closed = account.closed >= account.day and account.head != 0
            least = account.closed + 1 if closed else account.day
            if account.stored_day < least or (account.stored_day > account.day) != closed:
                self._find(f"{account.code}: counts to {day_text(account.stored_day)}")
            debits = account.debits_posted + account.debits_pending
            credits_ = account.credits_posted + account.credits_pending
            if (account.limit == "debits" and debits > account.credits_posted) or (
                account.limit == "credits" and credits_ > account.debits_posted
            ):
                self._find(f"{account.code}: below its floor")

    def _check_holds(self) -> int:
        count = 0
        left = dict(self._open)
        for row in self._stream(sa.select(schema.hold)):
            count += 1
            if left.pop(row.seq, None) != (row.name, row.debit, row.credit, row.amount):
                self._find(f"hold {row.seq} ({row.name}): no pending transfer is like it")
        for seq, (name, *_) in left.items():
            self._find(f"hold {seq} ({name}): pending, but not in the table of holds")
        return count

    def _check_totals(self) -> None:
        posted: dict[str, int] = defaultdict(int)
        pending: dict[str, int] = defaultdict(int)
        for account in self._accounts.values():
            debits_pending, debits_posted, credits_pending, credits_posted = account.stored
            posted[account.unit] += debits_posted - credits_posted
            pending[account.unit] += debits_pending - credits_pending
        for unit in sorted(posted):
            if posted[unit] or pending[unit]:
                self._find(f"{unit}: debits and credits differ by {posted[unit]}, {pending[unit]}")
