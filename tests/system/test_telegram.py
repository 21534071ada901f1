"""A person's way through the bot on Telegram, in each language: asks, buttons, groups, keys."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from core.money import Credits, parse_usd
from tests.peers.suppliers import Answer, Used
from tests.peers.telegram import FakeTelegram
from tests.peers.telegram_chats import Chat, Message, User, utf16
from tests.support.size import size
from tests.system.world import PATIENCE_S, World, briefs_world, products_world, words

SPOKEN = {"en": "en", "zh-hans": "zh-CN"}
SKY = Answer(chunks=("Because ", "blue light ", "scatters most."), usage=Used(250, 60))
ROOM = -5
#: The brief's 1,000 tokens in and 500 out: a supplier is believed when they can be true.
QUESTION = "/ask gpt-4 " + "why " * 990
LONG = Answer("word " * 500, usage=Used(1_000, 500))


@pytest.fixture(params=["sqlite_url", "postgres_url"][: size(small=1, full=2)])
def url(request: pytest.FixtureRequest) -> str:
    """A fresh database; at full size the chats are led on each kind."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest_asyncio.fixture
async def brief(url: str, telegram: FakeTelegram) -> AsyncIterator[World]:
    async with briefs_world(url, telegram) as world:
        yield world


@pytest_asyncio.fixture
async def product(url: str, telegram: FakeTelegram) -> AsyncIterator[World]:
    async with products_world(url, telegram) as world:
        yield world


@dataclass
class Talk:
    """Ann's chat with the bot, in one language."""

    world: World
    ann: User
    language: str

    @property
    def chat(self) -> Chat:
        return self.world.telegram.chat(self.ann.id)

    def words(self, text: str, **values: str | int | Credits) -> str:
        return words(text, self.language, **values)

    async def grows(self, question: str, answer: Answer) -> asyncio.Event:
        """Asks; the whole answer is a draft now, and ends when the event is set."""
        self.world.openai.script(answer)
        gate = self.world.openai.hold()
        self.world.telegram.says(self.ann, question)
        await self.world.telegram.wait_for(lambda: "scatters" in self.chat.draft, PATIENCE_S)
        return gate

    async def answered(self, question: str, answer: Answer) -> Message:
        """Asks; the whole answer as it landed."""
        self.world.openai.script(answer)
        return await self.world.says(self.ann, question, answer.parts[-1])

    async def pressed(self, card: Message, label: str, answer: Answer) -> Message:
        """A button that asks; the whole answer as it landed."""
        self.world.openai.script(answer)
        return await self.world.presses(self.ann, card, label, answer.parts[-1])


@pytest_asyncio.fixture(params=SPOKEN)
async def talk(request: pytest.FixtureRequest, product: World) -> Talk:
    return Talk(product, product.telegram.user(7, request.param), SPOKEN[request.param])


async def test_start_an_ask_streamed_and_the_balance(talk: Talk) -> None:
    world, ann, chat = talk.world, talk.ann, talk.chat
    card = await world.says(ann, "/start", talk.words("Welcome!"))
    labels = ("Models", "Balance", "🌐 Language", "Help")
    example = f"💬 {talk.words('Why is the sky blue?')}"
    assert card.labels == [example, *(talk.words(label) for label in labels)]
    # It grows as a draft under a Stop button, and lands as one message.
    gate = await talk.grows("why is the sky blue?", SKY)
    holder = chat.last
    assert (holder.text, holder.labels) == ("…", [talk.words("⏹ Stop")])
    have, held = await world.of(ann).credits(), await world.of(ann).held()
    assert (have + held, held > Credits(0)) == (Credits(1_000), True)
    gate.set()
    answer = await world.telegram.seen(7, "◈ GPT-6.1 Terra · 310 tokens · ", seconds=PATIENCE_S)
    await world.telegram.wait_for(lambda: holder not in chat.messages, PATIENCE_S)
    assert answer.text.startswith("Because blue light scatters most.\n\n◈ ")
    assert answer.labels == [talk.words("🔁 Again")]
    assert "editMessageText" not in world.telegram.called()
    # What the footer says is left is the ledger's; a bare word asks for it too, free.
    left = await world.of(ann).credits()
    assert left < Credits(1_000)
    assert f"{left.units:,}" in answer.text.rpartition("·")[2]
    have_words = talk.words("{amount} Credits", amount=left)
    await world.says(ann, "/balance", have_words)
    await world.says(ann, talk.words("Balance"), have_words)
    assert len(world.openai.calls) == 1


