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
from bots.discord.components import modal_of
from bots.discord.config import DiscordConfig
from bots.discord.inbound import for_one_alone, in_private
from bots.discord.sender import (
    ALREADY_ACKNOWLEDGED,
    TOKEN_EXPIRED,
    ChannelOutlet,
    Outlet,
    Post,
    Refused,
    call,
)
from bots.render.throttle import Wait
from core.clock import Clock

#: So long before the end it is said that there will be one.
_SOON_SECONDS: Final = 60.0


@final
class InteractionOutlet:
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
        self._ends_at = clock.monotonic() + config.token_seconds
        #: "Thinking…" stands there, to be filled.
        self._thinking = False
        #: We put it there.
        self._ours = False
        #: Everything here is for one reader.
        self._alone = for_one_alone(interaction)
        self._private = in_private(interaction)
        self._over = False
        self._after = self._fallbacks()
        #: The message that fills what was deferred.
        self._original = 0
        # A token has a bucket of its own: answers in one channel don't slow each other.
        self.chat = str(interaction.id)

    @property
    def leads_on(self) -> bool:
        """Whether the answer can go on here when the token is over."""
        return (self._private or self._interaction.is_guild_integration()) and not self._alone

    @property
    def ending(self) -> bool:
        """Whether the token's time is over."""
        return self._over or self._clock.monotonic() >= self._ends_at

    @property
    def ending_soon(self) -> bool:
        """Whether it is time to say so."""
        return self._over or self._clock.monotonic() >= self._ends_at - _SOON_SECONDS

    async def begin_command(self, *, alone: bool) -> bool:
        """Acknowledges a command; whether anything can be shown. Whether for one reader alone is
        said now, for all of it."""
        self._alone = alone and not self._private
        try:
            await call(
                lambda: self._interaction.response.defer(ephemeral=self._alone, thinking=True)
            )
        except Refused as refused:
            # Acknowledged before: the same interaction came again. If there is something left to
            # show, whoever began it is gone.
            self._thinking = refused.reason == ALREADY_ACKNOWLEDGED
            return self._thinking
        self._thinking = self._ours = True
        return True

    async def begin_press(self) -> bool:
        """Acknowledges a button press; False for one that came again and was dealt with."""
        try:
            await call(self._interaction.response.defer)
        except Refused:
            return False
        return True

    async def begin_form(self, form: Form) -> bool:
        """Opens a dialog, which is all that this interaction shows; whether it is open."""
        modal = modal_of(form)
        try:
            await call(lambda: self._interaction.response.send_modal(modal))
        except Refused:
            return False
        return True

    async def send(self, post: Post, *, alone: bool = False) -> int:
        """See `Responder`."""
        alone = (alone or self._alone) and not self._private
        if not self.ending:
            try:
                return await self._send(post, alone=alone)
            except Refused as refused:
                if not refused.expired:
                    raise
                self._over = True
        return await self._send_after(post, alone=alone)

    async def edit(self, message: int, post: Post) -> None:
        """See `Responder`."""
        if not self.ending:
            try:
                await self._edit(message, post)
            except Refused as refused:
                if not refused.expired:
                    raise
                self._over = True
            else:
                return
        if not self.leads_on:
            raise Refused(TOKEN_EXPIRED)
        await self._after[0].edit(message, post)

    async def delete(self, message: int) -> None:
        """See `Responder`."""
        if self.ending and self.leads_on:
            await self._after[0].delete(message)
        else:
            hook = self._interaction.followup
            await call(lambda: hook.delete_message(message))

    async def close(self, *, silent: bool) -> None:
        """See `Responder`."""
        if silent and self._thinking and self._ours:
            self._thinking = False
            with contextlib.suppress(Wait, Refused):
                await call(self._interaction.delete_original_response)

    async def replace(self, post: Post) -> None:
        """Shows it in what was deferred, or in the message whose button was pressed."""
        await call(lambda: self._interaction.edit_original_response(**post.editing()))

    async def _edit(self, message: int, post: Post) -> None:
        if message == self._original:
            await self.replace(post)
        else:
            hook = self._interaction.followup
            await call(lambda: hook.edit_message(message, **post.editing()))

    async def _send(self, post: Post, *, alone: bool) -> int:
        if self._thinking and alone != self._alone:
            # What was begun for all can't become one reader's: it goes, and another one comes.
            # Until it is gone, what is sent would fill it, for all.
            await call(self._interaction.delete_original_response)
            self._thinking = False
        if self._thinking:
            message: Any = await call(
                lambda: self._interaction.edit_original_response(**post.editing())
            )
            self._thinking = False
            self._original = int(message.id)
        else:
            message = await call(
                lambda: self._interaction.followup.send(
                    **post.sending(), ephemeral=alone, wait=True
                )
            )
        return int(message.id)

    async def _send_after(self, post: Post, *, alone: bool) -> int:
        """Where everybody sees it if the bot is there and they may; else to the person."""
        if self.leads_on and not alone:
            with contextlib.suppress(Refused):
                return await self._after[0].send(post)
        return await self._after[1].send(post)

    def _fallbacks(self) -> tuple[Outlet, Outlet]:
        """The channel, and the person's direct chat."""
        person = ChannelOutlet(self._client, self._interaction.user.id, person=True)
        channel = self._interaction.channel
        if self._private or channel is None:
            return person, person
        return ChannelOutlet(self._client, channel.id, person=False), person


#: So many may wait to be acknowledged while others are served: that is no crowd.
FEW: Final = 8
#: However long a crowd goes on, who was acknowledged is served after so long.
PATIENCE_SECONDS: Final = 3.0


@final
class Doorway:
    """The gate lets acknowledged interactions in one after another, while few others wait to be
    acknowledged."""

    def __init__(self) -> None:
        self._waiting = 0
        self._calm = asyncio.Event()
        self._calm.set()
        #: Fair: whoever came first goes in first.
        self._next = asyncio.Lock()

    @contextlib.contextmanager
    def acknowledging(self) -> Iterator[None]:
        """Meanwhile one waits at the door."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    async def enter(self) -> None:
        """Returns when it is one's turn to be served."""
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        async with self._next:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._calm.wait()
            # One each turn of the loop: what arrives meanwhile is read in between.
            await asyncio.sleep(0)

    def _count(self, more: int) -> None:
        self._waiting += more
        if self._waiting > FEW:
            self._calm.clear()
        else:
            self._calm.set()
