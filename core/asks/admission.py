"""Admission: history, count, quote, a key, and one submission that holds it all or nothing. The
quote is the counted prompt and the answer's limit at a price: the most that the ask can cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from core import chart
from core.asks.conversations import Conversations, Thread, messages
from core.asks.run import Run
from core.asks.types import (
    AlreadyAsked,
    AskRefusal,
    History,
    NotEnoughCredits,
    NothingHears,
    NothingServes,
    Owes,
    Question,
    QuestionTooLong,
    Quote,
    RecordingTooLong,
    TooManyAsks,
)
from core.clock import Clock
from core.db import schema
from core.db.writes import Companion, Insert
from core.ledger.ledger import Ledger
from core.ledger.types import (
    Balance,
    CompanionRefused,
    IdempotencyConflict,
    InsufficientFunds,
    LedgerBusy,
    Receipt,
    Submission,
)
from core.money import Credits, Seconds, Tokens
from core.pool.pool import Pool
from core.pool.providers.types import Message
from core.pool.types import Candidate
from core.pool.vault import DataKey
from core.pricing.catalogue import Model
from core.pricing.deals import Deals
from core.pricing.prices import Price, PriceBook
from core.pricing.promotions import UsedUp
from core.pricing.token_counter import CALL_OVERHEAD, count_messages
from core.users.balances import Purses
from core.users.service import People

#: Quote and hold again, when others drew on the balance or the key in between.
ADMISSION_TRIES = 6
#: How often a place among a promotion's uses is looked for, when others were faster.
PLACE_TRIES = 20
#: A process that lives renews an ask's lease well before it lapses.
LEASE_SECONDS = 12


@dataclass(frozen=True, slots=True)
class _Draft:
    """A question with everything that admission has found out about it."""

    question: Question
    data_key: DataKey
    thread: Thread
    messages: list[Message]
    prompt: Tokens
    history: Tokens


class Admission:
    """Turns questions into running asks whose cost is held."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        people: People,
        purses: Purses,
        pool: Pool,
        prices: PriceBook,
        deals: Deals,
        conversations: Conversations,
        clock: Clock,
        owner: str,
    ) -> None:
        self._ledger, self._people, self._pool = ledger, people, pool
        self.purses = purses
        self._prices, self._deals, self._conversations = prices, deals, conversations
        self._clock, self._owner = clock, owner

    async def admit(self, question: Question) -> Run:
        """Holds the most that the ask can cost, Credits and nano-dollars; raises an
        `AskRefusal`."""
        await self._prices.refresh()
        await self._deals.know(question.person.id)
        draft = await self._draft(question)
        full: set[str] = set()
        used_up: set[str] = set()
        refused: NotEnoughCredits | None = None
        for _ in range(ADMISSION_TRIES):
            quoted = await self._quote(draft, used_up)
            candidate = self._candidate(draft, quoted, full)
            if candidate is None:
                quoted = self._fitted(draft, quoted)
                candidate = self._candidate(draft, quoted, full)
            if candidate is None:
                raise _nobody(question)
            try:
                receipt = await self._held(draft, quoted, candidate)
            except UsedUp:
                used_up |= {quoted.promotion.id} if quoted.promotion else set()
                await self._deals.know(question.person.id, afresh=True)  # others may be, too
                continue
            except InsufficientFunds as shortage:
                if shortage.entry == "quota":
                    full.add(candidate.key)
                else:
                    refused = self._shortage(question, quoted, shortage)
                continue
            except (IdempotencyConflict, CompanionRefused):
                raise AlreadyAsked(question.id) from None
            except LedgerBusy:
                raise TooManyAsks from None
            return self._begun(draft, quoted, candidate, receipt)
        raise refused or _nobody(question)

    async def _held(self, draft: _Draft, quoted: Quote, candidate: Candidate) -> Receipt:
        """Submits the hold; raises `PromotionUsedUp` when the promotion has no place left, and what
        the ledger refuses."""
        question = draft.question
        for _ in range(PLACE_TRIES):
            async with self._deals.promotions.use(
                quoted.promotion, question.person.id, question.id
            ) as use:
                try:
                    return await self._ledger.submit(self._hold(draft, quoted, candidate, use))
                except CompanionRefused as refused:
                    if refused.table != schema.promotion_use.name:
                        raise
        raise LedgerBusy

    def _candidate(self, draft: _Draft, quoted: Quote, skip: set[str]) -> Candidate | None:
        person = draft.question.person
        return self._pool.candidate(
            draft.question.model,
            draft.prompt,
            quoted.answer_limit,
            skip=skip,
            own_keys_only=person.own_keys_only,
            asker=person.id,
            audio=quoted.audio,
        )

    def _fitted(self, draft: _Draft, quoted: Quote) -> Quote:
        """No key can pay for the longest answer: a shorter one, where some key can pay for that."""
        question = draft.question
        if question.recording is not None:
            return quoted
        limit = self._pool.room(
            question.model,
            draft.prompt,
            quoted.answer_limit,
            own_keys_only=question.person.own_keys_only,
            asker=question.person.id,
        )
        if limit < USEFUL_ANSWER:
            return quoted
        return replace(quoted, answer_limit=limit, most=quoted.price.charge(draft.prompt, limit))

    def _begun(self, draft: _Draft, quoted: Quote, candidate: Candidate, receipt: Receipt) -> Run:
        if receipt.existed:
            raise AlreadyAsked(draft.question.id)
        account = chart.key_quota(candidate.key).code
        self._pool.settled(candidate.key, receipt.balances[account])
        return Run(
            question=draft.question,
            quote=quoted,
            messages=draft.messages,
            candidate=candidate,
            data_key=draft.data_key,
            owner=self._owner,
            drawn=[(one.debit, one.amount) for one in receipt.transfers if one.entry == "credits"],
            branched=draft.thread.history.branched,
        )

    async def _draft(self, question: Question) -> _Draft:
        data_key = await self._people.data_key(question.person)
        if question.recording is not None:  # what is written down belongs to no conversation yet
            none = Tokens(0)
            return _Draft(question, data_key, Thread("", History()), [], none, none)
        thread = await self._conversations.thread(question, data_key)
        sent = messages(question, thread.history)
        earlier = sent[:-1]
        asked = await count_messages(question.model, [question.text])
        carried = Tokens(0)
        if earlier:
            texts = [message.text for message in earlier]
            carried = await count_messages(question.model, texts) - CALL_OVERHEAD
        return _Draft(
            question=question,
            data_key=data_key,
            thread=thread,
            messages=sent,
            prompt=asked + carried,
            history=carried,
        )

    async def _quote(self, draft: _Draft, used_up: set[str]) -> Quote:
        """At what this person is offered, without promotions that are used up."""
        model = draft.question.model
        deal = self._deals.price(draft.question.person.id, model.id, without=used_up)
        if deal is None:
            raise _nobody(draft.question)
        quoted = await self._quoted(draft, deal.price)
        return replace(quoted, tier=deal.tier, promotion=deal.promotion)

    async def _quoted(self, draft: _Draft, price: Price) -> Quote:
        model = draft.question.model
        balances = await self._balances(draft.question)
        have = Credits(sum(balance.available for balance in balances.values()))
        held = Credits(sum(balance.held for balance in balances.values()))
        recording = draft.question.recording
        if recording is not None:
            return quote_recording(
                model=model, price=price, length=recording.length, have=have, held=held
            )
        return quote(
            model=model,
            price=price,
            prompt=draft.prompt,
            history=draft.history,
            left_out=draft.thread.history.left_out,
            have=have,
            held=held,
        )

    async def _balances(self, question: Question) -> Mapping[str, Balance]:
        """The balances that a person can spend. What they owe is repaid first, out of what came
        back meanwhile; while something is still owed, no ask is admitted."""
        person = question.person.id
        purse, owed = self.purses.accounts(person), chart.owed(person)
        balances = dict(await self._ledger.balances((*purse, owed)))
        if balances[owed.code].posted:
            repay = Submission(f"ask/{question.id}/repay", (chart.repay_owed(person),))
            await self._ledger.submit(repay)
            balances = await self._ledger.balances((*purse, owed))
        left = balances.pop(owed.code).posted
        if left:
            raise Owes(Credits(-left))
        return balances

    @staticmethod
    def _shortage(
        question: Question, quoted: Quote, shortage: InsufficientFunds
    ) -> NotEnoughCredits:
        """The refusal when others drew on the balance first, with the ledger's own figures."""
        return NotEnoughCredits(
            question.model,
            quoted.price,
            need=quoted.most,
            have=Credits(shortage.available.units),
            held=Credits(shortage.held.units),
        )

    def _hold(
        self, draft: _Draft, quoted: Quote, candidate: Candidate, use: tuple[Companion, ...]
    ) -> Submission:
        question = draft.question
        now = self._clock.now_ms()
        person = question.person.id
        row: dict[str, object] = {
            "id": question.id,
            "person": person,
            "conversation": draft.thread.conversation,
            "place": question.place,
            "asked_in": question.asked_in,
            "shown_in": "",
            "created_at": now,
            "model": question.model.id,
            "price": quoted.price.id,
            "prompt_tokens": draft.prompt.units,
            "history_tokens": draft.history.units,
            "answer_limit": quoted.answer_limit.units,
            "held": quoted.most.units,
            "state": "open",
            "owner": self._owner,
            "lease_until": now + LEASE_SECONDS * 1000,
            "stop_requested": False,
            "tries": 1,
            "key": candidate.key,
            "key_held": candidate.hold.units,
            "shown_tokens": 0,
            "outcome": "",
            "ended_at": None,
            "landed_at": None,
            "question": draft.data_key.seal(f"ask/{question.id}/question", question.text.encode()),
            "answer": None,
            "way_back": None,
            "follows": question.follows or None,
            "seconds": None if question.recording is None else quoted.audio.units,
            **_offered(quoted),
        }
        if question.way_back:
            row["way_back"] = draft.data_key.seal(
                f"ask/{question.id}/way_back", question.way_back.encode()
            )
        return Submission(
            f"ask/{question.id}/hold",
            (
                chart.hold_credits(self.purses.accounts(person), question.model.id, quoted.most),
                chart.hold_quota(
                    candidate.key,
                    candidate.supplier,
                    candidate.hold,
                    contributed=candidate.terms is not None,
                ),
            ),
            (*draft.thread.companions, Insert(schema.ask, row), *use),
            watch=(chart.key_quota(candidate.key),),
        )


