"""Files that cost much, or came without a word, are offered before anything is asked: what each way
of reading them costs at most, on a button. Before somebody's first picture it is asked whose keys
may see it; for a model that sees none, one that does is offered.

An offer holds nothing. It lasts ten minutes, and whoever presses it pays no more than it says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bots.chat.command import Request
from bots.chat.i18n import render
from bots.chat.reply import Choice, Phrase, Reply, say, say_count
from bots.commands.attachments import ComposedQuestion
from bots.commands.drafts import QuestionDraft, QuestionDrafts, make_question
from bots.commands.errors import FileNotRead
from bots.commands.models import ModelCommands
from bots.commands.text import format_credits, join_phrases, name_sources
from core.asks.service import AskService
from core.asks.types import (
    NotEnoughCredits,
    PicturesUnseen,
    QuestionSource,
    QuestionTooLong,
    Quote,
    list_pictures,
)
from core.attachments.types import BEGINNING_PAGES, FileProblem, PictureSize
from core.money import Credits, Tokens
from core.pricing.catalogue import Model
from core.users.balances import Balances
from core.users.service import Users
from core.users.types import Person

#: A file is offered first where reading it costs more than this, or more than this share of what
#: there is; or more than the person's own threshold.
OFFER_FROM: Final = Credits(50)
_SHARE_PERCENT: Final = 10
#: So many models that see pictures are offered in place of one that doesn't.
_SEEING_MODELS_MAX: Final = 2
#: Seconds that an offer lasts.
OFFER_SECONDS: Final = 600

_SUM_UP: Final = say("Sum this up.")
_DESCRIBE: Final = say("Describe what you see.")
_ASK_LABEL: Final = say("Read and answer")
_Quoted = tuple[Phrase, QuestionDraft, Quote]


class FileOffers:
    """The cards that offer files before they are asked about."""

    def __init__(
        self,
        *,
        ask_service: AskService,
        balances: Balances,
        drafts: QuestionDrafts,
        model_commands: ModelCommands,
        users: Users,
    ) -> None:
        self._ask_service, self._balances, self._drafts = ask_service, balances, drafts
        self._model_commands, self._users = model_commands, users

    async def make_card(
        self, request: Request, draft: QuestionDraft, composed: ComposedQuestion, model: Model
    ) -> Reply | None:
        """The offer of a question with files; None where it is asked at once, or can't be asked.
        Raises `FileNotRead` where a document has no words, and the model sees no pictures."""
        if not composed.files and not composed.pictures:
            return None
        label = _ASK_LABEL
        if not composed.has_words:
            label, composed = _add_words(composed, request.person)
        whole = _redraft(draft, composed, model)
        if composed.pictures and is_undecided(request.person):
            return await self._ask_whose_keys(request, whole)
        quoted: list[_Quoted] = []
        if not composed.is_scanned:
            quote = await self._find_quote(request, whole, model)
            if quote is not None:
                is_whole = composed.has_words and not any(one.part for one in composed.files)
                if is_whole and not await self._is_dear(request, quote):
                    return None
                quoted.append((label, whole, quote))
        quoted += await self._quote_pages(request, draft, composed, model)
        if composed.shorter is not None:
            beginning = _redraft(draft, composed.shorter, model)
            quote = await self._find_quote(request, beginning, model)
            if quote is not None:
                first = say("The first {pages} pages", pages=BEGINNING_PAGES)
                quoted.append((first, beginning, quote))
        if composed.is_scanned and not quoted:
            raise FileNotRead(composed.files[0].name, FileProblem.SCANNED)
        # What can't be asked at all is told by whoever asks it.
        return await self._offer(request, composed.sources, model, quoted) if quoted else None

    async def keep_decision(self, request: Request, draft: QuestionDraft) -> Request:
        """The request of somebody who has decided, by a pressed button, whose keys may see their
        pictures; it is kept. More keys than they decided on since are only let by /settings: other
        cards of before may still be pressed."""
        shares = draft.shares_files
        if shares is None or (shares and request.person.shares_files is not None):
            return request
        await self._users.update_settings(request.person, shares_files=shares)
        return replace(request, person=replace(request.person, shares_files=shares))

    async def review_draft(
        self, request: Request, draft: QuestionDraft, model: Model
    ) -> Reply | None:
        """What must be asked before a question that waited for a tap: whose keys may see its
        pictures; its price, where that is more by now than the pressed button says, or dear and
        not told yet. None: nothing."""
        if not draft.files:
            return None
        if list_pictures(draft.files) and is_undecided(request.person):
            return await self._ask_whose_keys(request, draft)
        quote = await self._find_quote(request, draft, model)
        if quote is None:
            return None
        is_known = draft.max_charge and quote.max_charge.units <= draft.max_charge
        if is_known or (not draft.max_charge and not await self._is_dear(request, quote)):
            return None
        return await self.offer_anew(request, draft, model, quote)

    async def offer_anew(
        self, request: Request, draft: QuestionDraft, model: Model, quote: Quote
    ) -> Reply:
        """A question that waited for a tap, at its price by now."""
        draft = replace(draft, shares_files=None)  # its button has said that, this one doesn't
        return await self._offer(request, draft.sources, model, [(_ASK_LABEL, draft, quote)])

    async def make_unseen_card(self, request: Request, draft: QuestionDraft, model: Model) -> Reply:
        """For a model that doesn't see a question's pictures: the cheapest ones that do, each with
        what it costs there at most."""
        pictures = [one.size for one in list_pictures(draft.files)]
        told = say("{model} doesn't see pictures.", model=model.name)
        if model.sees_pictures:
            told = say_count(
                "{model} doesn't see {count} picture here.",
                "{model} doesn't see {count} pictures at once.",
                len(pictures),
                model=model.name,
            )
        choices: list[Choice] = []
        for other in await self._model_commands.list_seeing_models(request.person, pictures):
            if len(choices) == _SEEING_MODELS_MAX:
                break
            quote = await self._find_quote(request, draft, other)
            if quote is not None:
                label = say("Ask {model}", model=other.name)
                named = replace(draft, model=other.id)
                choices.append(await self._make_choice(request, label, named, quote))
        rest = say("Nothing was asked or charged.")
        if not choices:
            rest = say("Nothing was asked or charged, and no model that does can be asked now.")
        return Reply((told, rest), choices=tuple((one,) for one in choices))

    async def make_unseen_card_of(
        self, request: Request, draft: QuestionDraft, composed: ComposedQuestion, model: Model
    ) -> Reply:
        """The same before a question is a draft."""
        if not composed.has_words:
            _, composed = _add_words(composed, request.person)
        return await self.make_unseen_card(request, _redraft(draft, composed, model), model)

    async def _quote_pages(
        self,
        request: Request,
        draft: QuestionDraft,
        composed: ComposedQuestion,
        model: Model,
    ) -> list[_Quoted]:
        """A document's pages as pictures, where the model sees so many."""
        if composed.compose_pages is None or model.count_pictures([_PAGE_SIZE]) is None:
            return []
        try:
            paged = await composed.compose_pages()
        except FileNotRead:
            if composed.is_scanned:
                raise
            return []  # its words can be asked about
        if not composed.has_words:
            _, paged = _add_words(paged, request.person)
        one = _redraft(draft, paged, model)
        quote = await self._find_quote(request, one, model)
        if quote is None:
            return []
        part = paged.files[0].part if paged.files else None
        label = say("Pages as pictures")
        if part is not None:
            label = say_count(
                "The first page as a picture",
                "The first {count} pages as pictures",
                part.pages_read,
            )
        return [(label, one, quote)]

    async def _find_quote(
        self, request: Request, draft: QuestionDraft, model: Model
    ) -> Quote | None:
        """None where the balance doesn't pay for it, or the model can't take it."""
        question = make_question(request, draft, model)
        try:
            return await self._ask_service.quote_question(question)
        except (NotEnoughCredits, QuestionTooLong, PicturesUnseen):
            return None

    async def _is_dear(self, request: Request, quote: Quote) -> bool:
        """By what reading costs: how long the answer may be isn't the file's doing."""
        reading = quote.price.calculate_charge(
            quote.prompt_tokens, Tokens(0), pictures=quote.picture_tokens
        )
        own = request.person.offer_from
        if own is not None:
            return reading > own
        if reading > OFFER_FROM:
            return True
        balance = await self._balances.for_user(request.person.id)
        return reading.units * 100 > balance.available.units * _SHARE_PERCENT

    async def _ask_whose_keys(self, request: Request, draft: QuestionDraft) -> Reply:
        """Asked once, before the first picture."""
        choices = [
            await self._drafts.make_choice(
                label,
                replace(draft, shares_files=shares),
                request.person,
                lifetime_seconds=OFFER_SECONDS,
            )
            for label, shares in (
                (say("The operator's keys alone"), False),
                (say("Any key of the pool"), True),
            )
        ]
        return Reply(
            title=say("Whose keys may see your pictures?"),
            lines=(
                say(
                    "Pictures and files go to the supplier of the model that you ask. Keys that"
                    " other people contributed would make more models free at times, but whoever"
                    " owns a key may see at the supplier what went through it."
                ),
                say("Asked this once; /settings changes it. Nothing was asked or charged yet."),
            ),
            choices=tuple((one,) for one in choices),
        )

    async def _offer(
        self,
        request: Request,
        sources: tuple[QuestionSource, ...],
        model: Model,
        quoted: list[_Quoted],
    ) -> Reply:
        files = [one for one in sources if one.kind in {"file", "picture"}]
        names = join_phrases(name_sources(files))
        more = max(
            quote.price.calculate_max_charge(
                quote.follow_up_tokens, Tokens(0), pictures=quote.follow_up_pictures
            )
            for *_, quote in quoted
        )
        return Reply(
            (
                say("{files} for {model}", files=names, model=model.name),
                say("Nothing was asked or charged yet. The prices hold for ten minutes."),
                say(
                    "For an hour each question that follows costs ≤ {charge} more, until you press"
                    " Without the file or /new. A reply to the answer sends all of it again.",
                    charge=format_credits(more),
                ),
                say("For another question, send it with the file, or as a reply to it."),
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


#: A page that is as tall as pages are.
_PAGE_SIZE: Final = PictureSize(1_109, 1_568)


def is_undecided(person: Person) -> bool:
    """Whether somebody was never asked whose keys may see their pictures, and it matters."""
    return person.shares_files is None and not person.own_keys_only


def _add_words(composed: ComposedQuestion, person: Person) -> tuple[Phrase, ComposedQuestion]:
    """What is asked about files that came without a word, and its label."""
    if composed.pictures:
        return say("🖼 Describe it"), composed.add_words(render(_DESCRIBE, person.language))
    return say("📝 Sum it up"), composed.add_words(render(_SUM_UP, person.language))


def _redraft(draft: QuestionDraft, composed: ComposedQuestion, model: Model) -> QuestionDraft:
    return replace(
        draft,
        text=composed.text,
        model=model.id,
        sources=composed.sources,
        files=composed.sent_files,
    )
