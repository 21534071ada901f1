"""Answers that a chat refuses for good: they come in private, or are given back when nobody can be
shown anything; what passes gives nothing back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from bots.chat.i18n import render
from bots.chat.types import UndeliveredAnswer
from bots.commands.admin.report import parse_period
from bots.commands.admin.report_texts import list_user_layer
from core.admin.report import build_report
from core.db import schema
from core.money import Credits
from tests.peers.discord import FakeDiscord, plain
from tests.peers.suppliers import Answer, Used
from tests.peers.telegram import FakeTelegram
from tests.support.service import Service
from tests.system import discord_support
from tests.system.conftest import Ends
from tests.system.refused_answers_support import ended, leave_undelivered
from tests.system.world import World, briefs_world

SKY = Answer(chunks=("Because ", "blue light ", "scatters most."), usage=Used(250, 60))
ELSEWHERE = "I can't write any more where you asked"
ROOM = -5


@pytest_asyncio.fixture
async def talk(sqlite_url: str, ends: Ends) -> AsyncIterator[World]:
    fake = FakeTelegram()
    await fake.start()
    try:
        async with briefs_world(sqlite_url, fake) as world:
            fake.group(ROOM)
            yield world
    finally:
        await fake.stop()


@pytest_asyncio.fixture
async def server(sqlite_url: str, ends: Ends) -> AsyncIterator[discord_support.World]:
    fake = FakeDiscord()
    await fake.start()
    try:
        async with discord_support.briefs_world(sqlite_url, fake) as world:
            yield world
    finally:
        await fake.stop()


async def unpaid(service: Service) -> list[tuple[str, bool]]:
    table = schema.unpaid_work.c
    rows = await service.app.services.base.db.fetch(sa.select(table.cause, table.cost))
    return [(row.cause, row.cost > 0) for row in rows]


async def usage(service: Service) -> list[int]:
    rows = await service.app.services.base.db.fetch(sa.select(schema.usage.c.charge))
    return [row.charge for row in rows]


async def report_lines(service: Service) -> list[str]:
    base, catalogue = service.app.services.base, service.app.services.pricing.catalogue
    now = service.clock.now_ms()
    report = await build_report(base.db, base.payment_records, parse_period("", now), now)
    return [render(line, "en") for line in list_user_layer(report, catalogue)]


TELEGRAM_REFUSALS = [
    (400, "Bad Request: not enough rights to send text messages to the chat"),
    (400, "Bad Request: TOPIC_CLOSED"),
    (400, "Bad Request: message thread not found"),
    (400, "Bad Request: chat not found"),
    (403, "Forbidden: bot was kicked from the supergroup chat"),
]


@pytest.mark.parametrize(("status", "said"), TELEGRAM_REFUSALS)
async def test_a_telegram_group_that_refuses_is_answered_in_private(
    talk: World, ends: Ends, status: int, said: str
) -> None:
    fake = talk.telegram
    ann = fake.user(7)
    had = await talk.of(ann).credits()
    fake.chat(ROOM).refuses = (status, said)
    talk.openai.script(SKY)
    answer = await _asks_in_the_room(talk, ann)
    assert ELSEWHERE in answer.text
    assert "scatters most." in answer.text
    assert answer.labels == []
    assert (await ended(ends))[1] == "telegram:7:"
    assert len(talk.openai.calls) == 1
    (charge,) = await usage(talk.service)
    assert await talk.of(ann).credits() == had - Credits(charge)
    assert charge > 0


async def _asks_in_the_room(talk: World, ann: Any) -> Any:
    talk.telegram.says(ann, "/ask gpt-4 why?", chat=ROOM)
    return await talk.next(ann.id, "◈", {})


async def test_half_an_answer_in_a_lost_topic_comes_whole_in_private(
    talk: World, ends: Ends
) -> None:
    fake = talk.telegram
    ann = fake.user(7)
    talk.openai.script(SKY)
    gate = talk.openai.hold()
    fake.says(ann, "/ask gpt-4 why?", chat=ROOM)
    await fake.seen(ROOM, "scatters")
    fake.chat(ROOM).refuses = (400, "Bad Request: message thread not found")
    gate.set()
    answer = await talk.next(7, "◈", {})
    assert "Because blue light scatters most." in answer.text
    assert (await ended(ends))[1] == "telegram:7:"


async def test_nothing_accepted_anywhere_is_given_back_once(talk: World, ends: Ends) -> None:
    fake, service = talk.telegram, talk.service
    ann = fake.user(7)
    had = await talk.of(ann).credits()
    gate = asyncio.Event()
    talk.openai.script(replace(SKY, between=gate))
    fake.says(ann, "/ask gpt-4 why?", chat=ROOM)
    await talk.openai.arrived(1)
    assert fake.chat(ROOM).last.text == "…"
    fake.chat(ROOM).refuses = (403, "Forbidden: bot was kicked from the supergroup chat")
    ann.unreachable = True
    gate.set()
    ask, place = await ended(ends)
    assert place == ""
    assert await talk.of(ann).credits() == had
    assert await usage(service) == [0]
    assert await unpaid(service) == [("undelivered", True)]
    assert any("given back: 1 answer" in line for line in await report_lines(service))
    assert not await service.app.services.asks.reversal.reverse(ask)
    # It isn't shown later, though everything can be written to again.
    fake.chat(ROOM).refuses, ann.unreachable = None, False
    before = len(fake.calls)
    await service.app.chat.redelivery.redeliver_answers()
    assert [call.method for call in fake.calls[before:] if call.method.startswith("send")] == []


async def test_a_blocked_private_chat_is_given_back(talk: World, ends: Ends) -> None:
    fake = talk.telegram
    ann = fake.user(7)
    had = await talk.of(ann).credits()
    ann.unreachable = True
    talk.openai.script(SKY)
    fake.says(ann, "/ask gpt-4 why?")
    assert (await ended(ends))[1] == ""
    assert await talk.of(ann).credits() == had


async def test_a_platform_in_trouble_gives_nothing_back(talk: World, ends: Ends) -> None:
    fake, service = talk.telegram, talk.service
    ann = fake.user(7)
    fake.chat(ROOM).refuses = (500, "Internal Server Error")
    talk.openai.script(SKY)
    fake.says(ann, "/ask gpt-4 why?", chat=ROOM)
    await fake.wait_for(lambda: len(talk.openai.calls) == 1)
    fake.chat(ROOM).refuses = None
    assert (await ended(ends))[1] == f"telegram:{ROOM}:"
    assert (await usage(service))[0] > 0
    assert await unpaid(service) == []


async def test_what_was_left_leaves_a_room_alone_that_refused(talk: World, ends: Ends) -> None:
    fake, service = talk.telegram, talk.service
    ann = fake.user(7)
    fake.chat(ROOM).refuses = (400, "Bad Request: TOPIC_DELETED")
    talk.openai.script(SKY)
    await _asks_in_the_room(talk, ann)
    ask, _ = await ended(ends)
    await leave_undelivered(service, ask)
    before = len(fake.calls)
    await service.app.chat.redelivery.redeliver_answers()
    assert await ended(ends) == (ask, "telegram:7:")
    sent = [call for call in fake.calls[before:] if "chat_id" in call.params]
    assert {int(call.params["chat_id"]) for call in sent} == {7}


DISCORD_REFUSALS = [
    (403, 50001),
    (403, 50013),
    (400, 50083),
    (400, 160005),
    (400, 200000),
    (404, 10003),
]


@pytest.mark.parametrize(("status", "code"), DISCORD_REFUSALS)
async def test_a_discord_channel_that_refuses_a_mention_is_answered_in_private(
    server: discord_support.World, ends: Ends, status: int, code: int
) -> None:
    fake = server.discord
    ann = fake.user(7)
    fake.channels[fake.text].refuses = (status, code)
    server.service.openai.script(SKY)
    fake.says(ann, "why?", channel=fake.text, mention=True)
    answer = await server.next(fake.dm(ann).id, "◈")
    assert ELSEWHERE in plain(answer.content)
    assert "scatters most." in answer.content
    assert answer.labels == []
    assert (await ended(ends))[1] == "discord:7:"
    assert (await usage(server.service))[0] > 0


async def test_a_mention_that_nobody_can_be_shown_is_given_back(
    server: discord_support.World, ends: Ends
) -> None:
    fake = server.discord
    ann = fake.user(7)
    gate = asyncio.Event()
    server.service.openai.script(replace(SKY, between=gate))
    fake.says(ann, "why?", channel=fake.text, mention=True)
    await server.service.openai.arrived(1)
    fake.channels[fake.text].refuses = (403, 50013)
    ann.unreachable = True
    gate.set()
    assert (await ended(ends))[1] == ""
    assert await usage(server.service) == [0]
    assert await unpaid(server.service) == [("undelivered", True)]


async def test_a_mention_left_by_a_dead_process_comes_in_private(
    server: discord_support.World, ends: Ends
) -> None:
    """Its channel's id is nobody's: the direct chat is the asker's."""
    fake, service = server.discord, server.service
    ann = fake.user(7)
    service.openai.script(SKY)
    fake.says(ann, "why?", channel=fake.text, mention=True)
    ask, _ = await ended(ends)
    await leave_undelivered(service, ask)
    fake.channels[fake.text].refuses = (400, 50083)
    await service.app.chat.redelivery.redeliver_answers()
    assert await ended(ends) == (ask, "discord:7:")
    answer = await server.next(fake.dm(ann).id, "◈")
    assert ELSEWHERE in plain(answer.content)


