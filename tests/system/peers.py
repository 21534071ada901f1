"""Platforms that tests of whole processes share, each by itself: a module that wants one imports
its fixture, which goes before the one of `conftest`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.peers.discord import FakeDiscord
from tests.peers.telegram import FakeTelegram


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    """A Telegram that its test starts."""
    fake = FakeTelegram()
    yield fake
    await fake.stop()


@pytest_asyncio.fixture
async def discord() -> AsyncIterator[FakeDiscord]:
    """A Discord that has no bot yet."""
    fake = FakeDiscord()
    await fake.start()
    yield fake
    await fake.stop()
