"""The stream of one answer, with failover to the next key until something was delivered."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from dataclasses import replace
from typing import TypeGuard

from core.asks.quotes import find_min_answer
from core.asks.run import AskRun
from core.asks.settlement import MAYBE_BILLED, AnswerEnding, build_failover
from core.asks.types import AskFailure, Outcome
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import InsufficientFunds
from core.money import NanoUsd, Tokens
from core.pool.pool import Pool
from core.pool.providers.types import (
    AnswerPiece,
    AudioClip,
    Fault,
    Finish,
    ReasoningDelta,
    StreamEvent,
    SupplierFault,
    TextDelta,
    ToolCallDelta,
)
from core.pool.rest_queue import REST_SECONDS_MAX, Turn
from core.pool.types import Candidate
from core.pricing.costs import Costs

#: How many keys one ask tries at most.
ATTEMPTS_MAX = 4
#: An ask is given up when nothing of its answer came in this time, all attempts together.
FIRST_TEXT_SECONDS = 120.0
#: The same for audio, which is fetched, sent and transcribed to its end first.
TRANSCRIPTION_SECONDS = 300.0
#: Every stream is ended after this time at the latest.
HARD_STOP_SECONDS = 900.0

#: Faults that the question, not the key, caused: another key would answer the same.
_QUESTION_FAULTS = {Fault.TOO_LONG: AskFailure.TOO_LONG, Fault.REFUSED_CONTENT: AskFailure.CONTENT}

#: How often one ask waits for a key that rests after such a fault, where no other can be tried. A
#: supplier that fails may do so because of this very question: it is asked once more only.
_RESTS_MAX = {Fault.RATE_LIMITED: 3, Fault.UNAVAILABLE: 1}

#: So many keys of one supplier say that a question is wrong, in words that nobody knows, before its
#: others are believed to say the same: each try is work that other people wait for.
_BAD_REQUESTS_MAX = 2

#: How often one ask asks a key again for a shorter answer: its supplier's count may move a little.
_SHORTENINGS_MAX = 2

#: What suppliers answer to a file that they can't read.
_UNREADABLE_STATUSES = {400, 415, 422}

#: By which suppliers say that a request is wrong.
_REQUEST_STATUSES = {400, 422}

_OUTCOMES = {
    "stop": Outcome.DONE,
    "tool_calls": Outcome.DONE,
    "length": Outcome.LENGTH,
    "filtered": Outcome.FILTERED,
}


class AnswerStream:
    """Streams answers from the pool's keys into running asks."""

    def __init__(self, *, pool: Pool, ledger: Ledger, costs: Costs) -> None:
        self._pool, self._ledger, self._costs, self._clock = pool, ledger, costs, ledger.clock

    async def stream_into(self, run: AskRun, *, end_user: str) -> AnswerEnding:
        """Streams into `run` until the answer's end, trying other keys while nothing was
        delivered."""
        tried_keys = {run.candidate.key}
        rests: Counter[Fault] | None = None
        bad_requests: Counter[str] | None = None
        while True:
            try:
                return await self._stream_once(run, end_user)
            except SupplierFault as fault:
                maybe_billed = fault.kind in MAYBE_BILLED
                failure = _find_question_failure(run, fault)
                ending = AnswerEnding(
                    Outcome.BROKEN if run.has_text else Outcome.REFUSED,
                    maybe_billed=maybe_billed,
                    was_reasoning=run.is_reasoning,
                    failure=failure or _name_failure(run, fault),
                )
                if run.has_text or failure is not None:
                    return ending
                if run.is_stopping:
                    return replace(ending, outcome=Outcome.STOPPED, failure=AskFailure.NONE)
                if fault.kind is Fault.BAD_REQUEST and fault.status:
                    supplier, bad_requests = run.candidate.supplier, bad_requests or Counter()
                    bad_requests[supplier] += 1
                    if bad_requests[supplier] >= _BAD_REQUESTS_MAX:
                        tried_keys |= self._pool.list_supplier_keys(supplier)
                if await self._fail_over(run, tried_keys, maybe_billed=maybe_billed):
                    continue
                if _shorten_answer(run, fault):
                    continue
                rests = rests or Counter()
                rests[fault.kind] += 1
                if rests[fault.kind] > _RESTS_MAX.get(fault.kind, 0):
                    return ending
                if not await self._hold_resting_key(run):
                    return ending

    async def _stream_once(self, run: AskRun, end_user: str) -> AnswerEnding:
        first_text_seconds = (
            FIRST_TEXT_SECONDS if run.question.recording is None else TRANSCRIPTION_SECONDS
        )
        is_sent, started_ms, call = False, self._clock.now_ms(), run.question.api_call
        turn: Turn | None = None
        try:
            async with asyncio.timeout_at(run.started_at + first_text_seconds) as deadline:
                run.set_deadline(deadline)
                turn = await self._wait_for_turn(run)
                try:
                    clip = await _read_clip(run)
                except Refusal:
                    return AnswerEnding(Outcome.REFUSED, failure=AskFailure.UNREADABLE)
                is_sent = True
                if run.shortenings == 0:
                    run.asked_limit = self._find_answer_limit(run)
                events = self._pool.stream(
                    run.candidate,
                    run.prompt.messages,
                    run.asked_limit,
                    end_user=end_user,
                    clip=clip,
                    turn=turn,
                    cache_scope=run.prompt.cache_scope,
                    options=None if call is None else call.options,
                )
                async with aclosing(events):
                    async for event in events:
                        if isinstance(event, ReasoningDelta):
                            run.is_reasoning = True
                        if isinstance(event, Finish):
                            run.ending = event
                            return _ending_of(run, event)
                        if _is_shown(event, run):
                            if not run.has_text and not run.is_stopping:
                                deadline.reschedule(run.started_at + HARD_STOP_SECONDS)
                            await run.append_piece(event)
        except TimeoutError:
            if run.ending is not None:  # it was whole; what lasted was its connection's end
                return _ending_of(run, run.ending)
            outcome = Outcome.STOPPED if run.is_stopping else Outcome.TIMED_OUT
            if is_sent and not (run.is_stopping or run.has_text or run.is_reasoning):
                await self._pool.record_timeout(run.candidate, started_ms)
            return AnswerEnding(outcome, was_reasoning=run.is_reasoning, maybe_billed=is_sent)
        finally:
            run.clear_deadline()
            if turn is not None:
                turn.pass_on()
        raise SupplierFault(Fault.NETWORK)

    def _find_answer_limit(self, run: AskRun) -> Tokens:
        """The longest answer to ask of the key that serves now: what its minute takes, where that
        is known and of use, else what was quoted."""
        limit = run.quote.answer_limit
        prompt = run.quote.count_prompt(run.candidate.route)
        room = self._pool.find_answer_room(run.candidate, prompt)
        if room is None or room < find_min_answer(run.question.model):
            return limit
        return min(room, limit)

    async def _fail_over(self, run: AskRun, tried_keys: set[str], *, maybe_billed: bool) -> bool:
        """Holds on another key and points `run` at it; False when there is none to try."""
        cost = self._calculate_failed_cost(run, maybe_billed=maybe_billed)
        while run.attempt < ATTEMPTS_MAX:
            candidate = self._choose_next(run, tried_keys)
            if candidate is None:
                return False
            tried_keys.add(candidate.key)
            if await self._switch_key(run, candidate, cost):
                return True
        return False

    async def _wait_for_turn(self, run: AskRun) -> Turn:
        """Waits while the key that was chosen rests shortly; raises `SupplierFault` where it
        doesn't serve in time."""
        turn = await self._pool.wait_for_turn(
            run.candidate, asker=run.question.person.id, until=self._find_rest_deadline(run)
        )
        if turn is None:
            raise SupplierFault(Fault.BAD_REQUEST, code="rests")
        return turn

    def _find_rest_deadline(self, run: AskRun) -> float:
        if run.rests_until is None:
            run.rests_until = self._clock.monotonic() + REST_SECONDS_MAX
        return run.rests_until

    async def _hold_resting_key(self, run: AskRun) -> bool:
        """With nothing else to try: points `run` at the key that serves again first, in the time
        that is left to wait; False when there is none."""
        left = self._find_rest_deadline(run) - self._clock.monotonic()
        candidate = self._choose_next(run, set(), rest_seconds=left)
        if candidate is None:
            return False
        cost = self._calculate_failed_cost(run, maybe_billed=False)
        return await self._switch_key(run, candidate, cost)

    async def _switch_key(self, run: AskRun, candidate: Candidate, cost: NanoUsd) -> bool:
        """Settles what the last key may owe and holds on the next; False when others drew on that
        since."""
        submission = build_failover(run.open_ask, candidate, cost=cost)
        try:
            receipt = await self._ledger.submit(submission)
        except InsufficientFunds:
            return False
        for account, balance in receipt.balances.items():
            self._pool.update_headroom(account.removeprefix("key/"), balance)
        run.candidate, run.attempt, run.is_reasoning = candidate, run.attempt + 1, False
        run.shortenings = 0
        return True

    def _calculate_failed_cost(self, run: AskRun, *, maybe_billed: bool) -> NanoUsd:
        recording = run.question.recording
        if run.is_reasoning:
            return run.candidate.hold
        if maybe_billed and recording is not None:
            now = self._clock.now_ms()
            return self._costs.calculate_audio_cost(run.candidate.route, recording.length, now)
        if maybe_billed:
            route, now = run.candidate.route, self._clock.now_ms()
            prompt = run.quote.count_prompt(route)
            return self._costs.calculate_max_cost(route, prompt, Tokens(0), now)
        return NanoUsd(0)

    def _choose_next(
        self, run: AskRun, tried_keys: set[str], *, rest_seconds: float = 0.0
    ) -> Candidate | None:
        person, quote, scope = run.question.person, run.quote, run.prompt.cache_scope
        return self._pool.choose_candidate(
            run.question.model,
            quote.text_tokens,
            quote.answer_limit,
            skip_keys=tried_keys,
            own_keys_only=person.needs_own_keys(has_files=quote.has_files),
            asker=person.id,
            audio=quote.max_audio,
            rest_seconds=rest_seconds,
            conversation="" if scope is None else scope.conversation,
            pictures=quote.pictures,
            has_files=quote.has_files,
            by_program=run.feed is not None,
        )


