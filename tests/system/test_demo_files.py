"""Pictures and documents in the demo, by their paths on a line: what they bring, what is said, and
a bill that is what was held."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.support.documents import make_pdf
from tests.support.pictures import GREEN, make_jpeg, make_photo, make_png
from tests.system.commandline import Place, place, press
from tests.system.demo_support import answers

__all__ = ["place", "press"]

_WHOSE = "Whose keys may see your pictures?"


@pytest.fixture
def demo(place: Place) -> Place:
    """A folder with some files, in which a demo is started."""
    for name, content in (
        ("cat.png", make_png(640, 480, colour=GREEN)),
        ("my dog.jpg", make_jpeg(300, 400)),
        ("photo.jpg", make_photo()),
        ("sky.pdf", make_pdf(["The sky is blue.", "So is the sea."])),
    ):
        (place.folder / name).write_bytes(content)
    return place


async def _say(demo: Place, *lines: str) -> list[str]:
    """What is shown for each line; the books are good after."""
    typed = "\n".join((*lines, ""))
    shown = answers(await demo.creditbot("demo", stdin=typed), typed)
    demo.settings = {"database_url": "sqlite:///.demo/creditbot.db"}
    audited = (await demo.creditbot("audit", "--json")).json
    assert (audited["findings"], audited["holds"]) == ([], 0)
    return shown


def _list_tokens(demo: Place) -> list[tuple[int, int]]:
    """Of each ask the tokens of its prompt as they were held and as they were billed."""
    with closing(sqlite3.connect(demo.folder / ".demo" / "creditbot.db")) as books:
        return books.execute(
            "SELECT prompt_tokens, input_tokens FROM ask JOIN usage ON ask.id = usage.ask"
            " ORDER BY ask.id"
        ).fetchall()


async def test_a_picture_by_its_path_with_a_question(demo: Place) -> None:
    card, answer, later = await _say(demo, "cat.png what is on it?", "1", "and why?")
    assert _WHOSE in card
    assert "[1] The operator's keys alone" in card
    assert "I see **a picture of 640 × 480 pixels, mostly green**." in answer
    assert "◈ Read with it: cat.png" in answer
    assert "◈ Goes along for an hour: ≈ 4 Credits a question" in answer
    assert "I still have in view: a picture of 640 × 480 pixels" in " ".join(later.split())
    assert "◈ Goes along: cat.png, 640 × 480 · ≈ 4 Credits a question" in later
    asks = _list_tokens(demo)
    assert len(asks) == 2
    assert all(held == billed for held, billed in asks)


async def test_two_pictures_and_a_document_beside_one(demo: Place) -> None:
    _, two, beside = await _say(
        demo,
        "cat.png 'my dog.jpg' which is greener?",
        "1",
        "cat.png sky.pdf compare them",
    )
    assert "1. a picture of 640 × 480 pixels, mostly green\n" in two
    assert "2. a picture of 300 × 400 pixels, mostly red\n" in two
    assert "◈ Read with it: cat.png, my dog.jpg" in two
    assert "a picture of 640 × 480 pixels" in beside
    assert "I read **sky.pdf**: 32 characters" in beside
    assert "with cat.png, 640 × 480, my dog.jpg, 300 × 400: ≈ " in " ".join(
        beside.replace("◈", "").split()
    )
    assert all(held == billed for held, billed in _list_tokens(demo))


async def test_a_photo_without_a_word_is_offered(demo: Place) -> None:
    decided, _, offer, answer = await _say(demo, "cat.png why?", "1", "photo.jpg", "1")
    assert _WHOSE in decided
    assert "photo.jpg for GPT-6.1 Sol" in offer
    assert "[1] 🖼 Describe it: ≤ " in offer
    assert "a picture of 1,568 × 1,176 pixels" in answer
    assert all(held == billed for held, billed in _list_tokens(demo))


async def test_a_model_that_sees_none_leads_to_one_that_does(demo: Place) -> None:
    _, blind, decided, answer = await _say(demo, "/model oss", "cat.png why?", "1", "1")
    assert "gpt-oss 120B doesn't see pictures.\nNothing was asked or charged." in blind
    assert _WHOSE in decided
    assert "a picture of 640 × 480 pixels" in answer


async def test_in_chinese(demo: Place) -> None:
    _, card, answer, offer = await _say(
        demo, "/language zh-CN", "cat.png 图里是什么？", "1", "photo.jpg"
    )
    assert "谁的密钥可以看到您的图片？" in card
    assert "我看到**一张 640 × 480 像素的图片，主要是绿色**。" in answer
    assert "一并读取：cat.png" in answer
    assert "描述一下：≤ " in offer
