"""The ledger as the rest of the program sees it: submit, record, read balances."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from core.clock import Clock
from core.db import schema
from core.db.database import Database
from core.db.prepared import PreparedSelect
from core.db.writes import Companion
from core.ledger import prepare
from core.ledger.batch import PhaseHook
from core.ledger.book_day import BookClock
from core.ledger.companion_sql import CompanionStatements
from core.ledger.prepare import PreparedSubmission
from core.ledger.session import LedgerSession
from core.ledger.sqlite import SqliteSession
from core.ledger.types import (
    AnyAccount,
    Balance,
    CompanionRefused,
    LedgerBusy,
    LedgerUnavailable,
    Submission,
    SubmissionReceipt,
    Transfer,
    TransferKind,
)
from core.ledger.writer import BalanceRead, DayCorrection, WorkItem, Writer

QUEUE_MAX = 8_192
BATCH_MAX = 512

_ACCOUNT: Final = schema.account.c
_BALANCES: Final = sa.select(
    _ACCOUNT.code,
    _ACCOUNT.debits_pending,
    _ACCOUNT.debits_posted,
    _ACCOUNT.credits_pending,
    _ACCOUNT.credits_posted,
)
#: On PostgreSQL, which takes a list as one parameter.
_SELECT_BALANCES: Final = PreparedSelect(
    _BALANCES.where(_ACCOUNT.code == sa.any_(sa.bindparam("codes", type_=sa.ARRAY(sa.Text))))
)


def _ignore_phase(_phase: str) -> None:
    pass


class Ledger:
    """The ledger is the one way to write to the database; whoever writes reads from its `db` and
    dates by its `clock`. Start it, submit from any task of that event loop, stop it."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        queue_max: int = QUEUE_MAX,
        batch_max: int = BATCH_MAX,
        on_phase: PhaseHook = _ignore_phase,
    ) -> None:
        """`queue_max` submissions may wait; `batch_max` share a commit; `on_phase` is for tests."""
        #: The database that it writes, to be read from.
        self.db = db
        #: What dates everything that is written.
        self.clock = clock
        self._queue_max, self._batch_max, self._on_phase = queue_max, batch_max, on_phase
        self._book_clock = BookClock(clock)
        self._companion_statements = CompanionStatements(db.dialect)
        self._queued = 0
        #: When the last commit of this process was known to be durable, in steady seconds; and
        #: whether a write has failed since for the database's sake.
        self.committed_at: float | None = None
        self.is_failing = False
        self._writer: Writer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Starts the writer."""
        assert self._writer is None
        self._loop = asyncio.get_running_loop()
        session = self._create_session()
        self._writer = Writer(
            session, self._book_clock, self._batch_max, self._count_answered, self._on_phase
        )
        self._writer.start()

    async def stop(self) -> None:
        """Writes what was accepted and refuses the rest; returns when all of it is durable."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.stop()

    async def submit(self, submission: Submission) -> SubmissionReceipt:
        """Writes `submission`, all or none; what the receipt says is durable.

        The same id and entries again answer with the first receipt. Raises a LedgerRefusal: then
        nothing of it was written, but for LedgerUnavailable, after which that isn't known: submit
        it again. ValueError and TypeError are the caller's bugs.
        """
        companions = submission.companions
        statements = self._companion_statements.prepare(companions) if companions else ()
        prepared = prepare.prepare(submission, statements, self._new_future())
        self._enqueue(prepared)
        receipt: SubmissionReceipt = await prepared.future
        return receipt

    async def record(self, *companions: Companion) -> None:
        """Writes companions without transfers, all or none, in one order with submissions.

        Raises CompanionRefused, LedgerBusy or LedgerUnavailable.
        """
        statements = self._companion_statements.prepare(companions)
        await self._enqueue(PreparedSubmission(self._new_future(), statements=statements))

    async def try_record(self, *companions: Companion) -> bool:
        """Records companions; False when one is refused, as others have changed its row since it
        was read. Raises LedgerBusy or LedgerUnavailable."""
        try:
            await self.record(*companions)
        except CompanionRefused:
            return False
        return True

    async def close_accounts(self, codes: Iterable[str], day: int) -> None:
        """Writes what the accounts stood at when their last day before `day` ended; `day` is
        counted since 1970."""
        prepared = PreparedSubmission(self._new_future(), close_day=day)
        prepared.watch = tuple(codes)
        await self._enqueue(prepared)

    async def correct_day(self, day: int) -> int:
        """Takes the books back to `day` (since 1970) after a wrong clock took them ahead: what was
        dated later counts to it; transfers stay as written. Gives how many accounts counted to a
        later day. Raises LedgerUnavailable."""
        corrected = self._book_clock.open_day(day)
        count: int = await self._enqueue(DayCorrection(self._new_future(), corrected))
        return count

    def hear_time(self, at_ms: int) -> None:
        """Somebody who can be trusted with it (a gateway, a platform) said what time it is."""
        self._book_clock.hear(at_ms)

    async def read_balances(self, accounts: Iterable[AnyAccount]) -> dict[str, Balance]:
        """The accounts' balances now, by code; an account that was never used stands at zero."""
        codes = [account.code for account in accounts]
        if self.db.dialect == "sqlite":
            found: dict[str, Balance] = await self._enqueue(BalanceRead(self._new_future(), codes))
        else:
            found = await self._fetch_balances(codes)
        return {code: found.get(code, Balance()) for code in codes}

    async def find_receipt(self, submission_id: str) -> SubmissionReceipt | None:
        """The receipt of a submission, or None when it was never written."""
        return await self.db.read_snapshot(
            lambda connection: _find_receipt(connection, submission_id), retry=True
        )

    async def _fetch_balances(self, codes: list[str]) -> dict[str, Balance]:
        """On SQLite for whoever has no writer, which knows them."""
        if self.db.dialect == "sqlite":
            rows = await self.db.fetch(_BALANCES.where(_ACCOUNT.code.in_(codes)))
        else:
            rows = await self.db.fetch(_SELECT_BALANCES, {"codes": codes})
        return {row.code: Balance(*row[1:]) for row in rows}

    def _create_session(self) -> LedgerSession:
        if self.db.dialect == "sqlite":
            return SqliteSession(self.db.address)
        # It loads PostgreSQL's driver, a tenth of a second that no other database needs.
        from core.ledger.postgres import PostgresSession

        return PostgresSession(self.db.address)

    def _new_future(self) -> asyncio.Future[Any]:
        if self._writer is None or self._loop is None:
            raise LedgerUnavailable
        return self._loop.create_future()

    def _enqueue(self, item: WorkItem) -> asyncio.Future[Any]:
        """Queues an item for the writer; answers with its future."""
        assert self._writer is not None  # or there would be no future
        if self._queued >= self._queue_max:
            raise LedgerBusy
        self._queued += 1
        self._writer.enqueue(item)
        return item.future

    def _count_answered(self, results: Sequence[object]) -> None:
        self._queued -= len(results)
        for result in results:
            if isinstance(result, LedgerUnavailable):
                self.is_failing = True
            elif not isinstance(result, (Exception, dict)):  # not refused, nor only read
                self.is_failing, self.committed_at = False, time.monotonic()


def _find_receipt(connection: sa.Connection, submission_id: str) -> SubmissionReceipt | None:
    submission, transfer = schema.submission.c, schema.transfer.c
    found = connection.execute(
        sa.select(submission.first, submission.transfers).where(submission.id == submission_id)
    ).first()
    if found is None:
        return None
    debit, credit = schema.account.alias("debit"), schema.account.alias("credit")
    rows = connection.execute(
        sa.select(
            *(transfer.seq, transfer.entry, transfer.n, transfer.kind),
            *(debit.c.code, credit.c.code.label("credit_code"), transfer.amount),
        )
        .join(debit, debit.c.id == transfer.debit)
        .join(credit, credit.c.id == transfer.credit)
        .where(transfer.seq >= found.first, transfer.seq < found.first + found.transfers)
        .order_by(transfer.seq)
    )
    transfers = [
        Transfer(row[0], submission_id, row[1], row[2], TransferKind(row[3]), *row[4:])
        for row in rows
    ]
    return SubmissionReceipt(submission_id, tuple(transfers), existed=True)
