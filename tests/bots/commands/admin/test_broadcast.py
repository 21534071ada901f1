"""Broadcasts: looked at first, sent once to everybody at a pace, counted, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from bots.chat.types import Card
from core.admin import broadcasts
from core.admin.broadcasts import WAITING_MAX
from core.admin_log import admin_log_row
from core.db import schema
from tests.bots.commands.admin.broadcast_support import Chats
from tests.bots.commands.admin.limits_support import acts
from tests.bots.commands.commands_support import button, text_of
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service

WORDS = "Claude 5 is here.\nAsk it: /ask claude-5"


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        yield tom.someone("1")


async def begun(owner: Service, people: int) -> Card:
    for number in range(2, people + 1):
        await owner.someone(str(number)).person()
    preview = await owner.screen(f"/broadcast {WORDS}")
    assert "Claude 5 is here." in text_of(preview)
    assert f"It goes to {people} people." in text_of(preview)
    card = (await owner.presses(button(preview, "Send it")))[-1]
    assert isinstance(card, Card)
    assert f"Sent to 0 of {people}" in text_of(card)
    again = await owner.presses(button(preview, "Send it"))
    assert "no longer works" in text_of(*again)
    return card


async def rounds(owner: Service, count: int) -> None:
    for _ in range(count):
        await owner.app.services.admin.broadcasts.queue_next()
        await owner.app.chat.notifications.deliver_due()


async def ended(owner: Service) -> None:
    """Everybody was told, here or by the service's own chores."""
    async with asyncio.timeout(20):
        while (
            newest := await owner.app.services.admin.broadcasts.find_newest()
        ) and newest.state != "done":
            await rounds(owner, 1)


async def test_the_card_that_it_began_with_tells_how_far_it_is(
    owner: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcasts, "_PROGRESS_PEOPLE", WAITING_MAX)
    chats = Chats()
    owner.app.chat.redelivery.register_notifier("telegram", chats)
    people = WAITING_MAX + 10
    await begun(owner, people)
    await ended(owner)
    await rounds(owner, 2)
    first, last = chats.replaced
    assert last == ("1", "900", f"Sent to {people} of {people}")
    # What it tells is how far it is when it is shown: beside the service's own chores all may be.
    assert first in {last, ("1", "900", f"Sent to {WAITING_MAX} of {people}")}


async def test_everybody_is_told_once(owner: Service) -> None:
    chats = Chats("5")
    owner.app.chat.redelivery.register_notifier("telegram", chats)
    people = WAITING_MAX + 10
    card = await begun(owner, people)
    await ended(owner)
    assert chats.told == [str(n) for n in range(1, people + 1) if n != 5]
    assert all(screen.lines == tuple(WORDS.split("\n")) for screen in chats.list_cards("📣 News"))
    await rounds(owner, 2)  # one for the operators becomes one for each of them
    (done,) = chats.list_cards("Broadcast")
    assert f"Sent to {people} of {people}" in done.lines, "nobody has to ask how far it is"
    card_ = (await owner.presses(button(card, "How far?")))[-1]
    assert "Everybody was told." in text_of(card_)
    assert f"Sent to {people} of {people}" in text_of(card_)
    assert "Not reached: 1" in text_of(card_)
    assert await acts(owner) == ["broadcast"]


async def test_so_many_at_a_time_and_after_a_stop_nobody_else(owner: Service) -> None:
    chats = Chats()
    card = await begun(owner, WAITING_MAX + 10)
    await owner.app.services.admin.broadcasts.queue_next()
    await owner.app.services.admin.broadcasts.queue_next()
    rows = await owner.app.services.base.db.fetch(sa.select(schema.notice.c.id))
    assert len(rows) == WAITING_MAX, "others' notices don't wait behind everybody's"
    stopped = (await owner.presses(button(card, "Stop it")))[-1]
    assert "It was stopped." in text_of(stopped)
    owner.app.chat.redelivery.register_notifier("telegram", chats)
    await rounds(owner, 3)
    assert chats.told == []
    assert await acts(owner) == ["broadcast", "stop broadcast"]


async def test_one_at_a_time(owner: Service) -> None:
    await begun(owner, 2)
    second = await owner.screen("/broadcast And another thing.")
    told = await owner.presses(button(second, "Send it"))
    assert "Another message is being sent" in text_of(*told)
    assert "It is being sent." in text_of(await owner.screen("/broadcast"))


async def test_where_no_process_here_has_their_platform_they_wait(owner: Service) -> None:
    await begun(owner, 2)
    await rounds(owner, 1)
    rows = await owner.app.services.base.db.fetch(sa.select(schema.notice.c.due_at))
    assert [row.due_at is None for row in rows] == [False, False]


async def test_who_leaves_meanwhile_hears_nothing(owner: Service) -> None:
    chats = Chats()
    owner.app.chat.redelivery.register_notifier("telegram", chats)
    await begun(owner, 3)
    await owner.app.services.admin.broadcasts.queue_next()
    gone = owner.someone("3")
    person = await gone.person()
    row = admin_log_row(owner.clock, actor=person.id, act="erase", before={}, after={})
    await owner.app.services.admin.erasure.erase_person(person, is_own_request=True, companion=row)
    await ended(owner)
    assert chats.told == ["1", "2"]


async def test_nobody_else_may(owner: Service) -> None:
    await owner.gives_role("telegram:5", "support")
    for sender in ("5", "7"):
        told = text_of(await owner.someone(sender).screen("/broadcast Free Credits!"))
        assert "operator only" in told
    preview = await owner.screen("/broadcast Hello")
    told = text_of(*await owner.someone("5").presses(button(preview, "Send it")))
    assert "Sent to" not in told
    assert await owner.app.services.admin.broadcasts.find_newest() is None


@pytest.mark.parametrize("text", ["", "x" * 1_501])
async def test_nothing_and_too_much_are_sentences(owner: Service, text: str) -> None:
    assert "Nothing was sent" in text_of(await owner.screen(f"/broadcast {text}"))
