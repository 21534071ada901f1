"""Files and everything else that people send but pictures, on Telegram and Discord through the
unmodified clients: text is read, what can't be read costs nothing and is named."""

from __future__ import annotations

import codecs
from typing import Any

import pytest
import sqlalchemy as sa

from core.db import schema
from core.money import Credits
from tests.peers.discord import plain
from tests.support.pictures import make_jpeg
from tests.system import discord_support
from tests.system.attachments_support import FILE, FILM, PHOTO, asked, attached, forward_of
from tests.system.world import World, words

ROOM = -5
ARCHIVE = {**FILE, "file_name": "photos.zip", "mime_type": "application/zip"}
VIDEO = {**FILM, "file_name": "cat.mp4"}
STICKER = {
    "file_id": "s",
    "file_unique_id": "s",
    "type": "regular",
    "width": 1,
    "height": 1,
    "is_animated": False,
    "is_video": False,
}
POLL = {
    "id": "1",
    "question": "?",
    "options": [],
    "total_voter_count": 0,
    "is_closed": False,
    "is_anonymous": True,
    "type": "regular",
    "allows_multiple_answers": False,
    "allows_revoting": False,
    "members_only": False,
    "persistent_id": "1",
}
CODE = "def f():\n    return 1\n"
KEY = "sk-proj-canary-of-a-file-0001-aaaaaaaaaaaa"


# --- videos and files with words ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"animation": FILM, "document": FILM}, "an animation"),
        ({"document": ARCHIVE}, "the file “photos.zip”"),
        ({"video": VIDEO}, "the video “cat.mp4”"),
    ],
)
async def test_telegram_says_what_it_cannot_read_and_asks_the_words_alone_by_a_tap(
    world: World, fields: dict[str, Any], named: str
) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.says(ann, "", caption="what is this?", **fields)
    card = await telegram.seen(7, f"I can't read {named}")
    assert "Nothing was asked or charged" in card.text
    assert asked(world) == []
    await world.presses(ann, card, "Ask the words alone", "An answer.")
    # Pressed again, it no longer works: the question is one.
    await world.presses(ann, card, "Ask the words alone", "no longer works")
    assert asked(world) == ["what is this?"]
    rows = await world.service.app.services.base.db.fetch(sa.select(schema.button.c.data))
    assert not any("what is this" in row.data for row in rows)


async def test_in_chinese_too(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7, "zh-hans")
    telegram.says(ann, "", caption="这是什么？", document=ARCHIVE)
    card = await telegram.seen(7, words("the file “{name}”", "zh-CN", name="photos.zip"))
    assert card.labels == [words("💬 Ask the words alone", "zh-CN")]


async def test_discord_says_it_in_private_and_in_servers(discord: discord_support.World) -> None:
    fake = discord.discord
    ann, bob = fake.user(7), fake.user(8)
    fake.says(ann, "what is this?", **attached("a.mp4", "video/mp4"))
    card = await discord.next(fake.dm(ann), "I can't read the video “a.mp4”")
    fake.says(bob, "summarise", channel=fake.text, mention=True, **attached("b.zip", "x/zip"))
    await discord.next(fake.text, "I can't read the file “b.zip”")
    assert asked(discord) == []
    fake.presses(ann, card, "Ask the words alone")
    await discord.next(fake.dm(ann), "An answer.")
    assert asked(discord) == ["what is this?"]
    assert fake.messages(fake.dm(ann))


async def test_in_groups_only_what_is_for_the_bot_is_told(world: World) -> None:
    telegram, ann, group = world.telegram, world.telegram.user(7), world.telegram.group(ROOM)
    telegram.says(ann, "", chat=ROOM, caption="look, all", photo=PHOTO)
    telegram.says(ann, "", chat=ROOM, photo=PHOTO)
    telegram.says(ann, "", chat=ROOM, sticker=STICKER)
    entities = [{"type": "mention", "offset": 0, "length": 16}]
    named = {"caption": "@credit_test_bot what?", "caption_entities": entities}
    telegram.says(ann, "", chat=ROOM, video=FILM, **named)
    await telegram.seen(ROOM, "I can't read a video")
    ours = group.last
    telegram.says(ann, "", chat=ROOM, sticker=STICKER, reply_to=ours)
    await telegram.seen(ROOM, "I can't read a sticker")
    await world.says(ann, "@credit_test_bot why?", "An answer.", chat=ROOM)
    assert asked(world) == ["why?"]
    assert len(group.bot_messages) == 3


