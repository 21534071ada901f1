"""Where an answer goes whose process is gone: by the token of its interaction while that is valid,
in its channel, else to the person, who is told why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, final

import discord

from bots.chat.types import Unlanded
from bots.discord.sender import ChannelOutlet, Outlet, Post, Refused, call

Result = TypeVar("Result")


@final
class TokenOutlet:
    """A responder that has an interaction's token alone: it fills what was deferred, and edits what
    it has sent."""

    def __init__(self, client: discord.Client, chat: str, token: str) -> None:
        self.chat = chat
        assert client.application_id is not None, "the client is logged in"
        self._hook = discord.Webhook.partial(client.application_id, token, client=client)

    async def send(self, post: Post, *, alone: bool = False) -> int:  # noqa: ARG002 - never alone
        """See `Responder`."""
        message = await call(lambda: self._hook.send(**post.sending(), wait=True))
        return int(message.id)

    async def edit(self, message: int, post: Post) -> None:
        """See `Responder`."""
        await call(lambda: self._hook.edit_message(message, **post.editing()))

    async def delete(self, message: int) -> None:
        """See `Responder`."""
        await call(lambda: self._hook.delete_message(message))

    async def close(self, *, silent: bool) -> None:
        """See `Responder`."""


@final
class StoredOutlet:
    """The responder for one stored answer: it tries several ways to the answer's chat, and keeps to
    the first that is open."""

    def __init__(self, client: discord.Client, unlanded: Unlanded) -> None:
        place = unlanded.place
        self.chat = place.thread or place.chat
        person, _, token = unlanded.way_back.partition(":")
        # A stored place doesn't tell a person from a channel, so both are tried.
        self._ways: list[Outlet] = [
            ChannelOutlet(client, int(self.chat), person=False),
            ChannelOutlet(client, int(person or place.chat), person=True),
        ]
        if token:
            self._ways.insert(0, TokenOutlet(client, self.chat, token))
        #: Said once, in front of what goes to the person instead of where they asked.
        self._elsewhere = unlanded.elsewhere if person not in ("", place.chat) else ""

    async def send(self, post: Post, *, alone: bool = False) -> int:
        """See `Responder`."""

        async def sent(way: Outlet) -> int:
            if self._elsewhere and len(self._ways) == 1:
                await way.send(Post(self._elsewhere))
                self._elsewhere = ""
            return await way.send(post, alone=alone)

        return await self._open(sent)

    async def edit(self, message: int, post: Post) -> None:
        """See `Responder`."""
        await self._open(lambda way: way.edit(message, post))

    async def delete(self, message: int) -> None:
        """See `Responder`."""
        await self._open(lambda way: way.delete(message))

    async def close(self, *, silent: bool) -> None:
        """See `Responder`."""

    async def _open(self, work: Callable[[Outlet], Awaitable[Result]]) -> Result:
        while True:
            try:
                return await work(self._ways[0])
            except Refused as refused:
                if not refused.closed or len(self._ways) == 1:
                    raise
            del self._ways[0]
