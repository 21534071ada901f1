"""Admission: history, count, quote, a key, and one submission that holds it all or nothing. The
quote is the counted prompt and the answer's limit at a price: the most that the ask can cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core import chart
from core.api_tokens.caps import build_cap_hold
from core.api_tokens.replies import plan_reply
from core.asks.api_calls import TokenCapReached
from core.asks.conversations import ConversationContext, Conversations
from core.asks.drafts import (
    AskDraft,
    count_call,
    count_prompt,
    has_room,
    leave_pictures_behind,
)
from core.asks.quotes import (
    find_min_answer,
    quote_question,
    quote_recording,
)
from core.asks.run import AskRun
from core.asks.types import (
    AlreadyAsked,
    AskRefusal,
    ConversationHistory,
    CreditsOwed,
    DearerThanTold,
    NoKeyAvailable,
    NoKeyForFiles,
    NotEnoughCredits,
    NoTranscriptionKey,
    Prompt,
    Question,
    Quote,
    TooManyAsks,
)
from core.asks.unpaid_work import PicturesPaused
from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Companion, Insert
from core.ledger.ledger import Ledger
from core.ledger.types import (
    Balance,
    CompanionRefused,
    IdempotencyConflict,
    InsufficientFunds,
    LedgerBusy,
    Submission,
    SubmissionReceipt,
)
from core.money import Credits, Tokens
from core.pool.pool import Pool
from core.pool.rest_queue import REST_SECONDS_MAX
from core.pool.types import Candidate
from core.pricing.deals import Deals
from core.pricing.prices import Price
from core.pricing.promotions import PromotionUsedUp
from core.users.balances import Balances
from core.users.service import Users

#: Quote and hold again, when others drew on the balance or the key in between.
ADMISSION_ATTEMPTS = 6
#: How often a place among a promotion's uses is looked for, when others were faster.
PROMOTION_ATTEMPTS = 20
#: A process that lives renews an ask's lease well before it lapses.
LEASE_SECONDS = 12


class Admission:
    """Turns questions into running asks whose cost is held."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        users: Users,
        balances: Balances,
        pool: Pool,
        deals: Deals,
        conversations: Conversations,
        process_id: str,
    ) -> None:
        self._ledger, self._users, self._pool = ledger, users, pool
        self._balances = balances
        self._deals, self._conversations = deals, conversations
        self._file_repository = conversations.file_repository
        self._process_id = process_id

    async def admit(self, question: Question) -> AskRun:
        """Holds the most that the ask can cost, Credits and nano-dollars; raises an
        `AskRefusal`."""
        await self._deals.refresh_prices()
        await self._deals.load_person(question.person.id)
        draft = await self._plan_files(await self._prepare_draft(question))
        exhausted_keys: set[str] = set()
        used_up_promotions: set[str] = set()
        refusal: NotEnoughCredits | None = None
        for _ in range(ADMISSION_ATTEMPTS):
            quote = await self._quote_deal(draft, used_up_promotions)
            if question.max_charge is not None and quote.max_charge > question.max_charge:
                raise DearerThanTold(quote)
            candidate = self._choose_candidate(draft, quote, exhausted_keys)
            if candidate is None:
                quote = self._shorten_to_keys(draft, quote)
                candidate = self._choose_candidate(
                    draft, quote, exhausted_keys, rest_seconds=REST_SECONDS_MAX
                )
            if candidate is None:
                raise self._refuse_for_keys(draft, quote)
            try:
                receipt = await self._place_hold(draft, quote, candidate)
            except PromotionUsedUp:
                used_up_promotions |= {quote.promotion.id} if quote.promotion else set()
                await self._deals.load_person(question.person.id, force=True)  # others may be, too
                continue
            except InsufficientFunds as shortage:
                if shortage.entry == "quota":
                    exhausted_keys.add(candidate.key)
                else:
                    refusal = self._refuse_for_shortage(question, quote, shortage)
                continue
            except CompanionRefused as refused:
                if refused.table == schema.api_spending.name and question.api_call is not None:
                    raise TokenCapReached(question.api_call.cap.per_day, quote.max_charge) from None
                raise AlreadyAsked(question.id) from None
            except IdempotencyConflict:
                raise AlreadyAsked(question.id) from None
            except LedgerBusy:
                raise TooManyAsks from None
            return self._start_run(draft, quote, candidate, receipt)
        raise refusal or _no_key_refusal(question)

    async def quote_question(self, question: Question) -> Quote:
        """What a question would be quoted at now; nothing is held. Raises an `AskRefusal`."""
        await self._deals.refresh_prices()
        await self._deals.load_person(question.person.id)
        return await self._quote_deal(await self._prepare_draft(question), set())

    async def _place_hold(
        self, draft: AskDraft, quote: Quote, candidate: Candidate
    ) -> SubmissionReceipt:
        """Submits the hold; raises `PromotionUsedUp` when the promotion has no place left, and what
        the ledger refuses."""
        question = draft.question
        if quote.promotion is None:
            return await self._ledger.submit(self._build_hold(draft, quote, candidate, ()))
        for _ in range(PROMOTION_ATTEMPTS):
            async with self._deals.promotions.reserve_use(
                quote.promotion, question.person.id, question.id
            ) as use_companions:
                try:
                    return await self._ledger.submit(
                        self._build_hold(draft, quote, candidate, use_companions)
                    )
                except CompanionRefused as refused:
                    if refused.table != schema.promotion_use.name:
                        raise
        raise LedgerBusy

    def _choose_candidate(
        self, draft: AskDraft, quote: Quote, skip_keys: set[str], *, rest_seconds: float = 0.0
    ) -> Candidate | None:
        return self._pool.choose_candidate(
            draft.question.model,
            draft.text_tokens,
            quote.answer_limit,
            skip_keys=skip_keys,
            own_keys_only=draft.own_keys_only,
            asker=draft.question.person.id,
            audio=quote.max_audio,
            rest_seconds=rest_seconds,
            conversation=draft.cache_scope,
            pictures=draft.pictures,
            has_files=draft.has_files,
            by_program=draft.question.api_call is not None,
        )

    def _refuse_for_keys(self, draft: AskDraft, quote: Quote) -> AskRefusal:
        """Why no key serves a question: none can, or those could that its asker doesn't let see
        their files."""
        question = draft.question
        person = question.person
        if draft.own_keys_only and not person.own_keys_only:
            other = self._pool.choose_candidate(
                question.model,
                draft.text_tokens,
                quote.answer_limit,
                asker=person.id,
                pictures=draft.pictures,
                has_files=True,
            )
            if other is not None:
                return NoKeyForFiles(question.model)
        return _no_key_refusal(question)

    def _shorten_to_keys(self, draft: AskDraft, quote: Quote) -> Quote:
        """No key can pay for the longest answer: a shorter one, where some key can pay for that."""
        question = draft.question
        if question.recording is not None:
            return quote
        limit = self._pool.max_affordable_tokens(
            question.model,
            draft.text_tokens,
            quote.answer_limit,
            own_keys_only=draft.own_keys_only,
            asker=question.person.id,
            pictures=draft.pictures,
            has_files=draft.has_files,
            by_program=question.api_call is not None,
        )
        min_limit = draft.min_limit
        least = find_min_answer(question.model) if min_limit is None else min_limit
        if limit < min(least, quote.answer_limit):
            return quote
        return replace(
            quote,
            answer_limit=limit,
            max_charge=quote.price.calculate_max_charge(
                draft.prompt_tokens, limit, pictures=draft.picture_tokens
            ),
        )

    def _start_run(
        self, draft: AskDraft, quote: Quote, candidate: Candidate, receipt: SubmissionReceipt
    ) -> AskRun:
        if receipt.existed:
            raise AlreadyAsked(draft.question.id)
        quota_account = chart.key_quota(candidate.key).code
        self._pool.update_headroom(candidate.key, receipt.balances[quota_account])
        return AskRun(
            question=draft.question,
            quote=quote,
            prompt=draft.prompt,
            candidate=candidate,
            data_key=draft.data_key,
            process_id=self._process_id,
            drawn=[
                (transfer.debit, transfer.amount)
                for transfer in receipt.transfers
                if transfer.entry == "credits"
            ],
        )

    async def _prepare_draft(self, question: Question) -> AskDraft:
        data_key = await self._users.get_data_key(question.person)
        if question.api_call is not None:
            return await count_call(question, question.api_call, data_key)
        if question.recording is not None:  # what is written down belongs to no conversation yet
            no_tokens = Tokens(0)
            return AskDraft(
                question,
                data_key,
                ConversationContext("", ConversationHistory()),
                Prompt(()),
                no_tokens,
                no_tokens,
            )
        if question.files_of:
            question = await self._file_repository.fill_marks(question, data_key)
            if question.pictures and question.leaves_pictures:
                raise PicturesPaused
        thread = await self._conversations.load_context(question, data_key)
        thread = leave_pictures_behind(question, thread)
        draft = await count_prompt(question, thread, data_key)
        if not thread.history.along or has_room(draft):
            return draft
        # Marks stand for the files of before, where the model can't take them.
        history = replace(thread.history, along=())
        return await count_prompt(question, replace(thread, history=history), data_key)

    async def _plan_files(self, draft: AskDraft) -> AskDraft:
        """The same with the rows of files that weren't asked about before."""
        question = draft.question
        if not question.files or question.files_of:
            return draft
        rows = await self._file_repository.plan_writes(
            question, draft.thread.conversation, draft.file_text_tokens, draft.data_key
        )
        return replace(draft, file_rows=rows)

    async def _quote_deal(self, draft: AskDraft, used_up_promotions: set[str]) -> Quote:
        """At what this person is offered, without promotions that are used up."""
        model = draft.question.model
        deal = self._deals.find_deal(draft.question.person.id, model.id, without=used_up_promotions)
        if deal is None:
            raise _no_key_refusal(draft.question)
        quote = await self._quote_price(draft, deal.price)
        if not deal.tier and deal.promotion is None:
            return quote
        return replace(quote, tier=deal.tier, promotion=deal.promotion)

    async def _quote_price(self, draft: AskDraft, price: Price) -> Quote:
        model = draft.question.model
        balances = await self._settle_debt_and_read_balances(draft.question)
        available = Credits(sum(balance.available for balance in balances.values()))
        held = Credits(sum(balance.held for balance in balances.values()))
        recording = draft.question.recording
        if recording is not None:
            return quote_recording(
                model=model, price=price, length=recording.length, available=available, held=held
            )
        history, call = draft.thread.history, draft.question.api_call
        quote = quote_question(
            model=model,
            price=price,
            prompt_tokens=draft.prompt_tokens,
            history_tokens=draft.history_tokens,
            picture_tokens=draft.picture_tokens,
            omitted_turns=history.omitted_turns,
            available=available,
            held=held,
            has_more_room=draft.question.has_more_room,
            asked_limit=None if call is None else call.answer_limit,
            min_limit=draft.min_limit,
        )
        if call is not None and draft.pictures:
            return replace(quote, pictures=draft.pictures, picture_tokens=draft.picture_tokens)
        if not (history.branched or draft.has_files):
            return quote
        return replace(
            quote,
            branched=history.branched,
            pictures=draft.pictures,
            picture_tokens=draft.picture_tokens,
            along=history.along,
            follow_up_tokens=draft.follow_up_tokens,
            follow_up_pictures=draft.follow_up_pictures,
            has_files=draft.has_files,
        )

    async def _settle_debt_and_read_balances(self, question: Question) -> Mapping[str, Balance]:
        """The balances that a person can spend. What they owe is repaid first, out of what came
        back meanwhile; while something is still owed, no ask is admitted."""
        person = question.person.id
        accounts, owed = self._balances.list_accounts(person), chart.owed(person)
        balances = dict(await self._ledger.read_balances((*accounts, owed)))
        if balances[owed.code].posted:
            repayment = Submission(f"ask/{question.id}/repay", (chart.repay_owed(person),))
            await self._ledger.submit(repayment)
            balances = await self._ledger.read_balances((*accounts, owed))
        debt = balances.pop(owed.code).posted
        if debt:
            raise CreditsOwed(Credits(-debt))
        return balances

    @staticmethod
    def _refuse_for_shortage(
        question: Question, quote: Quote, shortage: InsufficientFunds
    ) -> NotEnoughCredits:
        """The refusal when others drew on the balance first, with the ledger's own figures."""
        return NotEnoughCredits(
            question.model,
            quote.price,
            needed=quote.max_charge,
            available=Credits(shortage.available.units),
            held=Credits(shortage.held.units),
        )

    def _build_hold(
        self,
        draft: AskDraft,
        quote: Quote,
        candidate: Candidate,
        use_companions: tuple[Companion, ...],
    ) -> Submission:
        question = draft.question
        now = self._ledger.clock.now_ms()
        person = question.person.id
        row: dict[str, object] = {
            "id": question.id,
            "person": person,
            "conversation": draft.thread.conversation,
            "place": question.place,
            "asked_in": question.asked_in,
            "shown_in": "",
            "created_at": _date_ask(question, now),
            "model": question.model.id,
            "price": quote.price.id,
            "prompt_tokens": draft.prompt_tokens.units,
            "history_tokens": draft.history_tokens.units,
            "answer_limit": quote.answer_limit.units,
            "held": quote.max_charge.units,
            "state": "open",
            "owner": self._process_id,
            "lease_until": now + LEASE_SECONDS * 1000,
            "stop_requested": False,
            "tries": 1,
            "key": candidate.key,
            "key_held": candidate.hold.units,
            "shown_tokens": 0,
            "outcome": "",
            "question": _seal_question(draft),
            "way_back": None,
            "follows": question.follows or None,
            "files_of": question.files_of or (question.id if question.files else None),
            "file_tokens": draft.file_tokens.units if question.files else None,
            "picture_tokens": draft.picture_tokens.units or None,
            "seconds": None if question.recording is None else quote.max_audio.units,
            "api_token": None if question.api_call is None else question.api_call.cap.token,
            **_deal_columns(quote),
        }
        if question.way_back:
            row["way_back"] = draft.data_key.seal(
                f"ask/{question.id}/way_back", question.way_back.encode()
            )
        return Submission(
            f"ask/{question.id}/hold",
            (
                chart.hold_credits(
                    self._balances.list_accounts(person), question.model.id, quote.max_charge
                ),
                chart.hold_quota(
                    candidate.key,
                    candidate.supplier,
                    candidate.hold,
                    contributed=candidate.terms is not None,
                ),
            ),
            (
                *draft.thread.companions,
                Insert(schema.ask, row),
                *draft.file_rows,
                *_plan_call(draft, quote, now),
                *use_companions,
            ),
            watch=(chart.key_quota(candidate.key),),
        )


