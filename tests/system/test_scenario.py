"""One scenario on every platform: the same words said and read, the same rows in the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bots.console.console import ConsoleAdapter
from core.clock import SystemClock
from core.ledger.export import write_csv
from tests.peers.discord import FakeDiscord, plain
from tests.peers.suppliers import Answer, Heard, Used
from tests.peers.telegram import FakeTelegram
from tests.support.audio import wav
from tests.support.service import Service, running
from tests.system import world
from tests.system.discord_support import on_discord
from tests.system.world import PATIENCE_S

#: What is said, what the supplier says to it, and what is read then.
SCENARIO: tuple[tuple[str | bytes, Answer | Heard | None, tuple[str, ...]], ...] = (
    ("/balance", None, ("💎 My Balance", "1,000 Credits")),
    ("/model gpt4", None, ("GPT-4 Turbo answers you from now on.", "5 Credits / 1K tokens")),
    (
        "/ask gpt-4 " + "why " * 300,
        Answer("word " * 500, usage=Used(700, 500)),
        ("word word", "1,200 tokens · 6 Credits · 994 left"),
    ),
    (
        "／ask gpt-4 " + "and " * 300,
        Answer("more " * 400, usage=Used(1_600, 400)),
        ("more more", "of them history", "10 Credits · 984 left"),
    ),
    (
        wav(61),
        Heard("Why?", seconds=61),
        ("Why?", "Whisper · 61 s of audio · 3 Credits · 981 left"),
    ),
    ("/usage", None, ("Recent Usage", "6 Cr", "10 Cr", "3 Cr", "Spent: 19 Credits today")),
    ("/new", None, ("New conversation.",)),
    ("/ask gpt-5 why?", None, ("the nearest is GPT-4 Turbo",)),
    ("余额", None, ("💎 My Balance", "981 Credits")),
    ("/language zh", None, ("已切换为简体中文。",)),
    ("balance", None, ("💎 我的余额", "981 积分")),
    ("/frobnicate", None, ("没有 /frobnicate 这个命令",)),
)


@dataclass
class Chat:
    """A person's private chat on one platform."""

    service: Service
    #: Says a line, or sends an audio file; returns once everything expected of it is read.
    say: Callable[[str | bytes, tuple[str, ...]], Awaitable[None]]


@contextlib.asynccontextmanager
async def on_telegram(url: str) -> AsyncIterator[Chat]:
    fake = FakeTelegram()
    await fake.start()
    try:
        async with world.briefs_world(url, fake) as there:
            person = fake.user(7)

            async def say(line: str | bytes, shown: tuple[str, ...]) -> None:
                before = {each.id for each in fake.chat(7).bot_messages}
                if isinstance(line, bytes):
                    fake.sends(person, "document", line, mime_type="audio/x-wav")
                else:
                    fake.says(person, line)

                def read() -> bool:
                    fresh = (each for each in fake.chat(7).bot_messages if each.id not in before)
                    return _all_in("\n".join(each.text for each in fresh), shown)

                await fake.wait_for(read, PATIENCE_S)

            yield Chat(there.service, say)
    finally:
        await fake.stop()


@contextlib.asynccontextmanager
async def on_discord_(url: str) -> AsyncIterator[Chat]:
    fake = FakeDiscord()
    await fake.start()
    try:
        async with running(url, SystemClock()) as service, on_discord(service, fake):
            person = fake.user(7)
            talk = fake.dm(person).id

            async def say(line: str | bytes, shown: tuple[str, ...]) -> None:
                before = {each.id for each in fake.messages(talk)}
                if isinstance(line, bytes):
                    fake.sends(person, line, name="a.wav", mime="audio/x-wav")
                else:
                    fake.says(person, line)

                def read() -> bool:
                    fresh = (each for each in fake.messages(talk) if each.id not in before)
                    return _all_in("\n".join(plain(each.content) for each in fresh), shown)

                await fake.wait_for(read, PATIENCE_S)

            yield Chat(service, say)
    finally:
        await fake.stop()


@contextlib.asynccontextmanager
async def on_console(url: str) -> AsyncIterator[Chat]:
    with tempfile.TemporaryDirectory() as folder:
        async with _console(url, Path(folder) / "a.wav") as chat:
            yield chat


@contextlib.asynccontextmanager
async def _console(url: str, sound: Path) -> AsyncIterator[Chat]:
    clock = Ticking()
    async with running(url, clock) as service:

        async def say(line: str | bytes, shown: tuple[str, ...]) -> None:
            if isinstance(line, bytes):
                line = _written(sound, line)
            read, write = os.pipe()
            os.write(write, line.encode())
            os.close(write)
            output = io.StringIO()
            with os.fdopen(read) as lines:
                console = ConsoleAdapter(
                    service.app.chat.dispatcher,
                    input=lines,
                    output=output,
                    is_terminal=False,
                    clock=clock,
                )
                async with asyncio.timeout(PATIENCE_S):
                    await console.run()
            assert _all_in(output.getvalue(), shown), output.getvalue()

        yield Chat(service, say)


class Ticking(SystemClock):
    """No two looks at it in the same millisecond: each console names its lines by the time."""

    def __init__(self) -> None:
        self._last = 0

    def now_ms(self) -> int:
        self._last = max(self._last + 1, super().now_ms())
        return self._last


def _written(file: Path, content: bytes) -> str:
    file.write_bytes(content)
    return str(file)


PLATFORMS = {"telegram": on_telegram, "discord": on_discord_, "console": on_console}


def _all_in(text: str, shown: tuple[str, ...]) -> bool:
    return all(each in text for each in shown)


async def _ledger(chat: Chat) -> list[tuple[str, ...]]:
    """Every transfer without what differs by nature: ids, times, the accounts' own names."""
    out = io.StringIO()
    await write_csv(chat.service.app.services.base.db, out)
    lines = [line.split(",") for line in out.getvalue().splitlines()]
    names = lines[0]
    kept = [names.index(name) for name in ("entry", "kind", "amount", "unit")]
    return [tuple(line[at] for at in kept) for line in lines[1:]]


async def _played(platform: str, url: str) -> list[tuple[str, ...]]:
    async with PLATFORMS[platform](url) as chat:
        for line, answer, shown in SCENARIO:
            if answer is not None:
                chat.service.openai.script(answer)
            await chat.say(line, shown)
        return await _ledger(chat)


#: What the first platform's run left, for the others to compare with.
_LEDGERS: dict[str, list[tuple[str, ...]]] = {}


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_the_same_words_make_the_same_ledger(platform: str, sqlite_url: str) -> None:
    _LEDGERS[platform] = await _played(platform, sqlite_url)
    assert len(_LEDGERS[platform]) > 5
    for ledger in _LEDGERS.values():
        assert ledger == _LEDGERS[platform]
