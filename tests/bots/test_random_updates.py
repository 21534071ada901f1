"""Random updates and events, whole and broken, beside a conversation: front ends read on, each is
somebody's alone, and nothing piles up in memory."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bots.chat.types import ButtonPress, Card, IncomingMessage, Output
from tests.bots.discord import conftest as on_discord
from tests.bots.discord.scripted import DiscordFront
from tests.bots.telegram import conftest as on_telegram
from tests.bots.telegram.scripted import ScriptedFront
from tests.peers.discord import FakeDiscord
from tests.peers.telegram import FakeTelegram
from tests.support.size import size

pytestmark = pytest.mark.slow

#: On each platform half of them; the talk goes on after so many.
COUNT, ROUND = size(small=4_000, full=500_000), 500
#: What may stay of them, in bytes: the same tables are filled and emptied all the time.
GROWTH_MAX = 40_000_000

PERSON = {"id": 8, "is_bot": False, "first_name": "Bob", "language_code": "en"}
CHATS = (
    {"id": 8, "type": "private", "first_name": "Bob"},
    {"id": -100, "type": "supergroup", "title": "Group"},
    {"id": -9, "type": "channel", "title": "News"},
)
FILE = {"file_id": "f", "file_unique_id": "f", "file_size": 5}
CONTENTS: Sequence[dict[str, Any]] = (
    {"text": "why?", "entities": [{"type": "bold", "offset": 0, "length": 3}]},
    {"text": "/ask why?", "entities": [{"type": "bot_command", "offset": 0, "length": 4}]},
    {"caption": "look", "photo": [FILE | {"width": 1, "height": 1}]},
    {"voice": FILE | {"duration": 3, "mime_type": "audio/ogg"}},
    {"document": FILE | {"file_name": "a.txt", "mime_type": "text/plain"}},
    {"sticker": FILE | {"type": "regular", "width": 1, "height": 1, "emoji": "🙂"}},
    {"location": {"latitude": 1.5, "longitude": 2.5}},
    {"new_chat_members": [PERSON]},
    {"migrate_to_chat_id": -200},
    {
        "text": "seen?",
        "forward_origin": {"type": "user", "date": 1, "sender_user": PERSON},
        "quote": {"text": "part", "position": 0},
    },
)
#: What is put in the place of something.
JUNK: Sequence[Any] = (
    *(None, True, -1, 0, 2**63, 1.5, "", "x", "\ud800", "x" * 5_000, "\u202e", "9" * 400),
    *([], {}, [[]], {"id": {}}, [None] * 50, {"": ""}),
)


class TalkingFront:
    """Answers the talk, and nothing else."""

    async def handle_message(self, incoming: IncomingMessage) -> AsyncIterator[Output]:
        if incoming.text.startswith("talk "):
            yield Card(lines=(f"heard {incoming.text}",))

    async def handle_press(self, press: ButtonPress) -> AsyncIterator[Output]:
        del press
        for output in ():
            yield output


class TelegramFront(TalkingFront, ScriptedFront):
    """Implements `ChatHandler` for Telegram."""


class TalkingDiscordFront(TalkingFront, DiscordFront):
    """Implements `ChatHandler` for Discord."""


def spoil(random: Random, content: Any) -> Any:
    """Up to four places of it are lost, or hold something else; one in three stays as it is."""
    content = copy.deepcopy(content)
    for _ in range(random.choice((0, 1, 2, 4))):
        within = content
        while isinstance(within, dict | list) and within:
            keys = list(within) if isinstance(within, dict) else range(len(within))
            key: Any = random.choice(keys)
            inner = within[key]
            if isinstance(inner, dict | list) and inner and random.random() < 0.7:
                within = inner
                continue
            if isinstance(within, dict) and random.random() < 0.3:
                del within[key]
            else:
                within[key] = copy.deepcopy(random.choice(JUNK))
            break
    return content


def telegram_update(random: Random, number: int) -> tuple[str, dict[str, Any]]:
    message = {
        "message_id": 100_000 + number,
        "date": 1_772_366_400,
        "from": PERSON,
        "chat": random.choice(CHATS),
        **random.choice(CONTENTS),
    }
    kind = random.choice(("message", "message", "message", "callback_query", "pre_checkout_query"))
    content: dict[str, Any] = message
    if kind == "callback_query":
        about = {"id": str(number), "from": PERSON, "chat_instance": "1"}
        content = about | {"message": message, "data": "btn_1"}
    elif kind == "pre_checkout_query":
        about = {"id": str(number), "from": PERSON, "currency": "XTR", "total_amount": 5}
        content = about | {"invoice_payload": f"ord_{number}"}
    elif random.random() < 0.2:
        content = message | {"reply_to_message": copy.deepcopy(message)}
    return kind, spoil(random, content)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def nothing_lost() -> Iterator[None]:
    """No task ends by what nobody looks at: the loop would log it, content and all."""
    lost: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: lost.append(f"{context['message']}: {context.get('exception')!r}")
    )
    yield
    assert lost == []


async def play(send: Callable[[int], None], talk: Callable[[str], Any]) -> None:
    """Sends them in rounds, and talks after each; memory is looked at once all has warmed up."""
    begun, began_cpu = 0, time.thread_time()
    for number in range(COUNT):
        send(number)
        if number % ROUND == ROUND - 1:
            await talk(f"talk {number}")
        if number == COUNT // 4:
            begun = resident_bytes()
    grown = resident_bytes() - begun
    cpu = (time.thread_time() - began_cpu) / COUNT
    print(f"{COUNT} updates, {cpu * 1e3:.2f} ms of the loop's thread each, the fake's among them;")
    print(f"memory grew by {grown / 1e6:.1f} MB in the last three quarters")
    assert grown < GROWTH_MAX


@pytest.mark.timeout(7_200)
async def test_telegram_reads_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # what is kept of logs would count as memory
    random, fake, front = Random(7), FakeTelegram(), TelegramFront()
    ann = fake.user(7)

    def send(number: int) -> None:
        fake.update(*telegram_update(random, number))

    async def talk(text: str) -> None:
        fake.says(ann, text)
        await fake.seen(7, f"heard {text}", seconds=120)
        fake.calls.clear()
        fake.chat(7).messages.clear()
        caplog.clear()

    with nothing_lost():
        async with on_telegram.running(fake, front):
            await play(send, talk)
    await fake.stop()


@pytest.mark.timeout(7_200)
async def test_discord_reads_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    random, fake, front = Random(7), FakeDiscord(), TalkingDiscordFront()
    await fake.start()
    ann, bob = fake.user(7), fake.user(8)
    channel = fake.text
    whole = _record_events(fake, bob, channel)

    def send(_: int) -> None:
        kind, data, guild = random.choice(whole)
        fake.tell(kind, spoil(random, data), guild)

    async def talk(text: str) -> None:
        fake.says(ann, text)
        await fake.seen(fake.dm(ann), f"heard {text}", seconds=120)
        fake.calls.clear()
        fake.dm(ann).messages.clear()
        for session in fake.gateway.sessions.values():
            session.events.clear()  # kept for those who resume
        caplog.clear()

    with nothing_lost():
        async with on_discord.running(fake, front) as discord:
            await play(send, talk)
            assert discord._connection_task is not None
            assert not discord._connection_task.done()
    await fake.stop()


def _record_events(
    fake: FakeDiscord, bob: Any, channel: Any
) -> list[tuple[str, dict[str, Any], int | None]]:
    """What the fake tells of a message, a mention, a command and what nobody knows."""
    fake.says(bob, "why?")
    fake.says(bob, "why?", channel=channel, mention=True)
    fake.slash(bob, "/ask", {"question": "why?"}, channel)
    told = []
    while not fake._events.empty():
        told.append(fake._events.get_nowait())
    guild = told[1][2]
    return [
        *told,
        ("MESSAGE_UPDATE", told[0][1], None),
        ("MESSAGE_DELETE", {"id": "5", "channel_id": "6"}, None),
        ("THREAD_CREATE", {"id": "9", "guild_id": str(guild), "parent_id": "6", "type": 11}, guild),
        ("ENTITLEMENT_CREATE", {"id": "1", "sku_id": "2", "user_id": "8", "type": 8}, None),
        ("MOON_LANDING", {"at": 1}, None),
    ]
