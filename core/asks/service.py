"""The life of an ask: quote → hold → route → stream → settle."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

from core.asks.admission import Admission
from core.asks.heartbeat import Heartbeat
from core.asks.rate_limit import RateLimiter
from core.asks.repository import AskRepository, SettledAsk
from core.asks.run import AskRun
from core.asks.settlement import (
    AnswerEnding,
)
from core.asks.settler import SETTLE_RETRY_SECONDS, AskSettler
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
    Quote,
    ServiceStopping,
    TooManyAsks,
)
from core.db.errors import DatabaseUnavailable
from core.errors import describe_failure
from core.pricing.deals import Deals
from core.text import has_visible_text
from core.users.limits import FeaturePaused, PersonBlocked

log = logging.getLogger(__name__)

#: Asks that one process serves at once, at most.
RUNS_MAX = 4_096
#: Of them those that hold audio in memory.
RECORDINGS_MAX = 24
#: Bytes of pictures in memory with which no more pictures are taken.
PICTURE_BYTES_MAX = 256 << 20


class AskService:
    """Admits asks, owns the tasks that serve them, and settles each exactly once."""

    def __init__(
        self,
        *,
        admission: Admission,
        answer_stream: AnswerStream,
        repository: AskRepository,
        heartbeat: Heartbeat,
        rate_limiter: RateLimiter,
        settler: AskSettler,
        deals: Deals,
    ) -> None:
        self._admission, self._answer_stream, self._settler = admission, answer_stream, settler
        self._repository, self._heartbeat = repository, heartbeat
        self._rate_limiter, self._deals = rate_limiter, deals
        self._runs: dict[str, AskRun] = {}
        #: Bytes of pictures that these hold in memory.
        self._picture_bytes = 0
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
                    run.stop(by_asker=False)
                await asyncio.wait(unfinished, timeout=sum(SETTLE_RETRY_SECONDS) + 5.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._heartbeat.stop()

    @property
    def running_count(self) -> int:
        """How many asks run in this process."""
        return len(self._runs)

    @property
    def usage_gap_counts(self) -> Mapping[str, int]:
        """How many answers in this process were told a usage that can't be true, by supplier."""
        return self._settler.usage_gap_counts

    async def start_ask(self, question: Question) -> AskRun:
        """Admits a question and begins to serve it; raises an `AskRefusal`, nothing held then."""
        if self._stopping:
            raise ServiceStopping
        if len(self._runs) >= RUNS_MAX:
            raise TooManyAsks
        if question.api_call is not None:
            if self._picture_bytes >= PICTURE_BYTES_MAX:
                raise TooManyAsks
        elif question.recording is None:
            if not has_visible_text(question.text):
                raise EmptyQuestion
            if question.model.per != "token":
                raise NoKeyAvailable(question.model)
            if question.pictures and self._picture_bytes >= PICTURE_BYTES_MAX:
                raise TooManyAsks
        elif self._recording_count >= RECORDINGS_MAX:
            raise TooManyAsks
        try:
            allowed = await self._rate_limiter.admit(question)
            with self._rate_limiter.release_refused(question, allowed):
                run = await self._admission.admit(allowed)
        except (AskRefusal, FeaturePaused, PersonBlocked):
            if await self._repository.has_ask(question.id):
                raise AlreadyAsked(question.id) from None
            raise
        self._runs[run.id] = run
        self._picture_bytes += _count_picture_bytes(run)
        task = asyncio.get_running_loop().create_task(
            self._serve_and_settle(run), name=f"ask {run.id}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def quote_question(self, question: Question) -> Quote:
        """What a question would be quoted at now; nothing is held or begun. Raises an
        `AskRefusal`."""
        return await self._admission.quote_question(question)

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

    async def interrupt_ask(self, ask: str) -> None:
        """Ends an ask that nobody can be shown, and returns when it is settled; does nothing when
        it doesn't run here."""
        run = self._runs.get(ask)
        if run is not None:
            run.stop(by_asker=False)
            await asyncio.wait((run.result,))

    async def claim_saved_answer(self, ask: str) -> SettledAsk | None:
        """For a message that came again: its settled answer, if the process that should have
        delivered it is gone; None while it is being served or was delivered."""
        if ask in self._runs:
            return None
        return await self._repository.claim_answer(ask)

    async def _serve_and_settle(self, run: AskRun) -> None:
        """Serves and settles an ask; whatever happens, readers of the run get its end."""
        try:
            await run.wait_to_serve()
            if run.is_stopping:
                ending = AnswerEnding(Outcome.STOPPED)
            else:
                ending = await self._answer_stream.stream_into(
                    run, end_user=_end_user_id(run.question.person.id)
                )
        except Exception as failure:  # noqa: BLE001 - a bug, a database that is down: settle anyway
            log.error("serving %s failed: %s", run.id, describe_failure(failure))
            ending = AnswerEnding(
                Outcome.BROKEN if run.has_text else Outcome.REFUSED, failure=AskFailure.SUPPLIER
            )
        result: AskResult | None = None
        try:
            result = await self._settle(run, ending)
            # Whoever reads the result sees their tier as it is after it.
            self._deals.expire_person(run.question.person.id)
            run.finish(result)
        except Exception as failure:  # noqa: BLE001 - handed to whoever follows the run
            run.finish(failure)
        finally:
            del self._runs[run.id]
            self._picture_bytes -= _count_picture_bytes(run)
            self._rate_limiter.release(run.question, result)
        with suppress(DatabaseUnavailable):  # it is read when it is needed
            await self._deals.load_person(run.question.person.id, force=True)

    async def _settle(self, run: AskRun, ending: AnswerEnding) -> AskResult:
        result, was_settled_here = await self._settler.settle(run, ending)
        if was_settled_here:
            self.outcome_counts[result.outcome.value] += 1
        return result

    @property
    def _recording_count(self) -> int:
        return sum(run.question.recording is not None for run in self._runs.values())


def _count_picture_bytes(run: AskRun) -> int:
    return sum(
        len(picture.content)
        for message in run.prompt.messages
        for picture in message.list_pictures()
    )


def _end_user_id(person: str) -> str:
    """A stable id for suppliers that doesn't tell them who the person is."""
    return hashlib.blake2b(person.encode(), digest_size=16, person=b"end-user").hexdigest()
