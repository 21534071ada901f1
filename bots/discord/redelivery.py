"""Where an answer goes whose process is gone: by the token of its interaction while that is valid,
else in its channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, final

import discord

from bots.chat.types import UndeliveredAnswer
from bots.discord.inbound import parse_way_back
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
        person, token, self.shows_question = parse_way_back(undelivered.way_back)
        #: Whom it may be shown to in private: by Discord's id, empty when nobody knows.
        self.asker = person or undelivered.asker
        # A direct chat is stored by its person's id, not by a channel's.
        is_direct = place.chat == self.asker
        self._responders: list[Responder] = [
            ChannelResponder(client, int(self.throttle_key), person=is_direct)
        ]
        self.has_token = bool(token)
        if token:
            self._responders.insert(0, TokenResponder(client, self.throttle_key, token))

    async def send_post(self, post: DiscordPost, *, ephemeral: bool = False) -> int:
        """See `Responder`."""
        return await self._try_responders(lambda way: way.send_post(post, ephemeral=ephemeral))

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
