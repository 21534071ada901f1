"""The dispatcher: messages and button presses in, cards in the reader's words out.

Here alone it is decided who someone is, what they may do, and which words they read. Adapters stay
dumb, commands stay free of platforms.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, nullcontext, suppress
from dataclasses import replace
from typing import Literal

from cachetools import TTLCache
from pydantic import SecretStr

from bots.chat.callbacks import (
    ButtonExpired,
    ButtonRepository,
    NotYourButton,
    parse_answer_button,
    render_card,
)
from bots.chat.command import Action, Arguments, Command, Request, is_allowed
from bots.chat.forms import FormClosed, Forms, PendingForm
from bots.chat.i18n import LANGUAGES, find_nearest_language, render
from bots.chat.registry import CommandRegistry, split_command
from bots.chat.reply import FormRequest, Phrase, Reply, ReplyStream, say
from bots.chat.types import (
    ButtonPress,
    Card,
    Form,
    FormSubmission,
    IncomingMessage,
    MenuItem,
    MenuOption,
    Output,
    Place,
    Platform,
    Sender,
    Suggestion,
)
from bots.chat.update_policy import is_free_work
from bots.chat.work_budget import Verdict, WorkBudget
from bots.commands.answers import AnswerRenderer
from bots.commands.errors import PRIVATE_REFUSALS, SecretSent, explain_refusal
from bots.commands.start import ABOUT, ABOUT_SHORT
from bots.render.secret_scan import FoundSecret, find_secrets
from bots.services import UserServices
from core.asks.run import AskRun
from core.asks.types import AlreadyAsked
from core.clock import Clock
from core.errors import Refusal, describe_failure
from core.text import repair_text
from core.users.types import Person

_log = logging.getLogger(__name__)

#: A platform may deliver the same update twice; cards are not repeated for this long.
_REPEAT_WINDOW_SECONDS = 600.0
_REPEATS_MAX = 20_000
#: The name of the option that holds the words of a question.
_QUESTION = "question"

_ERASED = say("I deleted your message. One moment…")
_KEPT = say(
    "I couldn't delete your message. Delete it yourself, and replace the secret in it soon: it"
    " has been in a chat."
)
_TOO_MUCH = say(
    "That is more than I can answer at once. Wait a few seconds, then go on; questions, and"
    " stopping an answer, always work."
)
_NOT_OWN = say(
    "I'm waiting for a secret of your own here, and what you sent was written by somebody else"
    " or elsewhere: I deleted it and didn't use it. Type it yourself, or press Cancel above."
)
_IN_PRIVATE = say("I've sent it to you in private.")
_WRITE_FIRST = say("That's for you alone. Write to me in private first, then ask again here.")
_OUR_FAULT = say(
    "Something went wrong on our side. What may be held for an answer is settled by itself within"
    " minutes: /balance shows it. Please try again."
)
_LATE_PICTURE = say(
    "This picture came after its album had been asked about. Reply to it with your question."
)
_LATE_FILE = say(
    "This file came after its album had been asked about. Reply to it with your question."
)
_WRITE_AS_YOURSELF = say(
    "I can't see who you are: Credits belong to people. Write as yourself, not as the group or a"
    " channel, and ask again."
)


_NO_ARGUMENTS = Arguments()


class Dispatcher:
    """The dispatcher implements `bots.chat.types.ChatHandler` for every platform."""

    def __init__(
        self,
        *,
        users: UserServices,
        registry: CommandRegistry,
        buttons: ButtonRepository,
        forms: Forms,
        answer_renderer: AnswerRenderer,
        clock: Clock,
        hear_time: Callable[[int], None],
    ) -> None:
        """`hear_time` is told what time it was when a platform says that a message was sent."""
        self._hear_time = hear_time
        self._users, self._roles, self._user_limits = users.users, users.roles, users.limits
        self._registry, self._buttons, self._forms = registry, buttons, forms
        self._answer_renderer, self._clock = answer_renderer, clock
        #: Of everything that isn't an ask, a person.
        self.work_budget = WorkBudget(clock)
        self._seen_updates: TTLCache[tuple[str, str], bool] = TTLCache(
            maxsize=_REPEATS_MAX, ttl=_REPEAT_WINDOW_SECONDS, timer=clock.monotonic
        )

    # --- messages ---------------------------------------------------------------------------

    async def handle_message(self, incoming: IncomingMessage) -> AsyncIterator[Output]:
        """See `ChatHandler`."""
        incoming = replace(
            incoming,
            text=repair_text(incoming.text),
            quotes=tuple(replace(one, text=repair_text(one.text)) for one in incoming.quotes),
            options={name: repair_text(value) for name, value in incoming.options.items()},
        )
        if incoming.is_edit:
            async for output in self._handle_edit(incoming):
                yield output
            return
        update = (incoming.place.code, incoming.message)
        if self._seen_updates.get(update):
            return
        self._seen_updates[update] = True
        self._hear_time(incoming.at_ms)
        name = incoming.command
        if not name and incoming.is_own:
            name = split_command(incoming.text.strip())[0]
        command = self._registry.find_command(name) if name else None
        if (
            is_free_work(command, name)
            and (refused := self._take_budget(incoming.place, incoming.sender)) is not None
        ):
            for card in refused:
                yield card
            return
        if incoming.is_anonymous:  # nobody whom a Credit could belong to
            if command is not None or not name:  # another one may be another bot's
                language = find_nearest_language(incoming.sender.language)
                yield self._text_card(_WRITE_AS_YOURSELF, language)
            return
        opens_form = command is not None and command.opens_form
        async with self._forms.lock_place(incoming.place.code, prompts=opens_form):
            async for output in self._handle_new_message(incoming, command):
                yield output

    async def _handle_edit(self, incoming: IncomingMessage) -> AsyncIterator[Output]:
        """A question that was edited is remembered; a command was carried out as it was sent."""
        language = find_nearest_language(incoming.sender.language)
        secrets = find_secrets(incoming.text)
        if secrets:
            warning = explain_refusal(SecretSent(secrets[0].kind, is_own_message=True))
            yield replace(self._text_card(warning, language), erase_incoming=True)
            return
        word, rest = split_command(incoming.text.strip())
        if word not in {"", self._registry.ask_command.name}:
            return
        if self._take_budget(incoming.place, incoming.sender) is not None:
            return
        try:
            person = await self._users.get_or_create(
                incoming.place.platform, incoming.sender.id, language=language
            )
            request = self._build_message_request(person, incoming)
            if word:
                request = replace(request, text=rest)
            async for output in self._perform(self._registry.edit_action, request):
                yield output
        except Refusal as refused:
            _log.info("an edited question was not taken: %s", refused.code)

    async def _handle_new_message(
        self, incoming: IncomingMessage, command: Command | None
    ) -> AsyncIterator[Output]:
        language = find_nearest_language(incoming.sender.language)
        secrets = find_secrets(_join_words(incoming))
        try:
            person = await self._users.get_or_create(
                incoming.place.platform, incoming.sender.id, language=language
            )
            language = person.language
            if incoming.may_fill_form:
                pending = await self._find_answered_form(incoming, command)
                if pending is not None and not incoming.is_own:
                    yield replace(self._text_card(_NOT_OWN, language), erase_incoming=True)
                    return
                if pending is not None:
                    async for output in self._submit_typed(pending, incoming, person):
                        yield output
                    return
            if secrets:
                yield await self._make_secret_card(secrets[0], incoming, command, person)
                return
            if incoming.is_late:
                is_picture = any(one.kind == "picture" for one in incoming.attachments)
                yield self._text_card(_LATE_PICTURE if is_picture else _LATE_FILE, language)
                return
            request = self._build_message_request(person, incoming)
            async for output in self._route_request(request, incoming):
                yield output
        except AlreadyAsked as again:
            saved = await self._answer_renderer.resume_answer(again.ask)
            if saved is not None:
                yield saved
        except Refusal as refusal:
            has_secret = isinstance(refusal, SecretSent) and refusal.is_own_message
            yield replace(
                self._refusal_card(refusal, language),
                erase_incoming=bool(secrets) or has_secret,
            )
        except Exception as failure:  # noqa: BLE001 - a bug must not end the chat
            _log.error("a message could not be handled: %s", describe_failure(failure))
            yield self._text_card(_OUR_FAULT, language)

    async def _make_secret_card(
        self,
        secret: FoundSecret,
        incoming: IncomingMessage,
        command: Command | None,
        person: Person,
    ) -> Card:
        """The warning of a secret in a message, which is deleted; a token of ours can be ended by
        it."""
        pasted = self._registry.pasted_token_action
        if secret.kind == "creditbot" and pasted is not None:
            value = _join_words(incoming)[secret.start : secret.end]
            request = replace(
                self._build_request(person, incoming.place, incoming.sender, incoming.message),
                entered={"secret": SecretStr(value)},
            )
            reply = await pasted.handler(request)
            assert isinstance(reply, Reply)
            card = replace(await self._render_card(reply, request), aside=True)
        else:
            asking = command.name if command is not None and command.opens_form else ""
            sent = SecretSent(secret.kind, is_own_message=True, command=asking)
            card = self._text_card(explain_refusal(sent), person.language)
        return replace(card, erase_incoming=True)

    async def _route_request(
        self, request: Request, incoming: IncomingMessage
    ) -> AsyncIterator[Output]:
        word, rest = incoming.command, ""
        if not word and request.is_own:
            word, rest = split_command(request.text)
        elif not word:
            rest = request.text
        if request.audio is not None and word in {"", self._registry.ask_command.name}:
            # Where options have names, what was written beside it stands in one.
            beside = rest or incoming.options.get(_QUESTION, "").strip()
            async for output in self._perform(
                self._registry.audio_action, replace(request, text=beside)
            ):
                yield output
            return
        if word:
            command = self._registry.find_command(word)
            if command is None or not await self._check_allowed(command, request):
                yield self._text_card(
                    self._registry.explain_missing(word, request.is_admin), request.person.language
                )
                return
        else:
            may_be_titled = (
                request.place.private
                and request.is_own
                and not (request.attachments or request.quotes)
            )
            titled = self._registry.find_by_title(request.text) if may_be_titled else None
            command = titled or self._registry.ask_command
            if titled is not None:
                rest = ""
            if not is_allowed(command, request.role):
                command = self._registry.ask_command
        given = (
            command.arguments.from_options(incoming.options)
            if incoming.command
            else command.arguments.from_text(rest)
        )
        async for output in self._perform(command, request, given):
            yield output

    async def _perform(
        self, entry: Action, request: Request, given: Arguments = _NO_ARGUMENTS
    ) -> AsyncIterator[Output]:
        if entry.pausable and not request.is_admin:
            self._user_limits.check_allowed(entry.pausable, request.person.id)
        async with self._answer_renderer.enter_queue(request) if entry.is_ask else nullcontext():
            declared = () if type(given) is Arguments else (given,)
            reply = await entry.handler(request, *declared)
            if isinstance(reply, AskRun):
                async for output in self._answer_renderer.stream_run(
                    reply, is_private=request.place.private
                ):
                    yield output
            elif isinstance(reply, FormRequest):
                yield await self._forms.open_form(
                    reply, request, public_note=_IN_PRIVATE, unreachable_note=_WRITE_FIRST
                )
            elif isinstance(reply, ReplyStream):
                async with aclosing(reply.replies) as cards:
                    async for step_reply in cards:
                        yield await self._render_card(step_reply, request)
            elif reply is not None:
                yield await self._render_card(reply, request)

    async def _check_allowed(self, entry: Action, request: Request) -> bool:
        """Checked again at each press; what is refused is logged, never what came with it. What
        operators alone may do is asked of the database, since other processes give roles too."""
        role = request.role
        if entry.admin_only:
            await self._roles.load()
            role = self._roles.get_role(request.place.platform, request.sender)
        allowed = is_allowed(entry, role)
        if not allowed:
            _log.warning(
                "refused: %s by %s in %s", entry.name, request.person.id, request.place.code
            )
        return allowed

    def _build_message_request(self, person: Person, incoming: IncomingMessage) -> Request:
        return replace(
            self._build_request(person, incoming.place, incoming.sender, incoming.message),
            at_ms=incoming.at_ms,
            # An edit's words are its person's own, though they carry no command out.
            is_own=incoming.is_own or incoming.is_edit,
            text=incoming.text.strip(),
            audio=incoming.audio,
            attachments=incoming.attachments,
            quotes=incoming.quotes,
            replies_to=incoming.replies_to,
            way_back=incoming.way_back,
        )

    def _build_request(self, person: Person, place: Place, sender: Sender, message: str) -> Request:
        role = self._roles.get_role(place.platform, sender.id)
        return Request(
            person=person,
            place=place,
            sender=sender.id,
            is_admin=role in {"owner", "admin"},
            role=role,
            message=message,
            at_ms=self._clock.now_ms(),
        )

    # --- buttons ----------------------------------------------------------------------------

    async def handle_press(self, press: ButtonPress) -> AsyncIterator[Output]:
        """See `ChatHandler`."""
        language = find_nearest_language(press.sender.language)
        if (
            parse_answer_button(press.button) is None
            and (refused := self._take_budget(press.place, press.sender)) is not None
        ):
            for card in refused:
                yield card
            return
        try:
            person = await self._users.get_or_create(
                press.place.platform, press.sender.id, language=language
            )
            language = person.language
            request = replace(
                self._build_request(person, press.place, press.sender, press.message),
                button=press.button,
                way_back=press.way_back,
            )
            async for output in self._run_action(request, press.id):
                yield output
        except AlreadyAsked:
            yield self._text_card(explain_refusal(ButtonExpired()), language)
        except Refusal as refusal:
            yield self._refusal_card(refusal, language)
        except Exception as failure:  # noqa: BLE001 - a bug must not end the chat
            _log.error("a button could not be handled: %s", describe_failure(failure))
            yield self._text_card(_OUR_FAULT, language)

    async def find_pressed_place(self, press: ButtonPress) -> Place:
        """See `ChatHandler`."""
        try:
            code = await self._buttons.find_place(press.button)
        except Exception as failure:  # noqa: BLE001 - a bug must not end the chat
            _log.error("where a button stands is not known: %s", describe_failure(failure))
            return press.place
        place = Place.from_code(code) if code else press.place
        is_same = (place.platform, place.chat) == (press.place.platform, press.place.chat)
        return replace(press.place, thread=place.thread) if is_same else press.place

    def _take_budget(self, place: Place, sender: Sender) -> tuple[Card, ...] | None:
        """None where there is budget left; else what its person is told. Operators have none: they
        must always get through."""
        if self._roles.get_role(place.platform, sender.id) is not None:
            return None
        verdict = self.work_budget.take(place.platform, sender.id)
        if verdict is Verdict.DONE:
            return None
        language = find_nearest_language(sender.language)
        return (self._text_card(_TOO_MUCH, language),) if verdict is Verdict.TOLD else ()

    async def _run_action(self, request: Request, press: str) -> AsyncIterator[Output]:
        button_action = parse_answer_button(request.button) or await self._buttons.authorize_press(
            request.button, person=request.person.id, place=request.place.code, press=press
        )
        action = self._registry.find_action(button_action.action)
        if action is None:
            raise ButtonExpired
        if not await self._check_allowed(action, request):
            raise NotYourButton
        is_done = True
        try:
            async for output in self._perform(action, replace(request, data=button_action.data)):
                yield output
        except asyncio.CancelledError:  # whoever comes next goes on with it
            is_done = False
            raise
        finally:
            if is_done and button_action.is_used_up and press:
                with suppress(Refusal):
                    await self._buttons.finish_press(request.button)

    # --- forms ------------------------------------------------------------------------------

    async def get_form(self, press: ButtonPress) -> Form | Card:
        """See `ChatHandler`."""
        language = find_nearest_language(press.sender.language)
        try:
            person = await self._users.get_or_create(
                press.place.platform, press.sender.id, language=language
            )
            language = person.language
            pending = await self._forms.find_form(press.place.code)
        except Refusal as refusal:
            return self._text_card(explain_refusal(refusal), language)
        except Exception as failure:  # noqa: BLE001 - a bug must not end the chat
            _log.error("a form could not be opened: %s", describe_failure(failure))
            return self._text_card(_OUR_FAULT, language)
        if pending is None or pending.form.id != press.button or pending.is_closed:
            return self._text_card(explain_refusal(FormClosed()), language)
        return pending.form

    async def submit_form(self, submission: FormSubmission) -> AsyncIterator[Output]:
        """See `ChatHandler`."""
        update = (submission.place.code, submission.message)
        if self._seen_updates.get(update):
            return
        self._seen_updates[update] = True
        language = find_nearest_language(submission.sender.language)
        try:
            person = await self._users.get_or_create(
                submission.place.platform, submission.sender.id, language=language
            )
            language = person.language
            pending = await self._forms.find_form(submission.place.code)
            if pending is not None and pending.closed_by == submission.message:
                return  # another process took it
            async for output in self._process_submission(pending, submission, person):
                yield output
        except Refusal as refusal:
            yield self._refusal_card(refusal, language)
        except Exception as failure:  # noqa: BLE001 - a bug must not end the chat
            _log.error("a form could not be handled: %s", describe_failure(failure))
            yield self._text_card(_OUR_FAULT, language)

    async def _find_answered_form(
        self, incoming: IncomingMessage, command: Command | None
    ) -> PendingForm | None:
        """The form that this message answers; a command ends the wait instead."""
        pending = await self._forms.find_form(incoming.place.code)
        if pending is not None and command is not None:
            await self._forms.close_form(pending.place, pending.form.id)
            return None
        return await self._forms.match_answer(pending, incoming.text, incoming.message)

    async def _submit_typed(
        self, pending: PendingForm, incoming: IncomingMessage, person: Person
    ) -> AsyncIterator[Output]:
        """What was asked for came as a message: that goes before anything else is done."""
        yield replace(
            self._text_card(_ERASED, person.language),
            erase_incoming=True,
            kept_note=render(_KEPT, person.language),
            passing=True,
        )
        submission = FormSubmission(
            place=incoming.place,
            sender=incoming.sender,
            form=pending.form.id,
            message=incoming.message,
            values=pending.parse_text(incoming.text.strip()),
        )
        async for output in self._process_submission(pending, submission, person):
            yield output

    async def _process_submission(
        self, pending: PendingForm | None, submission: FormSubmission, person: Person
    ) -> AsyncIterator[Output]:
        action = self._registry.find_action(pending.action) if pending is not None else None
        if pending is None or action is None:
            raise FormClosed
        request = self._build_request(
            person, submission.place, submission.sender, submission.message
        )
        if not await self._check_allowed(action, request):
            raise NotYourButton
        entered = await self._forms.accept_submission(pending, submission)
        request = replace(request, button=pending.form.id, data=pending.data, entered=entered)
        async for output in self._perform(action, request):
            yield output

    # --- what adapters tell and ask -----------------------------------------------------------

    async def mark_delivered(self, ask: str, place: Place, messages: Sequence[str]) -> None:
        """See `ChatHandler`."""
        await self._answer_renderer.mark_delivered(ask, place.code, messages)

    async def mark_undelivered(self, ask: str) -> None:
        """See `ChatHandler`."""
        await self._answer_renderer.mark_undelivered(ask)

    async def mark_started(self, ask: str, message: str) -> None:
        """See `ChatHandler`."""
        await self._answer_renderer.mark_started(ask, message)

    def list_languages(self) -> Sequence[str]:
        """See `ChatHandler`."""
        return tuple(LANGUAGES)

    def build_menu(
        self, language: str, scope: Literal["private", "group", "admin"]
    ) -> list[MenuItem]:
        """See `ChatHandler`."""
        return [
            MenuItem(
                command.name,
                render(command.description, language),
                title=render(command.title, language),
                options=tuple(
                    MenuOption(
                        option.name,
                        render(option.description, language),
                        required=option.required,
                        completion=option.completion,
                        is_file=option.is_file,
                    )
                    for option in command.arguments.list_options()
                ),
                admin_only=command.admin_only,
                allowed_in_groups=command.allowed_in_groups,
                is_private=command.is_private
                or command.admin_only
                or not command.allowed_in_groups,
            )
            for command in self._registry.commands
            if (scope == "admin" or not command.admin_only)
            and (scope != "group" or command.allowed_in_groups)
        ]

    def suggest_completions(self, completion: str, typed: str, language: str) -> list[Suggestion]:
        """See `ChatHandler`."""
        suggest = self._registry.suggesters.get(completion)
        if suggest is None:
            return []
        return [Suggestion(value, render(label, language)) for value, label in suggest(typed)]

    def describe_bot(self, language: str) -> tuple[str, str]:
        """See `ChatHandler`."""
        return render(ABOUT, language), render(ABOUT_SHORT, language)

    def list_admins(self, platform: Platform) -> Sequence[str]:
        """See `ChatHandler`."""
        return self._roles.list_admin_ids(platform)

    # --- rendering ----------------------------------------------------------------------------

    async def _render_card(self, reply: Reply, request: Request) -> Card:
        place = request.private_place if reply.private else request.place
        card = await render_card(reply, self._buttons, person=request.person, place=place)
        if place is not request.place:
            language = reply.language or request.person.language
            card = replace(
                card,
                public_note=render(_IN_PRIVATE, language),
                unreachable_note=render(_WRITE_FIRST, language),
            )
        return replace(card, replace=reply.replace and bool(request.button))

    @staticmethod
    def _text_card(phrase: Phrase, language: str) -> Card:
        return Card(lines=(render(phrase, language),), aside=True)

    @classmethod
    def _refusal_card(cls, refusal: Refusal, language: str) -> Card:
        """Why something was refused; where others read, what a person has is told to them alone."""
        card = cls._text_card(explain_refusal(refusal), language)
        if not isinstance(refusal, PRIVATE_REFUSALS):
            return card
        return replace(
            card,
            private=True,
            public_note=render(_IN_PRIVATE, language),
            unreachable_note=render(_WRITE_FIRST, language),
        )


def _join_words(incoming: IncomingMessage) -> str:
    """All that was written, in the message or in a command's fields."""
    return "\n".join((incoming.text, *incoming.options.values()))