async def test_an_operator_sees_how_people_call_themselves(brief: World) -> None:
    ann, owner = brief.telegram.user(7), brief.telegram.user(1)
    await brief.says(ann, "/balance", "Credits")
    listed = await brief.says(owner, "/users", "People in all: 2")
    assert "Ann (@ann) · telegram:7" in listed.text
    assert "getChat" in brief.telegram.called()


async def test_stop_continue_and_again(talk: Talk) -> None:
    world, ann = talk.world, talk.ann
    gate = await talk.grows("and at night?", SKY)
    stopped = await world.presses(
        ann,
        talk.chat.last,
        talk.words("⏹ Stop"),
        talk.words("Stopped. Only what you see was charged."),
    )
    gate.set()
    assert stopped.text.startswith("Because blue light scatters most.\n\n◈ ")
    go_on, again = talk.words("▶️ Continue"), talk.words("🔁 Again")
    assert stopped.labels == [go_on, again]
    assert await world.of(ann).held() == Credits(0)
    more = await talk.pressed(stopped, go_on, Answer("Stars.", finish="length"))
    sent = [message["content"] for message in world.openai.calls[-1].body["messages"]]
    assert sent[-2] == "Because blue light scatters most."
    assert sent[-1] == talk.words("Go on exactly where you stopped.")
    assert talk.words("The answer reached its limit; press Continue for more.") in more.text
    assert more.labels == [go_on, again]
    await talk.pressed(stopped, again, Answer("Stars, again."))
    assert world.openai.calls[-1].body["messages"][-1]["content"] == "and at night?"
    # Each was charged once, and the sum is what the balance fell by.
    seen = [each.text for each in talk.chat.bot_messages if "◈" in each.text]
    told = [text.rpartition("◈ ")[2] for text in seen]
    charges = [int(re.findall(r"· (\d+) ", footer)[1]) for footer in told]
    assert len(charges) == 3
    assert await world.of(ann).credits() == Credits(1_000 - sum(charges))


async def test_a_model_is_chosen_by_buttons(talk: Talk) -> None:
    """Each card takes the place of the one before."""
    world, ann = talk.world, talk.ann
    card = await world.says(ann, "/models", "GPT-6.1 Terra")
    await world.presses(ann, card, "OpenAI · 3", "GPT-6 Luna")
    await world.presses(ann, card, "GPT-6 Luna", "tokens")
    chosen = talk.words("{model} answers you from now on.", model="GPT-6 Luna")
    await world.presses(ann, card, talk.words("Use this model"), chosen)
    assert talk.chat.bot_messages == [card]
    answer = await talk.answered("who are you?", Answer("Luna."))
    assert "◈ GPT-6 Luna · " in answer.text
    assert world.openai.calls[-1].body["model"] == "gpt-6-luna"


async def test_the_language_is_changed_by_button(talk: Talk) -> None:
    other, name = ("zh-CN", "简体中文") if talk.language == "en" else ("en", "English")
    card = await talk.world.says(talk.ann, "/language", talk.words("Language"))
    told = await talk.world.presses(
        talk.ann, card, name, words("I'll write in English from now on.", other)
    )
    assert told is card
    await talk.world.says(talk.ann, "/balance", words("💎 My Balance", other))


def long_answer() -> str:
    """More than 20,000 characters: prose, then a block of code that no message holds, and so on."""
    parts = []
    for block in range(3):
        parts.append(f"## Part {block}\n\nSome **words** before the code.\n")
        code = "\n".join(f"    print({block}, {line:03}, 'x' * 20)  # ✓" for line in range(205))
        parts.append(f"```python\n{code}\n```\n")
    return "\n".join(parts)


