"""A batch: many submissions in one transaction, each with a result of its own.

Normally all are planned, all are written, and one commit ends it. When a companion is refused, or
another writer is in the way, the same batch is tried again carefully: each submission's companions
under a savepoint, so that one refusal never costs another submission anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from core.clock import Clock
from core.db import connections
from core.db.errors import StoreRefusal
from core.ledger.planner import Planner
from core.ledger.prepare import Job
from core.ledger.session import Known, Session
from core.ledger.state import Draft
from core.ledger.types import (
    Balance,
    CompanionRefused,
    IdempotencyConflict,
    LedgerRefusal,
    LedgerUnavailable,
    Receipt,
)

Answer = Receipt | LedgerRefusal | None
#: Is called with how far the writer is: `begun`, `written`, `committed`. Tests stop it there.
Phase = Callable[[str], None]

_CAREFUL_TRIES = 3


class _InTheWay(Exception):
    """Another writer was in the way: the transaction is gone, and is tried again."""


def run(session: Session, clock: Clock, jobs: Sequence[Job], phase: Phase) -> list[Answer]:
    """Writes a batch; a result for each submission, in order. Never raises a database's error."""
    for careful in (False, *[True] * _CAREFUL_TRIES):
        try:
            return _Attempt(session, clock, jobs, phase, careful=careful).run()
        except (CompanionRefused, _InTheWay):
            session.rollback()
    if len(jobs) == 1:
        return [LedgerUnavailable()]
    return [answer for job in jobs for answer in run(session, clock, [job], phase)]


class _Attempt:
    """One try to write a batch in one transaction; a careful one puts each submission's companions
    under a savepoint."""

    def __init__(
        self, session: Session, clock: Clock, jobs: Sequence[Job], phase: Phase, *, careful: bool
    ) -> None:
        self._session, self._clock, self._jobs = session, clock, jobs
        self._phase, self._careful = phase, careful
        self._draft = Draft()
        #: Submissions that this batch wrote, by id: the same id may come twice in one batch.
        self._done: dict[str, tuple[bytes, Receipt]] = {}
        self._answers: list[Answer] = []
        self._committing = False

    def run(self) -> list[Answer]:
        try:
            self._work()
        except (LedgerRefusal, _InTheWay):
            raise
        except StoreRefusal:
            self._session.rollback()
            return [LedgerUnavailable() for _ in self._jobs]
        except connections.DRIVER_ERRORS as error:
            return self._failed(error)
        return self._answers

    def _work(self) -> None:
        session, jobs = self._session, self._jobs
        known = session.begin(jobs)
        self._phase("begun")
        planner = Planner(session.book, self._draft, self._clock.now_ms(), session.was_hold)
        for job in jobs:
            self._answers.append(self._answer(planner, job, known))
        if not self._careful:
            session.apply(
                [
                    statement
                    for job, answer in zip(jobs, self._answers, strict=True)
                    if _was_done(answer)
                    for statement in job.statements
                ]
            )
        session.write(self._draft)
        self._phase("written")
        self._committing = True
        session.commit()
        self._phase("committed")

    def _answer(self, planner: Planner, job: Job, known: Mapping[str, Known]) -> Answer:
        if job.submission is None:
            return self._answer_plain(planner, job)
        row_id = job.submission.id
        try:
            receipt = self._before(job, known)
            if receipt is None:
                receipt = planner.plan(job)
                if self._careful:
                    self._apply_alone(planner, job)
                planner.accept()
                self._done[row_id] = (job.digest, receipt)
        except LedgerRefusal as refusal:
            return refusal.with_traceback(None)
        if not job.watch:
            return receipt
        accounts = self._session.book.accounts
        return receipt._replace(
            balances={
                code: accounts[code].balance() if code in accounts else Balance()
                for code in job.watch
            },
        )

    def _answer_plain(self, planner: Planner, job: Job) -> Answer:
        planner.close(job)
        if self._careful and job.statements:
            try:
                self._apply_alone(planner, job)
            except LedgerRefusal as refusal:
                return refusal.with_traceback(None)
        planner.accept()
        return None

    def _apply_alone(self, planner: Planner, job: Job) -> None:
        if job.statements:
            try:
                self._session.apply_one(job.statements)
            except CompanionRefused:
                planner.undo()
                raise

    def _before(self, job: Job, known: Mapping[str, Known]) -> Receipt | None:
        """The first receipt of a submission that came before, None for a new one; raises
        IdempotencyConflict when the entries differ."""
        assert job.submission is not None
        row_id = job.submission.id
        if row_id in self._done:
            digest, receipt = self._done[row_id]
            receipt = receipt._replace(existed=True, balances={})
        elif row_id in known:
            digest = bytes(known[row_id].digest)
            receipt = Receipt(row_id, self._session.transfers_of(known[row_id]), existed=True)
        else:
            return None
        if digest != job.digest:
            raise IdempotencyConflict(row_id)
        return receipt

    def _failed(self, error: Exception) -> list[Answer]:
        verdict = self._session.judge(error)
        if verdict != "unavailable":
            raise _InTheWay from None
        if not self._committing:
            self._session.rollback()
            self._session.close()
            return [LedgerUnavailable() for _ in self._jobs]
        written: Mapping[str, Known] = {}
        try:
            written = self._session.recover(list(self._done))
        except connections.UNAVAILABLE:
            self._session.close()
        return [
            answer
            if isinstance(answer, LedgerRefusal)
            or (isinstance(answer, Receipt) and (answer.existed or answer.id in written))
            else LedgerUnavailable()
            for answer in self._answers
        ]


def _was_done(answer: Answer) -> bool:
    return answer is None or (isinstance(answer, Receipt) and not answer.existed)
