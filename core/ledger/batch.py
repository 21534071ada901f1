"""A batch: many submissions in one transaction, each with a result of its own.

Normally all are planned, all are written, and one commit ends it. When a companion is refused, or
another writer is in the way, the same batch is tried again carefully: each submission's companions
under a savepoint, so that one refusal never costs another submission anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from core.db import connections
from core.db.errors import DatabaseRefusal
from core.ledger.book_day import BookClock, BookDay
from core.ledger.planner import Planner
from core.ledger.prepare import PreparedSubmission
from core.ledger.session import LedgerSession, WrittenSubmission
from core.ledger.state import WriteSet
from core.ledger.types import (
    Balance,
    CompanionRefused,
    IdempotencyConflict,
    LedgerRefusal,
    LedgerUnavailable,
    SubmissionReceipt,
)

SubmissionResult = SubmissionReceipt | LedgerRefusal | None
#: Is called with how far the writer is: `begun`, `written`, `committed`. Tests stop it there.
PhaseHook = Callable[[str], None]

_CAREFUL_TRIES = 3


class _WriteConflict(Exception):
    """Another writer was in the way: the transaction is gone, and is tried again."""


def run_batch(
    session: LedgerSession,
    clock: BookClock,
    batch: Sequence[PreparedSubmission],
    on_phase: PhaseHook,
) -> list[SubmissionResult]:
    """Writes a batch; a result for each submission, in order. Never raises a database's error."""
    for careful in (False, *[True] * _CAREFUL_TRIES):
        try:
            return _BatchAttempt(session, clock, batch, on_phase, careful=careful).run()
        except (CompanionRefused, _WriteConflict):
            session.rollback()
    if len(batch) == 1:
        return [LedgerUnavailable()]
    return [
        answer for prepared in batch for answer in run_batch(session, clock, [prepared], on_phase)
    ]


class _BatchAttempt:
    """One try to write a batch in one transaction; a careful one puts each submission's companions
    under a savepoint."""

    def __init__(
        self,
        session: LedgerSession,
        clock: BookClock,
        batch: Sequence[PreparedSubmission],
        on_phase: PhaseHook,
        *,
        careful: bool,
    ) -> None:
        self._session, self._clock, self._batch = session, clock, batch
        self._on_phase, self._careful = on_phase, careful
        self._write_set = WriteSet()
        #: Submissions that this batch wrote, by id: the same id may come twice in one batch.
        self._receipts: dict[str, tuple[bytes, SubmissionReceipt]] = {}
        self._results: list[SubmissionResult] = []
        self._committing = False

    def run(self) -> list[SubmissionResult]:
        try:
            self._write_batch()
        except (LedgerRefusal, _WriteConflict):
            raise
        except DatabaseRefusal:
            self._session.rollback()
            return [LedgerUnavailable() for _ in self._batch]
        except connections.get_driver_errors() as error:
            return self._handle_driver_error(error)
        return self._results

    def _write_batch(self) -> None:
        session, batch = self._session, self._batch
        written, book_day = self._begin()
        self._on_phase("begun")
        planner = Planner(
            session.ledger_state,
            self._write_set,
            self._clock.date_batch(book_day),
            session.was_hold_written,
        )
        for prepared in batch:
            self._results.append(self._answer_submission(planner, prepared, written))
        if planner.day_ahead:
            self._clock.warn_of_accounts(planner.day_ahead)
        if not self._careful:
            session.apply_companions(
                [
                    statement
                    for job, answer in zip(batch, self._results, strict=True)
                    if _was_applied(answer)
                    for statement in job.statements
                ]
            )
        session.write_rows(self._write_set)
        self._on_phase("written")
        self._committing = True
        session.commit()
        self._on_phase("committed")

    def _begin(self) -> tuple[Mapping[str, WrittenSubmission], BookDay]:
        """A transaction in which the books count to the day that they should, and that day."""
        session, batch, clock = self._session, self._batch, self._clock
        written = session.begin(batch)
        opened = session.ledger_state.book_day
        day = clock.choose_day(opened, session.read_database_ms)
        if opened is None or day > opened.day:
            moved = session.open_day(clock.open_day(day), batch)
            if moved is None:
                clock.put_off()
                moved = session.begin(batch)
            written, opened = moved, session.ledger_state.book_day
        if opened is None:
            raise _WriteConflict
        return written, opened

    def _answer_submission(
        self,
        planner: Planner,
        prepared: PreparedSubmission,
        written: Mapping[str, WrittenSubmission],
    ) -> SubmissionResult:
        if prepared.submission is None:
            return self._answer_without_submission(planner, prepared)
        row_id = prepared.submission.id
        try:
            receipt = self._find_earlier_receipt(prepared, written)
            if receipt is None:
                receipt = planner.plan_submission(prepared)
                if self._careful:
                    self._apply_alone(planner, prepared)
                planner.accept_plan()
                self._receipts[row_id] = (prepared.digest, receipt)
        except LedgerRefusal as refusal:
            return refusal.with_traceback(None)
        if not prepared.watch:
            return receipt
        accounts = self._session.ledger_state.accounts
        return receipt._replace(
            balances={
                code: accounts[code].to_balance() if code in accounts else Balance()
                for code in prepared.watch
            },
        )

    def _answer_without_submission(
        self, planner: Planner, prepared: PreparedSubmission
    ) -> SubmissionResult:
        planner.close_accounts(prepared)
        if self._careful and prepared.statements:
            try:
                self._apply_alone(planner, prepared)
            except LedgerRefusal as refusal:
                return refusal.with_traceback(None)
        planner.accept_plan()
        return None

    def _apply_alone(self, planner: Planner, prepared: PreparedSubmission) -> None:
        if prepared.statements:
            try:
                self._session.apply_under_savepoint(prepared.statements)
            except CompanionRefused:
                planner.undo_plan()
                raise

    def _find_earlier_receipt(
        self, prepared: PreparedSubmission, written: Mapping[str, WrittenSubmission]
    ) -> SubmissionReceipt | None:
        """The first receipt of a submission that came before, None for a new one; raises
        IdempotencyConflict when the entries differ."""
        assert prepared.submission is not None
        row_id = prepared.submission.id
        if row_id in self._receipts:
            digest, receipt = self._receipts[row_id]
            receipt = receipt._replace(existed=True, balances={})
        elif row_id in written:
            digest = bytes(written[row_id].digest)
            receipt = SubmissionReceipt(
                row_id, self._session.list_transfers(written[row_id]), existed=True
            )
        else:
            return None
        if digest != prepared.digest:
            raise IdempotencyConflict(row_id)
        return receipt

    def _handle_driver_error(self, error: Exception) -> list[SubmissionResult]:
        kind = self._session.classify_error(error)
        if kind != "unavailable":
            raise _WriteConflict from None
        if not self._committing:
            self._session.rollback()
            self._session.close()
            return [LedgerUnavailable() for _ in self._batch]
        written: Mapping[str, WrittenSubmission] = {}
        try:
            written = self._session.recover_written(list(self._receipts))
        except connections.get_unavailable_errors():
            self._session.close()
        return [
            answer
            if isinstance(answer, LedgerRefusal)
            or (isinstance(answer, SubmissionReceipt) and (answer.existed or answer.id in written))
            else LedgerUnavailable()
            for answer in self._results
        ]


def _was_applied(result: SubmissionResult) -> bool:
    return result is None or (isinstance(result, SubmissionReceipt) and not result.existed)
