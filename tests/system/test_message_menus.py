"""Discord's menu on a message: a question about it, and its audio written down."""

from __future__ import annotations

from tests.peers.discord import plain
from tests.peers.suppliers import Heard
from tests.support.audio import wav
from tests.system import discord_support
from tests.system.attachments_support import asked, attached


async def test_a_question_about_a_message_is_typed_into_a_dialog(
    discord: discord_support.World,
) -> None:
    fake = discord.discord
    ann, bob = fake.user(7), fake.user(8)
    said = fake.says(bob, "The moon is cheese.", channel=fake.text)
    opened = fake.opens_menu(ann, "Ask about this", said)
    await fake.wait_for(lambda: opened.modal)
    assert opened.modal["title"] == "Ask about this"
    # Somebody else's dialog is no way to another's.
    fake.submits(bob, opened, question="mine?")
    await fake.wait_for(lambda: fake.messages(fake.text, bob))
    fake.submits(ann, opened, question="is that true?")
    # The footer comes with the last edit: the answer may have stood there before it.
    answer = await discord.next(fake.text, "Read with it: the message that you replied to")
    assert "An answer." in plain(answer.content)
    assert "**is that true?**" in answer.content
    assert asked(discord) == ["> The moon is cheese.\n\nis that true?"]
    # The dialog is used up.
    fake.submits(ann, opened, question="again?")
    await fake.wait_for(lambda: fake.messages(fake.text, ann)[1:])
    assert len(asked(discord)) == 1


async def test_what_a_message_carries_is_named_where_it_cannot_be_read(
    discord: discord_support.World,
) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    said = fake.says(ann, "look", channel=fake.text)
    opened = fake.opens_menu(ann, "Ask about this", said, **attached("a.mp4", "video/mp4"))
    await fake.wait_for(lambda: opened.modal)
    fake.submits(ann, opened, question="what is it?")
    await discord.next(fake.text, "I can't read the video “a.mp4”")
    assert asked(discord) == []


async def test_audio_of_a_message_is_written_down(discord: discord_support.World) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    bob = fake.user(8, "zh-CN")
    said = fake.sends(bob, wav(2.0), name="v.wav", mime="audio/wav", channel=fake.text)
    silent = fake.says(bob, "no words", channel=fake.text)
    fake.opens_menu(bob, "Transcribe this", silent)
    await discord.next(fake.text, "那条消息里没有语音或音频文件。", bob)
    assert fake.messages(fake.text) == []
    (file,) = fake.files
    told = attached("v.wav", "audio/wav")["attachments"][0]
    told["url"] = told["proxy_url"] = f"{fake.api_url.removesuffix('/api/v10')}/cdn/{file}"
    discord.service.openai.script(Heard("What was said.", seconds=2, duration=2.0))
    fake.opens_menu(ann, "Transcribe this", said, attachments=[told])
    answer = await discord.next(fake.text, "What was said.")
    assert "Whisper" in answer.content


async def test_audio_in_a_commands_option_is_written_down_like_a_voice_message(
    discord: discord_support.World,
) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    told = fake.attachment_json(wav(2.0), name="v.wav", mime="audio/wav")
    discord.service.openai.script(Heard("The sky is blue.", seconds=2, duration=2.0))
    fake.slash(ann, "/ask", {"question": "is that so?"}, fake.text, files={"file": told})
    answer = await discord.next(fake.text, "The sky is blue.")
    assert "Whisper" in answer.content
    calls = discord.service.openai.calls
    assert [call.body.get("messages") for call in calls] == [None]
    # What stood beside it goes with it as a question, as with a voice message.
    fake.presses(ann, answer, "💬 Ask this")
    await discord.next(fake.text, "An answer.")
    assert calls[-1].body["messages"][-1]["content"] == "is that so?\n\nThe sky is blue."
    # And without a word beside it.
    discord.service.openai.script(Heard("Once more.", seconds=2, duration=2.0))
    fake.slash(ann, "/ask", {}, fake.text, files={"file": told})
    await discord.next(fake.text, "Once more.")
    unread = told | {"filename": "v.mid", "content_type": "audio/midi"}
    fake.slash(ann, "/ask", {"question": "and?"}, fake.text, files={"file": unread})
    await discord.next(fake.text, "could not be fetched or read as audio", ann)
    assert len(calls) == 3
