"""Replies on Telegram and Discord, through the unmodified clients: a reply to one's own older
answer, to any of its messages, goes on from there; every other reply is the next question."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from core.clock import SystemClock
from tests.peers.discord import FakeDiscord
from tests.peers.suppliers import Answer
from tests.peers.telegram import FakeTelegram
from tests.support.service import Service, running
from tests.system import world
from tests.system.discord_support import on_discord
from tests.system.world import PATIENCE_S

ROOM = -1_001_000
#: More than one message anywhere.
LONG = "word " * 1_500
NOTE = "goes on from the answer that you replied to"


@dataclass
class Room:
    """A group with Ann (7) and Bob (8). `say` gives the messages of the answer."""

    service: Service
    _say: Callable[[int, str, Any], Awaitable[list[Any]]]
    text: Callable[[Any], str]

    async def say(
        self, who: int, question: str, *, answered: str = "", reply_to: object = None
    ) -> list[Any]:
        self.service.openai.script(Answer(answered or question.upper()))
        return await self._say(who, question, reply_to)

    @property
    def sent(self) -> list[str]:
        """What went to the model with the newest question."""
        sent = self.service.openai.calls[-1].body["messages"]
        return [message["content"].split()[0] for message in sent]


@contextlib.asynccontextmanager
async def on_telegram(url: str) -> AsyncIterator[Room]:
    fake = FakeTelegram()
    await fake.start()
    try:
        async with world.briefs_world(url, fake) as there:
            group, seconds = fake.group(ROOM), itertools.count(1_790_000_000)
            people = {who: fake.user(who) for who in (7, 8)}

            async def say(who: int, question: str, reply_to: Any) -> list[Any]:
                before = len(group.bot_messages)
                text = question if reply_to is not None else f"@credit_test_bot {question}"
                # Telegram's times are whole seconds, and nobody writes twice in one.
                fake.says(people[who], text, chat=ROOM, reply_to=reply_to, date=next(seconds))
                await fake.wait_for(
                    lambda: any("◈" in each.text for each in group.bot_messages[before:]),
                    PATIENCE_S,
                )
                return group.bot_messages[before:]

            yield Room(there.service, say, lambda message: message.text)
    finally:
        await fake.stop()


@contextlib.asynccontextmanager
async def on_discord_(url: str) -> AsyncIterator[Room]:
    fake = FakeDiscord()
    await fake.start()
    try:
        async with running(url, SystemClock()) as service, on_discord(service, fake):
            people = {who: fake.user(who) for who in (7, 8)}

            async def say(who: int, question: str, reply_to: Any) -> list[Any]:
                before = len(fake.messages(fake.text))
                fake.says(
                    people[who],
                    question,
                    channel=fake.text,
                    mention=reply_to is None,
                    reply_to=reply_to,
                )

                def shown() -> list[Any]:
                    return fake.messages(fake.text)[before:]

                await fake.wait_for(
                    lambda: any("◈" in each.content for each in shown()), PATIENCE_S
                )
                return shown()

            yield Room(service, say, lambda message: message.content)
    finally:
        await fake.stop()


PLATFORMS = {"telegram": on_telegram, "discord": on_discord_}


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_a_reply_to_an_older_answer_goes_on_from_there(
    platform: str, sqlite_url: str
) -> None:
    async with PLATFORMS[platform](sqlite_url) as room:
        long = await room.say(7, "one", answered=LONG)
        assert len(long) > 1
        (two,) = await room.say(7, "two")
        assert room.sent == ["one", "word", "two"]
        # Any message of the long answer stands for it, the first too.
        (three,) = await room.say(7, "three", reply_to=long[0])
        assert room.sent == ["one", "word", "three"]
        assert NOTE in room.text(three)
        (four,) = await room.say(7, "four")
        assert room.sent == ["one", "word", "three", "THREE", "four"]
        (five,) = await room.say(7, "five", reply_to=four)
        assert room.sent[-2:] == ["FOUR", "five"]
        assert not any(NOTE in room.text(each) for each in (two, four, five))
        # Of another's answer goes along what everybody sees, not their history.
        (six,) = await room.say(8, "six", reply_to=two)
        assert room.sent == [">"]
        assert NOTE not in room.text(six)
        (seven,) = await room.say(7, "seven", reply_to=two)
        assert room.sent == ["one", "word", "two", "TWO", "seven"]
        assert NOTE in room.text(seven)
