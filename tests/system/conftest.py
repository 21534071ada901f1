"""Worlds of several tests of the system; a module's own fixture of the same name goes first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from bots.commands.answers import AnswerRenderer
from tests.peers.discord import FakeDiscord
from tests.peers.suppliers import Answer
from tests.peers.telegram import FakeTelegram
from tests.system import discord_support
from tests.system.world import World, briefs_world

#: What became of each answer: its ask, and where it was delivered; empty for nowhere.
Ends = asyncio.Queue[tuple[str, str]]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """What became of each answer, as adapters tell it: delivered in a place, or nowhere."""
    queue: Ends = asyncio.Queue()
    delivered, undelivered = AnswerRenderer.mark_delivered, AnswerRenderer.mark_undelivered

    async def mark_delivered(
        self: AnswerRenderer, ask_id: str, place: str, messages: Sequence[str]
    ) -> None:
        await delivered(self, ask_id, place, messages)
        queue.put_nowait((ask_id, place))

    async def mark_undelivered(self: AnswerRenderer, ask_id: str) -> None:
        await undelivered(self, ask_id)
        queue.put_nowait((ask_id, ""))

    monkeypatch.setattr(AnswerRenderer, "mark_delivered", mark_delivered)
    monkeypatch.setattr(AnswerRenderer, "mark_undelivered", mark_undelivered)
    return queue


@pytest.fixture(autouse=True)
def menus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Menus are told at each start, in thirty requests: only to tests that want `told_menus`."""
    if "told_menus" not in request.fixturenames:
        monkeypatch.setattr("bots.telegram.menus.update_menus", _tell_nothing)


async def _tell_nothing(*_: object) -> None:
    return


@pytest.fixture
def told_menus() -> None:
    """Telegram is told the menus."""


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
async def discord(sqlite_url: str) -> AsyncIterator[discord_support.World]:
    fake = FakeDiscord()
    await fake.start()
    async with discord_support.briefs_world(sqlite_url, fake) as world:
        world.service.openai.always(Answer("An answer."))
        yield world
    await fake.stop()
