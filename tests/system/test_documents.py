"""Documents in questions, through the unmodified clients: what is read, said, offered and
charged."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from core.attachments.types import FILE_BYTES_MAX
from core.db import schema
from core.money import Credits
from tests.peers.discord import plain
from tests.support.documents import make_docx, make_locked_pdf, make_pdf, make_xlsx
from tests.system import discord_support
from tests.system.attachments_support import asked
from tests.system.world import World, words

_LINE = "The party of the first part agrees with the party of the second part on this clause."


def _long_pdf(pages: int, lines: int) -> bytes:
    return make_pdf(["\n".join([_LINE] * lines)] * pages)


async def test_a_pdf_goes_with_its_caption(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    content = make_pdf(["The sky is blue.", "So is the sea."])
    telegram.sends(ann, "document", content, caption="what colour?", file_name="sky.pdf")
    await telegram.seen(7, "Read with it: sky.pdf")
    assert asked(world) == ["what colour?\n\nsky.pdf:\nThe sky is blue.\n\nSo is the sea."]


async def test_word_and_excel_files_on_discord(discord: discord_support.World) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    fake.sends(ann, make_docx(["Between you and me."]), name="a.docx", mime="x/y", text="whose?")
    await discord.next(fake.dm(ann), "Read with it: a.docx")
    fake.sends(ann, make_xlsx("Sums", [["tea", 2]]), name="b.xlsx", mime="x/y", text="add")
    await discord.next(fake.dm(ann), "Read with it: b.xlsx")
    assert asked(discord) == [
        "whose?\n\na.docx:\nBetween you and me.",
        "add\n\nb.xlsx:\nSums:\ntea\t2",
    ]


async def test_documents_sent_as_an_album_are_one_question(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    for number, colour in enumerate(("blue", "grey", "black")):
        caption = "which colours?" if number == 1 else ""
        content, name = make_pdf([f"It is {colour}."]), f"{colour}.pdf"
        telegram.sends(ann, "document", content, caption=caption, file_name=name, album="9")
    await telegram.seen(7, "Read with it: blue.pdf, grey.pdf, black.pdf")
    (question,) = asked(world)
    files = [f"{colour}.pdf:\nIt is {colour}." for colour in ("blue", "grey", "black")]
    assert question == "\n\n".join(("which colours?", *files))


async def test_a_file_that_is_larger_than_its_sender_says_is_refused(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.has_no_size_limit = True
    content = bytes(FILE_BYTES_MAX + 2)
    telegram.sends(ann, "document", content, caption="why?", file_name="a.pdf", file_size=9)
    await telegram.seen(7, "“a.pdf” is larger than")
    assert asked(world) == []


async def test_a_file_option_goes_with_its_question_and_its_model(
    discord: discord_support.World,
) -> None:
    fake, ann = discord.discord, discord.discord.user(7)
    told = fake.attachment_json(make_pdf(["Blue."]), name="sky.pdf", mime="application/pdf")
    options = {"question": "what colour?", "model": "gpt-4-turbo"}
    fake.slash(ann, "/ask", options, fake.text, files={"file": told})
    answer = await discord.next(fake.text, "Read with it: sky.pdf")
    assert "**what colour?**" in answer.content
    assert "GPT-4 Turbo" in plain(answer.content)
    assert asked(discord) == ["what colour?\n\nsky.pdf:\nBlue."]
    # What it says of its size is only a claim, and other hosts than Discord's aren't asked.
    lying = fake.attachment_json(bytes(FILE_BYTES_MAX + 2), name="b.pdf", mime="") | {"size": 9}
    fake.slash(ann, "/ask", {"question": "and?"}, fake.text, files={"file": lying})
    await discord.next(fake.text, "“b.pdf” is larger than", ann)
    away = told | {"filename": "c.pdf", "url": "http://localhost:1/c.pdf"}
    fake.slash(ann, "/ask", {"question": "and?"}, fake.text, files={"file": away})
    await discord.next(fake.text, "“c.pdf” could not be fetched", ann)
    assert len(asked(discord)) == 1


async def test_a_document_of_another_message_is_asked_about(
    discord: discord_support.World,
) -> None:
    fake, ann, bob = discord.discord, discord.discord.user(7, "zh-CN"), discord.discord.user(8)
    said = fake.says(bob, "the contract", channel=fake.text)
    told = fake.attachment_json(make_pdf(["Blue."]), name="sky.pdf", mime="application/pdf")
    opened = fake.opens_menu(ann, "Ask about this", said, attachments=[told])
    await fake.wait_for(lambda: opened.modal)
    fake.submits(ann, opened, question="什么颜色？")
    await discord.next(fake.text, "sky.pdf")
    assert asked(discord) == ["> the contract\n\n什么颜色？\n\nsky.pdf:\nBlue."]


async def test_a_document_without_a_word_is_offered(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.sends(ann, "document", make_pdf(["The sky is blue."]), file_name="sky.pdf")
    card = await telegram.seen(7, "Nothing was asked or charged yet")
    assert asked(world) == []
    label, pages = card.labels
    assert label.startswith("📝 Sum it up: ≤ ")
    assert pages.startswith("Pages as pictures: ≤ ")
    await world.presses(ann, card, label, "Read with it: sky.pdf")
    assert asked(world) == ["Sum this up.\n\nsky.pdf:\nThe sky is blue."]
    charged = await world.service.app.services.base.db.fetch(sa.select(schema.ask.c.held))
    assert Credits(charged[0].held) <= Credits(int(label.split()[-2].replace(",", "")))
    # One document is asked once by one button.
    await world.presses(ann, card, label, "no longer works")
    assert len(asked(world)) == 1


async def test_a_reply_to_a_document_asks_about_it(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    sent = telegram.sends(ann, "document", make_pdf(["The sky is blue."]), file_name="sky.pdf")
    await telegram.seen(7, "Nothing was asked or charged yet")
    telegram.says(ann, "what colour?", reply_to_message=telegram.said(ann.id, sent))
    await telegram.seen(7, "Read with it: sky.pdf")
    assert asked(world) == ["what colour?\n\nsky.pdf:\nThe sky is blue."]


async def test_what_costs_much_is_offered_whole_and_in_part(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    caption = "/ask claude-3 who agrees?"
    telegram.sends(ann, "document", _long_pdf(40, 60), caption=caption, file_name="c.pdf")
    card = await telegram.seen(7, "c.pdf for Claude 3")
    assert asked(world) == []
    whole, part = card.labels
    assert whole.startswith("Read and answer: ≤ ")
    assert part.startswith("The first 20 pages: ≤ ")


async def test_of_what_a_model_cannot_take_its_beginning_is_offered(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.sends(ann, "document", _long_pdf(40, 14), caption="who agrees?", file_name="c.pdf")
    card = await telegram.seen(7, "c.pdf for GPT-4")
    labels = [label.partition(":")[0] for label in card.labels]
    assert labels == ["The first 10 pages as pictures", "The first 20 pages"]
    assert asked(world) == []
    shown = "Read with it: c.pdf (the first 20 of 40 pages)"
    await world.presses(ann, card, card.labels[1], shown)
    (question,) = asked(world)
    assert question.count(_LINE) == 20 * 14


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (make_locked_pdf(), "opens only with a password"),
        (make_pdf([""]), "holds pictures of pages"),
        (b"\0" * 100, "neither text nor a document"),
        (b"%PDF-1.7 cut", "is damaged"),
        (make_docx([]), "no words in"),
    ],
)
async def test_what_cannot_be_read_is_named_and_costs_nothing(
    world: World, content: bytes, said: str
) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    caption = "/ask claude-3 why?"  # it sees no pictures of pages
    telegram.sends(ann, "document", content, caption=caption, file_name="a.pdf")
    shown = await telegram.seen(7, said)
    assert "“a.pdf”" in shown.text
    assert "Nothing was asked or charged" in shown.text
    assert asked(world) == []


async def test_offers_in_chinese(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7, "zh-hans")
    telegram.sends(ann, "document", make_pdf(["The sky is blue."]), file_name="sky.pdf")
    card = await telegram.seen(7, "sky.pdf")
    label, pages = card.labels
    assert label.startswith(words("📝 Sum it up", "zh-CN"))
    assert pages.startswith(words("Pages as pictures", "zh-CN"))
    await world.presses(ann, card, label, words("Read with it: {what}", "zh-CN", what="sky.pdf"))
    assert asked(world) == [f"{words('Sum this up.', 'zh-CN')}\n\nsky.pdf:\nThe sky is blue."]
