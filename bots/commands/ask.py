"""Asking: `/ask`, bare questions, and an answer's own buttons."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Self

from bots.chat.attachments import QuotedText, SentAttachment
from bots.chat.callbacks import ButtonExpired, NotYourButton
from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.i18n import render
from bots.chat.reply import Reply, plain, say
from bots.commands.attachments import QuestionComposer, describe_attachments
from bots.commands.drafts import (
    ASK_DRAFT_ACTION,
    QuestionDraft,
    QuestionDrafts,
    make_draft,
    make_question,
)
from bots.commands.file_offers import FileOffers
from bots.commands.models import ModelCommands
from bots.commands.shortage import ShortageCards
from bots.commands.text import format_price
from core import ids
from core.asks.repository import AskRepository, SettledAsk
from core.asks.run import AskRun
from core.asks.service import AskService
from core.asks.types import AlreadyAsked, DearerThanTold, NotEnoughCredits, PicturesUnseen, Question
from core.pricing.catalogue import Model, UnknownModel

_CONTINUE_QUESTION = say("Go on exactly where you stopped.")

#: A word is nearly a name from here on (`difflib`'s ratio): `gtp-4` is GPT-4 by 0.75.
_NEAR_SIMILARITY = 0.75
#: A first word like `gpt-9` or `claude4`: letters, then a digit somewhere. Not an ordinary word.
_MODEL_LIKE = re.compile(r"(?=[\w.\-/@]*\d)(?=[\w.\-/@]*[a-z])[\w.\-/@]{3,40}", re.IGNORECASE)
#: A name that is written so is no ordinary word: `gpt-4`, `o3`, `maker/name`.
_WRITTEN_AS_ID = re.compile(r"[\d\-/]")
_NAME_CHARS_MAX = 80
_LABEL_CHARS_MAX = 40

ASK_WORDS_LABEL = say("💬 Ask the words alone")


@dataclass(frozen=True, slots=True)
class AskArguments(Arguments):
    """What follows `/ask`. Of a text only the catalogue knows whether it begins with a model."""

    model: str = argument(say("The model's name"), say("model"), completion="model")
    question: str = argument(say("What you want to know"), say("question"), required=True)
    #: In a message it is attached; where options have names it is one.
    file: str = argument(say("A picture, document or text file that it is about"), is_file=True)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """All of it is the question."""
        return cls(question=text)


@dataclass(frozen=True, slots=True)
class _ChosenModel:
    """The model that is asked, by which name (empty: nobody chose it), and what is asked of it."""

    model: Model
    name: str
    text: str
    unsure: _UnsureModel | None = None


@dataclass(frozen=True, slots=True)
class _UnsureModel:
    """A first word that may name a model, and what would be asked of that."""

    word: str
    model: Model
    rest: str
    written: str
    is_near_miss: bool


class AskCommands:
    """The commands and buttons that ask a model."""

    def __init__(
        self,
        *,
        ask_service: AskService,
        ask_repository: AskRepository,
        model_commands: ModelCommands,
        composer: QuestionComposer,
        file_offers: FileOffers,
        drafts: QuestionDrafts,
        shortage_cards: ShortageCards,
    ) -> None:
        self._drafts, self._shortage_cards, self._composer = drafts, shortage_cards, composer
        self._ask_service, self._ask_repository = ask_service, ask_repository
        self._file_offers = file_offers
        self._catalogue, self._model_commands = model_commands.catalogue, model_commands

    @command(
        "ask",
        title=say("Ask"),
        description=say("Ask a model; the model's name may come first"),
        arguments=AskArguments,
        allowed_in_groups=True,
        is_ask=True,
    )
    async def ask(self, request: Request, given: AskArguments) -> AskRun | Reply:
        """A question, with or without a model in front; a card where it must be chosen first what
        is asked."""
        replies_to, quotes, attachments = await self._find_context(request)
        id_ = request.ask_id
        unreadable = self._composer.list_unreadable(attachments)
        if unreadable:
            composed = await self._composer.compose_question(given.question, quotes, ())
            draft = QuestionDraft(id_, composed.text, given.model, replies_to, composed.sources)
            return await self._explain_unreadable(request, unreadable, draft)
        chosen = self._choose_model(request, given)
        model, unsure = chosen.model, chosen.unsure
        composed = await self._composer.compose_question(chosen.text, quotes, attachments)
        if unsure is not None and not attachments:
            other = await self._composer.compose_question(unsure.rest, quotes, ())
            draft = QuestionDraft(id_, composed.text, "", replies_to, composed.sources)
            draft = replace(draft, asked_name=chosen.name)
            named = replace(draft, text=other.text, model=unsure.model.id, asked_name=unsure.word)
            return await self._ask_which_model(request, unsure, draft, named)
        draft = QuestionDraft(
            id_, composed.text, model.id, replies_to, composed.sources, composed.sent_files
        )
        draft = replace(draft, asked_name=chosen.name)
        if model.count_pictures(composed.pictures) is None:
            return await self._file_offers.make_unseen_card_of(request, draft, composed, model)
        offer = await self._file_offers.make_card(request, draft, composed, model)
        return offer or await self._start_draft(request, draft, model)

    @action("edit-question", is_ask=True)
    async def edit_question(self, request: Request) -> None:
        """A question that was edited: nothing is asked by that, but asking again takes the new
        words."""
        _, quotes, attachments = await self._find_context(request)
        unreadable = self._composer.list_unreadable(attachments)
        text = self._choose_model(request, AskArguments.from_text(request.text)).text
        readable = [one for one in attachments if one not in unreadable]
        composed = await self._composer.compose_question(text, quotes, readable)
        await self._ask_repository.record_edit(request.ask_id, request.person, composed.text)

    async def _find_context(
        self, request: Request
    ) -> tuple[str, Sequence[QuotedText], Sequence[SentAttachment]]:
        """The ask whose answer a question replies to, and what it is about besides."""
        replies_to, quotes, attachments = "", request.quotes, request.attachments
        if request.replies_to:
            # Only an answer of theirs: what others were told is not theirs to go on from.
            replies_to = await self._ask_repository.find_by_message(
                request.person.id, request.place.code, request.replies_to
            )
        if replies_to:  # the conversation holds it
            quotes = tuple(one for one in quotes if one.kind != "reply")
            attachments = tuple(one for one in attachments if not one.is_from_reply)
        return replies_to, quotes, attachments

    @action(ASK_DRAFT_ACTION, is_ask=True)
    async def ask_draft(self, request: Request) -> AskRun | Reply:
        """A question that waited for a tap; once, whichever button it was."""
        draft = await self._drafts.open_draft(request)
        if await self._ask_repository.has_ask(draft.ask):  # nothing more is offered or decided
            raise AlreadyAsked(draft.ask)
        request = await self._file_offers.keep_decision(request, draft)
        model = (
            self._model_commands.find_model(draft.model)
            if draft.model
            else self._model_commands.get_current_model(request.person)
        )
        offer = await self._file_offers.review_draft(request, draft, model)
        return offer or await self._start_draft(request, draft, model)

    async def _start_draft(
        self, request: Request, draft: QuestionDraft, model: Model
    ) -> AskRun | Reply:
        question = make_question(request, draft, model)
        name = self._model_commands.find_untold_name(request.person, draft.asked_name, model)
        try:
            return await self._start_ask(request, replace(question, retired_name=name))
        except DearerThanTold as dearer:
            return await self._file_offers.offer_anew(request, draft, model, dearer.quote)

    async def _start_ask(self, request: Request, question: Question) -> AskRun | Reply:
        """The run; where the balance doesn't pay for it, the card with the ways on."""
        try:
            run = await self._ask_service.start_ask(question)
        except NotEnoughCredits as refusal:
            return await self._shortage_cards.make_card(refusal, request, question)
        except PicturesUnseen as refusal:
            if question.follows:
                raise
            draft = make_draft(question)
            return await self._file_offers.make_unseen_card(request, draft, refusal.model)
        if question.retired_name:
            self._model_commands.mark_told(question.person, question.retired_name)
        return run

    async def _explain_unreadable(
        self, request: Request, unreadable: Sequence[SentAttachment], draft: QuestionDraft
    ) -> Reply:
        what = describe_attachments(unreadable)
        if not draft.text:
            return Reply(
                (
                    say(
                        "I can't read {what}. Nothing was charged. Write your question in words.",
                        what=what,
                    ),
                )
            )
        choice = await self._drafts.make_choice(ASK_WORDS_LABEL, draft, request.person)
        told = say(
            "I can't read {what}. Nothing was asked or charged. Send your words without it, or let"
            " them be asked alone.",
            what=what,
        )
        return Reply((told,), choices=((choice,),))

    async def _ask_which_model(
        self, request: Request, unsure: _UnsureModel, draft: QuestionDraft, named: QuestionDraft
    ) -> Reply:
        person = request.person
        current = self._model_commands.get_current_model(person)
        price = await self._model_commands.find_price(person, unsure.model)
        label = plain(unsure.model.name)
        if price is not None:
            label = say("{model} — {price}", model=unsure.model.name, price=format_price(price))
        as_written = say(
            "{model}: “{question}”",
            model=current.name,
            question=shorten(unsure.written, _LABEL_CHARS_MAX, placeholder="…"),
        )
        told = say(
            "“{word}” could be a word of your question, or the model {model}. Nothing was asked or"
            " charged yet: which is it?",
            word=unsure.word,
            model=unsure.model.name,
        )
        if unsure.is_near_miss:
            told = say(
                "There is no model “{word}”; the nearest is {model}. Nothing was asked or charged"
                " yet: which do you mean?",
                word=unsure.word,
                model=unsure.model.name,
            )
        return Reply(
            (told,),
            choices=(
                (await self._drafts.make_choice(label, named, person),),
                (await self._drafts.make_choice(as_written, draft, person),),
            ),
        )

    def _choose_model(self, request: Request, given: AskArguments) -> _ChosenModel:
        """Which model, what is asked of it, and the model that the first word may mean."""
        text, models, person = given.question, self._model_commands, request.person
        if given.model:
            return _ChosenModel(models.find_model(given.model), given.model, text)
        first, _, rest = text.partition(" ")
        rest = rest.strip()
        # What others wrote chooses nothing.
        may_choose = request.is_own and 0 < len(first) <= _NAME_CHARS_MAX
        is_name = may_choose and self._catalogue.is_unambiguous_name(first)
        if is_name and _WRITTEN_AS_ID.search(first):
            return _ChosenModel(models.find_model(first), first, rest)
        unsure = None
        if may_choose and rest:
            meant = models.find_model(first).id if is_name else self._find_near_model(first)
            if meant:
                named = models.find_model(meant)
                unsure = _UnsureModel(first, named, rest, text, is_near_miss=not is_name)
        chosen = self._catalogue.get_name(person.model) if person.model else ""
        return _ChosenModel(models.get_current_model(person), chosen, text, unsure)

    def _find_near_model(self, word: str) -> str:
        """The model that a word like `gtp-4` was meant to be; empty where it is like none."""
        if not _MODEL_LIKE.fullmatch(word):
            return ""
        near = self._catalogue.find_nearest(word, _NEAR_SIMILARITY)
        return near.id if near is not None else ""

    @action("again", is_ask=True)
    async def ask_again(self, request: Request) -> AskRun | Reply:
        """The same question to the same model, once for each answer."""
        saved = await self._get_own_question(request)
        model = self._find_current_model(saved, request)
        return await self._start_ask(
            request,
            replace(
                self._follow_up_question(request, saved, model, "again"),
                is_repeat=True,
                has_more_room=saved.result.is_thought_away,
            ),
        )

    @action("continue", is_ask=True)
    async def continue_answer(self, request: Request) -> AskRun | Reply:
        """The rest of an answer that ended early."""
        saved = await self._get_own_question(request)
        model = self._find_current_model(saved, request)
        return await self._start_ask(
            request, self._follow_up_question(request, saved, model, "continue")
        )

    @action("ask-this", is_ask=True)
    async def ask_this(self, request: Request) -> AskRun | Reply:
        """What was said in audio, after what was written beside it, as a question; once."""
        saved = await self._get_own_ask(request)
        if saved.result.audio is None or not saved.result.text:
            raise ButtonExpired
        ask = saved.result.ask
        return await self._start_ask(
            request,
            Question(
                id=ids.derive_id("ask", ids.time_of_id(ask) + 1, "ask-this", ask),
                person=request.person,
                place=request.place.code,
                asked_in=request.message,
                text="\n\n".join(filter(None, (saved.question, saved.result.text))),
                model=self._model_commands.get_current_model(request.person),
                way_back=request.way_back,
                is_privileged=request.is_admin,
            ),
        )

    async def _get_own_question(self, request: Request) -> SettledAsk:
        saved = await self._get_own_ask(request)
        if saved.result.audio is not None or not saved.question:
            raise ButtonExpired
        return saved

    async def _get_own_ask(self, request: Request) -> SettledAsk:
        saved = await self._ask_repository.get(str(request.data["ask"]))
        if saved is None:
            raise ButtonExpired
        here = request.place.code
        is_here = await self._ask_repository.is_same_place(here, saved.place)
        if saved.person.id != request.person.id or not is_here:
            raise NotYourButton
        return saved

    def _find_current_model(self, saved: SettledAsk, request: Request) -> Model:
        try:
            return self._catalogue.find(saved.result.model)
        except UnknownModel:
            return self._model_commands.get_current_model(request.person)

    @staticmethod
    def _follow_up_question(
        request: Request, saved: SettledAsk, model: Model, follow_up: str
    ) -> Question:
        """An ask that follows another: its id comes from the button, so one press is one ask."""
        ask = saved.result.ask
        text = saved.edited_question or saved.question
        if follow_up == "continue":
            text = render(_CONTINUE_QUESTION, request.person.language)
        return Question(
            id=ids.derive_id("ask", ids.time_of_id(ask) + 1, follow_up, ask),
            person=request.person,
            place=request.place.code,
            asked_in=request.message,
            text=text,
            model=model,
            follows=ask,
            files_of=saved.files_of if follow_up == "again" else "",
            way_back=request.way_back,
            is_privileged=request.is_admin,
        )
