"""A person's private chat, on whichever platform: commands, presses, what is typed into prompts.

    async with on_telegram(url, **sold) as town:      # or on_discord
        bob = town.chat(7)
        card = await bob.says("contribute", "API key", supplier="openai")
        card = await bob.types(card, "Verified", key="sk-…")
        await bob.presses(card, "Contribute", "Thank you")

Each waits for a message that shows what is expected and wasn't there, or not like that, before.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from core.clock import SystemClock
from tests.peers.discord import FakeDiscord, plain
from tests.peers.discord_world import Message as DiscordMessage, User as DiscordUser
from tests.peers.telegram import FakeTelegram
from tests.peers.telegram_chats import Message, User
from tests.support.service import Service, running
from tests.system import discord_support, world
from tests.system.world import PATIENCE_S


class Card(Protocol):
    """A message of the bot's."""

    @property
    def shown(self) -> str:
        """As it is read now."""
        ...

    def link(self, label: str) -> str:
        """Where a button leads."""
        ...


class Chat(Protocol):
    """See the module."""

    async def says(self, command: str, shown: str, **options: str) -> Card:
        """A command, with its options in order."""
        ...

    async def presses(self, card: Card, label: str, shown: str) -> Card:
        """A button."""
        ...

    async def types(self, card: Card, shown: str, **fields: str) -> Card:
        """What a prompt asks for, as this platform takes it."""
        ...

    async def hears(self, shown: str) -> Card:
        """What comes, or came, by itself."""
        ...

    def sees(self, text: str) -> bool:
        """Whether anybody who opens the chat could read this."""
        ...


@dataclass
class Town:
    """A service and its chats on one platform."""

    platform: str
    service: Service
    chat: Callable[[int], Chat]
    #: Everything that the bot ever sent, message by message.
    sent: Callable[[], list[str]]


# --- Telegram -----------------------------------------------------------------------------------


@dataclass
class _Told:
    message: Message

    @property
    def shown(self) -> str:
        return self.message.text

    def link(self, label: str) -> str:
        return next(data for row in self.message.buttons for shown, data in row if label in shown)


@dataclass
class _OnTelegram:
    world: world.World
    person: User

    async def says(self, command: str, shown: str, **options: str) -> Card:
        text = " ".join((f"/{command}", *options.values()))
        return _Told(await self.world.says(self.person, text, shown))

    async def presses(self, card: Card, label: str, shown: str) -> Card:
        assert isinstance(card, _Told)
        return _Told(await self.world.presses(self.person, card.message, label, shown))

    async def types(self, card: Card, shown: str, **fields: str) -> Card:
        known = self.world._known(self.person.id)
        self.world.telegram.says(self.person, "\n".join(fields.values()))
        return _Told(await self.world.next(self.person.id, shown, known))

    async def hears(self, shown: str) -> Card:
        return _Told(await self.world.telegram.seen(self.person.id, shown, seconds=PATIENCE_S))

    def sees(self, text: str) -> bool:
        return any(text in each.text for each in self.world.telegram.chat(self.person.id).messages)


def _files(fake: FakeTelegram) -> list[str]:
    messages = [each for chat in fake.chats.values() for each in chat.messages]
    return [str(each.file) for each in messages if each.file]


@contextlib.asynccontextmanager
async def on_telegram(url: str, **sold: Any) -> AsyncIterator[Town]:
    fake = FakeTelegram()
    await fake.start()
    try:
        async with world.briefs_world(url, fake, **sold) as there:
            yield Town(
                "telegram",
                there.service,
                lambda person: _OnTelegram(there, fake.user(person)),
                lambda: [str(call.params) for call in fake.calls] + _files(fake),
            )
    finally:
        await fake.stop()


# --- Discord ------------------------------------------------------------------------------------


@dataclass
class _Seen:
    message: DiscordMessage

    @property
    def shown(self) -> str:
        return plain(self.message.content)

    def link(self, label: str) -> str:
        return next(leads for shown, leads, _ in self.message.choices if label in shown)


@dataclass
class _OnDiscord:
    fake: FakeDiscord
    person: DiscordUser

    async def says(self, command: str, shown: str, **options: str) -> Card:
        return await self._next(lambda: self.fake.slash(self.person, command, options), shown)

    async def presses(self, card: Card, label: str, shown: str) -> Card:
        assert isinstance(card, _Seen)
        message = card.message
        menu = any(label in each and value for each, _, value in message.choices)
        press = self.fake.selects if menu else self.fake.presses
        return await self._next(lambda: press(self.person, message, label), shown)

    async def types(self, card: Card, shown: str, **fields: str) -> Card:
        assert isinstance(card, _Seen)
        press = self.fake.presses(self.person, card.message, "Enter it")
        await self.fake.wait_for(lambda: press.modal, PATIENCE_S)
        return await self._next(lambda: self.fake.submits(self.person, press, **fields), shown)

    async def hears(self, shown: str) -> Card:
        return await self._found({}, shown)

    def sees(self, text: str) -> bool:
        return any(text in each.content for each in self.fake.dm(self.person).messages)

    async def _next(self, act: Callable[[], object], shown: str) -> Card:
        known = {each.id: each.content for each in self._messages()}
        act()
        return await self._found(known, shown)

    async def _found(self, known: dict[int, str], shown: str) -> Card:
        def fresh() -> list[DiscordMessage]:
            return [
                each
                for each in self._messages()
                if shown in plain(each.content) and known.get(each.id) != each.content
            ]

        await self.fake.wait_for(fresh, PATIENCE_S)
        return _Seen(fresh()[-1])

    def _messages(self) -> list[DiscordMessage]:
        return self.fake.messages(self.fake.dm(self.person), self.person)


def _attached(fake: FakeDiscord) -> list[str]:
    messages = [each for channel in fake.channels.values() for each in channel.messages]
    return [str(file) for each in messages for file in each.files]


@contextlib.asynccontextmanager
async def on_discord(url: str, **sold: Any) -> AsyncIterator[Town]:
    fake = FakeDiscord()
    await fake.start()
    try:
        async with (
            running(url, SystemClock(), **sold) as service,
            discord_support.on_discord(service, fake),
        ):
            yield Town(
                "discord",
                service,
                lambda person: _OnDiscord(fake, fake.user(person)),
                lambda: [str(call.body) for call in fake.calls] + _attached(fake),
            )
    finally:
        await fake.stop()


PLATFORMS = {"telegram": on_telegram, "discord": on_discord}
