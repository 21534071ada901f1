"""Answers to one interaction: by its token for 15 minutes, then by the bot's own right. Acknowledge
first, work later.

Discord drops what is not acknowledged within three seconds, and the loop has one core: in a crowd,
the work for acknowledged interactions would take it from those that still wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final, final

import discord

from bots.chat.types import Form
from bots.config.settings import DiscordConfig
from bots.discord.components import build_modal
from bots.discord.inbound import is_ephemeral, is_in_private
from bots.discord.sender import (
    ALREADY_ACKNOWLEDGED,
    TOKEN_EXPIRED,
    ChannelResponder,
    DiscordPost,
    DiscordRefused,
    Responder,
    call_discord,
)
from bots.render.throttle import RetryLater
from core.clock import Clock

#: So long before the end it is said that there will be one.
_EXPIRY_NOTE_SECONDS: Final = 60.0


@final
class InteractionResponder:
    """The responder to one interaction. It must be acknowledged first: Discord gives three seconds
    for that."""

    def __init__(
        self,
        client: discord.Client,
        interaction: discord.Interaction,
        config: DiscordConfig,
        clock: Clock,
    ) -> None:
        self._client = client
        self._interaction = interaction
        self._clock = clock
        self._ends_at = clock.monotonic() + config.timing.token_seconds
        #: "Thinking…" stands there, to be filled.
        self._is_deferred = False
        #: We put it there.
        self._is_deferred_by_us = False
        #: Everything here is for one reader.
        self._is_ephemeral = is_ephemeral(interaction)
        self._is_private = is_in_private(interaction)
        self._is_over = False
        self._fallback_responders = self._fallbacks()
        #: The message that fills what was deferred.
        self._original_message = 0
        # A token has a bucket of its own: answers in one channel don't slow each other.
        self.throttle_key = str(interaction.id)

    @property
    def can_continue(self) -> bool:
        """Whether the answer can go on here when the token is over."""
        return (
            self._is_private or self._interaction.is_guild_integration()
        ) and not self._is_ephemeral

    @property
    def is_expired(self) -> bool:
        """Whether the token's time is over."""
        return self._is_over or self._clock.monotonic() >= self._ends_at

    @property
    def expires_soon(self) -> bool:
        """Whether it is time to say so."""
        return self._is_over or self._clock.monotonic() >= self._ends_at - _EXPIRY_NOTE_SECONDS

    async def acknowledge_command(self, *, ephemeral: bool) -> bool:
        """Acknowledges a command; whether anything can be shown. Whether for one reader alone is
        said now, for all of it."""
        self._is_ephemeral = ephemeral and not self._is_private
        try:
            await call_discord(
                lambda: self._interaction.response.defer(
                    ephemeral=self._is_ephemeral, thinking=True
                )
            )
        except DiscordRefused as refused:
            # Acknowledged before: the same interaction came again. If there is something left to
            # show, whoever began it is gone.
            self._is_deferred = refused.reason == ALREADY_ACKNOWLEDGED
            return self._is_deferred
        self._is_deferred = self._is_deferred_by_us = True
        return True

    async def acknowledge_press(self) -> bool:
        """Acknowledges a button press; False for one that came again and was dealt with."""
        try:
            await call_discord(self._interaction.response.defer)
        except DiscordRefused:
            return False
        return True

    async def resume(self, *, ephemeral: bool, is_command: bool) -> None:
        """Goes on for a process that is gone: in what that one deferred, or, where it didn't come
        to that, by the bot's own right."""
        self._is_ephemeral = (ephemeral or self._is_ephemeral) and not self._is_private
        try:
            await call_discord(
                lambda: self._interaction.response.defer(
                    ephemeral=self._is_ephemeral, thinking=is_command
                )
            )
        except DiscordRefused as refused:
            self._is_over = refused.reason != ALREADY_ACKNOWLEDGED
        self._is_deferred = is_command and not self._is_over

    async def open_modal(self, form: Form) -> bool:
        """Opens a dialog, which is all that this interaction shows; whether it is open."""
        modal = build_modal(form)
        try:
            await call_discord(lambda: self._interaction.response.send_modal(modal))
        except DiscordRefused:
            return False
        return True

    async def send_post(self, post: DiscordPost, *, ephemeral: bool = False) -> int:
        """See `Responder`."""
        ephemeral = (ephemeral or self._is_ephemeral) and not self._is_private
        if not self.is_expired:
            try:
                return await self._send(post, ephemeral=ephemeral)
            except DiscordRefused as refused:
                if not refused.is_expired:
                    raise
                self._is_over = True
        return await self._send_after_expiry(post, ephemeral=ephemeral)

    async def edit_post(self, message: int, post: DiscordPost) -> None:
        """See `Responder`."""
        if not self.is_expired:
            try:
                await self._edit(message, post)
            except DiscordRefused as refused:
                if not refused.is_expired:
                    raise
                self._is_over = True
            else:
                return
        if not self.can_continue:
            raise DiscordRefused(TOKEN_EXPIRED)
        await self._fallback_responders[0].edit_post(message, post)

    async def delete_message(self, message: int) -> None:
        """See `Responder`."""
        if self.is_expired and self.can_continue:
            await self._fallback_responders[0].delete_message(message)
        else:
            hook = self._interaction.followup
            await call_discord(lambda: hook.delete_message(message))

    async def close(self, *, is_silent: bool) -> None:
        """See `Responder`."""
        if is_silent and self._is_deferred and self._is_deferred_by_us:
            self._is_deferred = False
            with contextlib.suppress(RetryLater, DiscordRefused):
                await call_discord(self._interaction.delete_original_response)

    async def replace_original(self, post: DiscordPost) -> None:
        """Shows it in what was deferred, or in the message whose button was pressed."""
        await call_discord(
            lambda: self._interaction.edit_original_response(**post.build_edit_arguments())
        )

    async def _edit(self, message: int, post: DiscordPost) -> None:
        if message == self._original_message:
            await self.replace_original(post)
        else:
            hook = self._interaction.followup
            await call_discord(lambda: hook.edit_message(message, **post.build_edit_arguments()))

    async def _send(self, post: DiscordPost, *, ephemeral: bool) -> int:
        if self._is_deferred and ephemeral != self._is_ephemeral:
            # What was begun for all can't become one reader's: it goes, and another one comes.
            # Until it is gone, what is sent would fill it, for all.
            await call_discord(self._interaction.delete_original_response)
            self._is_deferred = False
        if self._is_deferred and (filled := await self._fill_deferred(post)):
            self._original_message = filled
            return filled
        message: Any = await call_discord(
            lambda: self._interaction.followup.send(
                **post.build_send_arguments(), ephemeral=ephemeral, wait=True
            )
        )
        return int(message.id)

    async def _fill_deferred(self, post: DiscordPost) -> int:
        """The message that "Thinking…" became; 0 where another process took that away."""
        try:
            message: Any = await call_discord(
                lambda: self._interaction.edit_original_response(**post.build_edit_arguments())
            )
        except DiscordRefused as refused:
            if self._is_deferred_by_us or refused.is_expired:
                raise
            self._is_deferred = False
            return 0
        self._is_deferred = False
        return int(message.id)

    async def _send_after_expiry(self, post: DiscordPost, *, ephemeral: bool) -> int:
        """Where everybody sees it if the bot is there and they may; else to the person."""
        if self.can_continue and not ephemeral:
            with contextlib.suppress(DiscordRefused):
                return await self._fallback_responders[0].send_post(post)
        return await self._fallback_responders[1].send_post(post)

    def _fallbacks(self) -> tuple[Responder, Responder]:
        """The channel, and the person's direct chat."""
        person = ChannelResponder(self._client, self._interaction.user.id, person=True)
        channel = self._interaction.channel
        if self._is_private or channel is None:
            return person, person
        return ChannelResponder(self._client, channel.id, person=False), person


#: So many may wait to be acknowledged while others are served: that is no crowd.
WAITING_MAX: Final = 8
#: However long a crowd goes on, who was acknowledged is served after so long.
PATIENCE_SECONDS: Final = 3.0


@final
class AdmissionGate:
    """The gate lets acknowledged interactions in one after another, while few others wait to be
    acknowledged."""

    def __init__(self) -> None:
        self._waiting = 0
        self._is_calm = asyncio.Event()
        self._is_calm.set()
        #: Fair: whoever came first goes in first.
        self._turn_lock = asyncio.Lock()

    @contextlib.contextmanager
    def count_acknowledgement(self) -> Iterator[None]:
        """Meanwhile one waits at the door."""
        self._add_waiting(1)
        try:
            yield
        finally:
            self._add_waiting(-1)

    async def wait_turn(self) -> None:
        """Returns when it is one's turn to be served."""
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        async with self._turn_lock:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._is_calm.wait()
            # One each turn of the loop: what arrives meanwhile is read in between.
            await asyncio.sleep(0)

    def _add_waiting(self, more: int) -> None:
        self._waiting += more
        if self._waiting > WAITING_MAX:
            self._is_calm.clear()
        else:
            self._is_calm.set()
