"""A whole service on Telegram: real app, unmodified client, a supplier and chats on loopback.

    async with briefs_world(url) as world:            # one model, gpt-4, at the brief's rates
        ann = world.telegram.user(7)
        card = await world.says(ann, "/balance", "Credits")
        await world.presses(ann, card, "Usage", "Nothing")

`products_world` sells the shipped catalogue instead. Everything is left with both audits clean.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pydantic import SecretStr

from bots.app import build
from bots.chat.i18n import render
from bots.chat.reply import say
from bots.config.settings import TelegramConfig, TelegramTiming
from bots.telegram.adapter import TelegramAdapter
from core.clock import SystemClock
from core.db.database import Database
from core.money import Credits
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from tests.peers.suppliers import FakeSupplier
from tests.peers.telegram import TOKEN, FakeTelegram
from tests.peers.telegram_chats import Message, User
from tests.support.config import KEYS, make_config, make_externals
from tests.support.service import Service, running

#: What the supplier of `products_world` serves.
MODELS = ("gpt-6.1-terra", "gpt-6.1-sol", "gpt-6-luna")
#: However slow the machine is, nothing takes longer.
PATIENCE_S = 60.0
#: Faster than in life, so that nobody waits for the chats' pace.
CONFIG = TelegramConfig(
    token=SecretStr(TOKEN),
    timing=TelegramTiming(
        private_interval_seconds=0.02,
        group_interval_seconds=0.03,
        join_seconds=0.05,
        album_seconds=0.2,
        stop_seconds=5,
    ),
)


@dataclass
class World:
    """A service and its chats."""

    service: Service
    telegram: FakeTelegram

    @property
    def openai(self) -> FakeSupplier:
        return self.service.openai

    async def says(
        self,
        person: User,
        text: str,
        shown: str,
        *,
        chat: int | None = None,
        reply_to: Message | None = None,
    ) -> Message:
        """A person writes; the bot's next message there that shows `shown` when it has landed."""
        known = self._known(chat or person.id)
        self.telegram.says(person, text, chat=chat, reply_to=reply_to)
        return await self.next(chat or person.id, shown, known)

    async def presses(self, person: User, card: Message, label: str, shown: str) -> Message:
        """A person presses a button; what it brings: a new message, or `card` with other words."""
        known = self._known(card.chat)
        known[card.id] = card.text
        self.telegram.presses(person, card, label)
        return await self.next(card.chat, shown, known)

    async def next(self, chat: int, shown: str, known: dict[int, str]) -> Message:
        """The newest message that shows `shown` and was not there, or not like that, before."""

        def fresh() -> list[Message]:
            return [
                each
                for each in self.telegram.chat(chat).bot_messages
                if shown in each.text and known.get(each.id) != each.text
            ]

        await self.telegram.wait_for(fresh, PATIENCE_S)
        return fresh()[-1]

    def _known(self, chat: int) -> dict[int, str]:
        return {each.id: each.text for each in self.telegram.chat(chat).bot_messages}

    def of(self, person: User) -> Service:
        """The same service as this person's: their balance."""
        return self.service.someone(str(person.id), person.language)


@contextlib.asynccontextmanager
async def briefs_world(url: str, telegram: FakeTelegram, **sold: Any) -> AsyncIterator[World]:
    """The brief's prices and rates, on Telegram; what is `sold` goes to `running`."""
    clock = SystemClock()
    async with running(url, clock, **sold) as service, _on(telegram, service):
        yield World(service, telegram)


@contextlib.asynccontextmanager
async def products_world(url: str, telegram: FakeTelegram) -> AsyncIterator[World]:
    """The shipped catalogue and its suppliers' rates, on Telegram."""
    clock = SystemClock()
    async with FakeSupplier("openai", models=MODELS) as openai:
        openai.allow(*KEYS)
        app = await build(
            make_config(),
            db=await Database.open(url, kind="live", clock=clock),
            clock=clock,
            externals=make_externals(
                {"openai": replace(SUPPLIERS["openai"], base_url=openai.url)},
                catalogue=Catalogue.load(None),
                costs=Costs.load(None),
            ),
        )
        await app.start()
        try:
            await app.services.pool.pool.wait_for_first_check(PATIENCE_S)
            service = Service(app, openai, clock)
            async with _on(telegram, service):
                yield World(service, telegram)
            assert await service.findings() == []
        finally:
            await app.stop(grace_seconds=2.0)


@contextlib.asynccontextmanager
async def _on(telegram: FakeTelegram, service: Service) -> AsyncIterator[None]:
    config, app = CONFIG.model_copy(update={"api_url": telegram.url}), service.app
    front = TelegramAdapter(
        config,
        app.chat.dispatcher,
        service.clock,
        app.chat.stars,
        app.chat.create_intake(),
        app.services.asks.chat_moves,
    )
    await front.start()
    app.chat.redelivery.register_notifier("telegram", front)
    try:
        yield
    finally:
        await front.stop()


def date_messages(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A chat in which no two messages are of one second: their asks are in their order."""
    seconds, told = itertools.count(int(time.time()) - 1_000), world.telegram.message_json

    def tell_dated(message: Message) -> dict[str, Any]:
        return told(message) | {"date": next(seconds)}

    monkeypatch.setattr(world.telegram, "message_json", tell_dated)
    return world


def words(text: str, language: str, **values: str | int | Credits) -> str:
    """A sentence as a reader of that language sees it; there must be a translation."""
    said = render(say(text, **values), language)
    untranslated = said == render(say(text, **values), "en")
    assert language == "en" or not untranslated, text
    return said