async def test_a_long_answer_with_code_and_a_429_in_the_middle(product: World) -> None:
    telegram, text = product.telegram, long_answer()
    assert len(text) > 20_000
    ann = telegram.user(7)
    product.openai.script(
        Answer(chunks=tuple(text[at : at + 500] for at in range(0, len(text), 500)))
    )
    chat = telegram.chat(7)
    telegram.fail_next("sendMessageDraft", 429, retry_after=1)
    telegram.says(ann, "show me code")
    await telegram.wait_for(lambda: any("Part 0" in each.text for each in chat.bot_messages))
    telegram.fail_next("sendMessage", 429, retry_after=1)
    last = await telegram.seen(7, "◈ GPT-6.1 Terra", seconds=PATIENCE_S)
    pieces = [each for each in chat.bot_messages if each.text != "…"]
    assert 6 <= len(pieces) <= 10
    assert pieces[-1] is last
    assert [each.labels for each in pieces[:-1]] == [[]] * (len(pieces) - 1)
    refused = [(each.method, each.status) for each in telegram.calls if each.status != 200]
    assert ("sendMessage", 429) in refused
    assert all(utf16(each.text) <= 4_096 for each in pieces)
    # Every line of code is there once, in order, inside code; no fence is left as text.
    code = "".join(
        piece.part(entity) + "\n"
        for piece in pieces
        for entity in piece.entities
        if entity["type"] == "pre"
    )
    wanted = [
        f"    print({block}, {line:03}, 'x' * 20)  # ✓" for block in range(3) for line in range(205)
    ]
    assert code.splitlines() == wanted
    assert {
        entity.get("language")
        for each in pieces
        for entity in each.entities
        if entity["type"] == "pre"
    } == {"python"}
    assert not any("```" in each.text for each in pieces)


async def test_in_a_group_only_what_is_meant_for_the_bot_is_answered(brief: World) -> None:
    telegram, openai = brief.telegram, brief.openai
    ann, bob, group = telegram.user(7), telegram.user(8), telegram.group(ROOM)
    for text in ("hello all", "/ask@other_bot why?", "@somebody why?", "what about gpt-4?"):
        telegram.says(bob, text, chat=ROOM)
    first = await brief.says(ann, "/ask gpt-4 one?", "◈", chat=ROOM)
    assert group.find(first.reply_to or 0) is not None
    second = await brief.says(ann, "@credit_test_bot, two?", "◈", chat=ROOM)
    await brief.says(bob, "three?", "◈", chat=ROOM, reply_to=second)
    asked = [call.body["messages"][-1]["content"] for call in openai.calls]
    assert asked[:2] == ["one?", "two?"]
    # What everybody sees of another's answer goes along with a reply to it.
    assert asked[2].startswith("> Hello there.")
    assert asked[2].endswith("\n\nthree?")
    assert len(group.bot_messages) == 3
    assert {each.reply_to for each in group.bot_messages} == {
        each.id
        for each in group.messages
        if each.sender and each.text.endswith(("one?", "two?", "three?"))
    }
    assert "sendMessageDraft" not in telegram.called()

    # What is a person's alone goes to their private chat.
    note = await brief.says(ann, "/balance", "in private", chat=ROOM)
    assert "Credits" not in note.text
    card = await telegram.seen(7, "My Balance")
    assert f"{(await brief.of(ann).credits()).units:,} Credits" in card.text
    stranger = telegram.user(9, unreachable=True)
    link = await brief.says(stranger, "/usage", "Write to me in private first", chat=ROOM)
    assert link.buttons == [[("@credit_test_bot", "https://t.me/credit_test_bot")]]
    # Somebody else's Again is not theirs to press.
    telegram.presses(bob, first, "Again")
    await telegram.seen(ROOM, "belongs to somebody else")
    assert len(openai.calls) == 3


async def test_a_pasted_key_is_deleted_and_goes_nowhere(brief: World) -> None:
    telegram, key = brief.telegram, "sk-proj-canary0123456789canary0123456789"
    ann, group = telegram.user(7), telegram.group(ROOM)
    told = "looks like a secret key"
    await brief.says(ann, f"use this: {key}", told)
    await brief.says(ann, f"/ask gpt-4 is {key} good?", told)
    await telegram.wait_for(lambda: not any(key in each.text for each in telegram.chat(7).messages))
    # In a group the bot may not delete; it tells all the same, and does nothing else.
    warning = await brief.says(ann, f"@credit_test_bot {key}", told, chat=ROOM)
    assert key not in warning.text
    assert brief.openai.calls == []
    assert await brief.of(ann).credits() == Credits(1_000)
    assert len(group.bot_messages) == 1


