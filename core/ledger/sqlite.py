"""The writer's session on SQLite: balances stay in memory between batches.

That is safe because the file has one writer at a time, and `PRAGMA data_version`, read inside the
transaction, changes when another process (an operator's command) has written meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import pysqlite3.dbapi2 as sqlite
import sqlalchemy as sa

from core.db import connections, schema
from core.db.connections import Address
from core.ledger.companion_sql import Prepared
from core.ledger.prepare import Job
from core.ledger.session import Known, Verdict
from core.ledger.state import (
    SUBMISSION_WIDTH,
    TRANSFER_WIDTH,
    AccountState,
    Book,
    Draft,
    HoldState,
    account_seal,
)
from core.ledger.types import UNITS, Balance, CompanionRefused, Kind, Limit, Transfer

#: Past so many accounts `LedgerState` starts over, so that memory stays bounded: about 40 MB.
_ACCOUNTS_MAX = 100_000
#: Batches since the last checkpoint that make the next one worth while: about 1 MB of WAL.
_CHECKPOINT_BATCHES = 32

_ACCOUNT = (
    "SELECT id, code, unit, limit_kind, debits_pending, debits_posted, credits_pending,"
    " credits_posted, head, day FROM account WHERE "
)
_ACCOUNT_BY_CODE = _ACCOUNT + "code = ?"
_ACCOUNT_BY_ID = _ACCOUNT + "id = ?"
_NUMBERS = (
    "SELECT (SELECT coalesce(max(id), 0) FROM account),"
    " (SELECT coalesce(max(seq), 0) FROM submission),"
    " (SELECT coalesce(max(seq), 0) FROM transfer)"
)
_HOLDS = "SELECT seq, debit, credit, amount FROM hold WHERE name = ? ORDER BY seq"
_WAS_HOLD = (
    "SELECT 1 FROM submission s JOIN transfer t ON t.seq >= s.first"
    " AND t.seq < s.first + s.transfers WHERE s.id = ? AND t.entry = ? AND t.kind = 1"
)
_TRANSFERS = (
    "SELECT t.seq, s.id, t.entry, t.n, t.kind, d.code, c.code, t.amount FROM transfer t"
    " JOIN submission s ON s.seq = t.submission JOIN account d ON d.id = t.debit"
    " JOIN account c ON c.id = t.credit WHERE t.seq >= ? AND t.seq < ? ORDER BY t.seq"
)


#: Rows that one statement may write, the most first: the GIL is released once for each statement,
#: not once for each row.
_ROWS = (512, 256, 128, 64, 32, 16, 8, 4, 2, 1)


class _Many:
    """A bulk statement takes many rows, whose values lie end to end in one list."""

    def __init__(self, width: int, before: str, row: str = "", after: str = "") -> None:
        self._width = width
        row = row or f"({', '.join('?' * width)})"
        self._texts = [(rows, before + ", ".join([row] * rows) + after) for rows in _ROWS]

    def __call__(self, db: Any, values: Sequence[Any]) -> list[Any]:
        """Runs it over all rows, in as few statements as possible; answers with the rows found."""
        found: list[Any] = []
        width, at, left = self._width, 0, len(values) // self._width
        for rows, text in self._texts:
            while left >= rows:
                end = at + rows * width
                found += db.execute(text, values[at:end])
                at, left = end, left - rows
        return found


def _insert(table: sa.Table) -> _Many:
    # The driver takes a microsecond for each None and each bytes: see `_convert_for_driver`.
    marks = ["nullif(?, 0)" if column.nullable else "?" for column in table.columns]
    names = ", ".join(table.columns.keys())
    before = f"INSERT INTO {table.name} ({names}) VALUES "  # noqa: S608
    return _Many(len(marks), before, f"({', '.join(marks)})")


_KNOWN = _Many(
    1, "SELECT id, digest, seq, first, transfers FROM submission WHERE id IN (", "?", ")"
)
_NEW_ACCOUNTS = _insert(schema.account)
_NEW_SUBMISSIONS = _insert(schema.submission)
_NEW_TRANSFERS = _insert(schema.transfer)
_NEW_HOLDS = _insert(schema.hold)
_NEW_CLOSINGS = _insert(schema.closing)
_END_HOLDS = _Many(1, "DELETE FROM hold WHERE seq IN (", "?", ")")
_CHANGE_ACCOUNTS = _Many(
    7,
    "UPDATE account SET debits_pending = v.column1, debits_posted = v.column2,"
    " credits_pending = v.column3, credits_posted = v.column4, head = v.column5, day = v.column6"
    " FROM (VALUES ",
    after=") AS v WHERE account.id = v.column7",
)


class SqliteSession:
    """The writer's session on SQLite implements `LedgerSession`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._db: Any = None
        self._version = -1
        self._book: Book | None = None
        self._next_account = 1
        self._draft: Draft | None = None
        self._batches = 0

    @property
    def book(self) -> Book:
        """See `LedgerSession`."""
        assert self._book is not None
        return self._book

    def begin(self, jobs: Sequence[Job]) -> Mapping[str, Known]:
        """See `LedgerSession`."""
        db = self._connected()
        db.execute("BEGIN IMMEDIATE")
        book = self._freshened(db)
        accounts, holds = book.accounts, book.holds
        for job in jobs:
            for code, account in job.accounts.items():
                state = accounts.get(code)
                if state is None:
                    state = self._account(db, _ACCOUNT_BY_CODE, code)
                if state is None:
                    state = AccountState(self._next_account, code, account.unit, account.limit)
                    self._next_account += 1
                    accounts[code] = book.by_id[state.id] = state
                elif not state.head and not state.stored:
                    # Named before, but never used: its first use says what it is.
                    state.unit, state.limit = account.unit, account.limit
            for code in job.watch:
                if code not in accounts:
                    self._account(db, _ACCOUNT_BY_CODE, code)
            for name in job.holds:
                if name not in holds:
                    self._load_holds(db, name)
        return self._known(db, [job.submission.id for job in jobs if job.submission is not None])

    def _known(self, db: Any, ids: Sequence[str]) -> Mapping[str, Known]:
        return {row[0]: Known._make(row) for row in _KNOWN(db, ids)}

    def transfers_of(self, known: Known) -> tuple[Transfer, ...]:
        """See `LedgerSession`."""
        rows = self._db.execute(_TRANSFERS, (known.first, known.first + known.transfers))
        return tuple([Transfer._make((*row[:4], Kind(row[4]), *row[5:])) for row in rows])

    def was_hold(self, name: str) -> bool:
        """See `LedgerSession`."""
        submission, _, entry = name.rpartition("/")
        return self._db.execute(_WAS_HOLD, (submission, entry)).fetchone() is not None

    def apply(self, statements: Sequence[Prepared]) -> None:
        """See `LedgerSession`."""
        execute = self._db.execute
        for table, _key, sql, values, must_change in statements:
            try:
                changed = execute(sql, values).rowcount
            except sqlite.IntegrityError:
                raise CompanionRefused(table) from None
            if must_change and changed != 1:
                raise CompanionRefused(table)

    def apply_one(self, statements: Sequence[Prepared]) -> None:
        """See `LedgerSession`."""
        self._db.execute("SAVEPOINT one")
        try:
            self.apply(statements)
        except CompanionRefused:
            self._db.execute("ROLLBACK TO one")
            raise
        finally:
            self._db.execute("RELEASE one")

    def write(self, draft: Draft) -> None:
        """See `LedgerSession`."""
        self._draft = draft
        db = self._db
        new: list[Any] = []
        changes: list[Any] = []
        for a in draft.changed:
            if a.stored:
                changes += (
                    *(a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted),
                    *(a.head, a.day, a.id),
                )
            else:
                new += _account_row(a)
        opened: list[Any] = []
        for hold in draft.opened.values():
            opened += (hold.seq, hold.name, hold.debit.id, hold.credit.id, hold.amount)
        _NEW_ACCOUNTS(db, new)
        _spare_the_driver(draft)
        _NEW_SUBMISSIONS(db, draft.submissions)
        _NEW_TRANSFERS(db, draft.transfers)
        _NEW_HOLDS(db, opened)
        _END_HOLDS(db, draft.closed)
        _NEW_CLOSINGS(db, draft.closings)
        _CHANGE_ACCOUNTS(db, changes)

    def commit(self) -> None:
        """See `LedgerSession`."""
        self._db.execute("COMMIT")
        if self._draft is not None:
            for account in self._draft.changed:
                account.stored, account.dirty = True, False
            for hold in self._draft.opened.values():
                hold.stored = True
        self._draft = None
        self._batches += 1

    def rollback(self) -> None:
        """See `LedgerSession`."""
        self._book, self._draft = None, None
        if self._db is None:
            return
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite.Error:
            self.close()

    def recover(self, ids: Sequence[str]) -> Mapping[str, Known]:
        """See `LedgerSession`."""
        self.rollback()
        self.close()
        db = self._connected()
        return self._known(db, ids)

    def balances(self, wanted: Sequence[Sequence[str]]) -> list[dict[str, Balance]]:
        """See `LedgerSession`."""
        db = self._connected()
        db.execute("BEGIN")
        try:
            book = self._freshened(db)
            answers = []
            for codes in wanted:
                found = {}
                for code in codes:
                    state = book.accounts.get(code) or self._account(db, _ACCOUNT_BY_CODE, code)
                    if state is not None:
                        found[code] = state.balance()
                answers.append(found)
            return answers
        finally:
            db.execute("COMMIT")

    def idle(self) -> None:
        """See `LedgerSession`."""
        if self._db is not None and self._batches >= _CHECKPOINT_BATCHES:
            self._batches = 0
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """See `LedgerSession`."""
        self._book = None
        if self._db is not None:
            with contextlib.suppress(sqlite.Error):
                self._db.close()
            self._db = None

    def judge(self, error: Exception) -> Verdict:
        """See `LedgerSession`."""
        return "conflict" if isinstance(error, sqlite.IntegrityError) else "unavailable"

    def _connected(self) -> Any:
        if self._db is None:
            self._db = connections.open_sqlite(self._address, write=True)
            self._version, self._book = -1, None
        return self._db

    def _freshened(self, db: Any) -> Book:
        """The ledger's state, started over when another process has written since."""
        version = db.execute("PRAGMA data_version").fetchone()[0]
        book = self._book
        if book is None or version != self._version or len(book.accounts) > _ACCOUNTS_MAX:
            account, submission, transfer = db.execute(_NUMBERS).fetchone()
            book = Book(next_submission=submission + 1, next_transfer=transfer + 1)
            self._book, self._version, self._next_account = book, version, account + 1
        return book

    def _account(self, db: Any, query: str, by: str | int) -> AccountState | None:
        row = db.execute(query, (by,)).fetchone()
        if row is None:
            return None
        state = AccountState(row[0], row[1], UNITS[row[2]], Limit(row[3]))
        state.debits_pending, state.debits_posted = row[4], row[5]
        state.credits_pending, state.credits_posted = row[6], row[7]
        state.head, state.day, state.stored = row[8], row[9], True
        self.book.accounts[state.code] = self.book.by_id[state.id] = state
        return state

    def _load_holds(self, db: Any, name: str) -> None:
        holds = []
        for seq, debit, credit, amount in db.execute(_HOLDS, (name,)).fetchall():
            hold = HoldState(seq, name, self._by_id(db, debit), self._by_id(db, credit), amount)
            hold.stored = True
            holds.append(hold)
        if holds:
            self.book.holds[name] = tuple(holds)

    def _by_id(self, db: Any, number: int) -> AccountState:
        state = self.book.by_id.get(number) or self._account(db, _ACCOUNT_BY_ID, number)
        assert state is not None, f"account {number} of a hold is missing"
        return state


def _spare_the_driver(draft: Draft) -> None:
    """Replaces values that the driver is slow with: a bytearray for each bytes, 0 for each None."""
    rows = draft.submissions
    for column in (2, 6):
        rows[column::SUBMISSION_WIDTH] = list(map(bytearray, rows[column::SUBMISSION_WIDTH]))
    rows = draft.transfers
    rows[8::TRANSFER_WIDTH] = [pending or 0 for pending in rows[8::TRANSFER_WIDTH]]


def _account_row(account: AccountState) -> tuple[Any, ...]:
    unit, limit = account.unit.NAME, account.limit.value
    return (
        *(account.id, account.code, unit, limit),
        *(account.debits_pending, account.debits_posted),
        *(account.credits_pending, account.credits_posted),
        *(account.head, account.day, account_seal(account.code, unit, limit)),
    )
