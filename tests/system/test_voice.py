"""Voice on Telegram and Discord, through the unmodified clients: bytes fetched from the platform,
sent to a supplier on loopback, shown, charged; in both languages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core.money import Credits, parse_usd
from tests.peers.discord import FakeDiscord, plain
from tests.peers.suppliers import Answer, Heard
from tests.peers.telegram import FakeTelegram
from tests.support.audio import VOICE, m4a, mp3, wav
from tests.support.size import size
from tests.system import discord_support
from tests.system.peers import discord
from tests.system.world import World, briefs_world, words

__all__ = ["discord"]

SAID = Heard("Why is the sky blue?", seconds=61, duration=60.4)
ROOM = -5


@pytest.fixture(params=["sqlite_url", "postgres_url"][: size(small=1, full=2)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database; at full size each kind. What is booked is tested on both, always."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest_asyncio.fixture
async def brief(database_url: str, telegram: FakeTelegram) -> AsyncIterator[World]:
    async with briefs_world(database_url, telegram) as world:
        yield world


@pytest.mark.parametrize(("code", "language"), [("en", "en"), ("zh-hans", "zh-CN")])
async def test_a_61_second_voice_message_costs_3_credits(
    code: str, language: str, brief: World
) -> None:
    telegram, ann = brief.telegram, brief.telegram.user(7, code)
    brief.openai.script(SAID)
    telegram.sends(ann, "voice", VOICE, duration=61, mime_type="audio/ogg")
    shown = await telegram.seen(7, "Why is the sky blue?")
    audio = words("{seconds} s of audio", language, seconds=61)
    cost = words("{amount} Credits", language, amount=Credits(3))
    assert f"◈ Whisper · {audio} · {cost} · " in shown.text
    assert shown.labels == [words("💬 Ask this", language)]
    assert brief.openai.calls[0].body == {
        "model": "whisper-1",
        "response_format": "verbose_json",
        "file": ("voice.ogg", VOICE),
    }
    assert await brief.of(ann).credits() == Credits(997)
    assert await brief.service.spent("whisper-1") == Credits(3)
    assert await brief.service.key_left() == parse_usd("500") - parse_usd("0.0061")
    # The button asks it, and what was shown stays.
    brief.openai.script(Answer("Scattering."))
    answer = await brief.presses(ann, shown, shown.labels[0], "Scattering.")
    assert answer.id != shown.id
    assert brief.openai.calls[1].body["messages"][-1]["content"] == "Why is the sky blue?"
    assert shown in telegram.chat(7).messages


async def test_the_same_update_again_is_heard_and_charged_once(
    database_url: str, telegram: FakeTelegram
) -> None:
    ann = telegram.user(7)
    async with briefs_world(database_url, telegram) as world:
        world.openai.script(SAID)
        telegram.sends(ann, "voice", VOICE, duration=61)
        update = telegram.updates[-1]
        shown = await telegram.seen(7, "3 Credits · 997 left")
        telegram.again(update)
        await world.says(ann, "/balance", "997 Credits")
    async with briefs_world(database_url, telegram) as world:  # and by another process
        telegram.again(update)
        await world.says(ann, "/balance", "997 Credits")
        world.openai.script(Answer("Scattering."))
        await world.presses(ann, shown, "Ask this", "Scattering.")
        assert len(world.openai.calls) == 1


async def test_every_kind_of_audio_and_none_that_telegram_keeps(brief: World) -> None:
    telegram, ann = brief.telegram, brief.telegram.user(7)
    sounds = (
        ("audio", mp3(61), {"duration": 61, "mime_type": "audio/mpeg"}, "voice.mp3"),
        ("video_note", m4a(61), {"duration": 61, "length": 240}, "voice.mp4"),
        ("document", wav(61), {"mime_type": "audio/x-wav", "file_name": "a.wav"}, "voice.wav"),
    )
    for number, (kind, content, about, name) in enumerate(sounds):
        brief.openai.script(SAID)
        telegram.sends(ann, kind, content, **about)
        await telegram.seen(7, f"3 Credits · {997 - 3 * number} left")
        assert brief.openai.calls[-1].body["file"] == (name, content)
    telegram.fail_next("getFile", 400, description="Bad Request: file is temporarily unavailable")
    telegram.sends(ann, "voice", VOICE, duration=61)
    await telegram.seen(7, "could not be fetched")
    # Larger than it says: the platform itself doesn't hand it out.
    telegram.sends(ann, "voice", VOICE, duration=61, file_size=(20 << 20) + 1)
    await telegram.seen(7, "has 21 MB")
    assert len(brief.openai.calls) == 3
    assert await brief.of(ann).credits() == Credits(991)


async def test_in_a_group_only_audio_for_the_bot_is_heard(brief: World) -> None:
    telegram = brief.telegram
    ann, bob, group = telegram.user(7), telegram.user(8), telegram.group(ROOM)
    brief.openai.script(Answer("Hello."), SAID, SAID)
    telegram.sends(bob, "voice", VOICE, chat=ROOM, duration=61)
    telegram.sends(bob, "audio", VOICE, chat=ROOM, duration=61, caption="listen, all")
    ours = await brief.says(ann, "@credit_test_bot hello", "Hello.", chat=ROOM)
    telegram.sends(ann, "voice", VOICE, chat=ROOM, duration=61, reply_to=ours)
    shown = await telegram.seen(ROOM, "Whisper · 61 s of audio · 3 Credits")
    telegram.sends(
        bob, "audio", VOICE, chat=ROOM, duration=61, mime_type="audio/ogg",
        caption="@credit_test_bot what is said?",
    )  # fmt: skip
    await telegram.wait_for(
        lambda: sum("· 3 Credits" in each.text for each in group.bot_messages) == 2
    )
    assert len(brief.openai.calls) == 3
    assert len(group.bot_messages) == 3
    telegram.presses(bob, shown, "Ask this")
    await telegram.seen(ROOM, "belongs to somebody else")


async def test_beside_a_paste_in_a_group_unaddressed_audio_is_nobodys(brief: World) -> None:
    telegram, ann, group = brief.telegram, brief.telegram.user(7), brief.telegram.group(ROOM)
    brief.openai.always(Answer("A long question."))
    telegram.says(ann, "/ask gpt-4 " + "why " * 900, chat=ROOM)
    telegram.sends(ann, "voice", VOICE, chat=ROOM, duration=61)
    telegram.says(ann, "and the rest of it", chat=ROOM)
    await telegram.seen(ROOM, "A long question.")
    assert [call.path for call in brief.openai.calls] == ["/v1/chat/completions"]
    assert brief.openai.calls[0].body["messages"][-1]["content"].endswith("and the rest of it")
    assert len(group.bot_messages) == 1


async def test_while_a_secret_is_awaited_a_voice_message_is_not_it(brief: World) -> None:
    telegram, owner, key = brief.telegram, brief.telegram.user(1), "sk-good-of-the-owner-in-chat"
    brief.openai.allow(key)
    await brief.says(owner, "/pool add openai 50", "A key of OpenAI")
    brief.openai.script(SAID)
    sent = telegram.sends(owner, "voice", VOICE, duration=61)
    await telegram.seen(1, "3 Credits · 997 left")
    assert telegram.chat(1).find(sent) is not None
    await brief.says(owner, key, "Added OpenAI")


async def test_a_voice_message_in_the_middle_of_a_paste_is_no_part_of_it(brief: World) -> None:
    telegram, ann = brief.telegram, brief.telegram.user(7)
    brief.openai.always(Answer("A long question."))
    telegram.says(ann, "/ask gpt-4 " + "why " * 900)
    telegram.sends(ann, "voice", VOICE, duration=61)
    await telegram.seen(7, "hello there")
    await telegram.seen(7, "A long question.")
    assert {call.path for call in brief.openai.calls} == {
        "/v1/chat/completions",
        "/v1/audio/transcriptions",
    }


# --- Discord ----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh-CN"])
async def test_a_61_second_voice_message_on_discord_costs_3_credits(
    language: str, database_url: str, discord: FakeDiscord
) -> None:
    async with discord_support.briefs_world(database_url, discord) as world:
        openai, ann = world.service.openai, discord.user(7)
        talk = discord.dm(ann).id
        discord.says(ann, f"/language {language}")
        await world.next(talk, words("I'll write in English from now on.", language))
        # This supplier tells no length: Discord's counts, rounded up.
        openai.script(Heard(SAID.text))
        discord.sends(ann, VOICE, seconds=60.4)
        shown = await world.next(talk, "Why is the sky blue?")
        audio = words("{seconds} s of audio", language, seconds=61)
        cost = words("{amount} Credits", language, amount=Credits(3))
        assert f"◈ Whisper · {audio} · {cost} · " in plain(shown.content)
        assert shown.labels == [words("💬 Ask this", language)]
        assert openai.calls[0].body["file"] == ("voice.ogg", VOICE)
        assert await world.credits(ann) == Credits(997)
        assert await world.service.spent("whisper-1") == Credits(3)
        assert await world.service.key_left() == parse_usd("500") - parse_usd("0.0061")
        openai.script(Answer("Scattering."))
        discord.presses(ann, shown, shown.labels[0])
        answer = await world.next(talk, "Scattering.")
        assert answer.id != shown.id
        assert openai.calls[1].body["messages"][-1]["content"] == "Why is the sky blue?"
        assert "Why is the sky blue?" in plain(shown.content)


async def test_files_and_servers_on_discord(database_url: str, discord: FakeDiscord) -> None:
    async with discord_support.briefs_world(database_url, discord) as world:
        openai, ann = world.service.openai, discord.user(7)
        talk, room = discord.dm(ann).id, discord.text
        # Nobody tells how long an attached file is: it says so itself.
        openai.script(SAID)
        discord.sends(ann, wav(61), name="a.wav", mime="audio/x-wav; charset=binary")
        await world.next(talk, "3 Credits · 997 left")
        assert openai.calls[0].body["file"] == ("voice.wav", wav(61))
        discord.sends(ann, b"garbage", name="a.mp3", mime="audio/mpeg")
        await world.next(talk, "could not be fetched or read")
        bob = discord.user(9)
        discord.sends(bob, VOICE, seconds=61)
        discord.files.clear()
        await world.next(discord.dm(bob).id, "That could not be fetched")
        # In a server only what mentions the bot, or replies to it.
        discord.sends(ann, VOICE, seconds=61, channel=room)
        openai.script(SAID, SAID)
        discord.sends(ann, VOICE, seconds=61, channel=room, mention=True)
        ours = await world.next(room, "· 3 Credits")
        discord.sends(ann, VOICE, seconds=61, channel=room, reply_to=ours)
        await discord.wait_for(
            lambda: sum("· 3 Credits" in each.content for each in discord.messages(room)) == 2
        )
        assert len(openai.calls) == 3
        discord.presses(discord.user(8), ours, "Ask this")
        await world.next(room, "belongs to somebody else", discord.user(8))
