"""A long past, written straight into the tables: what would take an hour through the front door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2 as sqlite

from core.ledger.state import account_seal, submission_seal

PEOPLE = 10_000
_ROWS_A_TIME = 50_000
_FUNDS = 10**12
#: 2025-01-01; a transfer a second from then on.
_BEGAN_MS = 1_735_689_600_000


class _Past:
    """Sound history: everyone is funded once, then pays in turn."""

    def __init__(self, transfers: int) -> None:
        self.transfers = transfers
        self.heads = [0] * (PEOPLE + 3)
        self.paid = [0] * PEOPLE
        self.names: list[str] = []

    def rows(self) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
        issued, spent = PEOPLE + 1, PEOPLE + 2
        for seq in range(1, self.transfers + 1):
            person = seq % PEOPLE
            funding = seq <= PEOPLE
            debit, credit = (issued, person + 1) if funding else (person + 1, spent)
            amount = _FUNDS if funding else 10
            if not funding:
                self.paid[person] += 10
            at = _BEGAN_MS
            digest = bytearray(seq.to_bytes(16))
            row_id = f"past_{seq:026}"
            seal = bytearray(submission_seal(row_id, bytes(digest), at, "x\0" + "0\0"))
            submission = (seq, row_id, digest, at, seq, 1, seal)
            heads = (self.heads[debit], self.heads[credit])
            transfer = (seq, seq, "x", 0, 0, debit, credit, amount, 0, *heads)
            self.heads[debit] = self.heads[credit] = seq
            yield submission, transfer

    def accounts(self) -> Iterator[tuple[Any, ...]]:
        day = _BEGAN_MS // 86_400_000
        for person in range(PEOPLE):
            code = f"user/{person:06}/bought"
            seal = account_seal(code, "CREDIT", "debits")
            sums = (0, self.paid[person], 0, _FUNDS)
            yield (person + 1, code, "CREDIT", "debits", *sums, self.heads[person + 1], day, seal)
        total = sum(self.paid)
        for number, code, sums in (
            (PEOPLE + 1, "issued/grant", (0, _FUNDS * PEOPLE, 0, 0)),
            (PEOPLE + 2, "spent/gpt-4", (0, 0, 0, total)),
        ):
            seal = account_seal(code, "CREDIT", "none")
            yield (number, code, "CREDIT", "none", *sums, self.heads[number], day, seal)


def fill(file: Path, transfers: int) -> None:
    """Writes `transfers` past transfers into the empty, migrated database in `file`."""
    db: Any = sqlite.connect(str(file), isolation_level=None)
    # Without a journal: every page is written once. The file goes back to WAL when it is opened.
    db.execute("PRAGMA journal_mode=OFF").fetchone()
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA cache_size=-200000")
    past = _Past(max(transfers, PEOPLE))
    rows = past.rows()
    db.execute("BEGIN IMMEDIATE")
    while chunk := [row for _, row in zip(range(_ROWS_A_TIME), rows, strict=False)]:
        db.executemany(
            "INSERT INTO submission VALUES (?, ?, ?, ?, ?, ?, ?)", [one for one, _ in chunk]
        )
        db.executemany(
            "INSERT INTO transfer VALUES (?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?)",
            [other for _, other in chunk],
        )
    db.executemany(
        "INSERT INTO account VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", list(past.accounts())
    )
    db.execute("COMMIT")
    db.execute("PRAGMA journal_mode=WAL").fetchone()
    db.close()
