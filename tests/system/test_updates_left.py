"""What a process had stored of Discord's events and never worked: the next one works it, once, and
it is charged once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from bots.chat.types import ButtonPress, IncomingMessage, Output
from bots.chat.update_intake import UpdateIntake
from bots.config.settings import DiscordConfig, DiscordTiming
from bots.discord.adapter import DiscordAdapter
from core.clock import SystemClock
from core.db import schema
from core.money import Credits
from tests.peers.discord import TOKEN, FakeDiscord, plain
from tests.peers.discord_world import User
from tests.support.service import Service, running
from tests.system.discord_support import PATIENCE_S, fake, on_discord

__all__ = ["fake"]

QUESTION = "canary-question"


#: What hangs is a cycle that nothing else holds: it would be collected while it waits.
_HANGING: list[asyncio.Event] = []


async def hang() -> None:
    _HANGING.append(asyncio.Event())
    await _HANGING[-1].wait()


class Stuck:
    """A dispatcher that dies before it does anything."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dispatcher, name)

    async def handle_message(self, _: IncomingMessage) -> AsyncIterator[Output]:
        await hang()
        yield  # type: ignore[misc]

    async def handle_press(self, _: ButtonPress) -> AsyncIterator[Output]:
        await hang()
        yield  # type: ignore[misc]


async def stored(service: Service) -> list[Any]:
    return list(await service.app.services.base.db.fetch(schema.chat_update.select()))


async def stored_count(service: Service, count: int) -> None:
    """Returns once there are so many rows."""
    async with asyncio.timeout(PATIENCE_S):
        while len(await stored(service)) != count:
            pass


async def left_behind(service: Service, fake: FakeDiscord, tom: User, how: str) -> None:
    """A process stores what Tom sends, and is gone before it does anything."""
    config = DiscordConfig(
        token=SecretStr(TOKEN),
        api_url=fake.api_url,
        gateway_url=fake.gateway_url,
        timing=DiscordTiming(interval_seconds=0.02, stop_seconds=0),
    )
    inbox, chat = service.open_inbox("gone"), service.app.chat
    front = DiscordAdapter(
        config,
        Stuck(chat.dispatcher),
        service.clock,
        intake=UpdateIntake(chat.update_policy, inbox),
    )
    await front.start()
    if how == "command":
        asked = fake.slash(tom, "/ask", {"question": QUESTION}, fake.text)
        await fake.wait_for(lambda: asked.callbacks, PATIENCE_S)
    else:
        fake.says(tom, QUESTION)
        await stored_count(service, 1)
    (row,) = await stored(service)
    assert QUESTION.encode() not in bytes(row.sealed)
    await front.stop()
    assert len(await stored(service)) == 1, "a process that ends leaves it to others"
    await inbox.release()


async def test_a_card_that_a_process_showed_before_it_was_gone_is_shown_once(
    sqlite_url: str, fake: FakeDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    tom, words = fake.user(7), "/balance"
    async with running(sqlite_url, SystemClock()) as service:
        inbox, chat = service.open_inbox("gone"), service.app.chat
        with monkeypatch.context() as patched:  # it is killed before it deletes the row
            patched.setattr(inbox, "forget", lambda *_: None)
            async with on_discord(service, fake, UpdateIntake(chat.update_policy, inbox)):
                fake.says(tom, words)
                await fake.wait_for(lambda: fake.messages(fake.dm(tom)), PATIENCE_S)
        await inbox.release()
        assert len(await stored(service)) == 1
        chat.dispatcher._seen_updates.clear()  # as another process has it
        async with on_discord(service, fake):
            assert await service.app.chat.update_inbox.work_left_updates() == 1
            await stored_count(service, 0)
            assert len(fake.messages(fake.dm(tom))) == 1
            # The same words once more are another message.
            fake.says(tom, words)
            await fake.wait_for(lambda: len(fake.messages(fake.dm(tom))) == 2, PATIENCE_S)


@pytest.mark.parametrize("how", ["command", "message"])
async def test_what_a_process_left_is_worked_by_the_next(
    database_url: str, fake: FakeDiscord, how: str
) -> None:
    tom = fake.user(7)
    async with running(database_url, SystemClock()) as service:
        await left_behind(service, fake, tom, how)
        where = fake.text if how == "command" else fake.dm(tom).id
        async with on_discord(service, fake):
            await service.app.chat.update_inbox.work_left_updates()
            await fake.wait_for(
                lambda: any("◈" in plain(each.content) for each in fake.messages(where)),
                PATIENCE_S,
            )
            await stored_count(service, 0)
        assert len(service.openai.calls) == 1
        assert await service.spent("gpt-4") == Credits(1)