def _date_ask(question: Question, now_ms: int) -> int:
    """When an ask began. A program's belongs to the day on whose cap it counts, though midnight has
    just passed: recovery finds the cap by this alone."""
    if question.api_call is None:
        return now_ms
    return min(now_ms, (question.api_call.cap.day + 1) * DAY_MS - 1)


def _seal_question(draft: AskDraft) -> bytes | None:
    """The question as it is kept for its asker; nothing is kept of what programs ask."""
    question = draft.question
    if question.api_call is not None:
        return None
    return draft.data_key.seal(f"ask/{question.id}/question", question.text.encode())


def _plan_call(draft: AskDraft, quote: Quote, now_ms: int) -> tuple[Companion, ...]:
    """What an ask by a program writes: it counts toward its token's cap, and where it may be
    repeated with the same key, that is remembered."""
    question, call = draft.question, draft.question.api_call
    if call is None:
        return ()
    hold = build_cap_hold(call.cap, quote.max_charge)
    if call.reply_key is None:
        return (hold,)
    digest = call.reply_key.digest
    return (hold, plan_reply(question.id, question.person.id, digest, now_ms))


def _deal_columns(quote: Quote) -> dict[str, object]:
    """The columns of the ask's row that say why its price isn't the plain one."""
    is_lowered = bool(quote.tier) or quote.promotion is not None
    return {
        "input_rate": quote.price.input_rate.units if is_lowered else None,
        "output_rate": quote.price.output_rate.units if is_lowered else None,
        "tier": quote.tier or None,
        "promotion": None if quote.promotion is None else quote.promotion.id,
    }


def _no_key_refusal(question: Question) -> AskRefusal:
    return NoKeyAvailable(question.model) if question.recording is None else NoTranscriptionKey()
