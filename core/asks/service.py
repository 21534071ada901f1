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
from core.asks.heartbeat import Beating
from core.asks.rate_limit import Pacing
from core.asks.repository import Records, Saved
from core.asks.run import Run
from core.asks.settlement import Bill, Ending, bill, bill_recording, plausible, settlement
from core.asks.streaming import Serving
from core.asks.types import (
    AlreadyAsked,
    AskRefusal,
    EmptyQuestion,
    NothingServes,
    Outcome,
    Question,
    Result,
    ServiceStopping,
    TooManyAsks,
    Trouble,
)
from core.clock import Clock
from core.db.errors import DatabaseUnavailable
from core.errors import cause
from core.ledger.ledger import Ledger
from core.ledger.types import (
    CompanionRefused,
    HoldNotFound,
    HoldResolved,
    IdempotencyConflict,
    LedgerBusy,
    LedgerUnavailable,
    Receipt,
    Submission,
)
from core.money import Credits, Tokens
from core.pool.pool import Pool
from core.pricing.costs import Costs
from core.pricing.deals import Deals
from core.pricing.token_counter import count
from core.users.limits import Blocked, Paused

log = logging.getLogger(__name__)

#: Asks that one process serves at once, at most.
RUNS_MAX = 4_096
#: Of them those that hold audio in memory.
RECORDINGS_MAX = 24
#: Pauses before settling is tried again while the database can't write, in seconds; afterwards
#: the lease lapses and the recovery job settles.
SETTLE_PAUSES = (0.1, 0.3, 1.0, 2.0, 4.0)