def _offered(quoted: Quote) -> dict[str, object]:
    """The columns of the ask's row that say why its price isn't the plain one."""
    lower = bool(quoted.tier) or quoted.promotion is not None
    return {
        "input_rate": quoted.price.input_rate.units if lower else None,
        "output_rate": quoted.price.output_rate.units if lower else None,
        "tier": quoted.tier or None,
        "promotion": None if quoted.promotion is None else quoted.promotion.id,
    }


def _nobody(question: Question) -> AskRefusal:
    return NothingServes(question.model) if question.recording is None else NothingHears()


#: A shorter answer than this is not worth starting: a smaller balance is refused, and told what it
#: would need.
USEFUL_ANSWER = Tokens(200)

#: Audio longer than this is not taken.
RECORDING_SECONDS_MAX = Seconds(3_600)
#: A supplier may count more seconds than the platform reported: a twentieth and this are held too.
_MARGIN = Seconds(2)


def quote(
    *,
    model: Model,
    price: Price,
    prompt: Tokens,
    history: Tokens,
    left_out: int,
    have: Credits,
    held: Credits,
) -> Quote:
    """What this may cost at most, with the answer limit shrunk to what the balance can pay.

    `available` is free to spend, `held` is held by other asks, in Credits. Raises `QuestionTooLong`
    when the model has no room to answer, `NotEnoughCredits` when the balance can't pay for a useful
    answer.
    """
    room = model.context.units - prompt.units
    if room < USEFUL_ANSWER.units:
        raise QuestionTooLong(model, prompt)
    usual = Tokens(min(model.answer_limit.units, room))
    most = price.charge(prompt, usual)
    if most.units <= have.units:
        return Quote(price, prompt, history, usual, most, left_out)
    limit = _affordable(price, prompt, have)
    useful = Tokens(min(USEFUL_ANSWER.units, usual.units))
    if limit.units < useful.units:
        raise NotEnoughCredits(model, price, price.charge(prompt, useful), have, held)
    return Quote(
        price, prompt, history, limit, price.charge(prompt, limit), left_out, shortened=True
    )


def quote_recording(
    *, model: Model, price: Price, length: Seconds, have: Credits, held: Credits
) -> Quote:
    """What writing this down may cost at most: its length and a margin, or as much of the margin
    as the balance can pay. Raises `RecordingTooLong`, `NotEnoughCredits`."""
    if length > RECORDING_SECONDS_MAX:
        raise RecordingTooLong(length, RECORDING_SECONDS_MAX)
    least = price.charge_seconds(length)
    if least > have:
        raise NotEnoughCredits(model, price, least, have, held)
    longest = length + length.share_up(1, 20) + _MARGIN
    most = min(price.charge_seconds(longest), have)
    none = Tokens(0)
    return Quote(price, none, none, none, most, audio=longest)


def _affordable(price: Price, prompt: Tokens, have: Credits) -> Tokens:
    """The longest answer whose price, prompt included, is within `available`."""
    rest = have.units * 1_000_000 - prompt.units * price.input_rate.units
    return Tokens(max(0, rest // price.output_rate.units)) if price.output_rate.units else Tokens(0)
