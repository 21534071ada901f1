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
from core.db.database import Database
from core.ledger.planner import format_day, parse_day
from core.ledger.state import account_seal, submission_seal
from core.ledger.types import UNITS, BalanceLimit, TransferKind

#: Findings past this many are counted, not listed.
FINDINGS_MAX = 100
_ROWS_A_TIME = 5_000
_LIMITS = {limit.value for limit in BalanceLimit}
POSTED, PENDING, POST, VOID = (kind.value for kind in TransferKind)


@dataclass(frozen=True, slots=True)
class AuditResult:
    """The result of an audit says how many rows it went through, and what it found wrong: nothing,
    if all is well."""

    accounts: int
    transfers: int
    holds: int
    findings: tuple[str, ...]


async def check_ledger(db: Database) -> AuditResult:
    """Audits the ledger in `db`. Raises DatabaseUnavailable when it can't be read."""
    return await db.read_snapshot(audit_snapshot, retry=True)


def audit_snapshot(connection: sa.Connection) -> AuditResult:
    """Audits the ledger in the transaction of a connection that the caller holds."""
    return _Auditor(connection).run()


@dataclass(slots=True)
class _AuditedAccount:
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
class _AuditedSubmission:
    """One submission's transfers are read at a time; these are the names of those read so far."""

    row: Any
    names: list[str] = field(default_factory=list)


