"""Asking: `/ask`, bare questions, `/new`, `/stop`, and an answer's own buttons."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace

from bots.chat.callbacks import ButtonGone, NotYourButton
from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.i18n import render
from bots.chat.reply import Reply, say
from bots.commands.models import Choosing
from core import ids
from core.asks.conversations import Conversations
from core.asks.repository import Records, Saved
from core.asks.run import Run
from core.asks.service import Asking
from core.asks.types import Question
from core.pricing.catalogue import Catalogue, Model, UnknownModel

_GO_ON = say("Go on exactly where you stopped.")

#: A first word like `gpt-9` or `claude4`: letters, then a digit somewhere. Not an ordinary word.
_MODEL_LIKE = re.compile(r"(?=[\w.\-/@]*\d)(?=[\w.\-/@]*[a-z])[\w.\-/@]{3,40}", re.IGNORECASE)


class AskCommands:
    """The commands that ask a model, begin a new conversation, and stop an answer."""

    def __init__(
        self,
        *,
        asking: Asking,
        records: Records,
        conversations: Conversations,
        catalogue: Catalogue,
        choosing: Choosing,
    ) -> None:
        self._asking, self._records, self._conversations = asking, records, conversations
        self._catalogue, self._choosing = catalogue, choosing

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "ask",
                    title=say("Ask"),
                    does=say("Ask a model; the model's name may come first"),
                    usage=say("/ask [model] question"),
                    options=(
                        Option("question", say("What you want to know"), required=True),
                        Option("model", say("The model's name"), completes="model", leads=True),
                    ),
                    handler=self.ask,
                    in_groups=True,
                    asks=True,
                ),
                Command(
                    "new",
                    title=say("New conversation"),
                    does=say("Forget what was said here and start afresh"),
                    handler=self.new,
                    in_groups=True,
                ),
                Command(
                    "stop",
                    title=say("Stop"),
                    does=say("Stop the answer that is being written"),
                    handler=self.stop,
                    in_groups=True,
                ),
            ),
            actions=(
                Action("stop", self.stop_button),
                Action("again", self.again, asks=True),
                Action("continue", self.go_on, asks=True),
                Action("ask-this", self.ask_this, asks=True),
            ),
        )

    async def ask(self, request: Request) -> Run:
        """A question, with or without a model in front."""
        model, text = self._model_and_question(request)
        place, replies_to = request.place, ""
        if request.replies_to:
            # Only an answer of theirs: what others were told is not theirs to go on from.
            replies_to = await self._records.shown_as(
                request.person.id, place.code, request.replies_to
            )
        return await self._asking.ask(
            Question(
                id=ids.derived("ask", request.at_ms, place.platform, place.chat, request.message),
                person=request.person,
                place=place.code,
                asked_in=request.message,
                text=text,
                model=model,
                replies_to=replies_to,
                way_back=request.way_back,
                privileged=request.admin,
            )
        )

    def _model_and_question(self, request: Request) -> tuple[Model, str]:
        first, _, rest = request.text.partition(" ")
        if self._catalogue.has(first):
            return self._catalogue.find(first), rest.strip()
        if request.text and _MODEL_LIKE.fullmatch(first):
            known = [*self._catalogue.models, *self._aliases()]
            if difflib.get_close_matches(first.lower(), known, n=1, cutoff=0.75):
                self._catalogue.find(first)  # raises UnknownModel, with the nearest names
        return self._choosing.current(request.person), request.text

    def _aliases(self) -> list[str]:
        return [alias for model in self._catalogue.models.values() for alias in model.aliases]

    async def new(self, request: Request) -> Reply:
        """Ends the conversation here."""
        ended = await self._conversations.end(request.person.id, request.place.code)
        if ended:
            return Reply((say("A new conversation. Nothing said before goes with it."),))
        return Reply((say("This is a new conversation already. Ask away."),))

    async def stop(self, request: Request) -> Reply | None:
        """Stops what this person has running here; the answer itself says that it stopped."""
        ask = await self._records.running(request.person.id, request.place.code)
        if ask is not None and await self._asking.stop_ask(ask, request.person.id):
            return None
        return Reply((say("Nothing of yours is being written here."),))

    async def stop_button(self, request: Request) -> Reply | None:
        """Stop under an answer."""
        if await self._asking.stop_ask(str(request.data["ask"]), request.person.id):
            return None
        return Reply((say("That answer has ended already."),))

    async def again(self, request: Request) -> Run:
        """The same question to the same model, once for each answer."""
        saved = await self._theirs_asked(request)
        model = self._still_sold(saved, request)
        return await self._asking.ask(
            replace(self._next(request, saved, model, "again"), again=True)
        )

    async def go_on(self, request: Request) -> Run:
        """The rest of an answer that ended early."""
        saved = await self._theirs_asked(request)
        model = self._still_sold(saved, request)
        return await self._asking.ask(self._next(request, saved, model, "continue"))

    async def ask_this(self, request: Request) -> Run:
        """What was said in audio, after what was written beside it, as a question; once."""
        saved = await self._theirs(request)
        if saved.result.audio is None or not saved.result.text:
            raise ButtonGone
        ask = saved.result.ask
        return await self._asking.ask(
            Question(
                id=ids.derived("ask", ids.time_of(ask) + 1, "ask-this", ask),
                person=request.person,
                place=request.place.code,
                asked_in=request.message,
                text="\n\n".join(filter(None, (saved.question, saved.result.text))),
                model=self._choosing.current(request.person),
                way_back=request.way_back,
                privileged=request.admin,
            )
        )

    async def _theirs_asked(self, request: Request) -> Saved:
        saved = await self._theirs(request)
        if saved.result.audio is not None or not saved.question:
            raise ButtonGone
        return saved

    async def _theirs(self, request: Request) -> Saved:
        saved = await self._records.get(str(request.data["ask"]))
        if saved is None:
            raise ButtonGone
        if saved.person.id != request.person.id or saved.place != request.place.code:
            raise NotYourButton
        return saved

    def _still_sold(self, saved: Saved, request: Request) -> Model:
        try:
            return self._catalogue.find(saved.result.model)
        except UnknownModel:
            return self._choosing.current(request.person)

    @staticmethod
    def _next(request: Request, saved: Saved, model: Model, how: str) -> Question:
        """An ask that follows another: its id comes from the button, so one press is one ask."""
        ask = saved.result.ask
        text = saved.question
        if how == "continue":
            text = render(_GO_ON, request.person.language)
        return Question(
            id=ids.derived("ask", ids.time_of(ask) + 1, how, ask),
            person=request.person,
            place=request.place.code,
            asked_in=request.message,
            text=text,
            model=model,
            follows=ask,
            way_back=request.way_back,
            privileged=request.admin,
        )
