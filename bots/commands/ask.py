"""Asking: `/ask`, bare questions, `/new`, `/stop`, and an answer's own buttons."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import Self

from bots.chat.callbacks import ButtonExpired, NotYourButton
from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.i18n import render
from bots.chat.reply import Reply, say
from bots.commands.models import ModelCommands
from core import ids
from core.asks.conversations import Conversations
from core.asks.repository import AskRepository, SettledAsk
from core.asks.run import AskRun
from core.asks.service import AskService
from core.asks.types import Question
from core.pricing.catalogue import Catalogue, Model, UnknownModel

_CONTINUE_QUESTION = say("Go on exactly where you stopped.")

#: A first word like `gpt-9` or `claude4`: letters, then a digit somewhere. Not an ordinary word.
_MODEL_LIKE = re.compile(r"(?=[\w.\-/@]*\d)(?=[\w.\-/@]*[a-z])[\w.\-/@]{3,40}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AskArguments(Arguments):
    """What follows `/ask`. Of a text only the catalogue knows whether it begins with a model."""

    model: str = argument(say("The model's name"), say("model"), completion="model")
    question: str = argument(say("What you want to know"), say("question"), required=True)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """All of it is the question."""
        return cls(question=text)


class AskCommands:
    """The commands that ask a model, begin a new conversation, and stop an answer."""

    def __init__(
        self,
        *,
        ask_service: AskService,
        ask_repository: AskRepository,
        conversations: Conversations,
        catalogue: Catalogue,
        model_commands: ModelCommands,
    ) -> None:
        self._ask_service, self._ask_repository, self._conversations = (
            ask_service,
            ask_repository,
            conversations,
        )
        self._catalogue, self._model_commands = catalogue, model_commands

    @command(
        "ask",
        title=say("Ask"),
        description=say("Ask a model; the model's name may come first"),
        arguments=AskArguments,
        allowed_in_groups=True,
        is_ask=True,
    )
    async def ask(self, request: Request, given: AskArguments) -> AskRun:
        """A question, with or without a model in front."""
        model, text = self._choose_model(request, given)
        place, replies_to = request.place, ""
        if request.replies_to:
            # Only an answer of theirs: what others were told is not theirs to go on from.
            replies_to = await self._ask_repository.find_by_message(
                request.person.id, place.code, request.replies_to
            )
        return await self._ask_service.start_ask(
            Question(
                id=ids.derive_id("ask", request.at_ms, place.platform, place.chat, request.message),
                person=request.person,
                place=place.code,
                asked_in=request.message,
                text=text,
                model=model,
                replies_to=replies_to,
                way_back=request.way_back,
                is_privileged=request.is_admin,
            )
        )

    def _choose_model(self, request: Request, given: AskArguments) -> tuple[Model, str]:
        text = given.question
        if given.model:
            return self._model_commands.find_model(given.model), text
        if not request.is_own:  # what others wrote chooses nothing
            return self._model_commands.get_current_model(request.person), text
        first, _, rest = text.partition(" ")
        if self._catalogue.is_unambiguous_name(first):
            return self._model_commands.find_model(first), rest.strip()
        if text and _MODEL_LIKE.fullmatch(first):
            known = [*self._catalogue.models, *self._list_aliases()]
            if difflib.get_close_matches(first.lower(), known, n=1, cutoff=0.75):
                self._catalogue.find(first)  # raises UnknownModel, with the nearest names
        return self._model_commands.get_current_model(request.person), text

    def _list_aliases(self) -> list[str]:
        return [alias for model in self._catalogue.models.values() for alias in model.aliases]

    @command(
        "new",
        title=say("New conversation"),
        description=say("Forget what was said here and start afresh"),
        allowed_in_groups=True,
    )
    async def new(self, request: Request) -> Reply:
        """Ends the conversation here."""
        ended = await self._conversations.end_current(request.person.id, request.place.code)
        if ended:
            return Reply((say("A new conversation. Nothing said before goes with it."),))
        return Reply((say("This is a new conversation already. Ask away."),))

    @command(
        "stop",
        title=say("Stop"),
        description=say("Stop the answer that is being written"),
        allowed_in_groups=True,
    )
    async def stop(self, request: Request) -> Reply | None:
        """Stops what this person has running here; the answer itself says that it stopped."""
        ask = await self._ask_repository.find_running(request.person.id, request.place.code)
        if ask is not None and await self._ask_service.stop_ask(ask, request.person.id):
            return None
        return Reply((say("Nothing of yours is being written here."),))

    @action("stop")
    async def stop_button(self, request: Request) -> Reply | None:
        """Stop under an answer."""
        if await self._ask_service.stop_ask(str(request.data["ask"]), request.person.id):
            return None
        return Reply((say("That answer has ended already."),))

    @action("again", is_ask=True)
    async def ask_again(self, request: Request) -> AskRun:
        """The same question to the same model, once for each answer."""
        saved = await self._get_own_question(request)
        model = self._find_current_model(saved, request)
        return await self._ask_service.start_ask(
            replace(
                self._follow_up_question(request, saved, model, "again"),
                is_repeat=True,
                has_more_room=saved.result.is_thought_away,
            )
        )

    @action("continue", is_ask=True)
    async def continue_answer(self, request: Request) -> AskRun:
        """The rest of an answer that ended early."""
        saved = await self._get_own_question(request)
        model = self._find_current_model(saved, request)
        return await self._ask_service.start_ask(
            self._follow_up_question(request, saved, model, "continue")
        )

    @action("ask-this", is_ask=True)
    async def ask_this(self, request: Request) -> AskRun:
        """What was said in audio, after what was written beside it, as a question; once."""
        saved = await self._get_own_ask(request)
        if saved.result.audio is None or not saved.result.text:
            raise ButtonExpired
        ask = saved.result.ask
        return await self._ask_service.start_ask(
            Question(
                id=ids.derive_id("ask", ids.time_of_id(ask) + 1, "ask-this", ask),
                person=request.person,
                place=request.place.code,
                asked_in=request.message,
                text="\n\n".join(filter(None, (saved.question, saved.result.text))),
                model=self._model_commands.get_current_model(request.person),
                way_back=request.way_back,
                is_privileged=request.is_admin,
            )
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
        if saved.person.id != request.person.id or saved.place != request.place.code:
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
        text = saved.question
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
            way_back=request.way_back,
            is_privileged=request.is_admin,
        )
