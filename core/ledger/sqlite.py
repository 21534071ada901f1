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
from core.db.connections import DatabaseAddress
from core.ledger import day_correction
from core.ledger.book_day import BookDay
from core.ledger.companion_sql import PreparedStatement
from core.ledger.prepare import PreparedSubmission
from core.ledger.session import FailureKind, WrittenSubmission
from core.ledger.state import (
    SUBMISSION_WIDTH,
    TRANSFER_WIDTH,
    AccountState,
    HoldState,
    LedgerState,
    WriteSet,
    account_seal,
)
from core.ledger.types import UNITS, Balance, BalanceLimit, CompanionRefused, Transfer, TransferKind

#: Past so many accounts `LedgerState` starts over, so that memory stays bounded: about 40 MB.
_ACCOUNTS_MAX = 100_000
#: Batches since the last checkpoint that make the next one worth while: about 1 MB of WAL.
_CHECKPOINT_BATCHES = 32

_SELECT_ACCOUNT = (
    "SELECT id, code, unit, limit_kind, debits_pending, debits_posted, credits_pending,"
    " credits_posted, head, day FROM account WHERE "
)
_SELECT_ACCOUNT_BY_CODE = _SELECT_ACCOUNT + "code = ?"
_SELECT_ACCOUNT_BY_ID = _SELECT_ACCOUNT + "id = ?"
_SELECT_LAST_NUMBERS = (
    "SELECT (SELECT coalesce(max(id), 0) FROM account),"
    " (SELECT coalesce(max(seq), 0) FROM submission),"
    " (SELECT coalesce(max(seq), 0) FROM transfer)"
)
_SELECT_BOOK_DAY = "SELECT day, at, steady FROM book_day"
_REPLACE_BOOK_DAY = "REPLACE INTO book_day (id, day, at, steady) VALUES (1, ?, ?, ?)"
_SELECT_HOLDS = "SELECT seq, debit, credit, amount FROM hold WHERE name = ? ORDER BY seq"
_SELECT_PENDING_TRANSFER = (
    "SELECT 1 FROM submission s JOIN transfer t ON t.seq >= s.first"
    " AND t.seq < s.first + s.transfers WHERE s.id = ? AND t.entry = ? AND t.kind = 1"
)
_SELECT_TRANSFERS = (
    "SELECT t.seq, s.id, t.entry, t.n, t.kind, d.code, c.code, t.amount FROM transfer t"
    " JOIN submission s ON s.seq = t.submission JOIN account d ON d.id = t.debit"
    " JOIN account c ON c.id = t.credit WHERE t.seq >= ? AND t.seq < ? ORDER BY t.seq"
)


#: Rows that one statement may write, the most first: the GIL is released once for each statement,
#: not once for each row.
_ROWS_PER_STATEMENT = (512, 256, 128, 64, 32, 16, 8, 4, 2, 1)


class _BulkStatement:
    """A bulk statement takes many rows, whose values lie end to end in one list."""

    def __init__(self, width: int, before: str, row: str = "", after: str = "") -> None:
        self._width = width
        row = row or f"({', '.join('?' * width)})"
        self._texts = [
            (rows, before + ", ".join([row] * rows) + after) for rows in _ROWS_PER_STATEMENT
        ]

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


def _insert_statement(table: sa.Table) -> _BulkStatement:
    # The driver takes a microsecond for each None and each bytes: see `_convert_for_driver`.
    marks = ["nullif(?, 0)" if column.nullable else "?" for column in table.columns]
    names = ", ".join(table.columns.keys())
    before = f"INSERT INTO {table.name} ({names}) VALUES "  # noqa: S608
    return _BulkStatement(len(marks), before, f"({', '.join(marks)})")


_SELECT_SUBMISSIONS = _BulkStatement(
    1, "SELECT id, digest, seq, first, transfers FROM submission WHERE id IN (", "?", ")"
)
_INSERT_ACCOUNTS = _insert_statement(schema.account)
_INSERT_SUBMISSIONS = _insert_statement(schema.submission)
_INSERT_TRANSFERS = _insert_statement(schema.transfer)
_INSERT_HOLDS = _insert_statement(schema.hold)
_INSERT_CLOSINGS = _insert_statement(schema.closing)
_DELETE_HOLDS = _BulkStatement(1, "DELETE FROM hold WHERE seq IN (", "?", ")")
_UPDATE_ACCOUNTS = _BulkStatement(
    7,
    "UPDATE account SET debits_pending = v.column1, debits_posted = v.column2,"
    " credits_pending = v.column3, credits_posted = v.column4, head = v.column5, day = v.column6"
    " FROM (VALUES ",
    after=") AS v WHERE account.id = v.column7",
)


