"""Settles asks that end in this process: what arrived is counted, billed, and written with the
ledger's entries in one submission.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from core import chart
from core.api_tokens.replies import build_answer_context, plan_answer
from core.asks.api_calls import encode_pieces
from core.asks.repository import AskRepository
from core.asks.run import AskRun
from core.asks.settlement import (
    AnswerEnding,
    AskBill,
    build_settlement,
    calculate_bill,
    calculate_recording_bill,
    is_plausible,
)
from core.asks.types import (
    AskResult,
    Outcome,
)
from core.asks.unpaid_work import find_unpaid_cause
from core.db.writes import Companion
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
from core.pricing.token_counter import count_tokens
from core.text import has_visible_text
from core.users.balances import Balances

log = logging.getLogger(__name__)

#: Pauses before settling is tried again while the database can't write, in seconds; afterwards
#: the lease lapses and the recovery job settles.
SETTLE_RETRY_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0)

#: More bytes than a token has in any language: a supplier that counts less is counted after.
_BYTES_PER_TOKEN_MAX = 8


class AskSettler:
    """The service that settles each ask exactly once."""

    def __init__(
        self,
        *,
        repository: AskRepository,
        balances: Balances,
        ledger: Ledger,
        pool: Pool,
        costs: Costs,
    ) -> None:
        self._repository, self._balances = repository, balances
        self._ledger, self._pool = ledger, pool
        self._costs, self._clock = costs, ledger.clock
        #: How many answers in this process were told a usage that can't be true, by supplier.
        self.usage_gap_counts: Counter[str] = Counter()

    async def settle(self, run: AskRun, ending: AnswerEnding) -> tuple[AskResult, bool]:
        """Settles an ask; its result, and False where another process had settled it first."""
        if run.is_lost:
            return await self._repository.get_result(run.id), False
        # An answer in which nothing can be seen is none.
        question, text = run.question, run.text if has_visible_text(run.text) else ""
        now, call = self._clock.now_ms(), question.api_call
        # Programs repeat what broke by themselves: it would be paid each time.
        is_free = call is not None and _is_broken(run, ending)
        accounts = self._balances.list_accounts(question.person.id)
        delivered_tokens = await self._count_delivered_tokens(run, ending, text)
        bill = self._calculate_bill(run, ending, text, delivered_tokens)
        if is_free:
            bill = replace(bill, charge=Credits(0))
        submission = build_settlement(
            run.open_ask,
            bill,
            outcome=ending.outcome,
            delivered_tokens=delivered_tokens,
            answer=_seal_answer(run, text),
            at_ms=now,
            unpaid_cause=None
            if run.was_interrupted
            else find_unpaid_cause(
                ending.outcome,
                ending.failure,
                is_seen=bool(text),
                was_reasoning=ending.was_reasoning,
                has_pictures=bool(run.quote.pictures),
                is_free=is_free,
            ),
            watch=accounts,
            also=_plan_reply(run, ending, bill),
        )
        receipt = await self._submit_with_retries(submission)
        if receipt is None:
            return await self._repository.get_result(run.id), False
        quota_account = chart.key_quota(run.candidate.key).code
        self._pool.update_headroom(run.candidate.key, receipt.balances[quota_account])
        result = AskResult(
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
            # What is cached of a prompt is its beginning: what was said before.
            history_charge=run.quote.price.calculate_unrounded(
                run.quote.history_tokens, Tokens(0), cached=bill.usage.cached
            ),
            audio=None
            if question.recording is None
            else min(bill.usage.audio, run.quote.max_audio),
            cached_tokens=bill.usage.cached,
            cache_written_tokens=bill.usage.cache_written,
            reasoning_tokens=bill.usage.reasoning,
            finish_reason="" if run.ending is None else run.ending.reason,
            stop_sequence="" if run.ending is None else run.ending.stop_sequence,
        )
        return result, True

    def _calculate_bill(
        self, run: AskRun, ending: AnswerEnding, text: str, delivered_tokens: Tokens
    ) -> AskBill:
        quote, now = run.quote, self._clock.now_ms()
        if run.question.recording is not None:
            length = run.question.recording.length
            return calculate_recording_bill(
                ending,
                quote=quote,
                length=length,
                candidate=run.candidate,
                costs=self._costs,
                at_ms=now,
                text=text,
            )
        bill = calculate_bill(
            ending,
            model=run.question.model,
            quote=quote,
            candidate=run.candidate,
            costs=self._costs,
            at_ms=now,
            text=text,
            delivered_tokens=delivered_tokens,
        )
        if ending.usage is not None and bill.is_estimated:
            self.usage_gap_counts[run.candidate.supplier] += 1
            log.warning("supplier %s told an impossible usage", run.candidate.supplier)
        return bill

    async def _count_delivered_tokens(self, run: AskRun, ending: AnswerEnding, text: str) -> Tokens:
        """Tokens that the person saw: the supplier's count where it counts nothing else and can be
        true, else our own."""
        if not text or run.question.recording is not None:
            return Tokens(0)
        model, usage, size = run.question.model, ending.usage, len(text.encode())
        if usage is not None and not (model.thinking or ending.was_reasoning):
            is_enough = usage.output.units * _BYTES_PER_TOKEN_MAX >= size
            if is_enough and is_plausible(usage, model=model, quote=run.quote, text=text):
                return min(usage.output, Tokens(size))
        return await count_tokens(model, text)

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


#: Endings that are the supplier's doing, or ours.
_BREAKS = frozenset({Outcome.BROKEN, Outcome.TIMED_OUT, Outcome.REFUSED})


def _is_broken(run: AskRun, ending: AnswerEnding) -> bool:
    """Whether an answer ended neither by itself nor by its caller, who may have held it up until
    its supplier gave up."""
    return run.was_interrupted or (ending.outcome in _BREAKS and not run.was_held_up)


def _seal_answer(run: AskRun, text: str) -> bytes | None:
    """The answer as it is kept for its asker; nothing is kept of what programs ask."""
    if not text or run.question.api_call is not None:
        return None
    return run.data_key.seal(f"ask/{run.id}/answer", text.encode())


def _plan_reply(run: AskRun, ending: AnswerEnding, bill: AskBill) -> Sequence[Companion]:
    """What is kept of an answer whose request may be repeated with the same key: all that it takes
    to give it again."""
    call = run.question.api_call
    if call is None or call.reply_key is None:
        return ()
    is_whole = ending.outcome in {Outcome.DONE, Outcome.LENGTH, Outcome.FILTERED}
    kept = {
        "outcome": ending.outcome.value,
        "failure": ending.failure.value,
        "finish_reason": "" if run.ending is None else run.ending.reason,
        "stop_sequence": "" if run.ending is None else run.ending.stop_sequence,
        "prompt_tokens": bill.usage.input.units,
        "output_tokens": bill.usage.output.units,
        "cached_tokens": bill.usage.cached.units,
        "cache_written_tokens": bill.usage.cache_written.units,
        "reasoning_tokens": bill.usage.reasoning.units,
        "charge": bill.charge.units,
        "key": run.candidate.key,
        "pieces": encode_pieces(run.list_pieces()) if is_whole else [],
    }
    sealed = run.data_key.seal(build_answer_context(run.id), json.dumps(kept).encode())
    return (plan_answer(run.id, sealed),)
