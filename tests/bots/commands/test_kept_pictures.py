"""A picture after its question: exported, erased, gone after a day, and sent again with what goes
on from it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

from bots.chat.types import Answer, Card, Place
from core.asks import service as ask_service
from core.asks.conversations import FILES_ALONG_SECONDS, PICTURES_ALONG_MAX
from core.asks.file_repository import FILE_KEPT_SECONDS, FILES_KEPT_MAX
from core.asks.types import Outcome
from core.db import schema
from core.money import Credits
from tests.bots.commands.commands_support import button, text_of
from tests.peers.suppliers import Answer as Says
from tests.support import service
from tests.support.databases import TestClock
from tests.support.pictures import make_jpeg
from tests.support.sent_files import (
    count_sent_pictures,
    decide_whose_keys,
    make_question,
    read_picture,
    sent_picture,
)
from tests.support.service import Service

GROUP = Place("telegram", "-5", private=False)
GONE = "What was in the file is kept for a day and is gone"
WHOLE, SMALL = (1_568, 1_176), (768, 576)
#: Where only their number counts.
THUMB = (64, 48)


@pytest.fixture
async def tom(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock, welcome=10_000) as tom:
        await decide_whose_keys(tom, shares=False)
        yield tom


async def send(
    tom: Service,
    text: str = "why?",
    *,
    pictures: int = 1,
    sides: tuple[int, int] = (1_600, 1_200),
    **how: Any,
) -> Answer:
    """A question about pictures, large ones unless told otherwise."""
    tom.clock.advance(seconds=1)  # type: ignore[attr-defined]
    sent = [sent_picture(make_jpeg(*sides, colour=(20 * n, 0, 0))) for n in range(pictures)]
    return await tom.answer(text, attachments=sent, **how)


async def say(tom: Service, text: str, **how: Any) -> Answer:
    tom.clock.advance(seconds=1)  # type: ignore[attr-defined]
    return await tom.answer(text, **how)


async def press(tom: Service, screen: Answer | Card, label: str) -> Answer | Card:
    tom.clock.advance(seconds=1)  # type: ignore[attr-defined]
    shown = (await tom.presses(button(screen, label)))[-1]
    assert isinstance(shown, Answer | Card)
    return shown


def sizes_sent(tom: Service) -> list[tuple[int, int]]:
    """The sides of all pictures of the newest call, in their order."""
    found = []
    for message in tom.openai.calls[-1].body["messages"]:
        content = message["content"]
        for part in content if isinstance(content, list) else ():
            if part["type"] == "image_url":
                data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
                found.append(Image.open(io.BytesIO(data)).size)
    return found


def words_sent(tom: Service) -> str:
    """The newest message's words, as they went to the model."""
    content = tom.openai.calls[-1].body["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[-1]["text"])


async def export(tom: Service) -> list[dict[str, Any]]:
    card = await tom.screen("/export")
    assert card.attachment is not None
    files: list[dict[str, Any]] = json.loads(card.attachment.content)["files"]
    return files


async def count_rows(tom: Service) -> int:
    return len(await tom.app.services.base.db.fetch(sa.select(schema.attachment)))


async def test_an_export_has_it(tom: Service) -> None:
    await send(tom, pictures=2)
    files = await export(tom)
    assert [one["name"] for one in files] == ["picture, 1568 × 1176"] * 2
    for one in files:
        assert "text" not in one
        picture = Image.open(io.BytesIO(base64.b64decode(one["jpeg"], validate=True)))
        assert (picture.format, picture.size) == ("JPEG", WHOLE)
    assert len({one["jpeg"] for one in files}) == 2
    assert await export(tom.someone("8")) == []


async def test_erasing_the_history_erases_it(tom: Service) -> None:
    answer = await send(tom)
    offered = await tom.someone("7").says("", attachments=[sent_picture(make_jpeg(64, 48))])
    card = await press(tom, await tom.screen("/privacy"), "Erase my history")
    await press(tom, card, "Yes, erase")
    assert await export(tom) == [], "nobody has the key any more"
    await say(tom, "and now?")
    assert sizes_sent(tom) == []
    assert isinstance(offered[-1], Card)
    calls = len(tom.openai.calls)
    for screen, label in ((answer, "Again"), (offered[-1], "Describe it")):
        assert "no longer works" in text_of(await press(tom, screen, label))
    assert len(tom.openai.calls) == calls


async def test_erasing_a_person_erases_it(tom: Service) -> None:
    other = tom.someone("8")
    await decide_whose_keys(other, shares=False)
    await send(other)
    await send(tom)
    card = await press(tom, await tom.screen("/privacy"), "Erase everything about me")
    await press(tom, card, "Yes, erase everything")
    assert await count_rows(tom) == 1
    assert len(await export(other)) == 1
    assert await export(tom) == []
    assert (await tom.person()).shares_files is None, "who comes back is somebody new"


async def test_it_is_gone_after_a_day_and_its_mark_stays(tom: Service, clock: TestClock) -> None:
    answer = await send(tom)
    clock.advance(seconds=FILE_KEPT_SECONDS - 10)
    assert len(await export(tom)) == 1
    clock.advance(seconds=10)
    assert await export(tom) == []
    await tom.app.services.asks.file_repository.delete_expired()
    assert await count_rows(tom) == 0
    again = await press(tom, answer, "Again")
    assert isinstance(again, Answer)
    assert GONE in again.note
    assert (sizes_sent(tom), words_sent(tom)) == ([], "why?\n\n[picture, 1568 × 1176]")
    await say(tom, "and why?", replies_to=tom.shown_in(answer)[-1])
    assert sizes_sent(tom) == []


async def test_ten_are_kept_of_a_person(tom: Service) -> None:
    first = await send(tom, pictures=3, sides=THUMB)
    for _ in range(2):
        await send(tom, pictures=3, sides=THUMB)
    assert len(await export(tom)) == 9
    await send(tom, pictures=2, sides=THUMB)
    assert len(await export(tom)) == 8, "all of the oldest question go"
    again = await press(tom, first, "Again")
    assert isinstance(again, Answer)
    assert GONE in again.note
    await send(tom, pictures=FILES_KEPT_MAX, sides=THUMB)
    assert len(await export(tom)) == FILES_KEPT_MAX


async def test_what_follows_has_it_smaller_for_an_hour(tom: Service, clock: TestClock) -> None:
    answer = await send(tom)
    assert sizes_sent(tom) == [WHOLE]
    await say(tom, "and why?")
    assert sizes_sent(tom) == [SMALL]
    clock.advance(seconds=FILES_ALONG_SECONDS)
    after = await say(tom, "and then?")
    assert sizes_sent(tom) == []
    assert "Goes along" not in text_of(after)
    assert "[picture, 1568 × 1176]" in str(tom.openai.calls[-1].body)
    await say(tom, "and there?", replies_to=tom.shown_in(answer)[-1])
    assert sizes_sent(tom) == [WHOLE], "whoever replies to its answer means it"


async def test_of_several_turns_four_go_along(tom: Service) -> None:
    for _ in range(3):
        await send(tom, pictures=3)
    await say(tom, "and why?")
    assert sizes_sent(tom) == [SMALL] * PICTURES_ALONG_MAX
    assert count_sent_pictures(tom.openai.calls[-1].body) == [0, 1, 3, 0]
    await send(tom, pictures=2)
    assert sizes_sent(tom) == [SMALL] * 3 + [WHOLE] * 2, "its own are one of two turns"


async def test_the_same_words_about_another_picture_are_another_question(tom: Service) -> None:
    for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)):
        tom.clock.advance(seconds=1)  # type: ignore[attr-defined]
        tom.openai.script(Says(f"It is {colour}."))
        sent = [sent_picture(make_jpeg(1_600, 1_200, colour=colour))]
        answer = await tom.answer("which colour?", attachments=sent)
    assert count_sent_pictures(tom.openai.calls[-1].body) == [0, 1, 1]
    assert "It is (255, 0, 0)." in str(tom.openai.calls[-1].body)
    await press(tom, answer, "Again")
    assert count_sent_pictures(tom.openai.calls[-1].body) == [0, 1, 1], "it leaves itself out"
    await say(tom, "and why?")
    assert count_sent_pictures(tom.openai.calls[-1].body) == [0, 1, 1, 0], "it is one turn"


