"""A question that is edited asks nothing; asking it again takes the new words. Through the
unmodified clients of both platforms."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from core.clock import SystemClock
from tests.peers.discord import FakeDiscord, plain
from tests.peers.suppliers import Answer
from tests.peers.telegram import FakeTelegram
from tests.support.service import Service, running
from tests.system import world
from tests.system.discord_support import on_discord
from tests.system.world import PATIENCE_S

ROOM = -1_001_000
KEY = "sk-proj-" + "a1B2c3D4" * 6


@dataclass
class Chats:
    """What a platform shows; messages are the platform's own."""

    service: Service
    says: Callable[..., Any]
    edits: Callable[..., None]
    presses: Callable[[Any], None]
    shown: Callable[..., list[Any]]
    text: Callable[[Any], str]
    wait_for: Callable[..., Awaitable[None]]

    async def answered(self, text: str, *, in_group: bool = False) -> Any:
        """The newest message once an answer with that text has landed."""

        def landed() -> list[Any]:
            shown = self.shown(in_group)
            return [one for one in shown if text in self.text(one) and "◈" in self.text(one)]

        await self.wait_for(landed, PATIENCE_S)
        return landed()[-1]

    @property
    def sent(self) -> list[str]:
        """What went to the model with the newest call."""
        return [one["content"] for one in self.service.openai.calls[-1].body["messages"]]


@contextlib.asynccontextmanager
async def on_telegram_(url: str) -> AsyncIterator[Chats]:
    fake = FakeTelegram()
    await fake.start()
    try:
        async with world.briefs_world(url, fake) as there:
            fake.group(ROOM)
            ann = fake.user(7)

            def says(text: str, *, in_group: bool = False) -> tuple[int, int]:
                chat = ROOM if in_group else 7
                words = f"@credit_test_bot {text}" if in_group else text
                return fake.says(ann, words, chat=chat), chat

            def edits(said: tuple[int, int], text: str) -> None:
                message, chat = said
                words = f"@credit_test_bot {text}" if chat == ROOM else text
                fake.edits(ann, message, words, chat=chat)

            yield Chats(
                there.service,
                says,
                edits,
                lambda message: fake.presses(ann, message, "Again"),
                lambda in_group: fake.chat(ROOM if in_group else 7).bot_messages,
                lambda message: message.text,
                fake.wait_for,
            )
    finally:
        await fake.stop()


@contextlib.asynccontextmanager
async def on_discord_(url: str) -> AsyncIterator[Chats]:
    fake = FakeDiscord()
    await fake.start()
    try:
        async with running(url, SystemClock()) as service, on_discord(service, fake):
            ann = fake.user(7)

            def says(text: str, *, in_group: bool = False) -> tuple[Any, bool]:
                channel = fake.text if in_group else None
                return fake.says(ann, text, channel=channel, mention=in_group), in_group

            yield Chats(
                service,
                says,
                lambda said, text: fake.edits(said[0], text, mention=said[1]),
                lambda message: fake.presses(ann, message, "Again"),
                lambda in_group: fake.messages(fake.text if in_group else fake.dm(ann).id),
                lambda message: plain(message.content),
                fake.wait_for,
            )
    finally:
        await fake.stop()


PLATFORMS = {"telegram": on_telegram_, "discord": on_discord_}


@pytest.mark.parametrize("in_group", [False, True])
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_again_asks_the_new_words(platform: str, in_group: bool, sqlite_url: str) -> None:
    async with PLATFORMS[platform](sqlite_url) as chats:
        openai = chats.service.openai
        openai.script(Answer("A noun."), Answer("A verb."), Answer("So it is."))
        said = chats.says("what is a seel?", in_group=in_group)
        answer = await chats.answered("A noun.", in_group=in_group)
        chats.edits(said, "what is a seal?")
        chats.edits(said, "what is to seal?")
        # Nothing is asked by that: the next call is of what comes after.
        chats.presses(answer)
        await chats.answered("A verb.", in_group=in_group)
        assert chats.sent == ["what is to seal?"]
        assert len(openai.calls) == 2
        chats.says("is it?", in_group=in_group)
        await chats.answered("So it is.", in_group=in_group)
        assert "what is to seal?" in chats.sent


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_a_models_name_in_front_is_none_of_the_words(platform: str, sqlite_url: str) -> None:
    async with PLATFORMS[platform](sqlite_url) as chats:
        chats.service.openai.script(Answer("A noun."), Answer("A verb."))
        said = chats.says("what is a seel?")
        answer = await chats.answered("A noun.")
        chats.edits(said, "/ask gpt-4 what is a seal?")
        chats.presses(answer)
        await chats.answered("A verb.")
        assert chats.sent == ["what is a seal?"]


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_an_edit_carries_no_command_out(platform: str, sqlite_url: str) -> None:
    async with PLATFORMS[platform](sqlite_url) as chats:
        chats.service.openai.script(Answer("A noun."), Answer("Yes."), Answer("Again."))
        said = chats.says("what is a seal?")
        answer = await chats.answered("A noun.")
        for text in ("/balance", "/new", "/stop", "/settings"):
            chats.edits(said, text)
        if platform == "discord":
            chats.edits(said, "")
        chats.says("is it?")
        await chats.answered("Yes.")
        assert "what is a seal?" in chats.sent, "the conversation went on"
        assert not any("Balance" in chats.text(one) for one in chats.shown(False))
        chats.presses(answer)
        await chats.answered("Again.")
        assert chats.sent[-1] == "what is a seal?"


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_a_key_that_is_edited_in_is_kept_by_nobody(platform: str, sqlite_url: str) -> None:
    async with PLATFORMS[platform](sqlite_url) as chats:
        chats.service.openai.script(Answer("A noun."), Answer("Again."))
        said = chats.says("what is a seal?")
        answer = await chats.answered("A noun.")
        chats.edits(said, f"what is {KEY}?")
        await chats.wait_for(
            lambda: any("looks like" in chats.text(one) for one in chats.shown(False)), PATIENCE_S
        )
        chats.presses(answer)
        await chats.answered("Again.")
        assert chats.sent == ["what is a seal?"]
