"""The writer's session on PostgreSQL: it trusts no figures in memory, for others write too.

Each batch locks the accounts that it may touch, in the order of their ids, and only then reads what
it decides on. No flow locks a companion's row before an account. A whole batch is two round trips,
and a busy account's row is written once in a batch, however many of its transfers are.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, cast

import psycopg
from psycopg import errors

from core.db import connections
from core.db.connections import Address
from core.db.schema import BLOCK
from core.ledger.companion_sql import Prepared
from core.ledger.prepare import AccountT, Job
from core.ledger.session import Known, Verdict
from core.ledger.state import TRANSFER_WIDTH, AccountState, Book, Draft, HoldState, account_seal
from core.ledger.types import UNITS, Balance, CompanionRefused, Kind, Limit, Transfer

#: What is cached of accounts never changes; past this many the cache starts over: about 40 MB.
_REMEMBERED_MAX = 100_000
_LOCK_TRIES = 5

_MEET = (
    "INSERT INTO account (code, unit, limit_kind, debits_pending, debits_posted,"
    " credits_pending, credits_posted, head, day, seal)"
    " SELECT code, unit, limit_kind, 0, 0, 0, 0, 0, 0, seal FROM"
    " unnest(%s::text[], %s::text[], %s::text[], %s::bytea[]) AS v(code, unit, limit_kind, seal)"
    " ORDER BY code ON CONFLICT DO NOTHING"
)
_NAMES = "SELECT id, code, unit, limit_kind FROM account WHERE code = ANY(%s::text[])"
_NAMES_BY_ID = "SELECT id, code, unit, limit_kind FROM account WHERE id = ANY(%s::bigint[])"
_LOCK = (
    "SELECT id, debits_pending, debits_posted, credits_pending, credits_posted, head, day"
    " FROM account WHERE id = ANY(%s::bigint[]) ORDER BY id FOR UPDATE"
)
_KNOWN = "SELECT id, digest, seq, first, transfers FROM submission WHERE id = ANY(%s::text[])"
_HOLDS = (
    "SELECT seq, name, debit, credit, amount FROM hold WHERE name = ANY(%s::text[]) ORDER BY seq"
)
#: What is read under the locks: a block of numbers, submissions that were written before, holds.
_READ = (
    "SELECT NULL::text, NULL::bytea, nextval('block'), 0::bigint, 0::bigint, 0::bigint"
    " UNION ALL SELECT id, digest, seq, first, transfers, 0 FROM submission"
    " WHERE id = ANY(%s::text[])"
    " UNION ALL SELECT name, NULL, seq, debit, credit, amount FROM hold"
    " WHERE name = ANY(%s::text[])"
)
_WAS_HOLD = (
    "SELECT 1 FROM submission s JOIN transfer t ON t.seq >= s.first"
    " AND t.seq < s.first + s.transfers WHERE s.id = %s AND t.entry = %s AND t.kind = 1 LIMIT 1"
)
_TRANSFERS = (
    "SELECT t.seq, s.id, t.entry, t.n, t.kind, d.code, c.code, t.amount FROM transfer t"
    " JOIN submission s ON s.seq = t.submission JOIN account d ON d.id = t.debit"
    " JOIN account c ON c.id = t.credit WHERE t.seq >= %s AND t.seq < %s ORDER BY t.seq"
)
_BALANCES = (
    "SELECT code, debits_pending, debits_posted, credits_pending, credits_posted"
    " FROM account WHERE code = ANY(%s::text[])"
)
#: Everything that a batch writes to the ledger's own tables, in one statement: a statement costs
#: the client and the server as much as a dozen rows.
_WRITE = (
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
_NEW_CLOSINGS = (
    "INSERT INTO closing (account, day, debits_posted, credits_posted, head) SELECT * FROM"
    " unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])"
)

#: Fails unless the row was there and as expected, and so ends the transaction at that statement.
_CHECKED = "WITH changed AS ({} RETURNING 1) SELECT 1 / count(*) FROM changed"

_Connection = psycopg.Connection[tuple[Any, ...]]


class _Name:
    """An account's id, code, unit and limit, which never change."""

    __slots__ = ("code", "id", "limit", "unit")

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.id: int = row[0]
        self.code: str = row[1]
        self.unit, self.limit = UNITS[row[2]], Limit(row[3])


