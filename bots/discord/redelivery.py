"""Where an answer goes whose process is gone: by the token of its interaction while that is valid,
in its channel, else to the person, who is told why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, final

import discord

from bots.chat.types import UndeliveredAnswer
from bots.discord.sender import (
    ChannelResponder,
    DiscordPost,
    DiscordRefused,
    Responder,
    call_discord,
)

Result = TypeVar("Result")


@final
class TokenResponder:
    """A responder that has an interaction's token alone: it fills what was deferred, and edits what
    it has sent."""

    def __init__(self, client: discord.Client, throttle_key: str, token: str) -> None:
        self.throttle_key = throttle_key
        assert client.application_id is not None, "the client is logged in"
        self._hook = discord.Webhook.partial(client.application_id, token, client=client)

    async def send_post(self, post: DiscordPost, *, ephemeral: bool = False) -> int:  # noqa: ARG002 - never alone
        """See `Responder`."""
        message = await call_discord(
            lambda: self._hook.send(**post.build_send_arguments(), wait=True)
        )
        return int(message.id)

    async def edit_post(self, message: int, post: DiscordPost) -> None:
        """See `Responder`."""
        await call_discord(lambda: self._hook.edit_message(message, **post.build_edit_arguments()))

    async def delete_message(self, message: int) -> None:
        """See `Responder`."""
        await call_discord(lambda: self._hook.delete_message(message))

    async def close(self, *, is_silent: bool) -> None:
        """See `Responder`."""


@final
class RedeliveryResponder:
    """The responder for one stored answer: it tries several ways to the answer's chat, and keeps to
    the first that is open."""

    def __init__(self, client: discord.Client, undelivered: UndeliveredAnswer) -> None:
        place = undelivered.place
        self.throttle_key = place.thread or place.chat
        person, _, token = undelivered.way_back.partition(":")
        # A stored place doesn't tell a person from a channel, so both are tried.
        self._responders: list[Responder] = [
            ChannelResponder(client, int(self.throttle_key), person=False),
            ChannelResponder(client, int(person or place.chat), person=True),
        ]
        if token:
            self._responders.insert(0, TokenResponder(client, self.throttle_key, token))
        #: Said once, in front of what goes to the person instead of where they asked.
        self._elsewhere_note = undelivered.elsewhere_note if person not in ("", place.chat) else ""

    async def send_post(self, post: DiscordPost, *, ephemeral: bool = False) -> int:
        """See `Responder`."""

        async def send_through(responder: Responder) -> int:
            if self._elsewhere_note and len(self._responders) == 1:
                await responder.send_post(DiscordPost(self._elsewhere_note))
                self._elsewhere_note = ""
            return await responder.send_post(post, ephemeral=ephemeral)

        return await self._try_responders(send_through)

    async def edit_post(self, message: int, post: DiscordPost) -> None:
        """See `Responder`."""
        await self._try_responders(lambda way: way.edit_post(message, post))

    async def delete_message(self, message: int) -> None:
        """See `Responder`."""
        await self._try_responders(lambda way: way.delete_message(message))

    async def close(self, *, is_silent: bool) -> None:
        """See `Responder`."""

    async def _try_responders(self, work: Callable[[Responder], Awaitable[Result]]) -> Result:
        while True:
            try:
                return await work(self._responders[0])
            except DiscordRefused as refused:
                if not refused.is_unreachable or len(self._responders) == 1:
                    raise
            del self._responders[0]