class SqliteSession:
    """The writer's session on SQLite implements `LedgerSession`."""

    def __init__(self, address: DatabaseAddress) -> None:
        self._address = address
        self._db: Any = None
        self._data_version = -1
        self._ledger_state: LedgerState | None = None
        self._next_account_id = 1
        self._write_set: WriteSet | None = None
        self._batches_since_checkpoint = 0

    @property
    def ledger_state(self) -> LedgerState:
        """See `LedgerSession`."""
        assert self._ledger_state is not None
        return self._ledger_state

    def begin(self, batch: Sequence[PreparedSubmission]) -> Mapping[str, WrittenSubmission]:
        """See `LedgerSession`."""
        db = self._connect()
        db.execute("BEGIN IMMEDIATE")
        ledger_state = self._refresh_state(db)
        accounts, holds = ledger_state.accounts, ledger_state.holds
        for prepared in batch:
            for code, account in prepared.accounts.items():
                state = accounts.get(code)
                if state is None:
                    state = self._load_account(db, _SELECT_ACCOUNT_BY_CODE, code)
                if state is None:
                    state = AccountState(self._next_account_id, code, account.unit, account.limit)
                    self._next_account_id += 1
                    accounts[code] = ledger_state.accounts_by_id[state.id] = state
                elif not state.head and not state.is_stored:
                    # Named before, but never used: its first use says what it is.
                    state.unit, state.limit = account.unit, account.limit
            for code in prepared.watch:
                if code not in accounts:
                    self._load_account(db, _SELECT_ACCOUNT_BY_CODE, code)
            for name in prepared.holds:
                if name not in holds:
                    self._load_holds(db, name)
        return self._find_written(
            db, [job.submission.id for job in batch if job.submission is not None]
        )

    def _find_written(self, db: Any, ids: Sequence[str]) -> Mapping[str, WrittenSubmission]:
        return {row[0]: WrittenSubmission._make(row) for row in _SELECT_SUBMISSIONS(db, ids)}

    def open_day(
        self, opening: BookDay, batch: Sequence[PreparedSubmission]
    ) -> Mapping[str, WrittenSubmission] | None:
        """See `LedgerSession`. The one writer of the file holds it already."""
        self._db.execute(_REPLACE_BOOK_DAY, opening)
        self.ledger_state.book_day = opening
        return self._find_written(
            self._db, [job.submission.id for job in batch if job.submission is not None]
        )

    def correct_day(self, corrected: BookDay) -> int:
        """See `LedgerSession`."""
        db = self._connect()
        db.execute("BEGIN IMMEDIATE")
        count: int = day_correction.apply(db.execute, "?", corrected)
        db.execute(_REPLACE_BOOK_DAY, corrected)
        db.execute("COMMIT")
        self._ledger_state = None
        return count

    def read_database_ms(self) -> int | None:
        """See `LedgerSession`. A file has the system's clock."""
        return None

    def list_transfers(self, written: WrittenSubmission) -> tuple[Transfer, ...]:
        """See `LedgerSession`."""
        rows = self._db.execute(
            _SELECT_TRANSFERS, (written.first, written.first + written.transfers)
        )
        return tuple([Transfer._make((*row[:4], TransferKind(row[4]), *row[5:])) for row in rows])

    def was_hold_written(self, name: str) -> bool:
        """See `LedgerSession`."""
        submission, _, entry = name.rpartition("/")
        return (
            self._db.execute(_SELECT_PENDING_TRANSFER, (submission, entry)).fetchone() is not None
        )

    def apply_companions(self, statements: Sequence[PreparedStatement]) -> None:
        """See `LedgerSession`."""
        execute = self._db.execute
        for table, _key, sql, values, must_change in statements:
            try:
                changed = execute(sql, values).rowcount
            except sqlite.IntegrityError:
                raise CompanionRefused(table) from None
            if must_change and changed != 1:
                raise CompanionRefused(table)

    def apply_under_savepoint(self, statements: Sequence[PreparedStatement]) -> None:
        """See `LedgerSession`."""
        self._db.execute("SAVEPOINT one")
        try:
            self.apply_companions(statements)
        except CompanionRefused:
            self._db.execute("ROLLBACK TO one")
            raise
        finally:
            self._db.execute("RELEASE one")

    def write_rows(self, write_set: WriteSet) -> None:
        """See `LedgerSession`."""
        self._write_set = write_set
        db = self._db
        new_rows: list[Any] = []
        changed_rows: list[Any] = []
        for account in write_set.changed_accounts:
            if account.is_stored:
                changed_rows += (
                    *(
                        account.debits_pending,
                        account.debits_posted,
                        account.credits_pending,
                        account.credits_posted,
                    ),
                    *(account.head, account.day, account.id),
                )
            else:
                new_rows += _account_row(account)
        hold_rows: list[Any] = []
        for hold in write_set.opened_holds.values():
            hold_rows += (hold.seq, hold.name, hold.debit.id, hold.credit.id, hold.amount)
        _INSERT_ACCOUNTS(db, new_rows)
        _convert_for_driver(write_set)
        _INSERT_SUBMISSIONS(db, write_set.submissions)
        _INSERT_TRANSFERS(db, write_set.transfers)
        _INSERT_HOLDS(db, hold_rows)
        _DELETE_HOLDS(db, write_set.closed_holds)
        _INSERT_CLOSINGS(db, write_set.closings)
        _UPDATE_ACCOUNTS(db, changed_rows)

    def commit(self) -> None:
        """See `LedgerSession`."""
        write_set = self._write_set
        assert write_set is not None
        self._db.execute("COMMIT")
        for account in write_set.changed_accounts:
            account.is_stored, account.is_dirty = True, False
        self._write_set = None
        self._batches_since_checkpoint += 1

    def rollback(self) -> None:
        """See `LedgerSession`."""
        self._ledger_state, self._write_set = None, None
        if self._db is None:
            return
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite.Error:
            self.close()

    def recover_written(self, ids: Sequence[str]) -> Mapping[str, WrittenSubmission]:
        """See `LedgerSession`."""
        self.rollback()
        self.close()
        db = self._connect()
        return self._find_written(db, ids)

    def read_balances(self, code_lists: Sequence[Sequence[str]]) -> list[dict[str, Balance]]:
        """For each list of codes the accounts' balances, all of one moment; accounts that don't
        exist are left out."""
        db = self._connect()
        db.execute("BEGIN")
        try:
            ledger_state = self._refresh_state(db)
            answers = []
            for codes in code_lists:
                found = {}
                for code in codes:
                    state = ledger_state.accounts.get(code) or self._load_account(
                        db, _SELECT_ACCOUNT_BY_CODE, code
                    )
                    if state is not None:
                        found[code] = state.to_balance()
                answers.append(found)
            return answers
        finally:
            db.execute("COMMIT")

    def tidy_up(self) -> None:
        """See `LedgerSession`."""
        if self._db is not None and self._batches_since_checkpoint >= _CHECKPOINT_BATCHES:
            self._batches_since_checkpoint = 0
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """See `LedgerSession`."""
        self._ledger_state = None
        if self._db is not None:
            with contextlib.suppress(sqlite.Error):
                self._db.close()
            self._db = None

    def classify_error(self, error: Exception) -> FailureKind:
        """See `LedgerSession`."""
        return "conflict" if isinstance(error, sqlite.IntegrityError) else "unavailable"

    def _connect(self) -> Any:
        if self._db is None:
            self._db = connections.open_sqlite(self._address, write=True)
            self._data_version, self._ledger_state = -1, None
        return self._db

    def _refresh_state(self, db: Any) -> LedgerState:
        """The ledger's state, started over when another process has written since."""
        version = db.execute("PRAGMA data_version").fetchone()[0]
        ledger_state = self._ledger_state
        if (
            ledger_state is None
            or version != self._data_version
            or len(ledger_state.accounts) > _ACCOUNTS_MAX
        ):
            account, submission, transfer = db.execute(_SELECT_LAST_NUMBERS).fetchone()
            opened = db.execute(_SELECT_BOOK_DAY).fetchone()
            ledger_state = LedgerState(
                next_submission=submission + 1,
                next_transfer=transfer + 1,
                book_day=opened and BookDay._make(opened),
            )
            self._ledger_state, self._data_version, self._next_account_id = (
                ledger_state,
                version,
                account + 1,
            )
        return ledger_state

    def _load_account(self, db: Any, query: str, value: str | int) -> AccountState | None:
        row = db.execute(query, (value,)).fetchone()
        if row is None:
            return None
        state = AccountState(row[0], row[1], UNITS[row[2]], BalanceLimit(row[3]))
        state.debits_pending, state.debits_posted = row[4], row[5]
        state.credits_pending, state.credits_posted = row[6], row[7]
        state.head, state.day, state.is_stored = row[8], row[9], True
        self.ledger_state.accounts[state.code] = self.ledger_state.accounts_by_id[state.id] = state
        return state

    def _load_holds(self, db: Any, name: str) -> None:
        holds = tuple(
            [
                HoldState(
                    seq,
                    name,
                    self._get_account_by_id(db, debit),
                    self._get_account_by_id(db, credit),
                    amount,
                )
                for seq, debit, credit, amount in db.execute(_SELECT_HOLDS, (name,)).fetchall()
            ]
        )
        if holds:
            self.ledger_state.holds[name] = holds

    def _get_account_by_id(self, db: Any, account_id: int) -> AccountState:
        state = self.ledger_state.accounts_by_id.get(account_id) or self._load_account(
            db, _SELECT_ACCOUNT_BY_ID, account_id
        )
        assert state is not None, f"account {account_id} of a hold is missing"
        return state


def _convert_for_driver(write_set: WriteSet) -> None:
    """Replaces values that the driver is slow with: a bytearray for each bytes, 0 for each None."""
    rows = write_set.submissions
    for column in (2, 6):
        rows[column::SUBMISSION_WIDTH] = list(map(bytearray, rows[column::SUBMISSION_WIDTH]))
    rows = write_set.transfers
    rows[8::TRANSFER_WIDTH] = [pending or 0 for pending in rows[8::TRANSFER_WIDTH]]


def _account_row(account: AccountState) -> tuple[Any, ...]:
    unit, limit = account.unit.NAME, account.limit.value
    return (
        *(account.id, account.code, unit, limit),
        *(account.debits_pending, account.debits_posted),
        *(account.credits_pending, account.credits_posted),
        *(account.head, account.day, account_seal(account.code, unit, limit)),
    )
