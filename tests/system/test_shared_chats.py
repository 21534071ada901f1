"""Where others read nobody's balance is shown, and who answers is said at first; on both platforms
through the unmodified clients."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bots.telegram import private_topics
from tests.peers.discord import plain
from tests.peers.telegram import FakeTelegram
from tests.peers.telegram_chats import Message
from tests.system import discord_support
from tests.system.world import World, briefs_world

ROOM = -5
#: What everybody starts with; no price, limit or length in these worlds reads like it.
BALANCE = "1,000"


async def test_no_command_shows_a_balance_in_a_telegram_group(world: World) -> None:
    telegram, group = world.telegram, world.telegram.group(ROOM)
    menu = world.service.app.chat.dispatcher.build_menu("en", "private")
    assert len(menu) > 15
    for number, item in enumerate(menu):
        # Another person each: nobody's work budget is spent.
        person = telegram.user(100 + number)
        told = len(group.bot_messages)
        telegram.says(person, f"/{item.name}@credit_test_bot", chat=ROOM)
        await telegram.wait_for(lambda told=told: len(group.bot_messages) > told)
    ann = telegram.user(7)
    await world.says(ann, "@credit_test_bot last?", "An answer.", chat=ROOM)
    assert [each.text for each in group.bot_messages if BALANCE in each.text] == []


async def test_a_models_card_tells_a_balance_only_in_private(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.group(ROOM)
    for chat, is_shown in ((ROOM, False), (None, True)):
        card = await world.says(ann, "/models", "Models", chat=chat)
        card = await _open_model(world, card)
        assert (BALANCE in card.text) == is_shown, card.text


async def _open_model(world: World, card: Message) -> Message:
    ann = world.telegram.users[7]
    while "Reads up to" not in card.text:
        card = await world.presses(ann, card, card.labels[0], "")
    return card


async def test_what_is_left_stands_under_answers_in_private_only(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.group(ROOM)
    shared = await world.says(ann, "@credit_test_bot why?", "◈", chat=ROOM)
    assert "left" not in shared.text
    assert "left" in (await world.says(ann, "why?", "◈")).text


@pytest.mark.parametrize("chat", [ROOM, None])
async def test_that_a_balance_is_short_is_told_in_private_only(
    sqlite_url: str, telegram: FakeTelegram, chat: int | None
) -> None:
    async with briefs_world(sqlite_url, telegram, welcome=3) as world:
        telegram.group(ROOM)
        ann = telegram.user(7)
        answer = await world.says(ann, "/ask gpt-4 why?", "◈", chat=chat)
        assert ("Your balance pays for" in answer.text) == (chat is None)
        assert ("write to me in private" in answer.text) == (chat is not None)


@pytest.mark.parametrize("chat", [ROOM, None])
async def test_what_somebody_has_is_told_in_private_only(
    sqlite_url: str, telegram: FakeTelegram, chat: int | None
) -> None:
    async with briefs_world(sqlite_url, telegram, welcome=1) as world:
        telegram.group(ROOM)
        ann = telegram.user(7)
        telegram.says(ann, "/ask gpt-4 " + "why " * 900, chat=chat)
        told = await telegram.seen(chat or 7, "This needs")
        assert world.openai.calls == []
        assert ("you have 1 Credit" in told.text) == (chat is None)


async def test_on_discord_it_is_told_to_them_alone_too(
    sqlite_url: str, discord: discord_support.World
) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    for number, item in enumerate(discord.service.app.chat.dispatcher.build_menu("en", "private")):
        asked = fake.slash(fake.user(100 + number), f"/{item.name}", {}, fake.text)
        await fake.wait_for(lambda asked=asked: asked.acknowledged and not asked.thinking)
    fake.says(ann, "/balance", channel=fake.text, mention=True)
    await discord.next(fake.dm(ann).id, BALANCE)
    assert not any(BALANCE in plain(each.content) for each in fake.messages(fake.text))


MACHINE = "A machine writes the answers here"


async def test_that_a_machine_answers_is_said_at_the_first_contact(world: World) -> None:
    telegram, ann, bob = world.telegram, world.telegram.user(7), world.telegram.user(8)
    telegram.group(ROOM)
    assert MACHINE in (await world.says(ann, "/start", "Welcome")).text
    assert MACHINE not in (await world.says(ann, "why?", "◈")).text
    assert MACHINE in (await world.says(ann, "@credit_test_bot why?", "◈", chat=ROOM)).text
    assert MACHINE not in (await world.says(bob, "@credit_test_bot and?", "◈", chat=ROOM)).text


async def test_that_a_machine_answers_is_said_in_a_channel_of_discord(
    discord: discord_support.World,
) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    fake.says(ann, "why?", channel=fake.text, mention=True)
    assert MACHINE in plain((await discord.next(fake.text, "◈")).content)


@pytest_asyncio.fixture
async def world_with_topics(sqlite_url: str, telegram: FakeTelegram) -> AsyncIterator[World]:
    """The bot has topics in private chats."""
    telegram.has_topics = True
    async with briefs_world(sqlite_url, telegram) as world:
        yield world


async def test_a_topic_of_a_private_chat_is_a_conversation(world_with_topics: World) -> None:
    world = world_with_topics
    telegram, ann = world.telegram, world.telegram.user(7)
    chat = telegram.chat(7)
    for number, thread in enumerate((3, 4, 3), 1):
        telegram.says(ann, f"question {number}", thread=thread)
        await telegram.wait_for(lambda number=number: _count_answers(world) == number)
        assert chat.last.thread == thread
    drafts = [each for each in telegram.calls if each.method == "sendMessageDraft"]
    assert {each.params.get("message_thread_id") for each in drafts} <= {"3", "4"}
    assert _list_asked(world) == [["question 1"], ["question 2"], ["question 1", "question 3"]]
    # A button under an answer goes on in its topic.
    telegram.presses(ann, chat.last, "Again")
    await telegram.wait_for(lambda: _count_answers(world) == 4)
    assert chat.last.thread == 3
    # Also days later, when nothing more is told of the message than its chat.
    telegram.presses(ann, chat.last, "Again", is_old=True)
    await telegram.wait_for(lambda: _count_answers(world) == 5)
    assert "somebody else" not in chat.last.text
    assert chat.last.thread == 3
    # A card, too.
    telegram.says(ann, "/balance", thread=4)
    card = await telegram.seen(7, "My Balance")
    telegram.presses(ann, card, card.labels[0], is_old=True)
    await telegram.wait_for(lambda: chat.last is not card or card.edits)
    assert {each.thread for each in chat.bot_messages} == {3, 4}
    # A topic that was deleted: the answer comes in the chat itself.
    telegram.fail_next("sendMessage", 400, description="Bad Request: message thread not found")
    telegram.says(ann, "question 5", thread=9)
    await telegram.seen(7, "I can't write any more where you asked")
    assert chat.last.thread is None


async def test_without_topics_a_private_chat_is_one_conversation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_topics, "_PAUSE_SECONDS", 0.0)
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.says(ann, "question 1", thread=3)
    await telegram.wait_for(lambda: _count_answers(world) == 1)
    telegram.says(ann, "question 2")
    await telegram.wait_for(lambda: _count_answers(world) == 2)
    assert _list_asked(world) == [["question 1"], ["question 1", "question 2"]]
    assert {each.thread for each in telegram.chat(7).bot_messages} == {None}
    assert "I can't write" not in telegram.chat(7).bot_messages[0].text
    # They are switched on meanwhile: a message in one has Telegram asked again.
    telegram.has_topics, chat, tries = True, telegram.chat(7), 0
    while chat.last.thread != 4:
        last, tries = chat.last.id, tries + 1
        assert tries < 5
        telegram.says(ann, "/help", thread=4)
        await telegram.wait_for(lambda last=last: chat.last.id > last)


async def test_topics_that_were_switched_off_are_answered_in_the_chat(
    sqlite_url: str, telegram: FakeTelegram
) -> None:
    ann = telegram.user(7)
    telegram.has_topics = True
    async with briefs_world(sqlite_url, telegram) as world:
        telegram.says(ann, "question", thread=3)
        await telegram.wait_for(lambda: _count_answers(world) == 1)
    telegram.has_topics = False
    async with briefs_world(sqlite_url, telegram) as world:
        telegram.presses(ann, telegram.chat(7).last, "Again", is_old=True)
        await telegram.wait_for(lambda: _count_answers(world) == 2)
    assert telegram.chat(7).last.thread is None
    assert "I can't write" not in telegram.chat(7).last.text


def _list_asked(world: World) -> list[list[str]]:
    return [
        [turn["content"] for turn in call.body["messages"] if turn["role"] == "user"]
        for call in world.openai.calls
    ]


def _count_answers(world: World) -> int:
    return sum("◈" in each.text for each in world.telegram.chat(7).bot_messages)


async def test_a_code_to_be_typed_elsewhere_is_copied_by_a_button(
    world: World, discord: discord_support.World
) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    card = await world.says(ann, "/link", "within ten minutes")
    ((copied,),) = card.buttons
    assert copied[0] == "📋 Copy"
    assert copied[1].startswith("/link ")
    assert copied[1] in card.text
    assert telegram.called("answerCallbackQuery") == []
    # Discord has no such buttons: the code is in the text.
    fake, bob = discord.discord, discord.discord.user(8)
    fake.says(bob, "/link")
    shown = await discord.next(fake.dm(bob).id, "within ten minutes")
    assert shown.labels == []