def _is_shown(event: StreamEvent, run: AskRun) -> TypeGuard[AnswerPiece]:
    """Whether an event is shown to whoever asked: texts; to programs also tools' calls, and what is
    told of thoughts."""
    if isinstance(event, TextDelta):
        return True
    if run.feed is None:
        return False
    if isinstance(event, ReasoningDelta):
        return bool(event.text or event.signature or event.redacted)
    return isinstance(event, ToolCallDelta)


def _ending_of(run: AskRun, finish: Finish) -> AnswerEnding:
    outcome = _OUTCOMES[finish.reason]
    if outcome is Outcome.FILTERED and not run.has_text:
        outcome = Outcome.REFUSED
    failure = AskFailure.CONTENT if outcome is Outcome.REFUSED else AskFailure.NONE
    return AnswerEnding(
        outcome, usage=finish.usage, was_reasoning=run.is_reasoning, failure=failure
    )


def _find_question_failure(run: AskRun, fault: SupplierFault) -> AskFailure | None:
    """The failure that the question itself caused; None when another key may do better."""
    is_bad_request = fault.kind is Fault.BAD_REQUEST and fault.status in _UNREADABLE_STATUSES
    if is_bad_request and run.clip is not None:
        return AskFailure.UNREADABLE
    return _QUESTION_FAULTS.get(fault.kind)


def _name_failure(run: AskRun, fault: SupplierFault) -> AskFailure:
    """Whose failure it is where no key did better: a program may ask for what a model doesn't take;
    chats ask for nothing of the kind."""
    is_refused = fault.kind is Fault.BAD_REQUEST and fault.status in _REQUEST_STATUSES
    return AskFailure.UNSUPPORTED if is_refused and run.feed is not None else AskFailure.SUPPLIER


def _shorten_answer(run: AskRun, fault: SupplierFault) -> bool:
    """Where the key's minute is too small for the answer that was asked for: takes off what its
    supplier says is too much; False where no useful answer is left."""
    if fault.excess is None or run.is_reasoning or run.shortenings >= _SHORTENINGS_MAX:
        return False
    over = fault.excess.requested - fault.excess.limit
    if run.asked_limit < over + find_min_answer(run.question.model):
        return False
    run.asked_limit -= over
    run.shortenings += 1
    return True


async def _read_clip(run: AskRun) -> AudioClip | None:
    """The audio to transcribe, read once; None for a question. Raises what its reader refuses."""
    recording = run.question.recording
    if recording is not None and run.clip is None:
        run.clip = AudioClip(recording.name, await recording.read())
    return run.clip