class _Auditor:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._findings: list[str] = []
        self._unlisted = 0
        self._accounts: dict[int, _AuditedAccount] = {}
        #: Pending transfers not resolved yet, by number: name, debit, credit, amount.
        self._open_holds: dict[int, tuple[str, int, int, int]] = {}
        self._transfers = 0
        #: Entries that take transfers back to a day, by the last transfer of each.
        corrections = sa.select(schema.day_correction).order_by(schema.day_correction.c.last)
        self._corrections = list(connection.execute(corrections))

    def run(self) -> AuditResult:
        self._read_accounts()
        closing_table = schema.closing
        closings = self._stream(
            sa.select(closing_table).order_by(closing_table.c.head, closing_table.c.day)
        )
        closing = next(closings, None)
        current: _AuditedSubmission | None = None
        for row in self._read_transfers():
            self._transfers += 1
            if current is None or current.row.submission != row.submission:
                self._check_submission(current)
                current = _AuditedSubmission(row)
            current.names.append(f"{row.entry}\0{row.n}\0")
            self._apply_transfer(row)
            while closing is not None and closing.head <= row.seq:
                self._check_closing(closing, row)
                closing = next(closings, None)
        self._check_submission(current)
        while closing is not None:
            self._add_finding(
                f"closing of account {closing.account} on {closing.day}: no such transfer"
            )
            closing = next(closings, None)
        self._check_empty_submissions()
        self._check_accounts()
        holds = self._check_holds()
        self._check_totals()
        findings = self._findings
        if self._unlisted:
            findings = [*findings, f"and {self._unlisted} more"]
        return AuditResult(len(self._accounts), self._transfers, holds, tuple(findings))

    def _add_finding(self, finding: str) -> None:
        if len(self._findings) < FINDINGS_MAX:
            self._findings.append(finding)
        else:
            self._unlisted += 1

    def _stream(self, statement: sa.Select[Any]) -> Iterator[Any]:
        statement = statement.execution_options(yield_per=_ROWS_A_TIME)
        result = self._connection.execute(statement)
        for rows in result.partitions():
            yield from rows

    # --- reading ---------------------------------------------------------------------------------

    def _read_accounts(self) -> None:
        for row in self._stream(sa.select(schema.account)):
            sums = (row.debits_pending, row.debits_posted, row.credits_pending, row.credits_posted)
            self._accounts[row.id] = _AuditedAccount(
                *(row.code, row.unit, row.limit_kind, sums, row.head, row.day)
            )
            if row.unit not in UNITS or row.limit_kind not in _LIMITS:
                self._add_finding(f"{row.code}: unit {row.unit!r}, limit {row.limit_kind!r}")
            if bytes(row.seal) != account_seal(row.code, row.unit, row.limit_kind):
                self._add_finding(f"{row.code}: code, unit or limit was altered")

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

    def _apply_transfer(self, row: Any) -> None:
        debit, credit = self._accounts.get(row.debit), self._accounts.get(row.credit)
        if debit is None or credit is None:
            self._add_finding(f"transfer {row.seq}: an account of it is missing")
            return
        if debit.unit != credit.unit:
            self._add_finding(f"transfer {row.seq}: {debit.code} and {credit.code} differ in unit")
        if (row.debit_previous, row.credit_previous) != (debit.head, credit.head):
            self._add_finding(
                f"transfer {row.seq}: the chain of {debit.code} or {credit.code} is broken"
            )
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
            self._open_holds[row.seq] = (name, row.debit, row.credit, row.amount)
        elif row.kind in {POST, VOID}:
            self._resolve_hold(row, debit, credit)
        elif row.kind != POSTED:
            self._add_finding(f"transfer {row.seq}: of kind {row.kind}, which there isn't")
        if row.kind in {POSTED, PENDING} and row.pending is not None:
            self._add_finding(f"transfer {row.seq}: resolves a hold though it is none that could")

    def _resolve_hold(self, row: Any, debit: _AuditedAccount, credit: _AuditedAccount) -> None:
        hold = self._open_holds.pop(row.pending, None)
        if hold is None:
            self._add_finding(f"transfer {row.seq}: resolves a hold that isn't open")
            return
        _, hold_debit, hold_credit, amount = hold
        debit.debits_pending -= amount
        credit.credits_pending -= amount
        fits = row.amount == amount if row.kind == VOID else row.amount <= amount
        if (hold_debit, hold_credit) != (row.debit, row.credit) or not fits:
            self._add_finding(f"transfer {row.seq}: isn't the hold that it resolves")

    def _count_day(self, row: Any, account: _AuditedAccount) -> None:
        day = row.at // DAY_MS if row.at is not None else account.day
        while self._corrections and self._corrections[0].last < row.seq:
            self._corrections.pop(0)
        for correction in self._corrections:
            day = min(day, correction.day)
        if day < account.day:
            self._add_finding(f"{account.code}: transfer {row.seq} counts to an earlier day")
        elif day <= account.closed:
            self._add_finding(
                f"{account.code}: moved on {format_day(day)} after that day was closed"
            )
        elif day > account.day and account.day and account.closed < account.day:
            self._add_finding(f"{account.code}: {format_day(account.day)} was never closed")
        account.day = day

    # --- what belongs to transfers ---------------------------------------------------------------

    def _check_submission(self, current: _AuditedSubmission | None) -> None:
        if current is None:
            return
        row, names = current.row, current.names
        if row.submission_id is None:
            self._add_finding(f"transfer {row.seq}: its submission is missing")
        elif (row.first, row.transfers) != (row.seq, len(names)):
            self._add_finding(f"submission {row.submission_id}: its transfers aren't those it made")
        elif bytes(row.seal) != submission_seal(
            row.submission_id, bytes(row.digest), row.at, "".join(names)
        ):
            self._add_finding(
                f"submission {row.submission_id}: it or its transfers' names were altered"
            )

    def _check_empty_submissions(self) -> None:
        """Checks submissions that have no transfers, and that no other lacks its transfers."""
        submission = schema.submission
        total = self._connection.execute(sa.select(sa.func.sum(submission.c.transfers))).scalar()
        if (total or 0) != self._transfers:
            self._add_finding(
                f"submissions made {total or 0} transfers, there are {self._transfers}"
            )
        for row in self._stream(sa.select(submission).where(submission.c.transfers == 0)):
            if bytes(row.seal) != submission_seal(row.id, bytes(row.digest), row.at, ""):
                self._add_finding(f"submission {row.id}: it was altered")

    def _check_closing(self, closing: Any, row: Any) -> None:
        account = self._accounts.get(closing.account)
        what = f"closing of account {closing.account} on {closing.day}"
        if account is None or closing.head != row.seq or account.head != row.seq:
            self._add_finding(f"{what}: no such transfer")
            return
        # An account is closed once the day of its transfer is over, and once more, with the same
        # figures, before it moves again.
        day, quiet = parse_day(closing.day), account.closed >= account.day
        if day <= account.closed if quiet else day != account.day:
            self._add_finding(f"{what}: not the day of its transfer")
        elif (closing.debits_posted, closing.credits_posted) != (
            account.debits_posted,
            account.credits_posted,
        ):
            self._add_finding(f"{what}: not what its transfers make")
        account.closed = max(day, account.day)

    def _check_accounts(self) -> None:
        for account in self._accounts.values():
            if account.stored != account.sums:
                self._add_finding(
                    f"{account.code}: stands at {account.stored}, should at {account.sums}"
                )
            if account.stored_head != account.head:
                self._add_finding(
                    f"{account.code}: its newest transfer is not {account.stored_head}"
                )
            closed = account.closed >= account.day and account.head != 0
            min_day = account.closed + 1 if closed else account.day
            if account.stored_day < min_day or (account.stored_day > account.day) != closed:
                self._add_finding(f"{account.code}: counts to {format_day(account.stored_day)}")
            debits = account.debits_posted + account.debits_pending
            credits_ = account.credits_posted + account.credits_pending
            if (account.limit == "debits" and debits > account.credits_posted) or (
                account.limit == "credits" and credits_ > account.debits_posted
            ):
                self._add_finding(f"{account.code}: below its floor")

    def _check_holds(self) -> int:
        count = 0
        unmatched = dict(self._open_holds)
        for row in self._stream(sa.select(schema.hold)):
            count += 1
            if unmatched.pop(row.seq, None) != (row.name, row.debit, row.credit, row.amount):
                self._add_finding(f"hold {row.seq} ({row.name}): no pending transfer is like it")
        for seq, (name, *_) in unmatched.items():
            self._add_finding(f"hold {seq} ({name}): pending, but not in the table of holds")
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
                self._add_finding(
                    f"{unit}: debits and credits differ by {posted[unit]}, {pending[unit]}"
                )