class HangingChats:
    """A front end whose room never answers; all other chats take what comes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.hangs = asyncio.Event()
        self.hung: list[str] = []

    async def deliver_answer(self, undelivered: UndeliveredAnswer) -> list[str]:
        if undelivered.place.chat == str(ROOM):
            self.hung.append(undelivered.ask)
            await self.hangs.wait()
        await self._service.app.chat.dispatcher.mark_delivered(
            undelivered.ask, undelivered.place, ["1"]
        )
        return ["1"]


async def test_a_chat_that_hangs_holds_up_no_other(talk: World, ends: Ends) -> None:
    """More are left than one claim takes: those of the room come first, and hang."""
    fake, service = talk.telegram, talk.service
    talk.openai.always(SKY)
    left = []
    for number in range(24):
        person = fake.user(100 + number)
        chat = ROOM if number == 0 else person.id
        fake.says(person, "/ask gpt-4 why?", chat=chat)
        left.append(await ended(ends))
    for ask, _ in left:
        await leave_undelivered(service, ask)
    chats = HangingChats(service)
    service.app.chat.redelivery.register_notifier("telegram", chats)  # type: ignore[arg-type]
    job = asyncio.create_task(service.app.chat.redelivery.redeliver_answers())
    shown = [(await ended(ends))[0] for _ in left[1:]]
    assert sorted(shown) == sorted(ask for ask, _ in left[1:])
    assert chats.hung == [left[0][0]]
    assert not job.done()
    chats.hangs.set()
    assert await ended(ends) == left[0]
    await job


async def test_a_new_chat_is_tried_before_anything_is_asked(talk: World, ends: Ends) -> None:
    """And nothing is asked where neither it nor the private chat takes anything."""
    fake, service = talk.telegram, talk.service
    ann = fake.user(7)
    fake.chat(ROOM).refuses = (400, "Bad Request: not enough rights to send text messages")
    ann.unreachable = True
    fake.says(ann, "/ask gpt-4 why?", chat=ROOM)
    assert (await ended(ends))[1] == ""
    assert talk.openai.calls == []
    assert await unpaid(service) == []
    # In private it can be shown: then it is asked.
    ann.unreachable = False
    talk.openai.script(SKY)
    await _asks_in_the_room(talk, ann)
    assert (await ended(ends))[1] == "telegram:7:"
    assert len(talk.openai.calls) == 1


async def test_a_new_channel_is_tried_before_anything_is_asked(
    server: discord_support.World, ends: Ends
) -> None:
    fake = server.discord
    ann = fake.user(7)
    fake.channels[fake.text].refuses = (403, 50013)
    ann.unreachable = True
    fake.says(ann, "why?", channel=fake.text, mention=True)
    assert (await ended(ends))[1] == ""
    assert server.service.openai.calls == []


async def test_a_chat_that_took_a_message_is_asked_for_side_by_side(
    talk: World, ends: Ends
) -> None:
    fake = talk.telegram
    ann = fake.user(7)
    talk.openai.always(SKY)
    fake.says(ann, "/ask gpt-4 why?", chat=ROOM)
    await ended(ends)
    fake.chat(ROOM).refuses = (500, "Internal Server Error")
    fake.says(ann, "/ask gpt-4 why?", chat=ROOM)
    await talk.openai.arrived(2)
    fake.chat(ROOM).refuses = None
    await ended(ends)
