"""A secret on its way in: a dialog on Discord, a message deleted at once on Telegram; through the
unmodified clients. It is in no log, no chat, no column, and reaches no model."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from core.db import schema
from tests.peers.discord import FakeDiscord, plain
from tests.peers.discord_world import COMPONENT, Interaction, Message as DiscordMessage, User
from tests.peers.telegram import FakeTelegram
from tests.support.service import Service
from tests.system.canaries import Everything
from tests.system.discord_support import World as DiscordWorld, briefs_world as on_discord
from tests.system.peers import discord
from tests.system.world import PATIENCE_S, World, briefs_world, words

__all__ = ["discord"]

#: No shape that would be known anywhere.
KEY = "sk-canary-of-the-owner-in-chat"
ADD = {"act": "add", "key": "openai", "budget": "50"}


async def tails(service: Service) -> list[str]:
    return [card.tail for card in await service.app.services.pool.pool.list_keys()]


async def nowhere(service: Service) -> None:
    """The key is in no column and went to no model."""
    for table in schema.metadata.sorted_tables:
        assert KEY not in str(await service.app.services.base.db.fetch(table.select())), table.name
    assert not any(KEY in str(call.body) for call in service.openai.calls)


# --- Telegram -----------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def chat(database_url: str, telegram: FakeTelegram) -> AsyncIterator[World]:
    async with briefs_world(database_url, telegram) as world:
        world.openai.allow(KEY)
        yield world


async def test_on_telegram_the_message_is_deleted_before_the_key_is_tried(chat: World) -> None:
    telegram, owner = chat.telegram, chat.telegram.user(1)
    card = await chat.says(owner, "/pool add openai 50", "A key of OpenAI")
    assert card.labels == ["Cancel"]
    # Told to wait, the deletion is tried again, and nothing else happens before it.
    telegram.fail_next("deleteMessage", 429, retry_after=1)
    lists = chat.openai.lists
    sent = telegram.says(owner, KEY)
    await telegram.wait_for(lambda: telegram.called("deleteMessage"))
    written = telegram.called("sendMessage", "deleteMessage")
    assert written == ["sendMessage", "deleteMessage"], "first of all"
    assert chat.openai.lists == lists
    await telegram.seen(1, "I deleted your message", seconds=PATIENCE_S)
    await telegram.seen(1, "Added OpenAI …chat with $50.00", seconds=PATIENCE_S)
    assert telegram.chat(1).find(sent) is None
    assert await tails(chat.service) == ["0001", "chat"]
    await chat.says(owner, "/ask gpt-4 why?", "◈")
    assert all(KEY not in each.text for each in telegram.chat(1).messages)
    await nowhere(chat.service)


async def test_a_key_right_behind_its_command_is_no_question(chat: World) -> None:
    telegram, owner = chat.telegram, chat.telegram.user(1)
    for told in ("Added OpenAI …chat", "is in the pool already"):
        telegram.says(owner, "/pool add openai 50")
        telegram.says(owner, KEY)
        await telegram.seen(1, told, seconds=PATIENCE_S)
    await nowhere(chat.service)


async def test_a_deletion_that_is_refused_is_told(chat: World) -> None:
    telegram, owner = chat.telegram, chat.telegram.user(1)
    await chat.says(owner, "/pool add openai 50", "A key of OpenAI")
    telegram.fail_next("deleteMessage", 400, description="Bad Request: message can't be deleted")
    await chat.says(owner, KEY, "I couldn't delete your message. Delete it yourself")
    await telegram.seen(1, "Added OpenAI", seconds=PATIENCE_S)
    assert not any("I deleted" in each.text for each in telegram.chat(1).bot_messages)


async def test_every_part_of_what_was_too_long_goes(chat: World) -> None:
    telegram, owner = chat.telegram, chat.telegram.user(1)
    await chat.says(owner, "/pool add openai 50", "A key of OpenAI")
    telegram.says(owner, "x" * 4_000)
    telegram.says(owner, "y" * 10)
    await telegram.seen(1, "isn't what was asked for", seconds=PATIENCE_S)
    assert [each.text[:5] for each in telegram.chat(1).messages if each.sender] == ["/pool"]
    assert await tails(chat.service) == ["0001"]


async def test_in_a_group_there_is_a_link_and_the_rest_is_private(chat: World) -> None:
    telegram, owner = chat.telegram, chat.telegram.user(1)
    group = telegram.group(-5)
    note = await chat.says(owner, "/pool add openai 50", "in private", chat=-5)
    assert note.buttons == [[("@credit_test_bot", "https://t.me/credit_test_bot")]]
    assert "OpenAI" not in note.text
    await telegram.seen(1, "A key of OpenAI", seconds=PATIENCE_S)
    await chat.says(owner, KEY, "Added OpenAI …chat")
    assert len(group.bot_messages) == 1
    hidden = telegram.user(9, unreachable=True)
    await chat.says(hidden, "/pool add openai 50", "operator only", chat=-5)


async def test_cancelled_by_a_button_and_in_chinese(chat: World) -> None:
    telegram, owner = chat.telegram, chat.telegram.user(1, "zh-hans")
    card = await chat.says(
        owner, "/pool add openai 50", words("A key of {supplier}", "zh-CN", supplier="OpenAI")
    )
    told = await chat.presses(
        owner, card, "取消", words("Cancelled. Nothing was changed.", "zh-CN")
    )
    assert told is card
    assert card.labels == []
    # Nobody waits for it any more: it is a question.
    await chat.says(owner, "why?", "◈")
    assert [each.text for each in telegram.chat(1).messages if each.sender][-1] == "why?"


# --- Discord ------------------------------------------------------------------------------------


@pytest.fixture
def logs() -> Iterator[Everything]:
    root, handler = logging.getLogger(), Everything()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


@contextlib.asynccontextmanager
async def served(url: str, discord: FakeDiscord) -> AsyncIterator[DiscordWorld]:
    async with on_discord(url, discord) as world:
        world.service.openai.allow(KEY)
        yield world


async def opened(world: DiscordWorld, owner: User, card: DiscordMessage, label: str) -> Interaction:
    """The press that opened a dialog."""
    press = world.discord.presses(owner, card, label)
    await world.discord.wait_for(lambda: press.modal, PATIENCE_S)
    assert press.callbacks == [9], "the dialog is the first and only answer"
    return press


async def test_on_discord_it_is_a_dialog_and_its_answer_is_the_askers_alone(
    database_url: str, discord: FakeDiscord, logs: Everything
) -> None:
    async with served(database_url, discord) as world:
        owner = discord.user(1)
        discord.slash(owner, "/pool", ADD, discord.text)
        card = await world.next(discord.text, "A key of OpenAI", owner)
        assert card.labels == ["Enter it", "Cancel"]
        press = await opened(world, owner, card, "Enter it")
        assert press.modal["title"] == "A key of OpenAI"
        assert [part["label"] for part in press.modal["components"]] == ["API key"]
        sent = discord.submits(owner, press, key=KEY)
        discord.again(sent)
        await world.next(discord.text, "Added OpenAI …chat with $50.00", owner)
        discord.again(sent)
        discord.slash(owner, "/pool", {}, discord.text)
        await world.next(discord.text, "OpenAI …chat", owner)
        assert sent.callbacks == [5]
        assert sent.ephemeral
        assert await tails(world.service) == ["0001", "chat"]
        # Once more by the same dialog, and by its button: it no longer works.
        discord.submits(owner, press, key=KEY)
        await world.next(discord.text, "That has expired", owner)
        again = discord.presses(owner, card, "Enter it")
        await discord.wait_for(lambda: again.callbacks, PATIENCE_S)
        assert again.callbacks == [6]
        assert discord.messages(discord.text) == []
        await nowhere(world.service)
    assert not any(KEY in line for line in logs.lines)
    assert logs.lines


async def test_a_dialog_outlives_a_restart(sqlite_url: str, discord: FakeDiscord) -> None:
    owner = discord.user(1, "zh-CN")
    talk = discord.dm(owner).id
    async with served(sqlite_url, discord) as world:
        discord.slash(owner, "/pool", ADD)
        card = await world.next(talk, words("A key of {supplier}", "zh-CN", supplier="OpenAI"))
    async with served(sqlite_url, discord) as world:
        press = await opened(world, owner, card, words("Enter it", "zh-CN"))
        assert press.modal["title"] == "OpenAI 的密钥"
    async with served(sqlite_url, discord) as world:
        sent = discord.submits(owner, press, key=KEY)
        await world.next(talk, "已添加 OpenAI …chat")
    async with served(sqlite_url, discord) as world:  # and one that never saw it come
        discord.again(sent)
        discord.slash(owner, "/pool")
        await world.next(talk, words("Pool", "zh-CN"))
        assert await tails(world.service) == ["0001", "chat"]
    shown = [plain(each.content) for each in discord.messages(talk)]
    assert ["已添加" in text for text in shown] == [False, True, False], "card, answer, /pool"


async def test_written_in_a_server_it_is_asked_for_in_private(
    sqlite_url: str, discord: FakeDiscord
) -> None:
    async with served(sqlite_url, discord) as world:
        owner = discord.user(1)
        discord.says(owner, "/pool add openai 50", channel=discord.text, mention=True)
        card = await world.next(discord.dm(owner).id, "A key of OpenAI")
        await world.next(discord.text, "in private")
        press = await opened(world, owner, card, "Enter it")
        discord.submits(owner, press, key="sk-nobody-knows-this-one")
        await world.next(discord.dm(owner).id, "OpenAI refuses that key")
        cancelled = discord.presses(owner, card, "Cancel")
        await discord.wait_for(lambda: cancelled.callbacks)
        assert cancelled.kind == COMPONENT
        assert await tails(world.service) == ["0001"]


async def test_too_late_for_a_dialog_nothing_is_shown_or_done(
    sqlite_url: str, discord: FakeDiscord
) -> None:
    async with served(sqlite_url, discord) as world:
        owner = discord.user(1)
        talk = discord.dm(owner).id
        discord.slash(owner, "/pool", ADD)
        card = await world.next(talk, "A key of OpenAI")
        press = await opened(world, owner, card, "Enter it")
        # Past three seconds Discord takes no answer: what can't be acknowledged is not done.
        route = "POST /interactions"
        discord.fail_next(route, 404, 10062)
        discord.submits(owner, press, key=KEY)
        await discord.wait_for(lambda: any(call.status == 404 for call in discord.calls))
        discord.submits(owner, press, key=KEY)
        await world.next(talk, "Added OpenAI …chat")