async def test_again_sends_it_whole(tom: Service, clock: TestClock) -> None:
    answer = await send(tom, pictures=2)
    await say(tom, "and why?")
    clock.advance(seconds=FILES_ALONG_SECONDS)
    for _ in range(2):
        shown = await press(tom, answer, "Again")
        assert isinstance(shown, Answer)
        assert GONE not in shown.note
        assert sizes_sent(tom) == [WHOLE] * 2
        answer = shown
    assert len(await export(tom)) == 2, "it is kept once"


async def test_continue_has_it_whole(tom: Service) -> None:
    tom.openai.script(Says("It is", finish="length"))
    answer = await send(tom)
    shown = await press(tom, answer, "Continue")
    assert isinstance(shown, Answer)
    assert sizes_sent(tom) == [WHOLE]
    assert count_sent_pictures(tom.openai.calls[-1].body) == [1, 0]


async def test_a_branch_has_what_it_goes_on_from(tom: Service) -> None:
    first = await send(tom, "first?")
    await tom.says("/new")
    await send(tom, "second?")
    await say(tom, "of the first?", replies_to=tom.shown_in(first)[-1])
    assert sizes_sent(tom) == [WHOLE]
    assert "second?" not in str(tom.openai.calls[-1].body)
    await say(tom, "and on?")
    assert sizes_sent(tom) == [SMALL], "the branch has it, too"


