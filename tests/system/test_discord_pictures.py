"""Pictures in questions on Discord, through the unmodified client: however they are sent, what the
model gets of them, and what is said."""

from __future__ import annotations

from typing import Any

import pytest

from bots.discord.commands import build_definitions
from core.attachments.types import FILE_BYTES_MAX
from core.money import Credits
from tests.peers.discord import plain
from tests.peers.discord_world import Message, User
from tests.support.documents import make_pdf
from tests.support.pictures import GREEN, make_gif, make_jpeg, make_photo, make_png
from tests.system import discord_support

_WHOSE = "Whose keys may see your pictures?"
_OWN = "The operator's keys alone"
_ALONG = "Goes along for an hour"


def _last_content(discord: discord_support.World) -> Any:
    return discord.service.openai.calls[-1].body["messages"][-1]["content"]


def _read_last(discord: discord_support.World) -> tuple[int, str]:
    """How many pictures the model got with the newest question, and its words."""
    *pictures, words = _last_content(discord)
    assert {one["type"] for one in pictures} == {"image_url"}
    return len(pictures), words["text"]


async def _decide(discord: discord_support.World, person: User) -> Message:
    """Somebody's first picture, in private, and whose keys may see it; gives the answer."""
    fake = discord.discord
    fake.sends(person, make_jpeg(64, 48), name="a.jpg", mime="image/jpeg", text="first?")
    card = await discord.next(fake.dm(person), _WHOSE)
    assert not discord.service.openai.calls
    fake.presses(person, card, _OWN)
    return await discord.next(fake.dm(person), _ALONG)


async def test_an_attachment_in_private_is_asked_about(discord: discord_support.World) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    before = await discord.credits(ann)
    answer = await _decide(discord, ann)
    assert _read_last(discord) == (1, "first?\n\n[a.jpg, 64 × 48]")
    assert _last_content(discord)[0]["image_url"]["detail"] == "high"
    assert "Read with it: a.jpg" in plain(answer.content)
    assert await discord.credits(ann) < before
    # What was decided is asked once; pictures of before go along.
    fake.sends(ann, make_png(80, 60), name="b.png", mime="image/png", text="second?")
    await discord.next(fake.dm(ann), "Read with it: b.png")
    assert _read_last(discord) == (1, "second?\n\n[b.png, 80 × 60]")
    assert len(discord.service.openai.calls[-1].body["messages"]) == 3


async def test_a_mention_in_a_server_with_a_picture(discord: discord_support.World) -> None:
    fake, ann, bob = discord.discord, discord.discord.user(7), discord.discord.user(8)
    sent = {"name": "cat.jpg", "mime": "image/jpeg", "channel": fake.text, "mention": True}
    fake.sends(ann, make_jpeg(400, 300), text="what is it?", **sent)
    card = await discord.next(fake.text, _WHOSE)
    fake.presses(bob, card, _OWN)
    await discord.next(fake.text, "That button belongs to somebody else", bob)
    assert not discord.service.openai.calls
    fake.presses(ann, card, _OWN)
    await discord.next(fake.text, _ALONG)
    assert _read_last(discord) == (1, "what is it?\n\n[cat.jpg, 400 × 300]")


async def test_a_picture_that_nobody_asks_about_is_not_seen(
    discord: discord_support.World,
) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    await _decide(discord, ann)
    fake.sends(ann, make_jpeg(64, 48), name="b.jpg", mime="image/jpeg", channel=fake.text)
    fake.says(ann, "why?", channel=fake.text, mention=True)
    await discord.next(fake.text, "An answer.")
    assert len(fake.messages(fake.text)) == 1
    assert _last_content(discord) == "why?"


async def test_the_file_option_takes_a_picture(discord: discord_support.World) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    await _decide(discord, ann)
    told = fake.attachment_json(make_png(300, 200), name="plan.png", mime="image/png")
    fake.slash(ann, "/ask", {"question": "whose?"}, fake.text, files={"file": told})
    answer = await discord.next(fake.text, "Read with it: plan.png")
    assert "**whose?**" in answer.content
    assert _read_last(discord) == (1, "whose?\n\n[plan.png, 300 × 200]")
    # Another host than Discord's isn't asked for it.
    away = told | {"filename": "away.png", "url": "http://localhost:1/away.png"}
    fake.slash(ann, "/ask", {"question": "and?"}, fake.text, files={"file": away})
    await discord.next(fake.text, "“away.png” could not be fetched", ann)
    assert len(discord.service.openai.calls) == 2


