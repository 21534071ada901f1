"""The stream of one answer, with failover to the next key until something was delivered."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

from core.asks.run import Run
from core.asks.settlement import MAYBE_BILLED, Ending, next_try
from core.asks.types import Outcome, Trouble
from core.clock import Clock
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import InsufficientFunds
from core.money import NanoUsd, Tokens
from core.pool.pool import Pool
from core.pool.providers.types import Clip, Fault, Finish, SupplierFault, Text, Thinking
from core.pool.types import Candidate
from core.pricing.costs import Costs

#: How many keys one ask tries at most.
TRIES_MAX = 4
#: An ask is given up when nothing of its answer came in this time, all attempts together.
FIRST_TEXT_SECONDS = 120.0
#: The same for audio, which is fetched, sent and transcribed to its end first.
HEARING_SECONDS = 300.0
#: Every stream is ended after this time at the latest.
HARD_STOP_SECONDS = 900.0

#: Faults that the question, not the key, caused: another key would answer the same.
_PERSONAL = {Fault.TOO_LONG: Trouble.TOO_LONG, Fault.REFUSED_CONTENT: Trouble.CONTENT}

#: What suppliers answer to a file that they can't read.
_UNREADABLE = {400, 415, 422}

_ENDS = {
    "stop": Outcome.DONE,
    "length": Outcome.LENGTH,
    "filtered": Outcome.FILTERED,
}


class Serving:
    """Streams answers from the pool's keys into running asks."""

    def __init__(self, *, pool: Pool, ledger: Ledger, costs: Costs, clock: Clock) -> None:
        self._pool, self._ledger, self._costs, self._clock = pool, ledger, costs, clock

    async def serve(self, run: Run, *, end_user: str) -> Ending:
        """Streams into `run` until the answer's end, trying other keys while nothing was
        delivered."""
        tried = {run.candidate.key}
        while True:
            try:
                return await self._stream(run, end_user)
            except SupplierFault as fault:
                maybe_billed = fault.fault in MAYBE_BILLED
                personal = _personal(run, fault)
                ending = Ending(
                    Outcome.BROKEN if run.begun else Outcome.REFUSED,
                    maybe_billed=maybe_billed,
                    thinking=run.thinking,
                    trouble=personal or Trouble.SUPPLIER,
                )
                if run.begun or personal is not None:
                    return ending
                if run.stopping:
                    return replace(ending, outcome=Outcome.STOPPED, trouble=Trouble.NONE)
                if not await self._move_on(run, tried, maybe_billed=maybe_billed):
                    return ending

    async def _stream(self, run: Run, end_user: str) -> Ending:
        patience = FIRST_TEXT_SECONDS if run.question.recording is None else HEARING_SECONDS
        sent, began_ms = False, self._clock.now_ms()
        try:
            async with asyncio.timeout_at(run.began + patience) as scope:
                run.scope(scope)
                try:
                    clip = await _clip(run)
                except Refusal:
                    return Ending(Outcome.REFUSED, trouble=Trouble.UNREADABLE)
                sent = True
                pieces = self._pool.stream(
                    run.candidate,
                    run.messages,
                    run.quote.answer_limit,
                    end_user=end_user,
                    clip=clip,
                )
                async with aclosing(pieces):
                    async for piece in pieces:
                        if isinstance(piece, Text):
                            if not run.begun and not run.stopping:
                                scope.reschedule(run.began + HARD_STOP_SECONDS)
                            run.add(piece.text)
                        elif isinstance(piece, Thinking):
                            run.thinking = True
                        elif isinstance(piece, Finish):
                            return _ended(run, piece)
        except TimeoutError:
            outcome = Outcome.STOPPED if run.stopping else Outcome.TIMED_OUT
            if sent and not (run.stopping or run.begun or run.thinking):
                await self._pool.gave_up(run.candidate, began_ms)
            return Ending(outcome, thinking=run.thinking, maybe_billed=sent)
        raise SupplierFault(Fault.NETWORK)

    async def _move_on(self, run: Run, tried: set[str], *, maybe_billed: bool) -> bool:
        """Holds on another key and points `run` at it; False when there is none to try."""
        cost = self._failed_cost(run, maybe_billed=maybe_billed)
        while run.tries < TRIES_MAX:
            candidate = self._next(run, tried)
            if candidate is None:
                return False
            tried.add(candidate.key)
            submission = next_try(run.standing, candidate, cost=cost)
            try:
                receipt = await self._ledger.submit(submission)
            except InsufficientFunds:  # others drew on that key since
                continue
            for account, balance in receipt.balances.items():
                self._pool.settled(account.removeprefix("key/"), balance)
            run.candidate, run.tries, run.thinking = candidate, run.tries + 1, False
            return True
        return False

    def _failed_cost(self, run: Run, *, maybe_billed: bool) -> NanoUsd:
        recording = run.question.recording
        if run.thinking:
            return run.candidate.hold
        if maybe_billed and recording is not None:
            now = self._clock.now_ms()
            return self._costs.seconds(run.candidate.route, recording.length, now)
        if maybe_billed:
            return self._costs.most(
                run.candidate.route, run.quote.prompt, Tokens(0), self._clock.now_ms()
            )
        return NanoUsd(0)

    def _next(self, run: Run, tried: set[str]) -> Candidate | None:
        person = run.question.person
        return self._pool.candidate(
            run.question.model,
            run.quote.prompt,
            run.quote.answer_limit,
            skip=tried,
            own_keys_only=person.own_keys_only,
            asker=person.id,
            audio=run.quote.audio,
        )


def _ended(run: Run, finish: Finish) -> Ending:
    outcome = _ENDS[finish.reason]
    if outcome is Outcome.FILTERED and not run.begun:
        return Ending(Outcome.REFUSED, usage=finish.usage, trouble=Trouble.CONTENT)
    return Ending(outcome, usage=finish.usage, thinking=run.thinking)


def _personal(run: Run, fault: SupplierFault) -> Trouble | None:
    """The failure that the question itself caused; None when another key may do better."""
    refused = fault.fault is Fault.BAD_REQUEST and fault.status in _UNREADABLE
    if refused and run.clip is not None:
        return Trouble.UNREADABLE
    return _PERSONAL.get(fault.fault)


async def _clip(run: Run) -> Clip | None:
    """The audio to transcribe, read once; None for a question. Raises what its reader refuses."""
    recording = run.question.recording
    if recording is not None and run.clip is None:
        run.clip = Clip(recording.name, await recording.read())
    return run.clip
