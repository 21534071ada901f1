"""What the ledger is measured against: transfers by hand, each committed by itself.

All of them are as durable as the ledger: WAL and `synchronous=FULL` on SQLite, `synchronous_commit`
on PostgreSQL; each commit is flushed before the next transfer begins.
"""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pysqlite3.dbapi2 as sqlite

from core.clock import SystemClock
from core.ids import derive_id
from core.ledger.types import Account, BalanceLimit
from core.money import Credits

CLOCK = SystemClock()
ISSUED = Account("issued/grant", Credits)
SPENT = Account("spent/gpt-4", Credits)
PEOPLE = 10_000
POCKETS = [
    Account(f"user/{number:06}/bought", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)
    for number in range(PEOPLE)
]
_CAUSES = itertools.count()


def fresh_id() -> str:
    """An id as the product derives it from the message that asked."""
    return derive_id("ask", CLOCK.now_ms(), "benchmark", str(next(_CAUSES)))


_PEOPLE_RAW = 1_000
_SUMS = "debits_pending = debits_pending + ?, debits_posted = debits_posted + ?"
_CREDITS = "credits_pending = credits_pending + ?, credits_posted = credits_posted + ?"


class Raw:
    """The rows that the ledger writes, by hand, committed one transfer at a time: no checks but the
    database's, no plans, no digests, no answers."""

    def __init__(self, file: Path) -> None:
        """`file` is an empty, migrated database."""
        self.db: Any = sqlite.connect(
            str(file), isolation_level=None, cached_statements=512, check_same_thread=False
        )
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.heads = [0] * (_PEOPLE_RAW + 1)
        self.seq = 0
        self.db.executemany(
            "INSERT INTO account VALUES (?, ?, 'CREDIT', ?, 0, 0, 0, ?, 0, 0, x'00')",
            [(0, SPENT.code, "none", 0)]
            + [(n, POCKETS[n].code, "debits", 10**12) for n in range(1, _PEOPLE_RAW)],
        )

    def transfer(self, row_id: str, debit: int, resolves: int | None) -> int:
        """One transfer, in a transaction of its own: a hold, or the post that resolves one."""
        run, heads = self.db.execute, self.heads
        self.seq = seq = self.seq + 1
        held, posted = (10, 0) if resolves is None else (-10, 10)
        run("BEGIN IMMEDIATE")
        run(
            "INSERT INTO submission VALUES (?, ?, ?, ?, ?, 1, ?)",
            (seq, row_id, b"0123456789abcdef", CLOCK.now_ms(), seq, b"01234567"),
        )
        run(
            "INSERT INTO transfer VALUES (?, ?, 'credits', 0, ?, ?, 0, 10, ?, ?, ?)",
            (seq, seq, 1 if resolves is None else 2, debit, resolves, heads[debit], heads[0]),
        )
        if resolves is None:
            name = f"{row_id}/credits"
            run("INSERT INTO hold VALUES (?, ?, ?, 0, 10)", (seq, name, debit))
        else:
            run("DELETE FROM hold WHERE seq = ?", (resolves,))
        run(f"UPDATE account SET {_SUMS}, head = ? WHERE id = ?", (held, posted, seq, debit))
        run(f"UPDATE account SET {_CREDITS}, head = ? WHERE id = 0", (held, posted, seq))
        run("COMMIT")
        heads[debit] = heads[0] = seq
        return seq

    def run(self, transfers: int) -> float:
        """Transfers a second."""
        began = time.perf_counter()
        for n in range(transfers // 2):
            ask, debit = fresh_id(), 1 + n % (_PEOPLE_RAW - 1)
            hold = self.transfer(ask, debit, None)
            self.transfer(f"{ask}/settle", debit, hold)
        return transfers / (time.perf_counter() - began)


class Bare:
    """The least that could be called a ledger: one row and two sums a transfer, an id, a commit."""

    def __init__(self, file: Path) -> None:
        self.db: Any = sqlite.connect(str(file), isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.execute(
            "CREATE TABLE account (id INTEGER PRIMARY KEY, debits_pending INTEGER,"
            " debits_posted INTEGER, credits_pending INTEGER, credits_posted INTEGER,"
            " CHECK (debits_posted + debits_pending <= credits_posted OR id = 0))"
        )
        self.db.execute(
            "CREATE TABLE transfer (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, debit INTEGER,"
            " credit INTEGER, amount INTEGER, pending INTEGER)"
        )
        rows = [(n, 0, 0, 0, 10**12) for n in range(_PEOPLE_RAW)]
        self.db.executemany("INSERT INTO account VALUES (?, ?, ?, ?, ?)", rows)

    def transfer(self, row_id: str, debit: int, *, pending: bool) -> None:
        """One transfer, in a transaction of its own."""
        run = self.db.execute
        held, posted = (10, 0) if pending else (-10, 10)
        run("BEGIN IMMEDIATE")
        run(f"UPDATE account SET {_SUMS} WHERE id = ?", (held, posted, debit))
        run(f"UPDATE account SET {_CREDITS} WHERE id = 0", (held, posted))
        run(
            "INSERT INTO transfer (id, debit, credit, amount, pending) VALUES (?, ?, 0, 10, ?)",
            (row_id, debit, pending),
        )
        run("COMMIT")

    def run(self, transfers: int) -> float:
        """Transfers a second."""
        began = time.perf_counter()
        for n in range(transfers // 2):
            ask, debit = fresh_id(), 1 + n % (_PEOPLE_RAW - 1)
            self.transfer(ask, debit, pending=True)
            self.transfer(f"{ask}/settle", debit, pending=False)
        return transfers / (time.perf_counter() - began)


class _Callers:
    """PostgreSQL: as many connections as callers, opened before the clock starts."""

    def __init__(self, uri: str, callers: int) -> None:
        self._uri, self._callers = uri, callers

    def work(self, connection: psycopg.Connection[Any], number: int) -> None:
        """A hold and its post: two statements, each committed by itself."""
        raise NotImplementedError

    def run(self, transfers: int) -> float:
        """Transfers a second."""
        numbers = itertools.count()

        def caller(connection: psycopg.Connection[Any]) -> None:
            while (number := next(numbers)) < transfers // 2:
                self.work(connection, number)

        opened = [psycopg.connect(self._uri, autocommit=True) for _ in range(self._callers)]
        threads = [threading.Thread(target=caller, args=(one,)) for one in opened]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
        for connection in opened:
            connection.close()
        return transfers / seconds


class BarePostgres(_Callers):
    """The least: one row and two balances a transfer, all crediting one account; no ids."""

    _ONE = (
        "WITH d AS (UPDATE plain SET balance = balance - 10 WHERE id = %s AND balance >= 10"
        " RETURNING id), c AS (UPDATE plain SET balance = balance + 10 WHERE id = 0 RETURNING id)"
        " INSERT INTO plain_transfer (debit, credit, amount) SELECT d.id, c.id, 10 FROM d, c"
    )

    def __init__(self, uri: str, callers: int) -> None:
        with psycopg.connect(uri) as db:
            db.execute("CREATE TABLE plain (id INT PRIMARY KEY, balance BIGINT)")
            db.execute("INSERT INTO plain SELECT n, 1000000000 FROM generate_series(0, 999) n")
            db.execute(
                "CREATE TABLE plain_transfer (seq BIGSERIAL PRIMARY KEY, debit INT, credit INT,"
                " amount BIGINT)"
            )
        super().__init__(uri, callers)

    def work(self, connection: psycopg.Connection[Any], number: int) -> None:
        """See `_Callers`."""
        for _ in range(2):
            connection.execute(self._ONE, (1 + number % 999,), prepare=True)


class RawPostgres(_Callers):
    """The rows that the ledger writes, in its own tables, by one statement a transfer."""

    _ROWS = (
        "WITH d AS (UPDATE account SET debits_pending = debits_pending + %(held)s,"
        " debits_posted = debits_posted + %(posted)s, head = %(seq)s WHERE id = %(debit)s),"
        " c AS (UPDATE account SET credits_pending = credits_pending + %(held)s,"
        " credits_posted = credits_posted + %(posted)s, head = %(seq)s WHERE id = 1000),"
        " s AS (INSERT INTO submission VALUES (%(seq)s, %(id)s, 'digest', 0, %(seq)s, 1, 'seal')),"
        " t AS (INSERT INTO transfer VALUES (%(seq)s, %(seq)s, 'credits', 0, %(kind)s, %(debit)s,"
        " 1000, 10, %(pending)s, 0, 0)) "
    )
    _HOLD = _ROWS + "INSERT INTO hold VALUES (%(seq)s, %(id)s || '/credits', %(debit)s, 1000, 10)"
    _POST = _ROWS + "DELETE FROM hold WHERE seq = %(pending)s"

    def __init__(self, uri: str, callers: int) -> None:
        """`uri` is an empty, migrated database."""
        with psycopg.connect(uri) as db:
            db.execute(
                "INSERT INTO account SELECT n, n::text, 'CREDIT',"
                " CASE n WHEN 1000 THEN 'none' ELSE 'debits' END, 0, 0, 0, 1000000000, 0, 0, 'seal'"
                " FROM generate_series(1, 1000) n"
            )
        self._seqs = itertools.count(1)
        super().__init__(uri, callers)

    def work(self, connection: psycopg.Connection[Any], number: int) -> None:
        """See `_Callers`."""
        hold, post, ask = next(self._seqs), next(self._seqs), fresh_id()
        row: dict[str, Any] = {"debit": 1 + number % 999, "seq": hold, "id": ask, "pending": None}
        row |= {"kind": 1, "held": 10, "posted": 0}
        connection.execute(self._HOLD, row, prepare=True)
        row |= {"seq": post, "id": f"{ask}/settle", "pending": hold}
        row |= {"kind": 2, "held": -10, "posted": 10}
        connection.execute(self._POST, row, prepare=True)
