"""The life of an ask: quote → hold → route → stream → settle."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import replace

from core import chart
from core.asks.admission import Admission
from core.asks.heartbeat import Heartbeat
from core.asks.rate_limit import RateLimiter
from core.asks.repository import AskRepository, SettledAsk
from core.asks.run import AskRun
from core.asks.settlement import (
    AnswerEnding,
    AskBill,
    build_settlement,
    calculate_bill,
    calculate_recording_bill,
    is_plausible,
)
from core.asks.streaming import AnswerStream
from core.asks.types import (
    AlreadyAsked,
    AskFailure,
    AskRefusal,
    AskResult,
    EmptyQuestion,
    NoKeyAvailable,
    Outcome,
    Question,
    ServiceStopping,
    TooManyAsks,
)
from core.clock import Clock
from core.db.errors import DatabaseUnavailable
from core.errors import describe_failure
from core.ledger.ledger import Ledger
from core.ledger.types import (
    CompanionRefused,
    HoldNotFound,
    HoldResolved,
    IdempotencyConflict,
    LedgerBusy,
    LedgerUnavailable,
    Submission,
    SubmissionReceipt,
)
from core.money import Credits, Tokens
from core.pool.pool import Pool
from core.pricing.costs import Costs
from core.pricing.deals import Deals
from core.pricing.token_counter import count_tokens
from core.users.limits import FeaturePaused, PersonBlocked

log = logging.getLogger(__name__)

#: Asks that one process serves at once, at most.
RUNS_MAX = 4_096
#: Of them those that hold audio in memory.
RECORDINGS_MAX = 24
#: Pauses before settling is tried again while the database can't write, in seconds; afterwards
#: the lease lapses and the recovery job settles.
SETTLE_RETRY_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0)


class AskService:
    """Admits asks, owns the tasks that serve them, and settles each exactly once."""

    def __init__(
        self,
        *,
        admission: Admission,
        answer_stream: AnswerStream,
        repository: AskRepository,
        heartbeat: Heartbeat,
        ledger: Ledger,
        pool: Pool,
        costs: Costs,
        clock: Clock,
        rate_limiter: RateLimiter,
        deals: Deals,
    ) -> None:
        self._admission, self._answer_stream, self._repository = (
            admission,
            answer_stream,
            repository,
        )
        self._rate_limiter, self._deals = rate_limiter, deals
        self._heartbeat, self._ledger, self._pool = heartbeat, ledger, pool
        self._costs, self._clock = costs, clock
        self._runs: dict[str, AskRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        #: How many asks ended in this process, by outcome.
        self.outcome_counts: Counter[str] = Counter()

    async def start(self) -> None:
        """Starts the heartbeat that renews the leases of running asks."""
        await self._heartbeat.start(self._runs)

    async def stop(self, *, grace_seconds: float = 10.0) -> None:
        """Takes no new asks; running ones may finish, then are stopped and settled."""
        self._stopping = True
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=grace_seconds)
            if unfinished:
                for run in list(self._runs.values()):
                    run.stop()
                await asyncio.wait(unfinished, timeout=sum(SETTLE_RETRY_SECONDS) + 5.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._heartbeat.stop()

    @property
    def running_count(self) -> int:
        """How many asks run in this process."""
        return len(self._runs)

    async def start_ask(self, question: Question) -> AskRun:
        """Admits a question and begins to serve it; raises an `AskRefusal`, nothing held then."""
        if self._stopping:
            raise ServiceStopping
        if len(self._runs) >= RUNS_MAX:
            raise TooManyAsks
        if question.recording is None:
            if not question.text.strip():
                raise EmptyQuestion
            if question.model.per != "token":
                raise NoKeyAvailable(question.model)
        elif self._recording_count >= RECORDINGS_MAX:
            raise TooManyAsks
        try:
            async with self._rate_limiter.admit(question):
                run = await self._admission.admit(question)
        except (AskRefusal, FeaturePaused, PersonBlocked):
            if await self._repository.has_ask(question.id):
                raise AlreadyAsked(question.id) from None
            raise
        self._runs[run.id] = run
        task = asyncio.get_running_loop().create_task(
            self._serve_and_settle(run), name=f"ask {run.id}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def stop_ask(self, ask: str, person: str) -> bool:
        """A person's Stop, here or on the process that serves it; False when it isn't theirs or
        isn't running."""
        run = self._runs.get(ask)
        if run is None:
            return await self._repository.request_stop(ask, person)
        if run.question.person.id != person:
            return False
        run.stop()
        return True

    async def claim_saved_answer(self, ask: str) -> SettledAsk | None:
        """For a message that came again: its settled answer, if the process that should have
        delivered it is gone; None while it is being served or was delivered."""
        if ask in self._runs:
            return None
        return await self._repository.claim_answer(ask)

    async def _serve_and_settle(self, run: AskRun) -> None:
        """Serves and settles an ask; whatever happens, readers of the run get its end."""
        try:
            ending = await self._answer_stream.stream_into(
                run, end_user=_end_user_id(run.question.person.id)
            )
        except Exception as failure:  # noqa: BLE001 - a bug, a database that is down: settle anyway
            log.error("serving %s failed: %s", run.id, describe_failure(failure))
            ending = AnswerEnding(
                Outcome.BROKEN if run.has_text else Outcome.REFUSED, failure=AskFailure.SUPPLIER
            )
        try:
            run.finish(await self._settle(run, ending))
        except Exception as failure:  # noqa: BLE001 - handed to whoever follows the run
            run.finish(failure)
        finally:
            del self._runs[run.id]
            self._rate_limiter.release(run.question)
        with suppress(DatabaseUnavailable):  # it is read when it is needed
            await self._deals.load_person(run.question.person.id, force=True)

    async def _settle(self, run: AskRun, ending: AnswerEnding) -> AskResult:
        if run.is_lost:
            return await self._repository.get_result(run.id)
        question, text = run.question, run.text
        now = self._clock.now_ms()
        accounts = self._admission.balances.list_accounts(question.person.id)
        ending = self._discard_implausible_usage(run, ending, text)
        delivered_tokens = await self._count_delivered_tokens(run, ending, text)
        bill = self._calculate_bill(run, ending, text, delivered_tokens)
        submission = build_settlement(
            run.open_ask,
            bill,
            outcome=ending.outcome,
            delivered_tokens=delivered_tokens,
            answer=run.data_key.seal(f"ask/{run.id}/answer", text.encode()) if text else None,
            at_ms=now,
            watch=accounts,
        )
        receipt = await self._submit_with_retries(submission)
        if receipt is None:
            return await self._repository.get_result(run.id)
        quota_account = chart.key_quota(run.candidate.key).code
        self._pool.update_headroom(run.candidate.key, receipt.balances[quota_account])
        self.outcome_counts[ending.outcome.value] += 1
        return AskResult(
            ask=run.id,
            outcome=ending.outcome,
            model=question.model.id,
            text=text,
            prompt_tokens=bill.usage.input,
            # Our own count is never shown as more than the whole that the supplier counted.
            history_tokens=min(run.quote.history_tokens, bill.usage.input),
            output_tokens=bill.usage.output,
            charge=bill.charge,
            remaining_credits=Credits(
                sum(receipt.balances[account.code].available for account in accounts)
            ),
            omitted_turns=run.quote.omitted_turns,
            shortened=run.quote.shortened,
            failure=ending.failure,
            history_charge=run.quote.price.calculate_unrounded(run.quote.history_tokens, Tokens(0)),
            audio=None if question.recording is None else bill.usage.audio,
        )

    def _calculate_bill(
        self, run: AskRun, ending: AnswerEnding, text: str, delivered_tokens: Tokens
    ) -> AskBill:
        quote, route, now = run.quote, run.candidate.route, self._clock.now_ms()
        if run.question.recording is not None:
            length = run.question.recording.length
            return calculate_recording_bill(
                ending,
                quote=quote,
                length=length,
                route=route,
                costs=self._costs,
                at_ms=now,
                text=text,
            )
        return calculate_bill(
            ending,
            quote=quote,
            route=route,
            costs=self._costs,
            at_ms=now,
            text=text,
            delivered_tokens=delivered_tokens,
            key_held=run.candidate.hold,
        )

    @property
    def _recording_count(self) -> int:
        return sum(run.question.recording is not None for run in self._runs.values())

    @staticmethod
    def _discard_implausible_usage(run: AskRun, ending: AnswerEnding, text: str) -> AnswerEnding:
        """The ending without a usage that can't be true, since a supplier may report a false
        one."""
        usage = ending.usage
        model = run.question.model
        if usage is None:
            return ending
        is_recording = run.question.recording is not None
        if is_recording and usage.audio <= run.quote.max_audio:
            return ending
        if not is_recording and is_plausible(usage, model=model, quote=run.quote, text=text):
            return ending
        log.warning("supplier %s told an impossible usage", run.candidate.supplier)
        # Of audio, as many seconds are accepted as were held.
        return ending if is_recording else replace(ending, usage=None)

    async def _count_delivered_tokens(self, run: AskRun, ending: AnswerEnding, text: str) -> Tokens:
        """Tokens that the person saw: the supplier's count where it counts nothing else, else our
        own count."""
        if not text or run.question.recording is not None:
            return Tokens(0)
        if ending.usage is not None and not run.question.model.thinking:
            return min(ending.usage.output, Tokens(len(text.encode())))
        return await count_tokens(run.question.model, text)

    async def _submit_with_retries(self, submission: Submission) -> SubmissionReceipt | None:
        """Submits a settlement; None when another process had settled it first, and that counts."""
        for pause in (*SETTLE_RETRY_SECONDS, None):
            try:
                return await self._ledger.submit(submission)
            except (CompanionRefused, IdempotencyConflict, HoldResolved, HoldNotFound):
                return None
            except (LedgerUnavailable, LedgerBusy):
                if pause is None:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError


def _end_user_id(person: str) -> str:
    """A stable id for suppliers that doesn't tell them who the person is."""
    return hashlib.blake2b(person.encode(), digest_size=16, person=b"end-user").hexdigest()
