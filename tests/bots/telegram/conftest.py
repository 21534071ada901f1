"""A fake Telegram and the real adapter on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from bots.config.settings import TelegramConfig, TelegramTiming
from bots.telegram.adapter import TelegramAdapter
from core.clock import SystemClock
from tests.bots.telegram.scripted import ScriptedFront
from tests.peers.telegram import TOKEN, FakeTelegram


@pytest.fixture
async def fake() -> AsyncIterator[FakeTelegram]:
    fake = FakeTelegram()
    yield fake
    await fake.stop()


@pytest.fixture
def front(fake: FakeTelegram) -> ScriptedFront:
    front = ScriptedFront()
    front.changed = fake.changed
    return front


CONFIG = TelegramConfig(
    token=SecretStr(TOKEN),
    timing=TelegramTiming(
        private_interval_seconds=0.02,
        group_interval_seconds=0.03,
        join_seconds=0.05,
        album_seconds=0.2,
        stop_seconds=5,
        fetch_pause_seconds=0.05,
    ),
)


@asynccontextmanager
async def running(
    fake: FakeTelegram, front: ScriptedFront, config: TelegramConfig = CONFIG, stars: Any = None
) -> AsyncIterator[TelegramAdapter]:
    """The adapter, polling the fake; `stars`: a till."""
    url = await fake.start()
    telegram = TelegramAdapter(
        config.model_copy(update={"api_url": url}), front, SystemClock(), stars
    )
    await telegram.start()
    try:
        yield telegram
    finally:
        await telegram.stop()


@pytest.fixture
async def telegram(fake: FakeTelegram, front: ScriptedFront) -> AsyncIterator[TelegramAdapter]:
    async with running(fake, front) as telegram:
        yield telegram
