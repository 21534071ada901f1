"""The writer's session on PostgreSQL: it trusts no figures in memory, for others write too.

Each batch locks the accounts that it may touch, in the order of their ids, and only then reads what
it decides on. No flow locks a companion's row before an account. A whole batch is two round trips,
and a busy account's row is written once in a batch, however many of its transfers are.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, cast

import psycopg
from psycopg import errors

from core.db import connections, schema
from core.db.connections import DatabaseAddress
from core.db.postgres_pipeline import PostgresPipeline, Statement
from core.ledger import day_correction
from core.ledger.book_day import BookDay
from core.ledger.companion_sql import PreparedStatement
from core.ledger.prepare import AccountT, PreparedSubmission
from core.ledger.session import FailureKind, WrittenSubmission
from core.ledger.state import (
    TRANSFER_WIDTH,
    AccountState,
    HoldState,
    LedgerState,
    WriteSet,
    account_seal,
)
from core.ledger.types import UNITS, BalanceLimit, CompanionRefused, Transfer, TransferKind

#: What is cached of accounts never changes; past this many the cache starts over: about 40 MB.
_CACHED_MAX = 100_000
_LOCK_TRIES = 5
_LIMITS = {limit.value: limit for limit in BalanceLimit}

_INSERT_ACCOUNTS = (
    "INSERT INTO account (code, unit, limit_kind, debits_pending, debits_posted,"
    " credits_pending, credits_posted, head, day, seal)"
    " SELECT code, unit, limit_kind, 0, 0, 0, 0, 0, 0, seal FROM"
    " unnest(%s::text[], %s::text[], %s::text[], %s::bytea[]) AS v(code, unit, limit_kind, seal)"
    " ORDER BY code ON CONFLICT DO NOTHING"
)
_SELECT_ACCOUNTS = "SELECT id, code FROM account WHERE code = ANY(%s::text[])"
_SELECT_ACCOUNTS_BY_ID = "SELECT id, code FROM account WHERE id = ANY(%s::bigint[])"
#: An account that was named before, but never used.
_DECLARE_ACCOUNT = (
    "UPDATE account SET unit = %s, limit_kind = %s, seal = %s WHERE id = %s AND head = 0"
)
_LOCK_ACCOUNTS = (
    "SELECT id, debits_pending, debits_posted, credits_pending, credits_posted, head, day, unit,"
    " limit_kind FROM account WHERE id = ANY(%s::bigint[]) ORDER BY id FOR UPDATE"
)
_SELECT_SUBMISSIONS = (
    "SELECT id, digest, seq, first, transfers FROM submission WHERE id = ANY(%s::text[])"
)
_SELECT_HOLDS = (
    "SELECT seq, name, debit, credit, amount FROM hold WHERE name = ANY(%s::text[]) ORDER BY seq"
)
#: What is read under the locks: a block of numbers, submissions that were written before, holds.
_SELECT_UNDER_LOCKS = (
    "SELECT NULL::text, NULL::bytea, nextval('block'), b.day, b.at, b.steady"
    " FROM (SELECT 1) one LEFT JOIN book_day b ON true"
    " UNION ALL SELECT id, digest, seq, first, transfers, 0 FROM submission"
    " WHERE id = ANY(%s::text[])"
    " UNION ALL SELECT name, NULL, seq, debit, credit, amount FROM hold"
    " WHERE name = ANY(%s::text[])"
)
#: Whoever writes holds the day of the books; whoever moves it holds it alone.
_DAY_LOCK = 7_018_332_014
_HOLD_DAY = f"SELECT pg_advisory_xact_lock_shared({_DAY_LOCK})"
_HOLD_DAY_ALONE = f"SELECT pg_advisory_xact_lock({_DAY_LOCK})"
#: How long a writer that hangs may hold up the day, and everybody behind whoever moves it.
_DAY_WAIT = "SET LOCAL lock_timeout = '500ms'"
_MOVE_BOOK_DAY = (
    "INSERT INTO book_day AS b (id, day, at, steady) VALUES (1, %s, %s, %s)"
    " ON CONFLICT (id) DO UPDATE SET day = excluded.day, at = excluded.at,"
    " steady = excluded.steady"
)
_SELECT_MS = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_SELECT_PENDING_TRANSFER = (
    "SELECT 1 FROM submission s JOIN transfer t ON t.seq >= s.first"
    " AND t.seq < s.first + s.transfers WHERE s.id = %s AND t.entry = %s AND t.kind = 1 LIMIT 1"
)
_SELECT_TRANSFERS = (
    "SELECT t.seq, s.id, t.entry, t.n, t.kind, d.code, c.code, t.amount FROM transfer t"
    " JOIN submission s ON s.seq = t.submission JOIN account d ON d.id = t.debit"
    " JOIN account c ON c.id = t.credit WHERE t.seq >= %s AND t.seq < %s ORDER BY t.seq"
)
#: Everything that a batch writes to the ledger's own tables, in one statement: a statement costs
#: the client and the server as much as a dozen rows.
_WRITE_ROWS = (
    "WITH submissions AS ("
    " INSERT INTO submission (seq, id, digest, at, first, transfers, seal) SELECT * FROM"
    " unnest(%s::bigint[], %s::text[], %s::bytea[], %s::bigint[], %s::bigint[], %s::int[],"
    " %s::bytea[])), transfers AS ("
    " INSERT INTO transfer (seq, submission, entry, n, kind, debit, credit, amount, pending,"
    " debit_previous, credit_previous) SELECT * FROM unnest(%s::bigint[], %s::bigint[],"
    " %s::text[], %s::int[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],"
    " %s::bigint[], %s::bigint[])), holds AS ("
    " INSERT INTO hold (seq, name, debit, credit, amount) SELECT * FROM"
    " unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])), ended AS ("
    " DELETE FROM hold WHERE seq = ANY(%s::bigint[]))"
    " UPDATE account a SET debits_pending = v.dp, debits_posted = v.d, credits_pending = v.cp,"
    " credits_posted = v.c, head = v.head, day = v.day FROM unnest(%s::bigint[], %s::bigint[],"
    " %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])"
    " AS v(id, dp, d, cp, c, head, day) WHERE a.id = v.id"
)
_INSERT_CLOSINGS = (
    "INSERT INTO closing (account, day, debits_posted, credits_posted, head) SELECT * FROM"
    " unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])"
)

#: Fails unless the row was there and as expected, and so ends the transaction at that statement.
_MUST_CHANGE = "WITH changed AS ({} RETURNING 1) SELECT 1 / count(*) FROM changed"

_Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresSession:
    """The writer's session on PostgreSQL implements `LedgerSession`."""

    def __init__(self, address: DatabaseAddress) -> None:
        self._address = address
        self._db: _Connection | None = None
        self._pipeline: PostgresPipeline | None = None
        self._ledger_state: LedgerState | None = None
        #: An account's id and code never change; its unit and limit do until its first transfer.
        self._ids: dict[str, int] = {}
        self._codes: dict[int, str] = {}
        #: Accounts of holds that this process made: they can be locked without reading them first.
        self._hold_accounts: dict[str, tuple[int, ...]] = {}
        self._settled_holds: list[str] = []
        self._statements: list[PreparedStatement] = []
        self._write_set: WriteSet | None = None

    @property
    def ledger_state(self) -> LedgerState:
        """See `LedgerSession`."""
        assert self._ledger_state is not None
        return self._ledger_state

    # --- before: locks, then reads ---------------------------------------------------------------

    def begin(self, batch: Sequence[PreparedSubmission]) -> Mapping[str, WrittenSubmission]:
        """See `LedgerSession`."""
        db = self._connect()
        self._ensure_accounts(db, batch)
        codes = {code for job in batch for code in (*job.accounts, *job.watch)}
        hold_names = list(dict.fromkeys(name for job in batch for name in job.holds))
        self._settled_holds = hold_names
        ids = [job.submission.id for job in batch if job.submission is not None]
        account_ids = {self._ids[code] for code in codes if code in self._ids}
        for _ in range(_LOCK_TRIES):
            account_ids |= self._find_hold_accounts(db, hold_names)
            written = self._lock_and_read(db, sorted(account_ids), ids, hold_names)
            if written is not None:
                self._declare_unused(db, batch)
                return written
            db.execute("ROLLBACK")
            self._hold_accounts.clear()
        raise errors.SerializationFailure("holds kept appearing")

    def _ensure_accounts(self, db: _Connection, batch: Sequence[PreparedSubmission]) -> None:
        """Caches the accounts' ids; accounts that are missing are inserted, in a transaction of
        their own."""
        if len(self._ids) > _CACHED_MAX:
            self._ids.clear()
            self._codes.clear()
        ids = self._ids
        new: dict[str, AccountT] = {
            code: account
            for job in batch
            for code, account in job.accounts.items()
            if code not in ids
        }
        unknown = {code for job in batch for code in job.watch if code not in ids}
        if not new and not unknown:
            return
        if new:
            rows = [
                (code, a.unit.NAME, a.limit.value, account_seal(code, a.unit.NAME, a.limit.value))
                for code, a in sorted(new.items())
            ]
            db.execute(_INSERT_ACCOUNTS, _array_literals("tttb", list(chain.from_iterable(rows))))
        self._load_ids(db, _SELECT_ACCOUNTS, [*new, *unknown])

    def _declare_unused(self, db: _Connection, batch: Sequence[PreparedSubmission]) -> None:
        """An account's first use says its unit and limit, whatever was said of it before."""
        accounts = self.ledger_state.accounts
        for job in batch:
            for code, a in job.accounts.items():
                state = accounts[code]
                if state.head or (state.unit is a.unit and state.limit is a.limit):
                    continue
                state.unit, state.limit = a.unit, a.limit
                seal = account_seal(code, a.unit.NAME, a.limit.value)
                db.execute(_DECLARE_ACCOUNT, (a.unit.NAME, a.limit.value, seal, state.id))

    def _load_ids(self, db: _Connection, query: str, values: list[Any]) -> None:
        for number, code in db.execute(cast("Any", query), (values,)).fetchall():
            self._ids[code], self._codes[number] = number, code

    def _find_hold_accounts(self, db: _Connection, hold_names: list[str]) -> set[int]:
        """The ids of the holds' accounts, which must be locked with the others."""
        missing = [name for name in hold_names if name not in self._hold_accounts]
        found: dict[str, tuple[int, ...]] = {}
        if missing:
            for _seq, name, debit, credit, _amount in db.execute(
                _SELECT_HOLDS, (missing,)
            ).fetchall():
                found[name] = (*found.get(name, ()), debit, credit)
        account_ids = {
            number
            for name in hold_names
            for number in self._hold_accounts.get(name, found.get(name, ()))
        }
        unknown = [number for number in account_ids if number not in self._codes]
        if unknown:
            self._load_ids(db, _SELECT_ACCOUNTS_BY_ID, unknown)
        return account_ids

    def _lock_and_read(
        self,
        db: _Connection,
        account_ids: list[int],
        submission_ids: list[str],
        hold_names: list[str],
    ) -> Mapping[str, WrittenSubmission] | None:
        """Locks accounts, then reads, in one round trip: the submissions that were written before.
        None when a hold has an account that isn't locked."""
        named = (_text_array(submission_ids), _text_array(hold_names))
        _, _, locked, ((_, _, first, *opened), *rest) = self._get_pipeline(db).run(
            (
                *(("BEGIN", ()), (_HOLD_DAY, ())),
                *((_LOCK_ACCOUNTS, (_integer_array(account_ids),)), (_SELECT_UNDER_LOCKS, named)),
            )
        )
        ledger_state = LedgerState(next_submission=first, next_transfer=first)
        if opened[0] is not None:
            ledger_state.book_day = BookDay._make(opened)
        for row in locked:
            code = self._codes[row[0]]
            state = AccountState(row[0], code, UNITS[row[7]], _LIMITS[row[8]])
            state.debits_pending, state.debits_posted = row[1], row[2]
            state.credits_pending, state.credits_posted = row[3], row[4]
            state.head, state.day, state.is_stored = row[5], row[6], True
            ledger_state.accounts[code] = ledger_state.accounts_by_id[row[0]] = state
        written = [WrittenSubmission(*row[:5]) for row in rest if row[1] is not None]
        holds = sorted((row for row in rest if row[1] is None), key=itemgetter(2))
        for hold_name, _, seq, debit, credit, amount in holds:
            if (
                debit not in ledger_state.accounts_by_id
                or credit not in ledger_state.accounts_by_id
            ):
                return None
            hold = HoldState(
                seq,
                hold_name,
                ledger_state.accounts_by_id[debit],
                ledger_state.accounts_by_id[credit],
                amount,
            )
            ledger_state.holds[hold_name] = (*ledger_state.holds.get(hold_name, ()), hold)
        self._ledger_state, self._statements, self._write_set = ledger_state, [], None
        return {submission.id: submission for submission in written}

    def open_day(
        self, opening: BookDay, batch: Sequence[PreparedSubmission]
    ) -> Mapping[str, WrittenSubmission] | None:
        """See `LedgerSession`. Batches that saw the day before end first; none sees it later."""
        self.rollback()
        db = self._connect()
        try:
            db.execute("BEGIN")
            db.execute(_DAY_WAIT)
            db.execute(_HOLD_DAY_ALONE)
            db.execute(_MOVE_BOOK_DAY + " WHERE b.day < excluded.day", opening)
            db.execute("COMMIT")
        except errors.LockNotAvailable:
            self.rollback()
            return None
        return self.begin(batch)

    def correct_day(self, corrected: BookDay) -> int:
        """See `LedgerSession`."""
        db = self._connect()
        db.execute("BEGIN")
        db.execute(_HOLD_DAY_ALONE)
        count: int = day_correction.apply(db.execute, "%s", corrected)
        db.execute(_MOVE_BOOK_DAY, corrected)
        db.execute("COMMIT")
        return count

    def read_database_ms(self) -> int | None:
        """See `LedgerSession`."""
        ((now,),) = self._connect().execute(_SELECT_MS).fetchall()
        return int(now)

    def list_transfers(self, written: WrittenSubmission) -> tuple[Transfer, ...]:
        """See `LedgerSession`."""
        db = self._connect()
        rows = db.execute(
            _SELECT_TRANSFERS, (written.first, written.first + written.transfers)
        ).fetchall()
        return tuple([Transfer._make((*row[:4], TransferKind(row[4]), *row[5:])) for row in rows])

    def was_hold_written(self, name: str) -> bool:
        """See `LedgerSession`."""
        submission, _, entry = name.rpartition("/")
        return (
            self._connect().execute(_SELECT_PENDING_TRANSFER, (submission, entry)).fetchone()
            is not None
        )

    # --- after: companions, rows, commit ---------------------------------------------------------

    def apply_companions(self, statements: Sequence[PreparedStatement]) -> None:
        """See `LedgerSession`. `commit` sends them, by table and key, for fewer deadlocks."""
        # A deletion names no key: where there is one, its table's statements keep their order.
        unsorted_tables = {statement.table for statement in statements if not statement.key}
        self._statements = sorted(
            statements,
            key=lambda one: (one.table, "" if one.table in unsorted_tables else one.key),
        )

    def apply_under_savepoint(self, statements: Sequence[PreparedStatement]) -> None:
        """See `LedgerSession`."""
        db = self._connect()
        db.execute("SAVEPOINT one")
        for table, _key, sql, values, must_change in statements:
            try:
                fits = db.execute(cast("Any", sql), values).rowcount == 1 or not must_change
            except psycopg.IntegrityError:
                fits = False
            if not fits:
                db.execute("ROLLBACK TO one")
                raise CompanionRefused(table)
        db.execute("RELEASE one")

    def write_rows(self, write_set: WriteSet) -> None:
        """See `LedgerSession`. `commit` sends the rows."""
        assert len(write_set.transfers) < schema.BLOCK * TRANSFER_WIDTH
        self._write_set = write_set

    def commit(self) -> None:
        """See `LedgerSession`. One round trip: a failure stops all that follows, the commit
        too."""
        db, write_set = self._connect(), self._write_set
        assert write_set is not None
        sent: list[Statement] = []
        if write_set.submissions or write_set.changed_accounts:
            columns = (
                *_array_literals("itbiiib", write_set.submissions),
                *_array_literals("iitiiiiiiii", write_set.transfers),
                *_array_literals("itiii", _hold_rows(write_set.opened_holds.values())),
                _integer_array(write_set.closed_holds),
                *_array_literals("iiiiiii", _account_rows(write_set.changed_accounts)),
            )
            sent.append((_WRITE_ROWS, columns))
        if write_set.closings:
            sent.append((_INSERT_CLOSINGS, _array_literals("itiii", write_set.closings)))
        for _table, _key, sql, values, must_change in self._statements:
            sent.append((_MUST_CHANGE.format(sql) if must_change else sql, values))
        sent.append(("COMMIT", ()))
        self._get_pipeline(db).run(sent)
        self._remember_holds(write_set)
        self._ledger_state = None

    def _remember_holds(self, write_set: WriteSet) -> None:
        """Which accounts the holds have that were committed, for whoever settles them."""
        if len(self._hold_accounts) > _CACHED_MAX:
            self._hold_accounts.clear()
        for hold in write_set.opened_holds.values():
            before = self._hold_accounts.get(hold.name, ())
            self._hold_accounts[hold.name] = (*before, hold.debit.id, hold.credit.id)
        for name in self._settled_holds:
            if not self.ledger_state.holds.get(name):
                self._hold_accounts.pop(name, None)

    def rollback(self) -> None:
        """See `LedgerSession`."""
        self._ledger_state, self._write_set = None, None
        if self._db is None:
            return
        try:
            self._db.execute("ROLLBACK")
        except psycopg.Error:
            self.close()

    def recover_written(self, ids: Sequence[str]) -> Mapping[str, WrittenSubmission]:
        """See `LedgerSession`."""
        self.close()
        rows = self._connect().execute(_SELECT_SUBMISSIONS, (list(ids),)).fetchall()
        return {row[0]: WrittenSubmission(*row) for row in rows}

    def tidy_up(self) -> None:
        """See `LedgerSession`. The server does its maintenance by itself."""

    def close(self) -> None:
        """See `LedgerSession`."""
        self._ledger_state = None
        self._hold_accounts.clear()
        if self._db is not None:
            with contextlib.suppress(psycopg.Error):
                self._db.close()
            self._db, self._pipeline = None, None

    def classify_error(self, error: Exception) -> FailureKind:
        """See `LedgerSession`."""
        conflicts = (
            psycopg.IntegrityError,
            errors.DivisionByZero,  # a companion's row isn't as expected: see `_MUST_CHANGE`
            errors.SerializationFailure,
            errors.DeadlockDetected,
            errors.LockNotAvailable,
        )
        return "conflict" if isinstance(error, conflicts) else "unavailable"

    def _connect(self) -> _Connection:
        if self._db is None:
            self._db = connections.open_postgres(self._address)
        return self._db

    def _get_pipeline(self, db: _Connection) -> PostgresPipeline:
        if self._pipeline is None:
            self._pipeline = PostgresPipeline(db)
        return self._pipeline


