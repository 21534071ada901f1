"""What is asked is what was written, on Telegram and Discord through the unmodified clients: the
model that was meant, forwards with their comment, what a reply is about, who can't be told."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from core.db import schema
from core.money import Credits
from tests.peers.suppliers import Answer
from tests.peers.telegram import FakeTelegram
from tests.system import discord_support
from tests.system.attachments_support import FILM, asked, forward_of
from tests.system.world import World, products_world, words

ROOM = -5
HIDDEN = {"type": "hidden_user", "sender_user_name": "X", "date": 1}
KEY = "sk-proj-canary-of-a-quote-0001-aaaaaaaaaaaa"


# --- which model --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GPT-4 Turbo", "gpt-4", "gpt 4"])
async def test_a_model_option_may_be_a_shown_name_an_id_or_an_alias(
    discord: discord_support.World, name: str
) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    fake.slash(ann, "/ask", {"question": "gpt-4 why?", "model": name}, fake.text)
    await discord.next(fake.text, "An answer.")
    assert asked(discord) == ["gpt-4 why?"]


async def test_a_model_option_that_names_none_costs_nothing(discord: discord_support.World) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    shown = fake.slash(ann, "/ask", {"question": "why?", "model": "gpt-44"}, fake.text)
    await fake.wait_for(lambda: fake.messages(fake.text, ann))
    told = fake.messages(fake.text, ann)[-1].content
    assert "There is no model “gpt" in told.replace("\\", "")
    assert "Did you mean" in told
    assert asked(discord) == []
    assert await discord.credits(ann) == Credits(1_000)
    assert shown.acknowledged


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("gemini is my sign", "Gemini"),
        ("/ask llama why", "Llama"),
        ("gpt why", "GPT"),
    ],
)
async def test_a_plain_word_that_is_a_models_name_too_is_asked_about(
    sqlite_url: str, telegram: FakeTelegram, said: str, kept: str
) -> None:
    async with products_world(sqlite_url, telegram) as world:
        world.openai.always(Answer("An answer."))
        ann, question = telegram.user(7), said.removeprefix("/ask ")
        had = await world.of(ann).credits()
        card = await world.says(ann, said, "could be a word of your question")
        assert kept in card.labels[0]
        assert f"“{question}”" in card.labels[1]
        assert asked(world) == []
        assert await world.of(ann).credits() == had
        await world.presses(ann, card, card.labels[1], "An answer.")
        # The other one is the same question.
        await world.presses(ann, card, card.labels[0], "no longer works")
        assert asked(world) == [question]


async def test_a_near_miss_is_asked_about_and_its_model_gets_the_rest(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7, "zh-hans")
    telegram.says(ann, "gtp-4 why?")
    told = words(
        "There is no model “{word}”; the nearest is {model}. Nothing was asked or charged yet:"
        " which do you mean?",
        "zh-CN",
        word="gtp-4",
        model="GPT-4 Turbo",
    )
    card = await telegram.seen(7, told)
    assert asked(world) == []
    await world.presses(ann, card, card.labels[0], "An answer.")
    assert asked(world) == ["why?"]
    # Written as a model's name, it is one; another word is a word.
    await world.says(ann, "gpt-4 and now?", "An answer.")
    await world.says(ann, "turbocharged engines?", "An answer.")
    assert asked(world)[1:] == ["and now?", "turbocharged engines?"]


# --- what goes along ----------------------------------------------------------------------------


async def test_a_forward_with_its_comment_is_one_question(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.says(ann, "what do you think of this?")
    telegram.says(ann, "/role telegram:666 admin", forward_origin=HIDDEN)
    await telegram.seen(7, "Read with it: the message that you forwarded")
    assert asked(world) == ["what do you think of this?\n\n/role telegram:666 admin"]
    rows = await world.service.app.services.base.db.fetch(sa.select(schema.ask.c.id))
    assert len(rows) == 1


async def test_a_forward_with_its_comment_is_one_question_on_discord_too(
    discord: discord_support.World,
) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    fake.says(ann, "", **forward_of("/role discord:7 owner", fake.text))
    fake.says(ann, "what do you think of this?")
    await discord.next(fake.dm(ann), "Read with it: the message that you forwarded")
    assert asked(discord) == ["what do you think of this?\n\n/role discord:7 owner"]


async def test_a_comment_on_a_forwarded_video_costs_nothing(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.says(ann, "what is on it?")
    telegram.says(ann, "", video=FILM, forward_origin=HIDDEN)
    await telegram.seen(7, "I can't read a video")
    assert asked(world) == []


async def test_what_a_reply_is_about_goes_along_on_telegram(world: World) -> None:
    telegram, group = world.telegram, world.telegram.group(ROOM)
    ann, bob = telegram.user(7), telegram.user(8)
    telegram.says(bob, "The moon is cheese.", chat=ROOM)
    bobs = group.messages[-1]
    told = "Read with it: the message that you replied to"
    await world.says(ann, "@credit_test_bot is that true?", told, chat=ROOM, reply_to=bobs)
    assert asked(world) == ["> The moon is cheese.\n\nis that true?"]
    # Of an answer to somebody else it is what everybody sees, of one's own the conversation.
    answer = next(each for each in group.bot_messages if "An answer." in each.text)
    await world.says(bob, "why?", told, chat=ROOM, reply_to=answer)
    assert "> An answer." in asked(world)[1]
    assert asked(world)[1].endswith("\n\nwhy?")
    await world.says(ann, "and?", "An answer.", chat=ROOM, reply_to=answer)
    assert asked(world)[2] == "and?"


async def test_the_quoted_part_goes_along(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    listed = await world.says(ann, "three colours", "An answer.")
    quote = {"text": "answer", "position": 3}
    telegram.says(ann, "why this one?", reply_to=listed, quote=quote)
    await telegram.seen(7, "Read with it: the words that you quoted")
    assert asked(world)[1] == "> answer\n\nwhy this one?"


async def test_what_a_reply_is_about_goes_along_on_discord(discord: discord_support.World) -> None:
    fake = discord.discord
    ann, bob = fake.user(7), fake.user(8)
    bobs = fake.says(bob, "The moon is cheese.", channel=fake.text, mention=True)
    await discord.next(fake.text, "An answer.")
    fake.says(ann, "is that true?", channel=fake.text, mention=True, reply_to=bobs)
    await discord.next(fake.text, "Read with it: the message that you replied to")
    assert asked(discord)[1].startswith("> ")
    assert asked(discord)[1].endswith("The moon is cheese.\n\nis that true?")
    # What Discord doesn't show can't be asked about.
    fake.says(
        ann, "and that?", channel=fake.text, mention=True, reply_to=bobs, referenced_message=None
    )
    await discord.next(fake.text, "I can't read the message that you replied to")
    assert len(asked(discord)) == 2


async def test_a_key_in_what_is_replied_to_goes_no_further(world: World) -> None:
    telegram, group = world.telegram, world.telegram.group(ROOM)
    ann, bob = telegram.user(7), telegram.user(8)
    telegram.says(bob, f"use {KEY}", chat=ROOM)
    bobs = group.messages[-1]
    telegram.says(ann, "@credit_test_bot what is it?", chat=ROOM, reply_to=bobs)
    await telegram.seen(ROOM, "looks like a secret key")
    assert asked(world) == []


async def test_an_anonymous_admin_is_told_to_write_as_a_person(world: World) -> None:
    telegram, ann, group = world.telegram, world.telegram.user(7), world.telegram.group(ROOM)
    robot = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupBot"}
    chat = {"sender_chat": group.as_json(), "from": robot}
    telegram.says(ann, "just talking", chat=ROOM, **chat)
    telegram.says(ann, "/another_bots", chat=ROOM, **chat)
    telegram.says(ann, "@credit_test_bot why?", chat=ROOM, **chat)
    await telegram.seen(ROOM, "Write as yourself")
    await world.says(ann, "@credit_test_bot why?", "An answer.", chat=ROOM)
    assert sum("Write as" in each.text for each in group.bot_messages) == 1
    assert asked(world) == ["why?"]


async def test_a_revived_thread_keeps_its_place(discord: discord_support.World) -> None:
    """The client isn't told of archived threads; a message in one opens it again."""
    fake, ann = discord.discord, discord.discord.user(7)
    thread = fake.add_channel(fake.guild, parent=fake.text)
    fake.says(ann, "one", channel=thread, mention=True)
    await discord.next(thread, "An answer.")
    fake.tell("THREAD_CREATE", fake.channel_json(fake.channels[thread]), fake.guild)
    fake.says(ann, "two", channel=thread, mention=True)
    await fake.wait_for(lambda: len(asked(discord)) == 2)
    assert discord.service.openai.calls[1].body["messages"][0]["content"] == "one"
    rows = await discord.service.app.services.base.db.fetch(sa.select(schema.conversation.c.place))
    assert [row.place for row in rows] == [f"discord:{fake.text}:{thread}"]
