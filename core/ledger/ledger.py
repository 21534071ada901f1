"""The ledger as the rest of the program sees it: submit, record, read balances."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion
from core.ledger import prepare as jobs
from core.ledger.batch import Phase
from core.ledger.companion_sql import Statements
from core.ledger.postgres import PostgresSession
from core.ledger.prepare import Job
from core.ledger.session import Session
from core.ledger.sqlite import SqliteSession
from core.ledger.types import (
    AnyAccount,
    Balance,
    Kind,
    LedgerBusy,
    LedgerUnavailable,
    Receipt,
    Submission,
    Transfer,
)
from core.ledger.writer import Read, Work, Writer

QUEUE_MAX = 8_192
BATCH_MAX = 512


def _unnoticed(_phase: str) -> None:
    pass


class Ledger:
    """The ledger is the one way to write to the database. Start it, submit from any task of that
    event loop, stop it."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        queue_max: int = QUEUE_MAX,
        batch_max: int = BATCH_MAX,
        phase: Phase = _unnoticed,
    ) -> None:
        """`queue_max` submissions may wait; `batch_max` share a commit; `on_phase` is for tests."""
        self._store, self._clock = store, clock
        self._queue_max, self._batch_max, self._phase = queue_max, batch_max, phase
        self._statements = Statements(store.dialect)
        self._waiting = 0
        self._writer: Writer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Starts the writer."""
        assert self._writer is None
        self._loop = asyncio.get_running_loop()
        session = self._session()
        self._writer = Writer(session, self._clock, self._batch_max, self._answered, self._phase)
        self._writer.start()

    async def stop(self) -> None:
        """Writes what was accepted and refuses the rest; returns when all of it is durable."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.stop()

    async def submit(self, submission: Submission) -> Receipt:
        """Writes `submission`, all or none; what the receipt says is durable.

        The same id and entries again answer with the first receipt. Raises a LedgerRefusal: then
        nothing of it was written, but for LedgerUnavailable, after which that isn't known: submit
        it again. ValueError and TypeError are the caller's bugs.
        """
        rows = submission.companions
        statements = self._statements.prepare(rows) if rows else ()
        job = jobs.ready(submission, statements, self._new_future())
        self._put(job)
        receipt: Receipt = await job.future
        return receipt

    async def record(self, *companions: Companion) -> None:
        """Writes companions without transfers, all or none, in one order with submissions.

        Raises CompanionRefused, LedgerBusy or LedgerUnavailable.
        """
        statements = self._statements.prepare(companions)
        await self._put(Job(self._new_future(), statements=statements))

    async def close_accounts(self, codes: Iterable[str], day: int) -> None:
        """Writes what the accounts stood at when their last day before `day` ended; `day` is
        counted since 1970."""
        job = Job(self._new_future(), close_day=day)
        job.watch = tuple(codes)
        await self._put(job)

    async def balances(self, accounts: Iterable[AnyAccount]) -> dict[str, Balance]:
        """The accounts' balances now, by code; an account that was never used stands at zero."""
        codes = [account.code for account in accounts]
        if self._store.dialect == "sqlite":
            found: dict[str, Balance] = await self._put(Read(self._new_future(), codes))
        else:
            found = await self._read_balances(codes)
        return {code: found.get(code, Balance()) for code in codes}

    async def find(self, submission_id: str) -> Receipt | None:
        """The receipt of a submission, or None when it was never written."""
        return await self._store.read(
            lambda connection: _find(connection, submission_id), again=True
        )

    async def _read_balances(self, codes: list[str]) -> dict[str, Balance]:
        account = schema.account.c
        rows = await self._store.fetch(
            sa.select(
                account.code,
                account.debits_pending,
                account.debits_posted,
                account.credits_pending,
                account.credits_posted,
            ).where(account.code.in_(codes))
        )
        return {row.code: Balance(*row[1:]) for row in rows}

    def _session(self) -> Session:
        if self._store.dialect == "sqlite":
            return SqliteSession(self._store.address)
        return PostgresSession(self._store.address)

    def _new_future(self) -> asyncio.Future[Any]:
        if self._writer is None or self._loop is None:
            raise LedgerUnavailable
        return self._loop.create_future()

    def _put(self, work: Work) -> asyncio.Future[Any]:
        """Queues an item for the writer; answers with its future."""
        if self._writer is None:
            raise LedgerUnavailable
        if self._waiting >= self._queue_max:
            raise LedgerBusy
        self._waiting += 1
        self._writer.put(work)
        return work.future

    def _answered(self, count: int) -> None:
        self._waiting -= count


def _find(connection: sa.Connection, submission_id: str) -> Receipt | None:
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
        Transfer(row[0], submission_id, row[1], row[2], Kind(row[3]), *row[4:]) for row in rows
    ]
    return Receipt(submission_id, tuple(transfers), existed=True)
