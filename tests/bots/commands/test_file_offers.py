"""What a card of an offer says before anything is asked: ways of reading that can be had, and
prices that hold."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import NoReturn

import pytest
import sqlalchemy as sa

from bots.chat.types import Answer, Card
from bots.commands import drafts
from core import ids
from core.admin_log import admin_log_row
from core.attachments.reader import FileReader
from core.attachments.types import FileProblem, FileUnreadable
from core.db import schema
from core.money import Credits
from core.pricing.prices import KindPercents, NewPrice
from core.pricing.promotions import Promotion
from tests.bots.commands.commands_support import button, text_of
from tests.support import service
from tests.support.databases import TestClock
from tests.support.documents import make_pdf
from tests.support.pictures import make_jpeg
from tests.support.sent_files import decide_whose_keys, sent_document, sent_picture
from tests.support.service import Service


@pytest.fixture
async def tom(sqlite_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(sqlite_url, clock, welcome=10_000) as tom:
        await decide_whose_keys(tom, shares=False)
        yield tom


async def price_pictures(tom: Service, percent: int) -> None:
    prices = tom.app.services.pricing.prices
    now = prices.find_current("gpt-4")
    assert now is not None
    wanted = NewPrice("gpt-4", now.input_rate, now.output_rate, now.per, KindPercents(100, percent))
    await prices.set_prices([wanted], set_by="admin")


async def offer(tom: Service, text: str, content: bytes) -> Card:
    tom.clock.advance(seconds=1)  # type: ignore[attr-defined]
    is_document = content.startswith(b"%PDF")
    sent = sent_document(content) if is_document else sent_picture(content)
    shown = (await tom.says(text, attachments=[sent]))[-1]
    assert isinstance(shown, Card)
    return shown


def read_more(card: Card) -> int:
    """What each question that follows costs more at most, as a card says."""
    found = re.search(r"costs ≤ ([\d,]+) Credits? more", text_of(card))
    assert found is not None
    return int(found[1].replace(",", ""))


def read_price(card: Card) -> int:
    """What the only button of a card costs at most."""
    ((one,),) = card.buttons
    found = re.search(r"≤ ([\d,]+) Credits?", one.label)
    assert found is not None
    return int(found[1].replace(",", ""))


async def test_words_are_offered_where_pages_cannot_be_drawn(
    tom: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read_no_pages(*_: object) -> NoReturn:
        raise FileUnreadable(FileProblem.DAMAGED)

    monkeypatch.setattr(FileReader, "read_pages", read_no_pages)
    card = await offer(tom, "", make_pdf(["The sky is blue."]))
    assert [one.label.partition(":")[0] for row in card.buttons for one in row] == ["📝 Sum it up"]


async def test_dear_pictures_are_told_before_at_their_price(tom: Service) -> None:
    content = make_jpeg(1_600, 1_200)  # 765 tokens: 4 Credits, or 39
    await price_pictures(tom, 1_000)
    users = tom.app.services.users.users
    await users.update_settings(await tom.person(), offer_from=20)
    card = await offer(tom, "why?", content)
    assert "Nothing was asked or charged yet. The prices" in text_of(card)
    # With the next question it goes smaller, and is as many tiles.
    assert read_more(card) >= 38


async def test_what_follows_is_told_for_the_dearest_way_of_reading(tom: Service) -> None:
    words = await offer(tom, "", make_pdf(["The sky is blue."] * 4))
    assert len([one for row in words.buttons for one in row]) == 2
    # Four pages, of 765 tokens or more each.
    assert read_more(words) >= 15


async def test_a_price_that_others_used_up_is_told_anew(tom: Service) -> None:
    one = Promotion(ids.new_id("pro", tom.clock.now_ms()), "discount", percent=20, total=1)
    row = admin_log_row(tom.clock, actor="usr_owner", act="promo", before={}, after={})
    await tom.app.services.pricing.deals.promotions.add(one, row, by="usr_owner")
    card = await offer(tom, "", make_jpeg(1_600, 1_200))
    told, before = read_price(card), await tom.credits()
    await tom.someone("8").answer("why?")
    # What this process knows of their promotions is seconds old.
    anew = (await tom.presses(button(card, "Describe it")))[-1]
    assert isinstance(anew, Card)
    assert (await tom.credits(), await tom.held()) == (before, Credits(0))
    assert read_price(anew) > told
    assert isinstance((await tom.presses(button(anew, "Read and answer")))[-1], Answer)
    (held,) = await tom.app.services.base.db.fetch(
        sa.select(schema.ask.c.held).where(schema.ask.c.person == (await tom.person()).id)
    )
    assert held.held == read_price(anew)


async def test_no_more_of_ones_files_wait_in_buttons_than_may(
    tom: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each offer is kept for ten minutes: a flood of albums would fill the database."""
    monkeypatch.setattr(drafts, "_WAITING_BYTES_MAX", 20_000)
    tom.is_hasty = False
    told = [text_of(await offer(tom, "", make_jpeg(300, 200))) for _ in range(8)]
    assert "Nothing was asked or charged yet" in told[0]
    assert "Several of your files wait for your choice already" in told[-1]
    other = tom.someone("8")
    await decide_whose_keys(other, shares=False)
    assert "Nothing was asked or charged yet" in text_of(await offer(other, "", make_jpeg(9, 9)))