class PostgresSession:
    """The writer's session on PostgreSQL implements `LedgerSession`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._db: _Connection | None = None
        self._book: Book | None = None
        self._names: dict[str, _Name] = {}
        self._names_by_id: dict[int, _Name] = {}
        #: Accounts of holds that this process made: they can be locked without reading them first.
        self._hold_accounts: dict[str, tuple[int, ...]] = {}
        self._settling: list[str] = []
        self._companions: list[Prepared] = []
        self._draft: Draft | None = None

    @property
    def book(self) -> Book:
        """See `LedgerSession`."""
        assert self._book is not None
        return self._book

    # --- before: locks, then reads ---------------------------------------------------------------

    def begin(self, jobs: Sequence[Job]) -> Mapping[str, Known]:
        """See `LedgerSession`."""
        db = self._connected()
        self._meet(db, jobs)
        codes = {code for job in jobs for code in (*job.accounts, *job.watch)}
        names = list(dict.fromkeys(name for job in jobs for name in job.holds))
        self._settling = names
        ids = [job.submission.id for job in jobs if job.submission is not None]
        numbers = {self._names[code].id for code in codes if code in self._names}
        for _ in range(_LOCK_TRIES):
            numbers |= self._accounts_of(db, names)
            known = self._lock(db, sorted(numbers), ids, names)
            if known is not None:
                return known
            db.execute("ROLLBACK")
            self._hold_accounts.clear()
        raise errors.SerializationFailure("holds kept appearing")

    def _meet(self, db: _Connection, jobs: Sequence[Job]) -> None:
        """Caches the accounts' ids; accounts that are missing are inserted, in a transaction of
        their own."""
        if len(self._names) > _REMEMBERED_MAX:
            self._names.clear()
            self._names_by_id.clear()
        names = self._names
        new: dict[str, AccountT] = {
            code: account
            for job in jobs
            for code, account in job.accounts.items()
            if code not in names
        }
        unknown = {code for job in jobs for code in job.watch if code not in names}
        if not new and not unknown:
            return
        if new:
            rows = [
                (code, a.unit.NAME, a.limit.value, account_seal(code, a.unit.NAME, a.limit.value))
                for code, a in sorted(new.items())
            ]
            db.execute(_MEET, _columns("tttb", list(chain.from_iterable(rows))))
        self._learn(db, _NAMES, [*new, *unknown])

    def _learn(self, db: _Connection, query: str, by: list[Any]) -> None:
        for row in db.execute(cast("Any", query), (by,)).fetchall():
            name = _Name(row)
            self._names[name.code] = self._names_by_id[name.id] = name

    def _accounts_of(self, db: _Connection, names: list[str]) -> set[int]:
        """The ids of the holds' accounts, which must be locked with the others."""
        missing = [name for name in names if name not in self._hold_accounts]
        found: dict[str, tuple[int, ...]] = {}
        if missing:
            for _seq, name, debit, credit, _amount in db.execute(_HOLDS, (missing,)).fetchall():
                found[name] = (*found.get(name, ()), debit, credit)
        numbers = {
            number
            for name in names
            for number in self._hold_accounts.get(name, found.get(name, ()))
        }
        unmet = [number for number in numbers if number not in self._names_by_id]
        if unmet:
            self._learn(db, _NAMES_BY_ID, unmet)
        return numbers

    def _lock(
        self, db: _Connection, numbers: list[int], ids: list[str], names: list[str]
    ) -> Mapping[str, Known] | None:
        """Locks accounts, then reads, in one round trip: the submissions that were written before.
        None when a hold has an account that isn't locked."""
        with db.pipeline():
            db.execute("BEGIN")
            locked = db.execute(_LOCK, (_numbers(numbers),), prepare=True)
            found = db.execute(_READ, (_texts(ids), _texts(names)), prepare=True)
        (_, _, first, *_), *rest = found.fetchall()
        book = Book(next_submission=first, next_transfer=first)
        for row in locked.fetchall():
            name = self._names_by_id[row[0]]
            state = AccountState(name.id, name.code, name.unit, name.limit)
            state.debits_pending, state.debits_posted = row[1], row[2]
            state.credits_pending, state.credits_posted = row[3], row[4]
            state.head, state.day, state.stored = row[5], row[6], True
            book.accounts[name.code] = book.by_id[name.id] = state
        known = [Known(*row[:5]) for row in rest if row[1] is not None]
        holds = sorted((row for row in rest if row[1] is None), key=itemgetter(2))
        for hold_name, _, seq, debit, credit, amount in holds:
            if debit not in book.by_id or credit not in book.by_id:
                return None
            hold = HoldState(seq, hold_name, book.by_id[debit], book.by_id[credit], amount)
            hold.stored = True
            book.holds[hold_name] = (*book.holds.get(hold_name, ()), hold)
        self._book, self._companions, self._draft = book, [], None
        return {one.id: one for one in known}

    def transfers_of(self, known: Known) -> tuple[Transfer, ...]:
        """See `LedgerSession`."""
        db = self._connected()
        rows = db.execute(_TRANSFERS, (known.first, known.first + known.transfers)).fetchall()
        return tuple([Transfer._make((*row[:4], Kind(row[4]), *row[5:])) for row in rows])

    def was_hold(self, name: str) -> bool:
        """See `LedgerSession`."""
        submission, _, entry = name.rpartition("/")
        return self._connected().execute(_WAS_HOLD, (submission, entry)).fetchone() is not None

    # --- after: companions, rows, commit ---------------------------------------------------------

    def apply(self, statements: Sequence[Prepared]) -> None:
        """See `LedgerSession`. `commit` sends them, by table and key, for fewer deadlocks."""
        # A deletion names no key: where there is one, its table's statements keep their order.
        as_they_came = {one.table for one in statements if not one.key}
        self._companions = sorted(
            statements,
            key=lambda one: (one.table, "" if one.table in as_they_came else one.key),
        )

    def apply_one(self, statements: Sequence[Prepared]) -> None:
        """See `LedgerSession`."""
        db = self._connected()
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

    def write(self, draft: Draft) -> None:
        """See `LedgerSession`. `commit` sends the rows."""
        assert len(draft.transfers) < BLOCK * TRANSFER_WIDTH
        self._draft = draft

    def commit(self) -> None:
        """See `LedgerSession`. One round trip: a failure stops all that follows, the commit
        too."""
        db, draft = self._connected(), self._draft
        assert draft is not None
        with db.pipeline():
            if draft.submissions or draft.changed:
                columns = (
                    *_columns("itbiiib", draft.submissions),
                    *_columns("iitiiiiiiii", draft.transfers),
                    *_columns("itiii", _hold_rows(draft.opened.values())),
                    _numbers(draft.closed),
                    *_columns("iiiiiii", _changes(draft.changed)),
                )
                db.execute(_WRITE, columns, prepare=True)
            if draft.closings:
                db.execute(_NEW_CLOSINGS, _columns("itiii", draft.closings), prepare=True)
            for (sql, must_change), group in groupby(
                self._companions, lambda one: (one.sql, one.must_change)
            ):
                checked = _CHECKED.format(sql) if must_change else sql
                db.cursor().executemany(cast("Any", checked), [one.values for one in group])
            db.execute("COMMIT")
        draft = self._draft
        assert draft is not None
        if len(self._hold_accounts) > _REMEMBERED_MAX:
            self._hold_accounts.clear()
        for hold in draft.opened.values():
            before = self._hold_accounts.get(hold.name, ())
            self._hold_accounts[hold.name] = (*before, hold.debit.id, hold.credit.id)
        for name in self._settling:
            if not self.book.holds.get(name):
                self._hold_accounts.pop(name, None)
        self._book = None

    def rollback(self) -> None:
        """See `LedgerSession`."""
        self._book, self._draft = None, None
        if self._db is None:
            return
        try:
            self._db.execute("ROLLBACK")
        except psycopg.Error:
            self.close()

    def recover(self, ids: Sequence[str]) -> Mapping[str, Known]:
        """See `LedgerSession`."""
        self.close()
        rows = self._connected().execute(_KNOWN, (list(ids),)).fetchall()
        return {row[0]: Known(*row) for row in rows}

    def balances(self, wanted: Sequence[Sequence[str]]) -> list[dict[str, Balance]]:
        """See `LedgerSession`."""
        every = [code for codes in wanted for code in codes]
        rows = self._connected().execute(_BALANCES, (every,)).fetchall()
        found = {row[0]: Balance(*row[1:]) for row in rows}
        return [{code: found[code] for code in codes if code in found} for codes in wanted]

    def idle(self) -> None:
        """See `LedgerSession`. The server does its maintenance by itself."""

    def close(self) -> None:
        """See `LedgerSession`."""
        self._book = None
        self._hold_accounts.clear()
        if self._db is not None:
            with contextlib.suppress(psycopg.Error):
                self._db.close()
            self._db = None

    def judge(self, error: Exception) -> Verdict:
        """See `LedgerSession`."""
        in_the_way = (
            psycopg.IntegrityError,
            errors.DivisionByZero,  # a companion's row isn't as expected: see `_MUST_CHANGE`
            errors.SerializationFailure,
            errors.DeadlockDetected,
            errors.LockNotAvailable,
        )
        return "conflict" if isinstance(error, in_the_way) else "unavailable"

    def _connected(self) -> _Connection:
        if self._db is None:
            self._db = connections.open_postgres(self._address)
        return self._db