def _array_literals(kinds: str, rows: list[Any]) -> list[str]:
    """Rows, end to end, as an array literal for each column: it takes less CPU than the driver's
    own way."""
    width = len(kinds)
    return [_ARRAY_WRITERS[kind](rows[at::width]) for at, kind in enumerate(kinds)]


def _integer_array(column: list[Any]) -> str:
    return "{" + str(column)[1:-1].replace("None", "NULL") + "}"


def _text_array(column: list[str]) -> str:
    whole = '","'.join(column)
    if "\\" in whole or whole.count('"') != 2 * len(column) - 2:
        whole = '","'.join([_ESCAPED.sub(r"\\\g<0>", text) for text in column])
    return '{"' + whole + '"}' if column else "{}"


def _bytes_array(column: list[bytes]) -> str:
    return "{" + ",".join(['"\\\\x' + value.hex() + '"' for value in column]) + "}"


_ESCAPED = re.compile(r'["\\]')
_ARRAY_WRITERS: dict[str, Callable[[Any], str]] = {
    "i": _integer_array,
    "t": _text_array,
    "b": _bytes_array,
}


def _hold_rows(holds: Iterable[HoldState]) -> list[Any]:
    rows: list[Any] = []
    for hold in holds:
        rows += (hold.seq, hold.name, hold.debit.id, hold.credit.id, hold.amount)
    return rows


def _account_rows(accounts: Iterable[AccountState]) -> list[Any]:
    rows: list[Any] = []
    for account in accounts:
        rows += (
            *(
                account.id,
                account.debits_pending,
                account.debits_posted,
                account.credits_pending,
                account.credits_posted,
            ),
            *(account.head, account.day),
        )
    return rows
