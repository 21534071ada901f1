"""What tests of discord share."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio
from pydantic import SecretStr

from bots.chat.update_intake import UpdateIntake
from bots.config.settings import DiscordConfig, DiscordTiming
from bots.discord.adapter import DiscordAdapter
from core import chart
from core.clock import SystemClock
from core.money import Credits
from tests.peers.discord import TOKEN, FakeDiscord, plain
from tests.peers.discord_world import Message, User
from tests.support.service import Service, running
from tests.system.world import PATIENCE_S

SPOKEN = {"en-US": "en", "zh-CN": "zh-CN"}


@dataclass
class World:
    """A service and its Discord."""

    service: Service
    discord: FakeDiscord

    async def next(self, where: int, shown: str, viewer: User | None = None) -> Message:
        """The newest message that shows it."""

        def found() -> list[Message]:
            seen = self.discord.messages(where, viewer)
            return [each for each in seen if shown in plain(each.content)]

        await self.discord.wait_for(found, PATIENCE_S)
        return found()[-1]

    async def credits(self, person: User) -> Credits:
        """What the ledger says that they can spend."""
        app = self.service.app
        known = await app.services.users.users.get_or_create(
            "discord", str(person.id), language="en"
        )
        balances = await app.services.base.ledger.read_balances(chart.pockets(known.id))
        assert sum(balance.held for balance in balances.values()) == 0
        return Credits(sum(balance.available for balance in balances.values()))


@contextlib.asynccontextmanager
async def on_discord(
    service: Service, fake: FakeDiscord, intake: UpdateIntake | None = None
) -> AsyncIterator[World]:
    config = DiscordConfig(
        token=SecretStr(TOKEN),
        api_url=fake.api_url,
        gateway_url=fake.gateway_url,
        timing=DiscordTiming(interval_seconds=0.02, stop_seconds=5),
    )
    chat = service.app.chat
    intake = intake or chat.create_intake()
    front = DiscordAdapter(config, chat.dispatcher, service.clock, chat.store_purchases, intake)
    await front.start()
    service.app.chat.redelivery.register_notifier("discord", front)
    try:
        yield World(service, fake)
    finally:
        await front.stop()


@contextlib.asynccontextmanager
async def briefs_world(url: str, fake: FakeDiscord) -> AsyncIterator[World]:
    async with running(url, SystemClock()) as service, on_discord(service, fake) as world:
        yield world


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    fake = FakeDiscord()
    await fake.start()
    yield fake
    await fake.stop()
