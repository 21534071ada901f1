"""A person's way through the bot on Discord, in each language: the whole service, the unmodified
client, REST and gateway on loopback."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pydantic import SecretStr

from bots.chat.i18n import LANGUAGES
from bots.config.settings import DiscordConfig
from bots.discord.commands import COMMANDS_MAX, DESCRIPTION_MAX, build_definitions, publish_commands
from core.money import Credits, parse_usd
from tests.peers.discord import TOKEN, FakeDiscord, plain
from tests.peers.discord_world import Message
from tests.peers.suppliers import Answer, Used
from tests.peers.telegram import FakeTelegram
from tests.support.size import size
from tests.system.discord_support import SPOKEN, World, briefs_world, fake, on_discord
from tests.system.world import PATIENCE_S, products_world, words

__all__ = ["fake"]

SKY = Answer(chunks=("Because ", "blue light ", "scatters most."), usage=Used(250, 60))
#: The brief's 1,000 tokens in and 500 out: a supplier is believed when they can be true.
QUESTION = {"model": "gpt-4", "question": "why " * 990}
LONG = Answer("word " * 500, usage=Used(1_000, 500))


@pytest_asyncio.fixture
async def brief(sqlite_url: str, fake: FakeDiscord) -> AsyncIterator[World]:
    async with briefs_world(sqlite_url, fake) as world:
        yield world


@pytest_asyncio.fixture
async def product(sqlite_url: str, fake: FakeDiscord) -> AsyncIterator[World]:
    """The shipped catalogue, on Telegram and Discord at once."""
    telegram = FakeTelegram()
    await telegram.start()
    try:
        async with (
            products_world(sqlite_url, telegram) as both,
            on_discord(both.service, fake) as world,
        ):
            yield world
    finally:
        await telegram.stop()


def charged(message: Message) -> int:
    """What the footer says."""
    return int(re.findall(r"· (\d+) ", plain(message.content).rpartition("◈ ")[2])[1])


@pytest.mark.parametrize("locale", SPOKEN)
async def test_from_start_to_the_balance(product: World, locale: str) -> None:
    fake, openai, language = product.discord, product.service.openai, SPOKEN[locale]
    ann = fake.user(7, locale)
    talk = fake.dm(ann).id

    def say(text: str, **values: str | int | Credits) -> str:
        return words(text, language, **values)

    fake.slash(ann, "/start")
    card = await product.next(talk, say("Welcome!"))
    example = f"💬 {say('Why is the sky blue?')}"
    labels = ("Models", "Balance", "🌐 Language", "Help")
    assert card.labels == [example, *(say(each) for each in labels)]
    # It grows under Stop, in the reply to its command.
    openai.script(SKY)
    gate = openai.hold()
    asked = fake.slash(ann, "/ask", {"question": "why is the sky blue?"})
    growing = await product.next(talk, "scatters")
    assert growing is asked.original
    assert growing.labels == [say("⏹ Stop")]
    fake.presses(ann, growing, say("⏹ Stop"))
    await product.next(talk, say("Stopped. Only what you see was charged."))
    gate.set()
    go_on, again = say("▶️ Continue"), say("🔁 Again")
    assert growing.labels == [go_on, again]
    openai.script(Answer("Stars."))
    fake.presses(ann, growing, go_on)
    more = await product.next(talk, "Stars.")
    await fake.wait_for(lambda: "◈" in more.content)
    openai.script(Answer("Stars, again."))
    fake.presses(ann, growing, again)
    once_more = await product.next(talk, "again.")
    await fake.wait_for(lambda: "◈" in once_more.content)
    sent = openai.calls[-1].body["messages"][-1]["content"]
    assert sent == "why is the sky blue?"
    # What the footers say is what the balance fell by, here and in a server, for them alone.
    spent = sum(charged(each) for each in (growing, more, once_more))
    left = say("{amount} Credits", amount=Credits(1_000 - spent))
    assert await product.credits(ann) == Credits(1_000 - spent)
    fake.slash(ann, "/balance", {}, fake.text)
    card = await product.next(fake.text, left, ann)
    assert fake.messages(fake.text) == []
    fake.presses(ann, card, say("Usage"))
    await product.next(fake.text, say("Recent Usage"), ann)
    assert fake.messages(fake.text) == []
    fake.says(ann, say("Balance"))
    await product.next(talk, left)


async def test_a_model_is_chosen_by_completion_and_by_buttons(product: World) -> None:
    fake, openai = product.discord, product.service.openai
    ann = fake.user(7)
    typed = fake.autocomplete(ann, "/ask", "model", "luna", fake.text)
    await fake.wait_for(lambda: typed.choices)
    assert [each["value"] for each in typed.choices] == ["gpt-6-luna"]
    assert re.fullmatch(r"GPT-6 Luna — .* Credits? / 1K tokens", typed.choices[0]["name"])
    fake.slash(ann, "/models", {}, fake.text)
    card = await product.next(fake.text, "GPT-6.1 Terra")
    for label, shown in (
        ("OpenAI · 3", "GPT-6 Luna"),
        ("GPT-6 Luna", "Reads up to"),
        ("Use this model", "answers you from now on"),
    ):
        fake.presses(ann, card, label)
        await fake.wait_for(lambda shown=shown: shown in plain(card.content), PATIENCE_S)
    assert fake.messages(fake.text) == [card]
    openai.script(Answer("Luna."))
    fake.says(ann, "who are you?", channel=fake.text, mention=True)
    answer = await product.next(fake.text, "◈ GPT-6 Luna · ")
    assert openai.calls[-1].body["model"] == "gpt-6-luna"
    openai.script(Answer("As I said."))
    fake.says(ann, "and now?", channel=fake.text, reply_to=answer)
    await product.next(fake.text, "As I said.")
    assert len(openai.calls[-1].body["messages"]) == 3, "one conversation"
    # In private begins another one.
    openai.script(Answer("Hello, you."))
    fake.says(ann, "hello?")
    await product.next(fake.dm(ann).id, "Hello, you.")
    assert len(openai.calls[-1].body["messages"]) == 1
    # Somebody else's button is not theirs to press, and only they are told.
    bob = fake.user(8)
    fake.presses(bob, answer, "Again")
    await product.next(fake.text, "belongs to somebody else", bob)
    assert not any("somebody" in each.content for each in fake.messages(fake.text))


async def test_the_briefs_usage_example(brief: World) -> None:
    """Brief § 4: 1,000 + 500 tokens at 5 Credits per 1,000 are 8 Credits; the key pays $0.045."""
    fake = brief.discord
    tom = fake.user(7)
    brief.service.openai.script(LONG)
    fake.slash(tom, "/ask", QUESTION)
    await brief.next(fake.dm(tom).id, "◈ GPT-4 Turbo · 1,500 tokens · 8 Credits · 992 left")
    assert await brief.credits(tom) == Credits(992)
    assert await brief.service.spent("gpt-4") == Credits(8)
    assert await brief.service.key_left() == parse_usd("499.955")


async def test_the_same_interaction_again_is_answered_and_charged_once(
    sqlite_url: str, fake: FakeDiscord
) -> None:
    tom = fake.user(7)
    talk = fake.dm(tom).id
    async with briefs_world(sqlite_url, fake) as world:
        world.service.openai.script(LONG)
        gate = world.service.openai.hold()
        asked = fake.slash(tom, "/ask", QUESTION)
        await world.service.openai.arrived(1)
        fake.again(asked)  # while it is being answered
        fake.slash(tom, "/help")
        await world.next(talk, "/balance")
        gate.set()
        answer = await world.next(talk, "8 Credits · 992 left")
        fake.again(asked)  # after it was
        fake.slash(tom, "/balance")
        await world.next(talk, "992 Credits")
        assert len(world.service.openai.calls) == 1
        await world.service.app.services.asks.asks.stop()  # what runs behind has landed too
    async with briefs_world(sqlite_url, fake) as world:  # and by a process that never saw it
        fake.again(asked)
        world.service.openai.script(LONG)
        pressed = fake.presses(tom, answer, "Again")
        await world.next(talk, "984 left")
        fake.again(pressed)
        fake.slash(tom, "/usage")
        await world.next(talk, "Recent Usage")
        assert len(world.service.openai.calls) == 1
        assert await world.service.spent("gpt-4") == Credits(16)
        assert await world.credits(tom) == Credits(984)
    shown = [each.content for each in fake.messages(talk)]
    assert sum("◈" in text for text in shown) == 2
    assert len(shown) == 7, "two answers of two messages, help, balance, usage"


async def test_a_gateway_that_breaks_and_a_429_lose_and_charge_nothing_twice(brief: World) -> None:
    fake, openai = brief.discord, brief.service.openai
    tom, ann = fake.user(7), fake.user(8)
    openai.always(LONG)
    gate = openai.hold()
    asked = fake.slash(tom, "/ask", QUESTION, fake.text)
    await openai.arrived(1)
    await fake.drop_gateway()
    # Said while nobody listened, and what had been heard once more: told after the resume.
    fake.again(asked)
    fake.slash(ann, "/ask", QUESTION, fake.text)
    await fake.wait_for(lambda: fake.gateway.resumed == 1, PATIENCE_S)
    await openai.arrived(2)
    fake.fail_next("PATCH /webhooks", 429, retry_after=0.05, times=3)
    gate.set()

    def landed() -> int:
        return sum("· 8 Credits" in plain(each.content) for each in fake.messages(fake.text))

    await fake.wait_for(lambda: landed() == 2, PATIENCE_S)
    assert [call.status for call in fake.calls].count(429) == 3
    assert (len(openai.calls), await brief.service.spent("gpt-4")) == (2, Credits(16))
    assert [await brief.credits(each) for each in (tom, ann)] == [Credits(992)] * 2


async def test_a_crowd_in_many_channels_each_once(brief: World) -> None:
    """All at once: every command deferred in time, every answer landed and charged once."""
    fake, crowd = brief.discord, size(small=40, full=600)
    brief.service.openai.always(LONG)
    channels = [fake.add_channel(fake.guild) for _ in range(8)]
    asked = []
    for number in range(crowd):
        person = fake.user(1_000 + number)
        where = channels[number % 10] if number % 10 < 8 else None
        asked.append(fake.slash(person, "/ask", QUESTION, where))
        if number % 3 == 0:
            fake.again(asked[-1])

    def landed() -> int:
        where = {each.channel.id for each in asked}
        return sum(
            "· 8 Credits" in plain(each.content) for at in where for each in fake.messages(at)
        )

    await fake.wait_for(lambda: landed() == crowd, PATIENCE_S)
    assert all(each.callbacks == [5] for each in asked)
    assert len(brief.service.openai.calls) == crowd
    assert await brief.service.spent("gpt-4") == Credits(8 * crowd)
    assert {call.status for call in fake.calls} <= {200, 400}
    refused = [call.route for call in fake.calls if call.status == 400]
    assert set(refused) <= {"POST /interactions/{interaction}/{token}/callback"}
    assert len(refused) <= len(range(0, crowd, 3)), "what came twice was acknowledged once"


async def test_every_command_is_answered_in_a_server_and_shows_no_money(brief: World) -> None:
    fake, front = brief.discord, brief.service.app.chat.dispatcher
    ann = fake.user(7)
    for item in front.build_menu("en", "admin"):
        options = {each.name: "gpt-4" for each in item.options if each.required}
        asked = fake.slash(ann, f"/{item.name}", options, fake.text)
        await fake.wait_for(
            lambda asked=asked: asked.acknowledged and not asked.thinking, PATIENCE_S
        )
        assert asked.ephemeral == item.is_private, item.name
    every = "\n".join(each.content for each in fake.messages(fake.text, ann))
    assert "$" not in every
    assert every.count("for the operator only") == sum(
        item.admin_only for item in front.build_menu("en", "admin")
    )
    open_to_all = {plain(each.content).split("\n")[0] for each in fake.messages(fake.text)}
    assert not any("Balance" in line or "operator" in line for line in open_to_all)


async def test_a_refusal_is_told_to_its_asker_alone(brief: World) -> None:
    fake = brief.discord
    ann = fake.user(7)
    for options, told in (
        ({"question": "why?", "model": "gpt-44"}, "There is no model"),
        ({"question": "word " * 1_200, "model": "gpt-4"}, "◈"),
    ):
        fake.slash(ann, "/ask", options, fake.text)
        await brief.next(fake.text, told, ann)
    assert [("no model" in each.content) for each in fake.messages(fake.text)] == [False]


async def test_a_pasted_key_is_deleted_where_allowed_and_goes_nowhere(brief: World) -> None:
    fake, key = brief.discord, "sk-proj-canary0123456789canary0123456789"
    watched = fake.add_channel(fake.guild, moderates=True)
    ann, told = fake.user(7), "looks like a secret key"
    said = fake.says(ann, f"use {key}", channel=watched, mention=True)
    await brief.next(watched, told)
    assert said.gone
    fake.says(ann, key)
    await brief.next(fake.dm(ann).id, told)
    fake.slash(ann, "/ask", {"question": key}, fake.text)
    await brief.next(fake.text, told, ann)
    assert brief.service.openai.calls == []
    assert not any(
        key in each.content for where in fake.channels for each in fake.messages(where, ann)
    )


async def test_help_menus_and_slash_definitions_agree_in_every_language(brief: World) -> None:
    """And they keep what the platforms allow, without being cut."""
    front, fake = brief.service.app.chat.dispatcher, brief.discord
    config = DiscordConfig(
        token=SecretStr(TOKEN), api_url=fake.api_url, gateway_url=fake.gateway_url
    )
    published = await publish_commands(config, front)
    # The fake has refused what Discord refuses; every command is there, once, in order.
    menu = front.build_menu("en", "admin")
    slash = [each for each in fake.commands if each["type"] == 1]
    of_messages = [each["name"] for each in fake.commands if each["type"] == 3]
    assert of_messages == ["Ask about this", "Transcribe this"]
    assert [each["name"] for each in slash] == [item.name for item in menu]
    assert published - 2 == len(menu) <= COMMANDS_MAX
    for language in LANGUAGES:
        for item, told in zip(front.build_menu(language, "admin"), slash, strict=True):
            names, descriptions = told["name_localizations"], told["description_localizations"]
            assert item.description == descriptions.get(language, told["description"])
            assert len(item.description) <= DESCRIPTION_MAX
            if language != "en":
                assert names[language] == item.title, "every title can be a name"
            for option, given in zip(item.options, told["options"], strict=True):
                localised = given["description_localizations"].get(language, given["description"])
                assert option.description == localised
                assert given["type"] == (11 if option.is_file else 3)
                assert given.get("autocomplete", False) == bool(option.completion)
            assert (told.get("default_member_permissions") == "0") == item.admin_only
            assert (told["contexts"], told["integration_types"]) == ([0, 1, 2], [0, 1])
        names = [item.title for item in front.build_menu(language, "admin")]
        assert len(set(names)) == len(names), "no two commands have one name"
    assert build_definitions(front) == fake.commands
    # Help lists the same commands, in the same words.
    for number, (locale, language) in enumerate(SPOKEN.items()):
        ann = fake.user(7 + number, locale)
        fake.slash(ann, "/help")
        card = await brief.next(fake.dm(ann).id, "/balance")
        for item in front.build_menu(language, "private"):
            assert f"/{item.name}" in plain(card.content)
            assert item.description in plain(card.content)