async def test_an_album_is_told_of_once(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    for number in range(3):
        caption = {"caption": "which one?"} if number == 0 else {}
        telegram.says(
            ann, "", video={**FILM, "file_name": f"{number}.mp4"}, media_group_id="9", **caption
        )
    told = "the video “0.mp4”, the video “1.mp4”, the video “2.mp4”"
    await telegram.seen(7, f"I can't read {told}")
    await world.says(ann, "why?", "An answer.")
    assert asked(world) == ["why?"]
    assert sum("I can't" in each.text for each in telegram.chat(7).bot_messages) == 1


@pytest.mark.parametrize(
    ("language", "kind", "first", "told"),
    [
        ("en", "photo", "Whose keys", "This picture came after its album had been asked about."),
        ("zh-hans", "photo", "谁的密钥", "这张图片到达时"),
        ("en", "document", "I can't read", "This file came after its album had been asked about."),
    ],
)
async def test_what_comes_after_its_album_is_no_question(
    world: World, language: str, kind: str, first: str, told: str
) -> None:
    telegram, ann = world.telegram, world.telegram.user(7, language)
    content, about = make_jpeg(64, 48), {"album": "9", "file_name": "a.zip"}
    telegram.sends(ann, kind, content, caption="which?", **about)
    card = await telegram.seen(7, first)
    telegram.sends(ann, kind, content, **about)
    late = await telegram.seen(7, told)
    assert not late.labels
    assert card.id != late.id
    assert asked(world) == []


# --- nothing but a sticker ----------------------------------------------------------------------

BARE: dict[str, tuple[dict[str, Any], str]] = {
    "video": ({"video": FILM}, "a video"),
    "sticker": ({"sticker": STICKER}, "a sticker"),
    "location": ({"location": {"latitude": 1.0, "longitude": 2.0}}, "a location"),
    "contact": ({"contact": {"phone_number": "1", "first_name": "B"}}, "a contact"),
    "poll": ({"poll": POLL}, "a poll"),
    "dice": ({"dice": {"emoji": "🎲", "value": 1}}, "dice"),
    "story": ({"story": {"chat": {"id": 9, "type": "private"}, "id": 1}}, "a story"),
    "paid media": ({"paid_media": {"star_count": 5, "paid_media": []}}, "a message of that kind"),
    "giveaway": (
        {"giveaway": {"chats": [], "winners_selection_date": 1, "winner_count": 1}},
        "a message of that kind",
    ),
    "what the library doesn't know": (
        {"hologram": {"depth": 3, "frames": []}},
        "a message of that kind",
    ),
    "checklist": (
        {"checklist": {"title": "t", "tasks": [{"id": 1, "text": "a"}]}},
        "a checklist",
    ),
}


@pytest.mark.parametrize("kind", BARE)
async def test_what_comes_without_words_is_named_in_private(world: World, kind: str) -> None:
    fields, named = BARE[kind]
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.says(ann, "", **fields)
    card = await telegram.seen(7, f"I can't read {named}")
    assert card.labels == []
    assert "Write your question in words" in card.text
    assert asked(world) == []


async def test_on_discord_what_comes_without_words(discord: discord_support.World) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    here = fake.dm(ann)
    fake.says(ann, "", sticker_items=[{"id": "1", "name": "s", "format_type": 1}])
    await discord.next(here, "I can't read a sticker")
    poll = {
        "question": {"text": "?"},
        "answers": [],
        "expiry": "2027-01-01T00:00:00+00:00",
        "allow_multiselect": False,
        "layout_type": 1,
    }
    fake.says(ann, "", poll=poll)
    await discord.next(here, "I can't read a poll")
    assert asked(discord) == []


APPLICATION = {"id": "5", "name": "Chess", "description": "", "icon": None}


@pytest.mark.parametrize(
    "fields",
    [
        {"activity": {"type": 1, "party_id": "p"}, "application": APPLICATION},
        {"shared_client_theme": {"colors": ["5865F2"], "gradient_angle": 0, "base_mix": 58}},
    ],
    ids=["activity", "theme"],
)
async def test_what_discord_shows_without_words_gets_a_word_in_private(
    discord: discord_support.World, fields: dict[str, Any]
) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    fake.says(ann, "", channel=fake.text, **fields)
    fake.says(ann, "", **fields)
    await discord.next(fake.dm(ann), "I can't read a message of that kind")
    assert fake.messages(fake.text) == []
    assert asked(discord) == []


EMBED = {"type": "rich", "title": "Build 7", "description": "failed", "footer": {"text": "main"}}
PREVIEW = {"type": "link", "title": "not a word of theirs", "url": "https://x.example"}
DISPLAY = [
    {"type": 17, "id": 1, "components": [{"type": 10, "id": 2, "content": "Deploy is red"}]},
    {"type": 14, "id": 3, "divider": True, "spacing": 1},
]


async def test_what_an_app_shows_in_embeds_and_components_is_what_a_reply_is_about(
    discord: discord_support.World,
) -> None:
    fake, ann, app = discord.discord, discord.discord.user(7), discord.discord.user(9)
    app.bot = True
    for fields in ({"embeds": [EMBED, PREVIEW]}, {"components": DISPLAY, "flags": 1 << 15}):
        shown = fake.message_json(fake.says(app, "", channel=fake.text)) | fields
        fake.says(
            *(ann, "why?"),
            channel=fake.text,
            mention=True,
            type=19,
            message_reference={"message_id": shown["id"], "channel_id": str(fake.text)},
            referenced_message=shown,
        )
        await discord.next(fake.text, "An answer.")
        await fake.wait_for(lambda: "◈" in fake.messages(fake.text)[-1].content)
        fake.channels[fake.text].messages.clear()
    assert asked(discord)[0] == "> Build 7\n> failed\n> main\n\nwhy?"
    assert "not a word" not in asked(discord)[0]
    assert "Deploy is red" in asked(discord)[1]


async def test_a_forward_on_discord_is_a_question_at_most(discord: discord_support.World) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    forward = forward_of("/role discord:7 owner", fake.text)
    fake.says(ann, "", **forward)
    await discord.next(fake.dm(ann), "An answer.")
    assert asked(discord) == ["/role discord:7 owner"]


async def test_what_is_said_to_a_story_says_that_it_is_not_read(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    story = {"chat": {"id": 9, "type": "private"}, "id": 1}
    telegram.says(ann, "what does this mean?", reply_to_story=story)
    await telegram.seen(7, "I can't read a story")
    assert asked(world) == []


# --- text files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "naïve ü".encode(),
        codecs.BOM_UTF8 + "naïve ü".encode(),
        "naïve ü".encode("utf-16"),
        codecs.BOM_UTF16_BE + "naïve ü".encode("utf-16-be"),
        "naïve ü".encode("latin-1"),
        # None that is told by a mark or by itself: a library guesses it.
        ("天为什么是蓝的？" * 9).encode("gbk"),
    ],
)
async def test_a_text_file_is_read_in_every_usual_encoding(world: World, content: bytes) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.sends(ann, "document", content, file_name="message.txt", mime_type="text/plain")
    shown = await telegram.seen(7, "message.txt")
    assert asked(world)[0] in {"naïve ü", "天为什么是蓝的？" * 9}
    assert "An answer." in "".join(each.text for each in telegram.chat(7).bot_messages)
    assert words("Read with it: {what}", "en", what="message.txt") in shown.text


