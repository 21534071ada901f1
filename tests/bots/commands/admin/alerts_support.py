"""What tests of alerts share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from bots.chat.types import Card
from core.db import schema
from tests.bots.commands.admin.broadcast_support import Chats
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock, budget="10") as tom:
        yield tom.someone("1")


async def heard(owner: Service, chats: Chats) -> list[Card]:
    """What owners on Telegram were shown since, by whoever did it, all telling done."""
    waits = sa.select(schema.notice.c.id).where(schema.notice.c.due_at.is_not(None))
    async with asyncio.timeout(20):
        while await owner.app.services.base.db.fetch(waits):
            await owner.app.chat.notifications.deliver_due()
    fresh, chats.read = chats.shown[chats.read :], len(chats.shown)
    assert {sender for sender, _ in fresh} <= {"1"}
    return [screen for _, screen in fresh]


def front(owner: Service) -> Chats:
    chats = Chats()
    owner.app.chat.redelivery.register_notifier("telegram", chats)
    owner.app.services.users.roles._configured = {("telegram", "1"): "owner"}
    owner.app.services.users.roles._roles = owner.app.services.users.roles._configured
    return chats
