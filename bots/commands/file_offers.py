"""Files that cost much, or came without a word, are offered before anything is asked: what each way
of reading them costs at most, on a button.

An offer holds nothing. It lasts ten minutes, and whoever presses it pays no more than it says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bots.chat.command import Request
from bots.chat.i18n import render
from bots.chat.reply import Choice, Phrase, Reply, say
from bots.commands.attachments import ComposedQuestion
from bots.commands.drafts import QuestionDraft, QuestionDrafts, make_question
from bots.commands.text import format_credits, join_phrases, name_file
from core.asks.service import AskService
from core.asks.types import NotEnoughCredits, QuestionSource, QuestionTooLong, Quote
from core.attachments.types import BEGINNING_PAGES
from core.money import Credits, Tokens
from core.pricing.catalogue import Model
from core.users.balances import Balances

#: A file is offered first where reading it costs more than this, or more than this share of what
#: there is.
_CREDITS_FREE: Final = Credits(50)
_SHARE_PERCENT: Final = 10
#: Seconds that an offer lasts.
OFFER_SECONDS: Final = 600

_SUM_UP: Final = say("Sum this up.")
_ASK_LABEL: Final = say("Read and answer")


class FileOffers:
    """The cards that offer files before they are asked about."""

    def __init__(
        self, *, ask_service: AskService, balances: Balances, drafts: QuestionDrafts
    ) -> None:
        self._ask_service, self._balances, self._drafts = ask_service, balances, drafts

    async def make_card(
        self, request: Request, draft: QuestionDraft, composed: ComposedQuestion, model: Model
    ) -> Reply | None:
        """The offer of a question with files; None where it is asked at once, or can't be asked."""
        if not composed.files:
            return None
        label = _ASK_LABEL
        if not composed.has_words:
            words = render(_SUM_UP, request.person.language)
            label, composed = say("📝 Sum it up"), composed.add_words(words)
        quoted: list[tuple[Phrase, QuestionDraft, Quote]] = []
        whole = _redraft(draft, composed, model)
        quote = await self._find_quote(request, whole, model)
        if quote is not None:
            is_whole = composed.has_words and not any(one.part for one in composed.files)
            if is_whole and not await self._is_dear(request, quote):
                return None
            quoted.append((label, whole, quote))
        if composed.shorter is not None:
            beginning = _redraft(draft, composed.shorter, model)
            quote = await self._find_quote(request, beginning, model)
            if quote is not None:
                first = say("The first {pages} pages", pages=BEGINNING_PAGES)
                quoted.append((first, beginning, quote))
        # What can't be asked at all is told by whoever asks it.
        return await self._offer(request, composed.files, model, quoted) if quoted else None

    async def renew_card(
        self, request: Request, draft: QuestionDraft, model: Model
    ) -> Reply | None:
        """The offer anew, where it costs more by now than the button says that was pressed."""
        if not draft.max_charge:
            return None
        quote = await self._find_quote(request, draft, model)
        if quote is None or quote.max_charge.units <= draft.max_charge:
            return None
        files = tuple(one for one in draft.sources if one.kind == "file")
        return await self._offer(request, files, model, [(_ASK_LABEL, draft, quote)])

    async def _find_quote(
        self, request: Request, draft: QuestionDraft, model: Model
    ) -> Quote | None:
        """None where the balance doesn't pay for it, or the model can't take it."""
        question = make_question(request, draft, model)
        try:
            return await self._ask_service.quote_question(question)
        except (NotEnoughCredits, QuestionTooLong):
            return None

    async def _is_dear(self, request: Request, quote: Quote) -> bool:
        """By what reading costs: how long the answer may be isn't the file's doing."""
        reading = quote.price.calculate_charge(quote.prompt_tokens, Tokens(0))
        if reading > _CREDITS_FREE:
            return True
        balance = await self._balances.for_user(request.person.id)
        return reading.units * 100 > balance.available.units * _SHARE_PERCENT

    async def _offer(
        self,
        request: Request,
        files: tuple[QuestionSource, ...],
        model: Model,
        quoted: list[tuple[Phrase, QuestionDraft, Quote]],
    ) -> Reply:
        names = join_phrases([name_file(one) for one in files])
        quote = quoted[0][2]
        more = quote.price.calculate_charge(quote.file_tokens, Tokens(0))
        return Reply(
            (
                say("{files} for {model}", files=names, model=model.name),
                say("Nothing was asked or charged yet. The prices hold for ten minutes."),
                say(
                    "For an hour each question that follows costs ≤ {charge} more, until you press"
                    " Without the file or /new.",
                    charge=format_credits(more),
                ),
                say("For another question, reply to the file with it."),
            ),
            choices=tuple([(await self._make_choice(request, *one),) for one in quoted]),
        )

    async def _make_choice(
        self, request: Request, label: Phrase, draft: QuestionDraft, quote: Quote
    ) -> Choice:
        offered = replace(draft, max_charge=quote.max_charge.units)
        priced = say("{what}: ≤ {charge}", what=label, charge=format_credits(quote.max_charge))
        return await self._drafts.make_choice(
            priced, offered, request.person, lifetime_seconds=OFFER_SECONDS
        )


def _redraft(draft: QuestionDraft, composed: ComposedQuestion, model: Model) -> QuestionDraft:
    return replace(
        draft,
        text=composed.text,
        model=model.id,
        sources=composed.sources,
        files=composed.file_texts,
    )