async def test_an_edited_caption_is_asked_again_with_it(tom: Service) -> None:
    sent = [sent_picture(make_jpeg(1_600, 1_200))]
    shown = await tom.says("what is ti?", attachments=sent, message="50")
    answer = shown[-1]
    assert isinstance(answer, Answer)
    edited = replace(tom.incoming("what is it?", message="50", attachments=sent), is_edit=True)
    assert [one async for one in tom.app.chat.dispatcher.handle_message(edited)] == []
    assert len(tom.openai.calls) == 1, "an edit asks nothing"
    await press(tom, answer, "Again")
    assert (sizes_sent(tom), words_sent(tom)) == ([WHOLE], "what is it?\n\n[picture, 1568 × 1176]")


async def test_a_message_that_comes_twice_is_asked_once(tom: Service) -> None:
    sent = [sent_picture(make_jpeg(1_600, 1_200))]
    before = await tom.credits()
    (answer,) = [
        one
        for one in await tom.says("why?", attachments=sent, message="50")
        if isinstance(one, Answer)
    ]
    after = await tom.credits()
    assert await tom.says("why?", attachments=sent, message="50") == []
    assert await tom.credits() == after < before
    assert (len(tom.openai.calls), await count_rows(tom)) == (1, 1)
    assert answer.text


async def test_both_buttons_of_a_card_ask_once(tom: Service) -> None:
    await decide_whose_keys(tom, shares=None)
    sent = [sent_picture(make_jpeg(64, 48))]
    (card,) = await tom.says("why?", attachments=sent, message="50")
    assert await tom.says("why?", attachments=sent, message="50") == []
    assert isinstance(card, Card)
    for label in ("The operator's keys alone", "Any key of the pool"):
        await tom.presses(button(card, label))
    assert (len(tom.openai.calls), await count_rows(tom)) == (1, 1)


async def test_a_process_that_dies_is_settled_within_the_hold(
    tom: Service, clock: TestClock, database_url: str
) -> None:
    before, chunks = await tom.credits(), tuple(f"word{n} " for n in range(20))
    for shown in (0, 10):
        hangs = Says(chunks=chunks, hangs_after=shown) if shown else Says(before=asyncio.Event())
        tom.openai.script(hangs)
        question = await make_question(tom, read_picture(*WHOLE))
        run = await tom.app.services.asks.asks.start_ask(question)
        calls = len(tom.openai.calls)
        if shown:
            async for text in run.stream_text():
                if text == "".join(chunks[:shown]):
                    break
        else:
            await tom.openai.arrived(calls)
        held = await tom.held()
        assert held == run.quote.max_charge
        await tom.app.services.asks.asks._heartbeat.record([run])
        clock.advance(seconds=13)
        async with service.running(database_url, clock) as other:
            assert await other.app.services.asks.recovery.recover_lapsed_asks() == 1
        assert await tom.held() == Credits(0)
        spent = before - await tom.credits()
        assert spent <= held
        assert spent.is_zero is not bool(shown)
        run.stop()
        assert (await run.result).outcome is Outcome.LOST
    # What was sent is there to be asked about again, though no answer came.
    assert len(await export(tom)) == 2


async def test_in_a_group_pictures_are_their_senders(tom: Service) -> None:
    bob = tom.someone("8")
    await decide_whose_keys(bob, shares=False)
    answer = await send(tom, "what is on it?", place=GROUP)
    await say(bob, "and what is that?", place=GROUP)
    assert sizes_sent(tom) == []
    shown_in = tom.shown_in(answer)[-1]
    await say(bob, "and there?", place=GROUP, replies_to=shown_in)
    assert sizes_sent(tom) == [], "nor by a reply to what they were answered"
    assert "what is on it?" not in str(tom.openai.calls[-1].body)
    await say(tom, "and why?", place=GROUP)
    assert sizes_sent(tom) == [SMALL]
    await say(tom, "here?")
    assert sizes_sent(tom) == [], "another chat is another conversation"


async def test_of_pictures_no_more_are_in_memory_than_may(
    tom: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions without any go on meanwhile."""
    monkeypatch.setattr(ask_service, "PICTURE_BYTES_MAX", 1)
    held, count = asyncio.Event(), len(tom.openai.calls)
    tom.openai.script(Says("late", before=held))
    first = asyncio.ensure_future(send(tom))
    await tom.openai.arrived(count + 1)
    eve = tom.someone("8")
    await decide_whose_keys(eve, shares=False)
    told = await eve.says("why?", attachments=[sent_picture(make_jpeg(9, 9))])
    assert "Too many questions at once right now" in text_of(*told)
    assert isinstance(await eve.answer("why?"), Answer)
    held.set()
    await first
    assert isinstance(await send(eve), Answer)
