"""A fake Discord and the real adapter on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from bots.chat.types import ChatHandler
from bots.config.settings import DiscordConfig, DiscordTiming
from bots.discord.adapter import DiscordAdapter
from core.clock import Clock, SystemClock
from tests.bots.discord.scripted import DiscordFront
from tests.peers.discord import TOKEN, FakeDiscord

CONFIG = DiscordConfig(
    token=SecretStr(TOKEN),
    timing=DiscordTiming(interval_seconds=0.02, stop_seconds=5, connect_seconds=10),
)


@pytest.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    fake = FakeDiscord()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
def front(fake: FakeDiscord) -> DiscordFront:
    front = DiscordFront()
    front.changed = fake.changed
    return front


@asynccontextmanager
async def running(
    fake: FakeDiscord,
    front: ChatHandler,
    config: DiscordConfig = CONFIG,
    clock: Clock | None = None,
) -> AsyncIterator[DiscordAdapter]:
    """The adapter, connected to the fake."""
    here = config.model_copy(update={"api_url": fake.api_url, "gateway_url": fake.gateway_url})
    discord = DiscordAdapter(here, front, clock or SystemClock())
    await discord.start()
    try:
        yield discord
    finally:
        await discord.stop()


@pytest.fixture
async def discord(fake: FakeDiscord, front: DiscordFront) -> AsyncIterator[DiscordAdapter]:
    async with running(fake, front) as discord:
        yield discord
