"""The Discord front end: takes interactions and messages, shows what the chat handler yields."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, final

import discord
from discord import app_commands

from bots.chat.i18n import language_for
from bots.chat.types import Form, Front, MenuItem, Output, Place, Screen, Unlanded
from bots.discord.client import Client, DiscordUnavailable, logged_in
from bots.discord.commands import completing
from bots.discord.components import FORM
from bots.discord.config import DiscordConfig
from bots.discord.inbound import read_command, read_filled, read_message, read_press
from bots.discord.interactions import Doorway, InteractionOutlet
from bots.discord.presenter import Scene, Stage
from bots.discord.sender import ChannelOutlet, Refused, call
from bots.discord.store import entitled
from bots.logs import DiscordTokenFilter
from bots.platform_payments import SkusTill
from bots.render.throttle import Budgets, NotShown, Wait
from core.clock import Clock
from core.errors import cause

_log = logging.getLogger(__name__)

#: Interactions and messages being answered at once; beyond it they are dropped.
_TASKS_MAX: Final = 5_000
_SUGGESTIONS_MAX: Final = 25
_SUGGESTION_CHARS_MAX: Final = 100


@final
class Discord:
    """The adapter runs one Discord bot: after `start` it lives in the background until `stop`."""

    def __init__(
        self, config: DiscordConfig, front: Front, clock: Clock, skus: SkusTill | None = None
    ) -> None:
        """`store_purchases`: where Credits are sold by them."""
        self._config = config
        self._front = front
        self._clock = clock
        self._filter = DiscordTokenFilter(config.token.get_secret_value())
        self._filter.attach()
        self._connected = asyncio.Event()
        self._client = Client(
            config,
            interacted=self._interacted,
            written=self._written,
            connected=self._connected.set,
            bought=self._bought,
            taken_back=self._taken_back,
        )
        self._skus = skus
        self._stage = Stage(self._client, front, Budgets(clock), config)
        self._connection: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._doorway = Doorway()
        self._menu: list[MenuItem] = []
        self._open = False

    async def start(self) -> None:
        """Connects and begins to take what comes; raises `DiscordUnavailable`."""
        try:
            await logged_in(self._client, self._config)
            self._menu = self._front.menu(self._front.languages()[0], "admin")
            self._open = True
            self._connection = asyncio.create_task(self._client.connect())
            await self._first_connection(self._connection)
        except BaseException:
            await self.stop()
            raise
        self._connection.add_done_callback(_told)

    async def stop(self) -> None:
        """Takes nothing more; running answers may end within the limit, then are cancelled."""
        self._open = False
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._config.stop_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()
        if self._connection is not None:
            self._connection.cancel()
            await asyncio.gather(self._connection, return_exceptions=True)
        self._filter.detach()

    async def deliver(self, unlanded: Unlanded) -> Sequence[str]:
        """See `Notifier`; raises `NotDelivered` or `DiscordRefused`."""
        return await self._stage.land(unlanded)

    async def notify(self, sender: str, screen: Screen, *, instead: str = "") -> None:
        """See `Notifier`; raises `NotDelivered` or `DiscordRefused`."""
        outlet = ChannelOutlet(self._client, int(sender), person=True)
        if instead.isdecimal() and await self._stage.revised(outlet, int(instead), screen):
            return
        await self._stage.card(Scene(outlet, sender, private=True), screen)

    def invitation(self, code: str) -> str:
        """See `Notifier`: Discord's own install link; none of its links carries a word to us."""
        del code
        return f"https://discord.com/oauth2/authorize?client_id={self._client.application_id}"

    async def _first_connection(self, connection: asyncio.Task[None]) -> None:
        connected = asyncio.create_task(self._connected.wait())
        try:
            await asyncio.wait(
                (connected, connection),
                timeout=self._config.connect_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            connected.cancel()
        if not self._connected.is_set():
            failure = connection.exception() if connection.done() else None
            if failure is not None:
                _log.warning("the gateway refused: %s", cause(failure))
            raise DiscordUnavailable(token_refused=False)

    # -- what comes ------------------------------------------------------------------------------

    def _interacted(self, interaction: discord.Interaction) -> None:
        if not self._open:
            return
        for entitlement in interaction.entitlements:
            self._bought(entitlement)
        match interaction.type:
            case discord.InteractionType.application_command:
                self._spawn(self._command(interaction))
            case discord.InteractionType.component:
                self._spawn(self._press(interaction))
            case discord.InteractionType.modal_submit:
                self._spawn(self._submit(interaction))
            case discord.InteractionType.autocomplete:
                self._spawn(self._suggest(interaction))
            case _:
                pass

    def _bought(self, entitlement: discord.Entitlement) -> None:
        if self._skus is not None and not entitlement.consumed:
            self._begin(_kept(self._skus.created(entitled(entitlement))))

    def _taken_back(self, entitlement: discord.Entitlement) -> None:
        if self._skus is not None:
            self._begin(_kept(self._skus.taken_back(entitled(entitlement))))

    def _written(self, message: discord.Message) -> None:
        me = self._client.user
        if not self._open or me is None:
            return
        incoming = read_message(message, me)
        if incoming is None:
            return
        private = incoming.place.private
        outlet = ChannelOutlet.of(self._client, incoming.place, None if private else message.id)
        scene = Scene(outlet, incoming.sender.id, private=private, incoming=message.id)
        self._spawn(self._play(scene, incoming.place, self._front.handle(incoming)))

    async def _command(self, interaction: discord.Interaction) -> None:
        incoming = read_command(interaction, self._menu)
        if incoming is None:
            _log.info("a command that is not known here")
            return
        item = next(each for each in self._menu if incoming.text.split()[0] == f"/{each.name}")
        outlet = InteractionOutlet(self._client, interaction, self._config, self._clock)
        if await self._begun(outlet.begin_command(alone=item.private)):
            await self._play(
                self._scene(outlet, interaction, private=incoming.place.private),
                incoming.place,
                self._front.handle(incoming),
            )

    async def _press(self, interaction: discord.Interaction) -> None:
        press = read_press(interaction)
        if press is None:
            return
        outlet = InteractionOutlet(self._client, interaction, self._config, self._clock)
        if press.button.startswith(FORM):
            # A dialog is the first answer to a button press, or none: not even "thinking" may come
            # before.
            opened = replace(press, button=press.button.removeprefix(FORM))
            form = await self._front.form(opened)
            if isinstance(form, Form):
                await self._begun(outlet.begin_form(form))
                return
            outputs = _only(form)
        else:
            outputs = self._front.press(press)
        if await self._begun(outlet.begin_press()):
            scene = self._scene(outlet, interaction, private=press.place.private)
            await self._play(scene, press.place, outputs)

    async def _submit(self, interaction: discord.Interaction) -> None:
        filled = read_filled(interaction)
        if filled is None:
            return
        outlet = InteractionOutlet(self._client, interaction, self._config, self._clock)
        if await self._begun(outlet.begin_command(alone=True)):
            scene = self._scene(outlet, interaction, private=filled.place.private)
            await self._play(scene, filled.place, self._front.fill(filled))

    async def _suggest(self, interaction: discord.Interaction) -> None:
        completes, typed = completing(interaction, self._front)
        language = language_for(interaction.locale.value)
        found = self._front.suggest(completes, typed, language) if completes else []
        choices = [
            app_commands.Choice(
                name=each.label[:_SUGGESTION_CHARS_MAX], value=each.value[:_SUGGESTION_CHARS_MAX]
            )
            for each in found[:_SUGGESTIONS_MAX]
        ]
        with contextlib.suppress(Wait, Refused), self._doorway.acknowledging():
            await call(lambda: interaction.response.autocomplete(choices))

    async def _begun(self, beginning: Coroutine[Any, Any, bool]) -> bool:
        """Whether it was acknowledged in time, once it is its turn. What was not can't be shown:
        nothing is done."""
        try:
            with self._doorway.acknowledging():
                begun = await beginning
        except Wait:
            begun = False
        if begun:
            await self._doorway.enter()
        else:
            _log.info("an interaction was not acknowledged in time, or came twice")
        return begun

    @staticmethod
    def _scene(
        outlet: InteractionOutlet, interaction: discord.Interaction, *, private: bool
    ) -> Scene:
        return Scene(
            outlet,
            str(interaction.user.id),
            private=private,
            language=interaction.locale.value,
        )

    async def _play(self, scene: Scene, place: Place, outputs: AsyncIterator[Output]) -> None:
        try:
            await self._stage.play(scene, place, outputs)
        except (Refused, NotShown) as refused:
            _log.info("something could not be shown: %s", refused.code)
        except Exception as failure:  # noqa: BLE001 - one update's bug is no other's
            _log.error("an update failed: %s", cause(failure))
        finally:
            if isinstance(outputs, AsyncGenerator):
                await outputs.aclose()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= _TASKS_MAX:
            work.close()
            _log.error("too many updates at once: one was dropped")
            return
        self._begin(work)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _kept(keeping: Awaitable[None]) -> None:
    try:
        await keeping
    except Exception as failure:  # noqa: BLE001 - one event's trouble is no other's
        # Discord's list tells it again.
        _log.error("a purchase could not be kept now: %s", cause(failure))


async def _only(screen: Screen) -> AsyncIterator[Output]:
    yield screen


def _told(task: asyncio.Task[None]) -> None:
    """The connection is not meant to end by itself."""
    if not task.cancelled() and (failure := task.exception()) is not None:
        _log.error("the gateway is gone: %s", cause(failure))