async def test_the_file_option_needs_no_question(discord: discord_support.World) -> None:
    definitions = build_definitions(discord.service.app.chat.dispatcher)
    (ask,) = [one for one in definitions if one["name"] == "ask"]
    required = [(one["name"], one["required"]) for one in ask["options"]]
    assert required == [("question", False), ("model", False), ("file", False)]
    fake, ann = discord.discord, discord.discord.user(7)
    await _decide(discord, ann)
    told = fake.attachment_json(make_png(300, 200), name="plan.png", mime="image/png")
    fake.slash(ann, "/ask", {}, fake.text, files={"file": told})
    card = await discord.next(fake.text, "plan.png for GPT-4 Turbo", ann)
    (label,) = card.labels
    assert label.startswith("🖼 Describe it: ≤ ")
    fake.presses(ann, card, label)
    await discord.next(fake.text, _ALONG, ann)
    assert _read_last(discord) == (1, "Describe what you see.\n\n[plan.png, 300 × 200]")
    document = fake.attachment_json(make_pdf(["Blue."]), name="sky.pdf", mime="application/pdf")
    fake.slash(ann, "/ask", {"model": "gpt-4"}, fake.text, files={"file": document})
    card = await discord.next(fake.text, "sky.pdf for GPT-4 Turbo", ann)
    assert card.labels[0].startswith("📝 Sum it up: ≤ ")
    # Neither is no question.
    fake.slash(ann, "/ask", {"model": "gpt-4"}, fake.text)
    await discord.next(fake.text, "What would you like to ask?", ann)


async def test_a_message_with_a_picture_is_asked_about(discord: discord_support.World) -> None:
    fake, ann, bob = discord.discord, discord.discord.user(7), discord.discord.user(8)
    await _decide(discord, ann)
    said = fake.says(bob, "my cat", channel=fake.text)
    told = fake.attachment_json(make_gif(120, 90), name="cat.gif", mime="image/gif")
    opened = fake.opens_menu(ann, "Ask about this", said, attachments=[told])
    await fake.wait_for(lambda: opened.modal)
    fake.submits(ann, opened, question="how old is it?")
    answer = await discord.next(fake.text, _ALONG)
    assert "**how old is it?**" in answer.content
    assert _read_last(discord) == (1, "> my cat\n\nhow old is it?\n\n[cat.gif, 120 × 90]")


async def test_two_at_once_are_one_question(discord: discord_support.World) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    await _decide(discord, ann)
    pictures = {"red.jpg": make_jpeg(40, 30), "green.jpg": make_jpeg(30, 40, colour=GREEN)}
    attachments = [
        fake.attachment_json(content, name=name, mime="image/jpeg")
        for name, content in pictures.items()
    ]
    fake.says(ann, "which is greener?", attachments=attachments)
    await discord.next(fake.dm(ann), "Read with it: red.jpg, green.jpg")
    marks = "[red.jpg, 40 × 30]\n\n[green.jpg, 30 × 40]"
    assert _read_last(discord) == (2, f"which is greener?\n\n{marks}")
    assert len(discord.service.openai.calls) == 2


async def test_a_photo_of_twelve_megapixels_is_sent_smaller(
    discord: discord_support.World,
) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    await _decide(discord, ann)
    fake.sends(ann, make_photo(), name="IMG_1.jpg", mime="image/jpeg", text="where is it?")
    await discord.next(fake.dm(ann), "Read with it: IMG_1.jpg")
    assert _read_last(discord) == (1, "where is it?\n\n[IMG_1.jpg, 1568 × 1176]")
    assert len(_last_content(discord)[0]["image_url"]["url"]) < len(make_photo())


@pytest.mark.parametrize(
    ("content", "mime", "told"),
    [
        (make_pdf(["words"]), "image/png", "is no picture that I can see"),
        (b"GIF89a of nothing", "image/gif", "is damaged"),
        (b"not a picture" * 9, "image/jpeg", "is no picture that I can see"),
    ],
)
async def test_what_only_says_that_it_is_a_picture_costs_nothing(
    discord: discord_support.World, content: bytes, mime: str, told: str
) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    fake.sends(ann, content, name="a.png", mime=mime, text="what is it?")
    card = await discord.next(fake.dm(ann), told)
    assert "Nothing was asked or charged" in plain(card.content)
    assert await discord.credits(ann) == Credits(1_000)
    assert not discord.service.openai.calls


async def test_other_pictures_than_its_type_says_are_seen(discord: discord_support.World) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    await _decide(discord, ann)
    fake.sends(ann, make_png(50, 40), name="b.jpg", mime="image/jpeg", text="what is it?")
    await discord.next(fake.dm(ann), "Read with it: b.jpg")
    assert _read_last(discord) == (1, "what is it?\n\n[b.jpg, 50 × 40]")


async def test_a_picture_that_is_larger_than_it_says_is_refused(
    discord: discord_support.World,
) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    content = bytes(FILE_BYTES_MAX + 2)
    lying = fake.attachment_json(content, name="b.png", mime="image/png") | {"size": 9}
    fake.slash(ann, "/ask", {"question": "and?"}, fake.text, files={"file": lying})
    await discord.next(fake.text, "“b.png” is larger than", ann)
    assert not discord.service.openai.calls


async def test_a_picture_in_chinese(discord: discord_support.World) -> None:
    fake, ann = discord.discord, discord.discord.user(7, "zh-CN")
    told = fake.attachment_json(make_png(300, 200), name="plan.png", mime="image/png")
    fake.slash(ann, "/ask", {"question": "图里是什么？"}, fake.text, files={"file": told})
    card = await discord.next(fake.text, "谁的密钥可以看到您的图片", ann)
    fake.presses(ann, card, card.labels[0])
    await discord.next(fake.text, "一小时", ann)
    assert _read_last(discord) == (1, "图里是什么？\n\n[plan.png, 300 × 200]")
