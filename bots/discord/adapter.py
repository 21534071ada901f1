"""The Discord front end: takes interactions and messages, shows what the chat handler yields."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, final

import discord
from discord import app_commands

from bots.chat.i18n import find_nearest_language, render
from bots.chat.reply import say
from bots.chat.types import (
    ButtonPress,
    Card,
    ChatHandler,
    Form,
    IncomingMessage,
    MenuItem,
    Output,
    Place,
    UndeliveredAnswer,
)
from bots.chat.update_inbox import ReceivedUpdate
from bots.chat.update_intake import TakenUpdate, UpdateIntake
from bots.config.settings import DiscordConfig
from bots.discord.client import DiscordClient, DiscordUnavailable, get_raw_event, log_in
from bots.discord.commands import read_completion
from bots.discord.components import FORM_PREFIX
from bots.discord.inbound import (
    find_place,
    get_channel_place,
    mark_question,
    read_command,
    read_message,
    read_press,
    read_submission,
)
from bots.discord.interactions import AdmissionGate, InteractionResponder
from bots.discord.message_commands import (
    MessageCommands,
    is_message_command,
    read_transcription,
)
from bots.discord.presenter import DiscordPresenter, DiscordTarget
from bots.discord.sender import (
    ChannelResponder,
    DiscordPost,
    DiscordRefused,
    Responder,
    call_discord,
)
from bots.discord.store import to_entitlement
from bots.logs import DiscordTokenFilter
from bots.platform_payments import StorePurchases
from bots.render.paste_joiner import PasteJoiner
from bots.render.throttle import ChatThrottles, NotDelivered, RetryLater
from core.clock import Clock
from core.errors import describe_failure

_log = logging.getLogger(__name__)

#: Interactions and messages being answered at once; beyond it their people are told to come again.
_CONCURRENT_UPDATES_MAX: Final = 5_000
#: Discord's app makes a file of a long paste, it cuts none: no message is that long.
_NEVER_CUT: Final = 1_000_000
_SUGGESTIONS_MAX: Final = 25
#: The option of `/ask` that nobody but its author sees.
_QUESTION_OPTION: Final = "question"
_SUGGESTION_CHARS_MAX: Final = 100
#: So many are told at once that there is too much. To the rest Discord says it of interactions.
_APOLOGIES_MAX: Final = 100
_TOO_MUCH: Final = say(
    "Too many people are writing to me at this moment, so I did nothing with this. Please send it"
    " again in a minute."
)


@final
class DiscordAdapter:
    """The adapter runs one Discord bot: after `start` it lives in the background until `stop`."""

    def __init__(
        self,
        config: DiscordConfig,
        chat_handler: ChatHandler,
        clock: Clock,
        store_purchases: StorePurchases | None = None,
        intake: UpdateIntake | None = None,
    ) -> None:
        """`store_purchases`: where Credits are sold by them; `intake` stores what comes."""
        self._config = config
        self._chat_handler = chat_handler
        self._clock = clock
        self._filter = DiscordTokenFilter(config.token.get_secret_value())
        self._filter.attach()
        self._connected = asyncio.Event()
        self._client = DiscordClient(
            config,
            on_interaction_created=self._handle_interaction,
            on_message_written=self._handle_message,
            on_message_edited=self._handle_edit,
            on_connected=self._connected.set,
            on_purchase=self._handle_purchase,
            on_reversal=self._handle_reversal,
        )
        self._store_purchases = store_purchases
        self._presenter = DiscordPresenter(
            self._client, chat_handler, ChatThrottles(), config, clock
        )
        self._connection_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._apologies: set[asyncio.Task[None]] = set()
        #: What nothing was done with, since too much else was there, in this process.
        self.refused_count = 0
        self._admission_gate = AdmissionGate()
        self._joiner = PasteJoiner(self._answer_message, near_limit_units=_NEVER_CUT)
        self._intake = intake or UpdateIntake()
        #: What is worked for a process that is gone, by the ids of its events.
        self._left: set[str] = set()
        self._menu: list[MenuItem] = []
        self._message_commands = MessageCommands()
        self._is_open = False

    async def start(self) -> None:
        """Connects and begins to take what comes; raises `DiscordUnavailable`."""
        try:
            await log_in(self._client, self._config)
            self._menu = self._chat_handler.build_menu(
                self._chat_handler.list_languages()[0], "admin"
            )
            self._is_open = True
            self._connection_task = asyncio.create_task(self._client.connect())
            await self._wait_for_connection(self._connection_task)
        except BaseException:
            await self.stop()
            raise
        self._connection_task.add_done_callback(_log_disconnect)
        self._intake.register_worker("discord", self._work_left_update)

    async def stop(self) -> None:
        """Takes nothing more; running answers may end within the limit, then are cancelled."""
        self._intake.unregister_worker("discord")
        self._is_open = False
        self._joiner.flush_held()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._config.timing.stop_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._apologies, return_exceptions=True)
        await self._client.close()
        if self._connection_task is not None:
            self._connection_task.cancel()
            await asyncio.gather(self._connection_task, return_exceptions=True)
        self._filter.detach()

    def is_heard(self) -> bool:
        """Whether events can come: the gateway is there, by one of its shards at least."""
        connection = self._connection_task
        if not self._is_open or connection is None or connection.done():
            return False
        return any(not shard.is_closed() for shard in self._client.shards.values())

    async def deliver_answer(self, undelivered: UndeliveredAnswer) -> Sequence[str]:
        """See `Notifier`; raises `NotDelivered` or `DiscordRefused`."""
        return await self._presenter.deliver_answer(undelivered)

    async def notify_person(self, sender: str, card: Card, *, replace_message: str = "") -> None:
        """See `Notifier`; raises `NotDelivered` or `DiscordRefused`."""
        responder = ChannelResponder(self._client, int(sender), person=True)
        if replace_message.isdecimal() and await self._presenter.edit_card(
            responder, int(replace_message), card
        ):
            return
        await self._presenter.show_card(DiscordTarget(responder, sender, is_private=True), card)

    async def find_name(self, sender: str) -> str:
        """See `NameLookup`."""
        user = await self._client.fetch_user(int(sender))
        return f"{user.global_name} (@{user.name})" if user.global_name else f"@{user.name}"

    def build_invitation_link(self, code: str) -> str:
        """See `Notifier`: Discord's own install link; none of its links carries a word to us."""
        del code
        return f"https://discord.com/oauth2/authorize?client_id={self._client.application_id}"

    async def _wait_for_connection(self, connection: asyncio.Task[None]) -> None:
        connected = asyncio.create_task(self._connected.wait())
        try:
            await asyncio.wait(
                (connected, connection),
                timeout=self._config.timing.connect_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            connected.cancel()
        if not self._connected.is_set():
            failure = connection.exception() if connection.done() else None
            if failure is not None:
                _log.warning("the gateway refused: %s", describe_failure(failure))
            raise DiscordUnavailable(token_refused=False)

    # -- what comes ------------------------------------------------------------------------------

    def _handle_interaction(self, interaction: discord.Interaction) -> None:
        if not self._is_open:
            return
        for entitlement in interaction.entitlements:
            self._handle_purchase(entitlement)
        # Before anything is awaited: the library tells it here alone.
        event = get_raw_event()
        if not self._has_room(interaction.id):
            responder = InteractionResponder(self._client, interaction, self._config, self._clock)
            self._apologize(responder, interaction.locale.value, responder.acknowledge_command)
            return
        match interaction.type:
            case discord.InteractionType.application_command if is_message_command(interaction):
                self._spawn(self._handle_message_command(interaction, event))
            case discord.InteractionType.application_command:
                self._spawn(self._handle_command(interaction, event))
            case discord.InteractionType.component:
                self._spawn(self._handle_press(interaction, event))
            case discord.InteractionType.modal_submit:
                self._spawn(self._handle_submission(interaction))
            case discord.InteractionType.autocomplete:
                self._spawn(self._handle_autocomplete(interaction))
            case _:
                pass

    def _handle_purchase(self, entitlement: discord.Entitlement) -> None:
        if self._store_purchases is not None and not entitlement.consumed:
            self._track_task(
                _log_store_failure(
                    self._store_purchases.record_purchase(to_entitlement(entitlement))
                )
            )

    def _handle_reversal(self, entitlement: discord.Entitlement) -> None:
        if self._store_purchases is not None:
            self._track_task(
                _log_store_failure(
                    self._store_purchases.record_reversal(to_entitlement(entitlement))
                )
            )

    def _handle_message(self, message: discord.Message) -> None:
        bot_user = self._client.user
        if not self._is_open or bot_user is None:
            return
        incoming = read_message(message, bot_user)
        if incoming is None:
            self._drop_left(message.author, message.id)
            return
        if not self._has_room(message.id):
            self._apologize(self._target_of(incoming).responder, incoming.sender.language)
            return
        self._spawn(self._take_message(message, incoming, get_raw_event()))

    def _handle_edit(self, message: discord.Message) -> None:
        bot_user = self._client.user
        # Discord itself changes messages, too: it adds previews of links.
        if not self._is_open or bot_user is None or message.edited_at is None:
            return
        read = read_message(message, bot_user)
        if read is None or not read.is_own:
            return
        if not self._has_room(message.id):
            return  # the question is asked as it was
        edit = replace(read, is_own=False, is_edit=True)
        outputs = self._chat_handler.handle_message(edit)
        self._spawn(self._present(self._target_of(edit), edit.place, outputs, ()))

    async def _work_left_update(self, received: ReceivedUpdate) -> None:
        """What another process stored and left behind."""
        self._left.add(received.id)
        self._client.replay_event(received.content)

    def _drop_left(self, sender: discord.abc.User, event: int) -> None:
        """Of what another process left nothing comes here."""
        id_ = _update_id(str(event))
        if id_ in self._left:
            self._left.discard(id_)
            self._intake.finish(str(sender.id), (id_,))

    async def _take_message(
        self, message: discord.Message, incoming: IncomingMessage, event: Mapping[str, Any]
    ) -> None:
        if not incoming.place.private and isinstance(message.channel, discord.PartialMessageable):
            # A thread that was archived when the client connected: its place has its channel, too.
            with contextlib.suppress(RetryLater, DiscordRefused):
                channel = await call_discord(lambda: self._client.fetch_channel(message.channel.id))
                incoming = replace(incoming, place=get_channel_place(channel))
        await self._take(incoming.message, incoming, event, lambda: self._joiner.add(incoming))

    async def _take(
        self,
        name: str,
        read: IncomingMessage | ButtonPress,
        event: Mapping[str, Any],
        hand_over: Callable[[], bool],
    ) -> None:
        """Stores an event by its id `name`, and hands on what was read of it."""
        received = ReceivedUpdate(_update_id(name), "discord", read.sender.id, event)
        is_left = received.id in self._left
        self._left.discard(received.id)
        await self._intake.take(
            TakenUpdate(received, read, hand_over), is_stored=is_left, is_urgent=True
        )

    def _answer_message(self, incoming: IncomingMessage) -> None:
        target = self._target_of(incoming)
        outputs = self._chat_handler.handle_message(incoming)
        ids = tuple(map(_update_id, (incoming.message, *incoming.more)))
        self._spawn(self._present(target, incoming.place, outputs, ids))

    def _target_of(self, incoming: IncomingMessage) -> DiscordTarget:
        private, message = incoming.place.private, int(incoming.message)
        responder = ChannelResponder.from_place(
            self._client,
            incoming.place,
            None if private else message,
            answers="" if incoming.is_edit else incoming.message,
        )
        return DiscordTarget(responder, incoming.sender.id, is_private=private, incoming=message)

    async def _handle_message_command(
        self, interaction: discord.Interaction, event: Mapping[str, Any]
    ) -> None:
        """A command from a message's own menu."""
        bot_user = self._client.user
        assert bot_user is not None, "the client is logged in"
        responder = InteractionResponder(self._client, interaction, self._config, self._clock)
        form = self._message_commands.open_question(interaction, bot_user)
        if form is not None:
            await self._acknowledge(responder.open_modal(form))
            return
        wanted = read_transcription(interaction)
        if isinstance(wanted, IncomingMessage):
            await self._take_command(interaction, event, wanted, ephemeral=False)
            return
        self._drop_left(interaction.user, interaction.id)
        if wanted is None:
            _log.info("a message's command that is not known here")
        elif await self._acknowledge(responder.acknowledge_command(ephemeral=True)):
            await self._present_in_place(responder, interaction, _yield_card(wanted))

    async def _present_in_place(
        self,
        responder: InteractionResponder,
        interaction: discord.Interaction,
        outputs: AsyncIterator[Output],
        asked: str = "",
        ids: tuple[str, ...] = (),
    ) -> None:
        """Shows it where the interaction was; with the question above it, where others read."""
        place = find_place(interaction)
        assert place is not None, "it was read"
        target = self._new_target(responder, interaction, private=place.private)
        if not place.private:
            target = replace(target, asked=asked)
        await self._present(target, place, outputs, ids)

    async def _handle_command(
        self, interaction: discord.Interaction, event: Mapping[str, Any]
    ) -> None:
        incoming = read_command(interaction, self._menu)
        if incoming is None:
            _log.info("a command that is not known here")
            self._drop_left(interaction.user, interaction.id)
            return
        item = next(each for each in self._menu if each.name == incoming.command)
        asked = "" if item.is_private else incoming.options.get(_QUESTION_OPTION, "")
        if asked and not incoming.place.private:
            incoming = replace(incoming, way_back=mark_question(incoming.way_back))
        await self._take_command(
            interaction, event, incoming, ephemeral=item.is_private, asked=asked
        )

    async def _take_command(
        self,
        interaction: discord.Interaction,
        event: Mapping[str, Any],
        incoming: IncomingMessage,
        *,
        ephemeral: bool,
        asked: str = "",
    ) -> None:
        ids = (_update_id(incoming.message),)
        is_left = ids[0] in self._left

        async def answer() -> None:
            responder = InteractionResponder(self._client, interaction, self._config, self._clock)
            if is_left:
                await responder.resume(ephemeral=ephemeral, is_command=True)
            elif not await self._acknowledge(responder.acknowledge_command(ephemeral=ephemeral)):
                self._intake.finish(incoming.sender.id, ids)
                return
            outputs = self._chat_handler.handle_message(incoming)
            await self._present_in_place(responder, interaction, outputs, asked, ids)

        await self._take(incoming.message, incoming, event, lambda: self._spawn(answer()))

    async def _handle_press(
        self, interaction: discord.Interaction, event: Mapping[str, Any]
    ) -> None:
        press = read_press(interaction)
        if press is None:
            self._drop_left(interaction.user, interaction.id)
            return
        if press.button.startswith(FORM_PREFIX):
            await self._handle_form_press(interaction, press)
            return
        is_left = _update_id(press.id) in self._left
        answer = self._answer_press(interaction, press, is_left=is_left)
        await self._take(press.id, press, event, lambda: self._spawn(answer()))

    async def _handle_form_press(
        self, interaction: discord.Interaction, press: ButtonPress
    ) -> None:
        """A dialog is the first answer to a button press, or none: not even "thinking" may come
        before."""
        responder = InteractionResponder(self._client, interaction, self._config, self._clock)
        form = await self._chat_handler.get_form(
            replace(press, button=press.button.removeprefix(FORM_PREFIX))
        )
        if isinstance(form, Form):
            await self._acknowledge(responder.open_modal(form))
        elif await self._acknowledge(responder.acknowledge_press()):
            target = self._new_target(responder, interaction, private=press.place.private)
            await self._present(target, press.place, _yield_card(form))

    def _answer_press(
        self, interaction: discord.Interaction, press: ButtonPress, *, is_left: bool
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        ids = (_update_id(press.id),)

        async def answer() -> None:
            responder = InteractionResponder(self._client, interaction, self._config, self._clock)
            if is_left:
                await responder.resume(ephemeral=False, is_command=False)
            elif not await self._acknowledge(responder.acknowledge_press()):
                self._intake.finish(press.sender.id, ids)
                return
            target = self._new_target(responder, interaction, private=press.place.private)
            await self._present(target, press.place, self._chat_handler.handle_press(press), ids)

        return answer

    async def _handle_submission(self, interaction: discord.Interaction) -> None:
        submission = read_submission(interaction)
        if submission is None:
            return
        responder = InteractionResponder(self._client, interaction, self._config, self._clock)
        question = self._message_commands.read_question(interaction, submission)
        if question is not None:
            if await self._acknowledge(responder.acknowledge_command(ephemeral=False)):
                if not question.place.private:
                    question = replace(question, way_back=mark_question(question.way_back))
                asked, outputs = (
                    question.options[_QUESTION_OPTION],
                    self._chat_handler.handle_message(question),
                )
                await self._present_in_place(responder, interaction, outputs, asked)
            return
        if await self._acknowledge(responder.acknowledge_command(ephemeral=True)):
            target = self._new_target(responder, interaction, private=submission.place.private)
            await self._present(
                target, submission.place, self._chat_handler.submit_form(submission)
            )

    async def _handle_autocomplete(self, interaction: discord.Interaction) -> None:
        completion, typed = read_completion(interaction, self._chat_handler)
        language = find_nearest_language(interaction.locale.value)
        found = (
            self._chat_handler.suggest_completions(completion, typed, language)
            if completion
            else []
        )
        choices = [
            app_commands.Choice(
                name=each.label[:_SUGGESTION_CHARS_MAX], value=each.value[:_SUGGESTION_CHARS_MAX]
            )
            for each in found[:_SUGGESTIONS_MAX]
        ]
        with (
            contextlib.suppress(RetryLater, DiscordRefused),
            self._admission_gate.count_acknowledgement(),
        ):
            await call_discord(lambda: interaction.response.autocomplete(choices))

    async def _acknowledge(self, acknowledgement: Coroutine[Any, Any, bool]) -> bool:
        """Whether it was acknowledged in time, once it is its turn. What was not can't be shown:
        nothing is done."""
        try:
            with self._admission_gate.count_acknowledgement():
                acknowledged = await acknowledgement
        except RetryLater:
            acknowledged = False
        if acknowledged:
            await self._admission_gate.wait_turn()
        else:
            _log.info("an interaction was not acknowledged in time, or came twice")
        return acknowledged

    @staticmethod
    def _new_target(
        responder: InteractionResponder, interaction: discord.Interaction, *, private: bool
    ) -> DiscordTarget:
        return DiscordTarget(
            responder,
            str(interaction.user.id),
            is_private=private,
            language=interaction.locale.value,
        )

    async def _present(
        self,
        target: DiscordTarget,
        place: Place,
        outputs: AsyncIterator[Output],
        ids: tuple[str, ...] = (),
    ) -> None:
        """Shows what came of the updates `ids`."""
        watched = self._intake.watch_outputs(outputs, target.sender, ids)
        try:
            await self._presenter.present(target, place, watched)
        except (DiscordRefused, NotDelivered) as refused:
            _log.info("something could not be shown: %s", refused.code)
        except Exception as failure:  # noqa: BLE001 - one update's bug is no other's
            _log.error("an update failed: %s", describe_failure(failure))
        finally:
            await watched.aclose()
        # Not where it was cancelled: that is left to whoever comes next.
        self._intake.finish(target.sender, ids)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> bool:
        """It runs now, which is True."""
        self._track_task(work)
        return True

    def _has_room(self, event: int) -> bool:
        """Whether one more event may be worked; always what another process left."""
        is_left = _update_id(str(event)) in self._left
        return is_left or (len(self._tasks) < _CONCURRENT_UPDATES_MAX and self._intake.has_room())

    def _apologize(
        self,
        responder: Responder,
        language: str,
        acknowledge: Callable[..., Awaitable[bool]] | None = None,
    ) -> None:
        """Tells somebody that nothing is done with what they sent."""
        self.refused_count += 1
        if len(self._apologies) >= _APOLOGIES_MAX:
            _log.error("too much at once: somebody could not even be told")
            return

        async def tell() -> None:
            post = DiscordPost(render(_TOO_MUCH, find_nearest_language(language)))
            with contextlib.suppress(RetryLater, DiscordRefused):
                if acknowledge is None or await acknowledge(ephemeral=True):
                    await responder.send_post(post, ephemeral=True)

        task = asyncio.create_task(tell())
        self._apologies.add(task)
        task.add_done_callback(self._apologies.discard)

    def _track_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        """One event's oddity is no other's, and its traceback is nobody's."""
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            _log.error("an event could not be worked: %s", describe_failure(failure))


def _update_id(name: str) -> str:
    """What an event is stored by, of a message's or an interaction's id."""
    return f"discord/{name}"


async def _log_store_failure(storing: Awaitable[None]) -> None:
    try:
        await storing
    except Exception as failure:  # noqa: BLE001 - one event's trouble is no other's
        # Discord's list tells it again.
        _log.error("a purchase could not be kept now: %s", describe_failure(failure))


async def _yield_card(card: Card) -> AsyncIterator[Output]:
    yield card


def _log_disconnect(task: asyncio.Task[None]) -> None:
    """The connection is not meant to end by itself."""
    if not task.cancelled() and (failure := task.exception()) is not None:
        _log.error("the gateway is gone: %s", describe_failure(failure))