def _columns(kinds: str, rows: list[Any]) -> list[str]:
    """Rows, end to end, as an array literal for each column: it takes less CPU than the driver's
    own way."""
    width = len(kinds)
    return [_WRITTEN[kind](rows[at::width]) for at, kind in enumerate(kinds)]


def _numbers(column: list[Any]) -> str:
    return "{" + str(column)[1:-1].replace("None", "NULL") + "}"


def _texts(column: list[str]) -> str:
    whole = '","'.join(column)
    if "\\" in whole or whole.count('"') != 2 * len(column) - 2:
        whole = '","'.join([_ESCAPED.sub(r"\\\g<0>", one) for one in column])
    return '{"' + whole + '"}' if column else "{}"


def _bytes(column: list[bytes]) -> str:
    return "{" + ",".join(['"\\\\x' + one.hex() + '"' for one in column]) + "}"


_ESCAPED = re.compile(r'["\\]')
_WRITTEN: dict[str, Callable[[Any], str]] = {"i": _numbers, "t": _texts, "b": _bytes}


def _hold_rows(holds: Iterable[HoldState]) -> list[Any]:
    rows: list[Any] = []
    for hold in holds:
        rows += (hold.seq, hold.name, hold.debit.id, hold.credit.id, hold.amount)
    return rows


def _changes(accounts: Iterable[AccountState]) -> list[Any]:
    rows: list[Any] = []
    for a in accounts:
        rows += (
            *(a.id, a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted),
            *(a.head, a.day),
        )
    return rows
