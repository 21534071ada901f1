"""Worlds of several tests of the system; a module's own fixture of the same name goes first."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.fakes.discord import FakeDiscord
from tests.fakes.suppliers import Answer
from tests.fakes.telegram import FakeTelegram
from tests.system import test_discord as on_discord
from tests.system.world import World, briefs_world


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    fake = FakeTelegram()
    await fake.start()
    yield fake
    await fake.stop()


@pytest_asyncio.fixture
async def world(sqlite_url: str, telegram: FakeTelegram) -> AsyncIterator[World]:
    async with briefs_world(sqlite_url, telegram) as world:
        world.openai.always(Answer("An answer."))
        yield world


@pytest_asyncio.fixture
async def discord(sqlite_url: str) -> AsyncIterator[on_discord.World]:
    fake = FakeDiscord()
    await fake.start()
    async with on_discord.briefs_world(sqlite_url, fake) as world:
        world.service.openai.always(Answer("An answer."))
        yield world
    await fake.stop()
