"""The dispatcher: messages and button presses in, cards in the reader's words out.

Here alone it is decided who someone is, what they may do, and which words they read. Adapters stay
dumb, commands stay free of platforms.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import replace
from typing import Literal

from bots.chat.callbacks import ButtonGone, Buttons, NotYourButton, of_answer, screen_of
from bots.chat.command import Action, Command, Request, may
from bots.chat.forms import PromptOver, Prompts, Waiting
from bots.chat.i18n import LANGUAGES, language_for, render
from bots.chat.registry import Registry, split
from bots.chat.reply import Prompt, Reply, Said, Steps, say
from bots.chat.types import (
    Filled,
    Form,
    Incoming,
    MenuItem,
    MenuOption,
    Output,
    Place,
    Platform,
    Press,
    Screen,
    Sender,
    Suggestion,
)
from bots.commands import governed, refusals_earning  # noqa: F401 - their sentences join in
from bots.commands.answers import Answers
from bots.commands.errors import sentence
from bots.commands.start import ABOUT, ABOUT_SHORT
from bots.render.secret_scan import find_secrets
from core.asks.run import Run
from core.asks.types import AlreadyAsked
from core.clock import Clock
from core.errors import Refusal, cause
from core.users.limits import Rules
from core.users.roles import Owners
from core.users.service import People
from core.users.ttl_cache import Recent
from core.users.types import Person

log = logging.getLogger(__name__)

#: A platform may deliver the same update twice; cards are not repeated for this long.
_REPEATS_SECONDS = 600.0
_REPEATS_MAX = 20_000

_PASTED_KEY = (
    "That message held something that looks like a secret key ({kind}). It was not stored and not"
    " sent to any model. Delete it here if it is still to be seen, and revoke the key at its"
    " supplier: it has been in a chat."
)
_ERASED = say("I deleted your message. One moment…")
_KEPT = say(
    "I could not delete your message. Delete it here yourself, and replace what it holds soon: it"
    " has been in a chat."
)
_IN_PRIVATE = say("I have written to you in private.")
_WRITE_FIRST = say("That is for you alone. Write to me in private first, then ask again here.")
_OUR_FAULT = say("Something went wrong on our side. Nothing was charged. Please try again.")


class Dispatcher:
    """The dispatcher implements `bots.chat.types.ChatHandler` for every platform."""

    def __init__(
        self,
        *,
        people: People,
        registry: Registry,
        buttons: Buttons,
        prompts: Prompts,
        answers: Answers,
        clock: Clock,
        owners: Owners,
        rules: Rules,
    ) -> None:
        self._people, self._registry, self._buttons = people, registry, buttons
        self._prompts = prompts
        self._answers, self._clock = answers, clock
        self._owners, self._rules = owners, rules
        self._seen: Recent[tuple[str, str], bool] = Recent(
            clock, seconds=_REPEATS_SECONDS, most=_REPEATS_MAX
        )

    # --- messages ---------------------------------------------------------------------------

    async def handle(self, incoming: Incoming) -> AsyncIterator[Output]:
        """See `ChatHandler`."""
        update = (incoming.place.code, incoming.message)
        if self._seen.get(update):
            return
        self._seen.put(update, thing=True)
        word, _ = split(incoming.text.strip())
        command = self._registry.by_word(word) if word else None
        prompts = command is not None and command.prompts
        async with self._prompts.turn(incoming.place.code, prompts=prompts):
            async for output in self._handled(incoming, command):
                yield output

    async def _handled(self, incoming: Incoming, command: Command | None) -> AsyncIterator[Output]:
        language = language_for(incoming.sender.language)
        secrets = find_secrets(incoming.text)
        try:
            person = await self._people.of(
                incoming.place.platform, incoming.sender.id, language=language
            )
            language = person.language
            if incoming.fills and (asked := await self._awaited(incoming, command)) is not None:
                async for output in self._typed(asked, incoming, person):
                    yield output
                return
            if secrets:
                told = say(_PASTED_KEY, kind=secrets[0].kind)
                yield replace(self._say(told, language), erase_incoming=True)
                return
            request = self._request(person, incoming.place, incoming.sender, incoming.message)
            asked_for = replace(
                request,
                at_ms=incoming.at_ms,
                text=incoming.text.strip(),
                audio=incoming.audio,
                replies_to=incoming.replies_to,
                way_back=incoming.way_back,
            )
            async for output in self._run(asked_for):
                yield output
        except AlreadyAsked as again:
            saved = await self._answers.resumed(again.ask)
            if saved is not None:
                yield saved
        except Refusal as refusal:
            yield replace(self._say(sentence(refusal), language), erase_incoming=bool(secrets))
        except Exception as failure:  # noqa: BLE001 - a bug must not end the chat
            log.error("a message could not be handled: %s", cause(failure))
            yield self._say(_OUR_FAULT, language)

    async def _run(self, request: Request) -> AsyncIterator[Output]:
        word, rest = split(request.text)
        if request.audio is not None and word in {"", self._registry.ask.name}:
            async for output in self._perform(self._registry.heard, replace(request, text=rest)):
                yield output
            return
        if word:
            command = self._registry.by_word(word)
            if command is None or not self._may(command, request):
                yield self._say(
                    self._registry.missing(word, request.admin), request.person.language
                )
                return
            request = replace(request, text=rest)
        else:
            titled = self._registry.by_title(request.text) if request.place.private else None
            command = titled or self._registry.ask
            if titled is not None:
                request = replace(request, text="")
            if not may(command, request.role):
                command = self._registry.ask
        async for output in self._perform(command, request):
            yield output

    async def _perform(self, doing: Command | Action, request: Request) -> AsyncIterator[Output]:
        if doing.pausable and not request.admin:
            self._rules.check(doing.pausable, request.person.id)
        async with self._answers.lane(request) if doing.asks else nullcontext():
            reply = await doing.handler(request)
            if isinstance(reply, Run):
                async for output in self._answers.follow(reply):
                    yield output
            elif isinstance(reply, Prompt):
                yield await self._prompts.card(
                    reply, request, public_note=_IN_PRIVATE, unreachable_note=_WRITE_FIRST
                )
            elif isinstance(reply, Steps):
                async with aclosing(reply.cards) as cards:
                    async for card in cards:
                        yield await self._screen(card, request)
            elif reply is not None:
                yield await self._screen(reply, request)

    @staticmethod
    def _may(doing: Command | Action, request: Request) -> bool:
        """Checked again at each press; what is refused is logged, never what came with it."""
        allowed = may(doing, request.role)
        if not allowed:
            log.warning(
                "refused: %s by %s in %s", doing.name, request.person.id, request.place.code
            )
        return allowed

    def _request(self, person: Person, place: Place, sender: Sender, message: str) -> Request:
        role = self._owners.role(place.platform, sender.id)
        return Request(
            person=person,
            place=place,
            sender=sender.id,
            admin=role in {"owner", "admin"},
            role=role,
            message=message,
            at_ms=self._clock.now_ms(),
        )

    # --- buttons ----------------------------------------------------------------------------

    async def press(self, press: Press) -> AsyncIterator[Output]:
        """See `ChatHandler`."""
        language = language_for(press.sender.language)
        try:
            person = await self._people.of(press.place.platform, press.sender.id, language=language)
            language = person.language
            request = replace(
                self._request(person, press.place, press.sender, press.message),
                button=press.button,
                way_back=press.way_back,
            )
            async for output in self._act(request):
                yield output
        except AlreadyAsked:
            yield self._say(sentence(ButtonGone()), language)
        except Refusal as refusal:
            yield self._say(sentence(refusal), language)
        except Exception as failure:  # noqa: BLE001 - a bug must not end the chat
            log.error("a button could not be handled: %s", cause(failure))
            yield self._say(_OUR_FAULT, language)

    async def _act(self, request: Request) -> AsyncIterator[Output]:
        pressed = of_answer(request.button) or await self._buttons.press(
            request.button, person=request.person.id, place=request.place.code
        )
        action = self._registry.action(pressed.action)
        if action is None:
            raise ButtonGone
        if not self._may(action, request):
            raise NotYourButton
        async for output in self._perform(action, replace(request, data=pressed.data)):
            yield output

    # --- forms ------------------------------------------------------------------------------

    async def form(self, press: Press) -> Form | Screen:
        """See `ChatHandler`."""
        language = language_for(press.sender.language)
        try:
            person = await self._people.of(press.place.platform, press.sender.id, language=language)
            language = person.language
            asked = await self._prompts.at(press.place.code)
        except Refusal as refusal:
            return self._say(sentence(refusal), language)
        except Exception as failure:  # noqa: BLE001 - a bug must not end the chat
            log.error("a form could not be opened: %s", cause(failure))
            return self._say(_OUR_FAULT, language)
        if asked is None or asked.form.id != press.button or asked.over:
            return self._say(sentence(PromptOver()), language)
        return asked.form

    async def fill(self, filled: Filled) -> AsyncIterator[Output]:
        """See `ChatHandler`."""
        update = (filled.place.code, filled.message)
        if self._seen.get(update):
            return
        self._seen.put(update, thing=True)
        language = language_for(filled.sender.language)
        try:
            person = await self._people.of(
                filled.place.platform, filled.sender.id, language=language
            )
            language = person.language
            asked = await self._prompts.at(filled.place.code)
            if asked is not None and asked.closed_by == filled.message:
                return  # another process took it
            async for output in self._filled(asked, filled, person):
                yield output
        except Refusal as refusal:
            yield self._say(sentence(refusal), language)
        except Exception as failure:  # noqa: BLE001 - a bug must not end the chat
            log.error("a form could not be handled: %s", cause(failure))
            yield self._say(_OUR_FAULT, language)

    async def _awaited(self, incoming: Incoming, command: Command | None) -> Waiting | None:
        """The form that this message answers; a command ends the wait instead."""
        asked = await self._prompts.at(incoming.place.code)
        if asked is not None and command is not None:
            await self._prompts.close(asked.place, asked.form.id)
            return None
        return await self._prompts.answered(asked, incoming.text, incoming.message)

    async def _typed(
        self, asked: Waiting, incoming: Incoming, person: Person
    ) -> AsyncIterator[Output]:
        """What was asked for came as a message: that goes before anything else is done."""
        yield replace(
            self._say(_ERASED, person.language),
            erase_incoming=True,
            kept_note=render(_KEPT, person.language),
            passing=True,
        )
        filled = Filled(
            place=incoming.place,
            sender=incoming.sender,
            form=asked.form.id,
            message=incoming.message,
            values=asked.typed(incoming.text.strip()),
        )
        async for output in self._filled(asked, filled, person):
            yield output

    async def _filled(
        self, asked: Waiting | None, filled: Filled, person: Person
    ) -> AsyncIterator[Output]:
        action = self._registry.action(asked.action) if asked is not None else None
        if asked is None or action is None:
            raise PromptOver
        request = self._request(person, filled.place, filled.sender, filled.message)
        if not self._may(action, request):
            raise NotYourButton
        entered = await self._prompts.take(asked, filled)
        request = replace(request, button=asked.form.id, data=asked.data, entered=entered)
        async for output in self._perform(action, request):
            yield output

    # --- what adapters tell and ask -----------------------------------------------------------

    async def landed(self, ask: str, place: Place, messages: Sequence[str]) -> None:
        """See `ChatHandler`."""
        await self._answers.landed(ask, place.code, messages)

    async def started(self, ask: str, message: str) -> None:
        """See `ChatHandler`."""
        await self._answers.started(ask, message)

    def languages(self) -> Sequence[str]:
        """See `ChatHandler`."""
        return tuple(LANGUAGES)

    def menu(self, language: str, scope: Literal["private", "group", "admin"]) -> list[MenuItem]:
        """See `ChatHandler`."""
        return [
            MenuItem(
                command.name,
                render(command.does, language),
                title=render(command.title, language),
                options=tuple(
                    MenuOption(
                        option.name,
                        render(option.about, language),
                        required=option.required,
                        completes=option.completes,
                        leads=option.leads,
                    )
                    for option in command.options
                ),
                admin=command.admin,
                in_groups=command.in_groups,
                private=command.private or command.admin or not command.in_groups,
            )
            for command in self._registry.commands
            if (scope == "admin" or not command.admin) and (scope != "group" or command.in_groups)
        ]

    def suggest(self, completes: str, typed: str, language: str) -> list[Suggestion]:
        """See `ChatHandler`."""
        suggester = self._registry.suggesters.get(completes)
        if suggester is None:
            return []
        return [Suggestion(value, render(label, language)) for value, label in suggester(typed)]

    def about(self, language: str) -> tuple[str, str]:
        """See `ChatHandler`."""
        return render(ABOUT, language), render(ABOUT_SHORT, language)

    def admins(self, platform: Platform) -> Sequence[str]:
        """See `ChatHandler`."""
        return self._owners.on(platform)

    # --- rendering ----------------------------------------------------------------------------

    async def _screen(self, reply: Reply, request: Request) -> Screen:
        place = request.own_place if reply.private else request.place
        screen = await screen_of(reply, self._buttons, person=request.person, place=place)
        if place is not request.place:
            language = reply.language or request.person.language
            screen = replace(
                screen,
                public_note=render(_IN_PRIVATE, language),
                unreachable_note=render(_WRITE_FIRST, language),
            )
        return replace(screen, replace=reply.replace and bool(request.button))

    @staticmethod
    def _say(said: Said, language: str) -> Screen:
        return Screen(lines=(render(said, language),), aside=True)