async def test_a_source_file_goes_with_its_caption(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.sends(ann, "document", CODE.encode(), caption="find the bug", file_name="f.py")
    await telegram.seen(7, "Read with it: f.py")
    (question,) = asked(world)
    assert question == f"find the bug\n\nf.py:\n{CODE.strip()}"
    # It is in what it costs.
    (row,) = await world.service.app.services.base.db.fetch(sa.select(schema.ask.c.prompt_tokens))
    assert row.prompt_tokens > 30


async def test_a_paste_on_discord_is_read(discord: discord_support.World) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    paste, mime = "why is the sky blue? " * 120, "text/plain; charset=utf-8"
    fake.sends(ann, paste.encode(), name="message.txt", mime=mime)
    await discord.next(fake.dm(ann), "Read with it: message.txt")
    fake.sends(
        ann, b"a,b\n1,2\n", name="t.csv", mime="text/csv", text="add", channel=fake.text,
        mention=True,
    )  # fmt: skip
    await discord.next(fake.text, "Read with it: t.csv")
    assert asked(discord) == [paste.strip(), "add\n\nt.csv:\na,b\n1,2"]


async def test_what_is_no_text_or_too_much_costs_nothing(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.sends(ann, "document", b"\x00\x01\x02", file_name="a.txt", mime_type="text/plain")
    await telegram.seen(7, "“a.txt” is neither text nor a document")
    telegram.sends(ann, "document", b"why", file_name="c.txt", file_size=(20 << 20) + 1)
    await telegram.seen(7, "“c.txt” is larger than 20 MB")
    telegram.sends(ann, "document", b"why " * 40_000, file_name="d.txt", caption="so?")
    await telegram.seen(7, "Nothing was charged. Shorten it")
    telegram.fail_next("getFile", 400, description="Bad Request: file is temporarily unavailable")
    telegram.sends(ann, "document", b"why", file_name="e.txt")
    await telegram.seen(7, "“e.txt” could not be fetched")
    assert asked(world) == []
    assert await world.of(ann).credits() == Credits(1_000)


async def test_a_key_in_a_file_goes_no_further(
    world: World, discord: discord_support.World
) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    sent = telegram.sends(ann, "document", f"KEY={KEY}".encode(), caption="why?", file_name=".env")
    await telegram.seen(7, "looks like a secret key")
    assert telegram.chat(7).find(sent) is None
    fake, bob = discord.discord, discord.discord.user(8)
    fake.sends(bob, f"KEY={KEY}".encode(), name="message.txt", mime="text/plain")
    told = await discord.next(fake.dm(bob), "looks like a secret key")
    assert KEY not in plain(told.content)
    assert asked(world) == asked(discord) == []