@pytest.mark.usefixtures("told_menus")
async def test_menus_are_told_per_language_and_kind_of_chat(product: World) -> None:
    telegram, front = product.telegram, product.service.app.chat.dispatcher
    wanted = {
        (scope, code): [
            {"command": item.name, "description": item.description}
            for item in front.build_menu(language, kind)
        ]
        for scope, kind in (
            ('{"type": "all_private_chats"}', "private"),
            ('{"type": "all_group_chats"}', "group"),
        )
        for language, code in (("en", "en"), ("en", ""), ("zh-CN", "zh"))
    }
    await telegram.wait_for(lambda: len(telegram.texts) == 6, PATIENCE_S)
    assert telegram.commands == wanted
    private, group = (wanted[scope, "zh"] for scope in sorted({scope for scope, _ in wanted})[::-1])
    assert {"command": "ask", "description": "向模型提问，可先写模型名"} in private
    assert {each["command"] for each in group} < {each["command"] for each in private}
    assert not {"setprice", "grant"} & {each["command"] for each in private}
    assert "四十多个语言模型" in telegram.texts["description", "zh"]
    assert telegram.texts["short_description", "en"] == telegram.texts["short_description", ""]


async def test_the_briefs_usage_example(brief: World) -> None:
    """Brief § 4: 1,000 + 500 tokens at 5 Credits per 1,000 are 8 Credits; the key pays $0.045."""
    tom = brief.telegram.user(7)
    brief.openai.script(LONG)
    await brief.says(tom, "/balance", "1,000 Credits")
    footer = "◈ GPT-4 Turbo · 1,500 tokens · 8 Credits · 992 left"
    await brief.says(tom, QUESTION, footer)
    usage = await brief.says(tom, "/usage", "Recent Usage")
    assert "GPT-4 Turbo  8 Cr" in usage.text
    assert "Spent: 8 Credits today" in usage.text
    await brief.says(tom, "/balance", "992 Credits")
    assert await brief.of(tom).credits() == Credits(992)
    assert await brief.of(tom).held() == Credits(0)
    assert await brief.service.spent("gpt-4") == Credits(8)
    assert await brief.service.key_left() == parse_usd("499.955")


async def test_the_same_update_again_is_answered_and_charged_once(
    url: str, telegram: FakeTelegram
) -> None:
    tom = telegram.user(7)
    async with briefs_world(url, telegram) as world:
        world.openai.script(LONG)
        gate = world.openai.hold()
        telegram.says(tom, QUESTION)
        update = telegram.updates[-1]
        await world.openai.arrived(1)
        telegram.again(update)  # while it is being answered
        await world.says(tom, "/help", "/balance")
        gate.set()
        answer = await telegram.seen(7, "8 Credits · 992 left")
        telegram.again(update)  # after it was
        await world.says(tom, "/balance", "992 Credits")
        await settled(world, asks=1)
    async with briefs_world(url, telegram) as world:  # and by a process that never saw it
        telegram.again(update)
        await world.says(tom, "/balance", "992 Credits")
        await settled(world, asks=0)
        # One press of Again is one ask, however often it is delivered.
        world.openai.script(LONG)
        telegram.presses(tom, answer, "Again")
        press_update = telegram.updates[-1]
        await telegram.seen(7, "984 left")
        telegram.again(press_update)
        await telegram.seen(7, "no longer works")
        await settled(world, asks=1)
        assert await world.service.spent("gpt-4") == Credits(16)
    shown = [each.text for each in telegram.chat(7).bot_messages]
    assert sum(text.startswith("word ") for text in shown) == 2


async def settled(world: World, *, asks: int) -> None:
    """So many calls came to the supplier, and nothing is held or found wrong."""
    await asyncio.sleep(0)
    assert len(world.openai.calls) == asks
    assert await world.service.held() == Credits(0)
    assert await world.service.findings() == []
