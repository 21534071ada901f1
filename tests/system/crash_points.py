"""Points on the road of an ask at which a process stops for good, to be killed there.

    hold begun | written | committed       the writer, at the batch that holds the ask
    call                                   held, the supplier not yet called
    beat begun | written | committed       the writer, at the batch that records what was shown
    settle begun | written | committed     the writer, at the batch that settles the ask
    settled                                its answer about to be shown
    shown                                  its answer shown, not yet told to have landed
    landing begun | written | committed    the writer, at the batch that records that it landed

Likewise of a contribution (whichever: `earning` stands for the ask), each in those three phases:

    offered        its key is kept, sealed, until its owner has answered
    line           what a person may be lent, once
    contributed    it begins: dollars, Credits, fee and advance
    requested      a withdrawal of what it brought
    lowered        it becomes smaller
    closing        it serves no more, its key is erased
    closed         it ends: what is left goes back, what was spent in advance is due

`begun` is before anything is written, `committed` after it is durable and before anyone is told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from bots.app import App
from core.asks import heartbeat
from core.asks.run import AskRun
from core.asks.settlement import AnswerEnding
from core.clock import Clock
from core.ledger import batch
from core.ledger.prepare import PreparedSubmission
from core.ledger.session import LedgerSession


class Tell(Protocol):
    """Says an event to whoever watches; it has been said when this returns."""

    def __call__(self, event: str, **facts: object) -> None: ...


class Points:
    """One point of one ask may be armed; whoever reaches it goes no further."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._armed: tuple[str, str] | None = None

    def arm(self, point: str, ask: str) -> None:
        self._armed = (point, ask)

    def reached(self, point: str, ask: str) -> None:
        if self._armed == (point, ask):
            self._tell("frozen", point=point, ask=ask)
            threading.Event().wait()

    def watch_writer(self) -> None:
        """Every batch of this process is looked at."""
        run = batch.run_batch

        def watched(
            session: LedgerSession,
            clock: Clock,
            jobs: Sequence[PreparedSubmission],
            phase: batch.PhaseHook,
        ) -> list[batch.SubmissionResult]:
            written = [about for job in jobs for about in _about(job)]

            def told(name: str) -> None:
                for what, ask in written:
                    self.reached(f"{what} {name}", ask)
                phase(name)

            return run(session, clock, jobs, told)

        batch.run_batch = watched

    def watch_asks(self, app: App) -> None:
        """Before the supplier is called; and every heartbeat that was recorded is told."""
        serving = app.services.asks.asks._answer_stream
        serve = serving.stream_into

        async def watched(run: AskRun, *, end_user: str) -> AnswerEnding:
            self.reached("call", run.id)
            return await serve(run, end_user=end_user)

        serving.stream_into = watched  # type: ignore[method-assign]
        self._watch_beats(app.services.asks.asks._heartbeat)

    def _watch_beats(self, heart: heartbeat.Heartbeat) -> None:
        record = heart._record_run

        async def recorded(run: AskRun) -> None:
            chars = len(run.text)
            await record(run)
            self._tell("beat", ask=run.id, chars=chars)

        heart._record_run = recorded  # type: ignore[method-assign]


#: What is submitted for a contribution, by its last word.
_EARNING = {"contributed", "lowered", "closed", "requested", "line"}
_STEPS: dict[str, Callable[[Any], bool]] = {
    "beat": lambda text: "shown_tokens" in text,
    "landing": lambda text: "landed_at" in text.partition(" WHERE ")[0],
}


def _about(job: PreparedSubmission) -> Iterator[tuple[str, str]]:
    """What a job does, and to which ask."""
    if job.submission is not None:
        room, _, rest = job.submission.id.partition("/")
        ask, _, step = rest.partition("/")
        if room == "ask":
            yield step, ask
        if found := _EARNING & {room, step.partition("/")[0]}:
            yield found.pop(), "earning"
        return
    for statement in job.statements:
        if statement.table == "ask":
            for step, does in _STEPS.items():
                if does(statement.sql):
                    yield step, statement.key
        if statement.table == "contribution":
            yield "offered" if statement.sql.startswith("INSERT") else "closing", "earning"
