"""Pictures in questions, through the unmodified client of Telegram: what a model is asked, what is
said before and after, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest

from core.attachments.types import PICTURES_MAX
from core.money import Credits
from tests.peers.telegram import FakeTelegram
from tests.support.documents import make_bomb_pdf, make_pdf
from tests.support.pictures import make_empty_png, make_jpeg, make_photo, make_scanned_pdf
from tests.system.world import World, date_messages, products_world

_WHOSE = "Whose keys may see your pictures?"
_OWN, _ANY = "The operator's keys alone", "Any key of the pool"


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A chat in which no two messages are of one second: their asks are in their order."""
    return date_messages(world, monkeypatch)


def _last_content(world: World) -> Any:
    return world.openai.calls[-1].body["messages"][-1]["content"]


def _count_pictures(world: World) -> list[int]:
    """How many pictures each of a person's messages had in the newest call."""
    return [
        sum(part["type"] == "image_url" for part in message["content"])
        if isinstance(message["content"], list)
        else 0
        for message in world.openai.calls[-1].body["messages"]
        if message["role"] == "user"
    ]


async def _decide(world: World, label: str = _OWN) -> None:
    """Ann's first picture, and whose keys may see it."""
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.sends(ann, "photo", make_jpeg(64, 48), caption="first?")
    card = await telegram.seen(7, _WHOSE)
    await world.presses(ann, card, label, "Goes along for an hour")


async def test_a_photo_and_its_caption_are_one_question(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.sends(ann, "photo", make_photo(), caption="what is on it?")
    card = await telegram.seen(7, _WHOSE)
    assert not world.openai.calls
    answer = await world.presses(ann, card, _OWN, "Goes along for an hour")
    picture, words = _last_content(world)
    assert picture["image_url"]["detail"] == "high"
    assert words == {"type": "text", "text": "what is on it?\n\n[picture, 1568 × 1176]"}
    assert "Read with it: your picture" in answer.text
    assert await world.of(ann).held() == Credits(0)


async def test_an_album_of_ten_is_one_question(sqlite_url: str, telegram: FakeTelegram) -> None:
    async with products_world(sqlite_url, telegram) as world:
        ann = telegram.user(7)
        await _decide(world)
        known = world._known(7)
        for number in range(PICTURES_MAX):
            caption = "which is the reddest?" if not number else ""
            content = make_jpeg(320 + number, 200)
            telegram.sends(ann, "photo", content, caption=caption, album="a1")
        await world.next(7, f"{PICTURES_MAX} pictures", known)
        # No route sees more at once: of the turn before, the mark stands.
        assert _count_pictures(world) == [0, PICTURES_MAX]
        assert len(world.openai.calls) == 2


async def test_a_reply_to_a_photo_asks_about_it(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    await _decide(world)
    photo = telegram.sends(ann, "photo", make_jpeg(400, 300))
    card = await telegram.seen(7, "Nothing was asked or charged yet. The prices")
    assert [label for label in card.labels if "🖼 Describe it: ≤" in label]
    known = world._known(7)
    telegram.says(ann, "is it red?", reply_to_message=telegram.said(7, photo))
    await world.next(7, "Goes along for an hour", known)
    assert _count_pictures(world)[-1] == 1
    assert _last_content(world)[-1]["text"].startswith("is it red?")


async def test_it_goes_along_smaller_and_can_be_left_out(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    await _decide(world)
    known = world._known(7)
    telegram.sends(ann, "photo", make_photo(), caption="what is it?")
    answer = await world.next(7, "Goes along for an hour", known)
    assert _count_pictures(world) == [1, 1]
    await world.says(ann, "and why?", "Goes along: picture, 64 × 48, picture, 1568 × 1176")
    assert _count_pictures(world) == [1, 1, 0]
    known = world._known(7)
    await world.presses(ann, answer, "Without the file", "goes without the file")
    after = await world.says(ann, "and now?", "GPT-4 Turbo")
    assert _count_pictures(world) == [0, 0, 0, 0]
    assert "Goes along" not in after.text
    await world.says(ann, "and there?", "Goes along: picture, 1568 × 1176", reply_to=answer)
    assert _count_pictures(world)[1] == 1


async def test_what_goes_along_is_told_with_what_went_before(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    await _decide(world)
    known = world._known(7)
    telegram.sends(ann, "photo", make_photo(), caption="what is it?")
    answer = await world.next(7, "with picture, 64 × 48: ≈ ", known)
    # Each has 765 tokens: four tiles.
    assert "≈ 8 Credits a question" in answer.text
    content = make_pdf(["The sky is blue."])
    telegram.sends(ann, "document", content, caption="what colour?", file_name="sky.pdf")
    told = "with picture, 64 × 48, picture, 1568 × 1176: ≈ 8 Credits a question"
    await world.next(7, told, known)


async def test_a_model_that_sees_none_offers_one_that_does(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    before = await world.of(ann).credits()
    telegram.sends(ann, "photo", make_jpeg(400, 300), caption="/ask claude-3 what is on it?")
    card = await telegram.seen(7, "doesn't see pictures")
    assert "Nothing was asked or charged." in card.text
    card = await world.presses(ann, card, "Ask GPT-4 Turbo: ≤", _WHOSE)
    await world.presses(ann, card, _ANY, "Goes along for an hour")
    assert _count_pictures(world) == [1]
    assert await world.of(ann).credits() < before


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (make_empty_png(60_000, 60_000), "more pixels than I read: 50 megapixels"),
        (make_pdf(["words"]), "is no picture that I can see"),
        (b"\xff\xd8\xff\xe0" + b"x" * 500, "is damaged"),
        (b"   ", "There are no words in"),
    ],
)
async def test_what_is_no_picture_is_told_and_costs_nothing(
    world: World, content: bytes, told: str
) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    before = await world.of(ann).credits()
    telegram.sends(ann, "photo", content, caption="what is it?")
    card = await telegram.seen(7, told)
    assert "Nothing was asked or charged." in card.text
    assert (await world.of(ann).credits(), world.openai.calls) == (before, [])


async def test_more_pictures_than_go_with_a_question(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    for _ in range(PICTURES_MAX + 1):
        telegram.sends(ann, "photo", make_jpeg(64, 48), caption="what?", album="many")
    await telegram.seen(7, f"At most {PICTURES_MAX} pictures go with a question")


async def test_a_scanned_document_is_offered_as_pictures(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    content = make_scanned_pdf(3)
    telegram.sends(ann, "document", content, caption="what is it?", file_name="scan.pdf")
    card = await telegram.seen(7, "scan.pdf for GPT-4 Turbo")
    assert not world.openai.calls
    card = await world.presses(ann, card, "Pages as pictures: ≤", _WHOSE)
    await world.presses(ann, card, _OWN, "Goes along for an hour")
    assert _count_pictures(world) == [3]
    assert "[scan.pdf, page 3, " in _last_content(world)[-1]["text"]


async def test_a_bomb_among_pages_is_told(world: World) -> None:
    telegram, ann = world.telegram, world.telegram.user(7)
    telegram.sends(ann, "document", make_bomb_pdf(1_500), caption="what?", file_name="b.pdf")
    await telegram.seen(7, "“b.pdf” is damaged")