class Asking:
    """Admits asks, owns the tasks that serve them, and settles each exactly once."""

    def __init__(
        self,
        *,
        admission: Admission,
        serving: Serving,
        records: Records,
        beating: Beating,
        ledger: Ledger,
        pool: Pool,
        costs: Costs,
        clock: Clock,
        pacing: Pacing,
        deals: Deals,
    ) -> None:
        self._admission, self._serving, self._records = admission, serving, records
        self._pacing, self._deals = pacing, deals
        self._beating, self._ledger, self._pool = beating, ledger, pool
        self._costs, self._clock = costs, clock
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        #: How many asks ended in this process, by outcome.
        self.ended: Counter[str] = Counter()

    async def start(self) -> None:
        """Starts the heartbeat that renews the leases of running asks."""
        await self._beating.start(self._runs)

    async def stop(self, *, grace_seconds: float = 10.0) -> None:
        """Takes no new asks; running ones may finish, then are stopped and settled."""
        self._stopping = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_seconds)
            if late:
                for run in list(self._runs.values()):
                    run.stop()
                await asyncio.wait(late, timeout=sum(SETTLE_PAUSES) + 5.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._beating.stop()

    @property
    def running(self) -> int:
        """How many asks run in this process."""
        return len(self._runs)

    async def ask(self, question: Question) -> Run:
        """Admits a question and begins to serve it; raises an `AskRefusal`, nothing held then."""
        if self._stopping:
            raise ServiceStopping
        if len(self._runs) >= RUNS_MAX:
            raise TooManyAsks
        if question.recording is None:
            if not question.text.strip():
                raise EmptyQuestion
            if question.model.per != "token":
                raise NothingServes(question.model)
        elif self._recordings >= RECORDINGS_MAX:
            raise TooManyAsks
        try:
            async with self._pacing.turn(question):
                run = await self._admission.admit(question)
        except (AskRefusal, Paused, Blocked):
            if await self._records.known(question.id):
                raise AlreadyAsked(question.id) from None
            raise
        self._runs[run.id] = run
        task = asyncio.get_running_loop().create_task(self._carry(run), name=f"ask {run.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def stop_ask(self, ask: str, person: str) -> bool:
        """A person's Stop, here or on the process that serves it; False when it isn't theirs or
        isn't running."""
        run = self._runs.get(ask)
        if run is None:
            return await self._records.request_stop(ask, person)
        if run.question.person.id != person:
            return False
        run.stop()
        return True

    async def resume(self, ask: str) -> Saved | None:
        """For a message that came again: its settled answer, if the process that should have
        delivered it is gone; None while it is being served or was delivered."""
        if ask in self._runs:
            return None
        return await self._records.claim(ask)

    async def _carry(self, run: Run) -> None:
        """Serves and settles an ask; whatever happens, readers of the run get its end."""
        try:
            ending = await self._serving.serve(run, end_user=_end_user(run.question.person.id))
        except Exception as failure:  # noqa: BLE001 - a bug, a database that is down: settle anyway
            log.error("serving %s failed: %s", run.id, cause(failure))
            ending = Ending(
                Outcome.BROKEN if run.begun else Outcome.REFUSED, trouble=Trouble.SUPPLIER
            )
        try:
            run.finish(await self._settle(run, ending))
        except Exception as failure:  # noqa: BLE001 - handed to whoever follows the run
            run.finish(failure)
        finally:
            del self._runs[run.id]
            self._pacing.ended(run.question)
        with suppress(DatabaseUnavailable):  # it is read when it is needed
            await self._deals.know(run.question.person.id, afresh=True)

    async def _settle(self, run: Run, ending: Ending) -> Result:
        if run.lost:
            return await self._records.result(run.id)
        question, text = run.question, run.text
        now = self._clock.now_ms()
        purse = self._admission.purses.accounts(question.person.id)
        ending = self._believed(run, ending, text)
        shown = await self._shown(run, ending, text)
        booked = self._bill(run, ending, text, shown)
        submission = settlement(
            run.standing,
            booked,
            outcome=ending.outcome,
            shown=shown,
            answer=run.data_key.seal(f"ask/{run.id}/answer", text.encode()) if text else None,
            at_ms=now,
            watch=purse,
        )
        receipt = await self._submit(submission)
        if receipt is None:
            return await self._records.result(run.id)
        key = chart.key_quota(run.candidate.key).code
        self._pool.settled(run.candidate.key, receipt.balances[key])
        self.ended[ending.outcome.value] += 1
        return Result(
            ask=run.id,
            outcome=ending.outcome,
            model=question.model.id,
            text=text,
            prompt=booked.usage.input,
            # Our own count is never shown as more than the whole that the supplier counted.
            history=min(run.quote.history, booked.usage.input),
            output=booked.usage.output,
            charge=booked.charge,
            left=Credits(sum(receipt.balances[account.code].available for account in purse)),
            left_out=run.quote.left_out,
            shortened=run.quote.shortened,
            trouble=ending.trouble,
            history_price=run.quote.price.exact(run.quote.history, Tokens(0)),
            audio=None if question.recording is None else booked.usage.audio,
        )

    def _bill(self, run: Run, ending: Ending, text: str, shown: Tokens) -> Bill:
        quote, route, now = run.quote, run.candidate.route, self._clock.now_ms()
        if run.question.recording is not None:
            length = run.question.recording.length
            return bill_recording(
                ending,
                quote=quote,
                length=length,
                route=route,
                costs=self._costs,
                at_ms=now,
                text=text,
            )
        return bill(
            ending,
            quote=quote,
            route=route,
            costs=self._costs,
            at_ms=now,
            text=text,
            shown=shown,
            key_held=run.candidate.hold,
        )

    @property
    def _recordings(self) -> int:
        return sum(run.question.recording is not None for run in self._runs.values())

    @staticmethod
    def _believed(run: Run, ending: Ending, text: str) -> Ending:
        """The ending without a usage that can't be true, since a supplier may report a false
        one."""
        told = ending.usage
        model = run.question.model
        if told is None:
            return ending
        recording = run.question.recording is not None
        if recording and told.audio <= run.quote.audio:
            return ending
        if not recording and plausible(told, model=model, quote=run.quote, text=text):
            return ending
        log.warning("supplier %s told an impossible usage", run.candidate.supplier)
        # Of audio, as many seconds are accepted as were held.
        return ending if recording else replace(ending, usage=None)

    async def _shown(self, run: Run, ending: Ending, text: str) -> Tokens:
        """Tokens that the person saw: the supplier's count where it counts nothing else, else our
        own count."""
        if not text or run.question.recording is not None:
            return Tokens(0)
        if ending.usage is not None and not run.question.model.thinking:
            return min(ending.usage.output, Tokens(len(text.encode())))
        return await count(run.question.model, text)

    async def _submit(self, submission: Submission) -> Receipt | None:
        """Submits a settlement; None when another process had settled it first, and that counts."""
        for pause in (*SETTLE_PAUSES, None):
            try:
                return await self._ledger.submit(submission)
            except (CompanionRefused, IdempotencyConflict, HoldResolved, HoldNotFound):
                return None
            except (LedgerUnavailable, LedgerBusy):
                if pause is None:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError


def _end_user(person: str) -> str:
    """A stable id for suppliers that doesn't tell them who the person is."""
    return hashlib.blake2b(person.encode(), digest_size=16, person=b"end-user").hexdigest()
