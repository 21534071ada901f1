"""Every refusal of either platform, at every moment of an answer, where its asker can be written to
in private and where not: it is seen, lands later, or is given back, exactly once.

A small run takes a sample in which every two values of different kinds meet; a full one takes all.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest_asyncio
import sqlalchemy as sa

from bots.discord.adapter import DiscordAdapter
from bots.telegram.adapter import TelegramAdapter
from core.db import schema
from core.db.writes import Update
from tests.peers.discord import FakeDiscord
from tests.peers.suppliers import Answer, Used
from tests.peers.telegram import FakeTelegram
from tests.support.service import Service
from tests.support.size import size
from tests.system import discord_support
from tests.system.conftest import Ends
from tests.system.refused_answers_support import ended, leave_undelivered
from tests.system.world import World, briefs_world

SKY = Answer(chunks=("Because ", "blue light ", "scatters most."), usage=Used(250, 60))

Moment = Literal["before the holder", "between edits", "at the end", "at landing"]
MOMENTS: tuple[Moment, ...] = ("before the holder", "between edits", "at the end", "at landing")


@dataclass(frozen=True, slots=True)
class Case:
    """A refusal, as the platform writes it, and what it means."""

    status: int
    said: Any
    passes: bool = False


TELEGRAM = [
    *(
        Case(400, f"Bad Request: {said}")
        for said in (
            "not enough rights to send text messages to the chat",
            "have no rights to send a message",
            "have no write access to the chat",
            "need administrator rights in the channel chat",
            "CHAT_WRITE_FORBIDDEN",
            "CHAT_SEND_PLAIN_FORBIDDEN",
            "CHAT_RESTRICTED",
            "CHAT_FORBIDDEN",
            "CHAT_ADMIN_REQUIRED",
            "CHAT_GUEST_SEND_FORBIDDEN",
            "USER_BANNED_IN_CHANNEL",
            "TOPIC_CLOSED",
            "TOPIC_DELETED",
            "message thread not found",
            "TOPIC_ID_INVALID",
            "chat not found",
            "group chat was deactivated",
            "group is deactivated",
            "CHANNEL_PRIVATE",
            "CHANNEL_INVALID",
            "PEER_ID_INVALID",
            "ALLOW_PAYMENT_REQUIRED",
            "DIRECT_MESSAGES_TOPIC_REQUIRED",
        )
    ),
    *(
        Case(403, f"Forbidden: {said}")
        for said in (
            "bot was kicked from the supergroup chat",
            "bot is not a member of the supergroup chat",
            "the group chat was deleted",
            "CHAT_WRITE_FORBIDDEN",
            "something that nobody has seen yet",
        )
    ),
    Case(429, "Too Many Requests: retry after 1", passes=True),
    Case(500, "Internal Server Error", passes=True),
    Case(502, "Bad Gateway", passes=True),
    Case(504, "Gateway Timeout", passes=True),
]
DISCORD = [
    *(Case(404, code) for code in (10003, 10004)),
    *(Case(403, code) for code in (20009, 40007, 50001, 50008, 50009, 50013, 50024, 50278, 240000)),
    *(Case(400, code) for code in (50033, 50055, 50083, 160005, 200000, 200001)),
    *(Case(429, code, passes=True) for code in (0, 20016, 20028, 20029)),
    *(Case(status, 0, passes=True) for status in (500, 502, 503)),
]

Cell = tuple[Case, Moment, bool]


def sample(cases: list[Case]) -> list[Cell]:
    """All cells, or so few that each two values of two kinds still meet (a refusal with each moment
    counts by what it means, or there would be as many as in all)."""
    cells: list[Cell] = list(itertools.product(cases, MOMENTS, (True, False)))
    if size(small=0, full=1):
        return cells
    draw = random.Random(17)
    draw.shuffle(cells)
    missing = {pair for cell in cells for pair in _pairs(cell)}
    chosen = []
    for cell in sorted(cells, key=lambda each: each[0].passes):
        if missing & _pairs(cell):
            chosen.append(cell)
            missing -= _pairs(cell)
    return chosen


def _pairs(cell: Cell) -> set[tuple[object, ...]]:
    case, moment, can_private = cell
    return {
        (case,) if not case.passes else (case.passes,),
        (case.passes, moment, can_private),
    }


class Chats:
    """A platform's chats as one test of them needs them: a new person and a new room each time."""

    service: Service

    def open_room(self, number: int) -> None:
        raise NotImplementedError

    def refuse(self, case: Case | None) -> None:
        """The room refuses everything from now on; None: it takes everything again."""
        raise NotImplementedError

    def set_reachable(self, *, can: bool) -> None:
        raise NotImplementedError

    def ask(self) -> None:
        raise NotImplementedError

    def room_texts(self) -> list[str]:
        raise NotImplementedError

    def private_texts(self) -> list[str]:
        raise NotImplementedError

    def list_statuses(self) -> list[int]:
        """What calls were answered that write to a chat, so far."""
        raise NotImplementedError

    async def wait_for(self, predicate: Callable[[], Any]) -> None:
        raise NotImplementedError

    @property
    def room_code(self) -> str:
        raise NotImplementedError

    @property
    def private_code(self) -> str:
        raise NotImplementedError


class TelegramChats(Chats):
    def __init__(self, world: World) -> None:
        self.fake, self.service = world.telegram, world.service

    def open_room(self, number: int) -> None:
        self.person = self.fake.user(10_000 + number)
        self.room = self.fake.group(-10_000 - number)

    def refuse(self, case: Case | None) -> None:
        self.room.refuses = None if case is None else (case.status, case.said)

    def set_reachable(self, *, can: bool) -> None:
        self.person.unreachable = not can

    def ask(self) -> None:
        self.fake.says(self.person, "/ask gpt-4 why?", chat=self.room.id)

    def room_texts(self) -> list[str]:
        return [each.text for each in self.room.bot_messages]

    def private_texts(self) -> list[str]:
        return [each.text for each in self.fake.chat(self.person.id).bot_messages]

    def list_statuses(self) -> list[int]:
        writes = ("sendMessage", "editMessageText", "deleteMessage", "editMessageReplyMarkup")
        return [each.status for each in self.fake.calls if each.method in writes]

    async def wait_for(self, predicate: Callable[[], Any]) -> None:
        await self.fake.wait_for(predicate, 60.0)

    @property
    def room_code(self) -> str:
        return f"telegram:{self.room.id}:"

    @property
    def private_code(self) -> str:
        return f"telegram:{self.person.id}:"


class DiscordChats(Chats):
    def __init__(self, world: discord_support.World) -> None:
        self.fake, self.service = world.discord, world.service

    def open_room(self, number: int) -> None:
        self.person = self.fake.user(10_000 + number)
        self.room = self.fake.channels[self.fake.add_channel(self.fake.guild)]

    def refuse(self, case: Case | None) -> None:
        self.room.refuses = None if case is None else (case.status, case.said)

    def set_reachable(self, *, can: bool) -> None:
        self.person.unreachable = not can

    def ask(self) -> None:
        self.fake.says(self.person, "why?", channel=self.room.id, mention=True)

    def room_texts(self) -> list[str]:
        return [each.content for each in self.fake.messages(self.room)]

    def private_texts(self) -> list[str]:
        return [each.content for each in self.fake.messages(self.fake.dm(self.person))]

    def list_statuses(self) -> list[int]:
        return [each.status for each in self.fake.calls if "/messages" in each.route]

    async def wait_for(self, predicate: Callable[[], Any]) -> None:
        await self.fake.wait_for(predicate, 60.0)

    @property
    def room_code(self) -> str:
        return f"discord:{self.room.id}:"

    @property
    def private_code(self) -> str:
        return f"discord:{self.person.id}:"


@pytest_asyncio.fixture
async def telegram_chats(sqlite_url: str, ends: Ends) -> AsyncIterator[Chats]:
    fake = FakeTelegram()
    await fake.start()
    try:
        async with briefs_world(sqlite_url, fake) as world:
            yield TelegramChats(world)
    finally:
        await fake.stop()


@pytest_asyncio.fixture
async def discord_chats(sqlite_url: str, ends: Ends) -> AsyncIterator[Chats]:
    fake = FakeDiscord()
    await fake.start()
    try:
        async with discord_support.briefs_world(sqlite_url, fake) as world:
            yield DiscordChats(world)
    finally:
        await fake.stop()


async def test_every_refusal_of_telegrams_at_every_moment(
    telegram_chats: Chats, ends: Ends
) -> None:
    await _check_cells(telegram_chats, ends, sample(TELEGRAM))


async def test_every_refusal_of_discords_at_every_moment(discord_chats: Chats, ends: Ends) -> None:
    await _check_cells(discord_chats, ends, sample(DISCORD))


async def _check_cells(chats: Chats, ends: Ends, cells: list[Cell]) -> None:
    for number, cell in enumerate(cells):
        chats.open_room(number)
        try:
            await _check_cell(chats, ends, *cell)
        except (AssertionError, TimeoutError) as failure:
            raise AssertionError(f"{cell}: {failure}") from failure


async def _check_cell(
    chats: Chats, ends: Ends, case: Case, moment: Moment, can_private: bool
) -> None:
    service = chats.service
    place = await _reach_moment(chats, ends, case, moment, can_private)
    is_begun = moment == "between edits"
    if case.passes:
        assert place == chats.room_code
    elif can_private:
        assert place == chats.private_code
    elif is_begun:
        # What was seen is charged, and all of it lands when its asker can be written to again.
        assert place == ""
        assert await _state(chats) == ("settled", True, False)
        chats.set_reachable(can=True)
        await _end_lease(chats)
        await service.app.chat.redelivery.redeliver_answers()
        assert (await ended(ends))[1] == chats.private_code
    else:
        assert place == ""
    is_reversed = not (case.passes or can_private or is_begun)
    assert await _state(chats) == ("settled", not is_reversed, True)
    shown = [*chats.room_texts(), *chats.private_texts()]
    wholes = [each for each in shown if "◈" in each and "scatters most." in each]
    is_kept = not is_reversed or moment == "at landing"  # the first showing stays in the room
    expected = int(is_kept) + int(moment == "at landing" and not is_reversed)
    assert len(wholes) == expected, shown
    # Nothing comes a second time. (What an answer that is over left may still be taken away.)
    await _wait_for_front(chats)
    chats.refuse(None)
    chats.set_reachable(can=True)
    await _end_lease(chats)
    before = len(chats.list_statuses())
    await service.app.chat.redelivery.redeliver_answers()
    assert len(chats.list_statuses()) == before
    assert ends.empty()


async def _reach_moment(
    chats: Chats, ends: Ends, case: Case, moment: Moment, can_private: bool
) -> str:
    """Lets a question be asked and the room refuse at that moment; where its answer was shown,
    empty for nowhere."""
    openai = chats.service.openai
    gate = asyncio.Event()
    openai.script(replace(SKY, between=gate) if moment == "at the end" else SKY)
    if moment == "before the holder":
        _close(chats, case, can_private)
        chats.ask()
        return await _end(chats, ends, case)
    if moment == "between edits":
        gate = openai.hold()
        chats.ask()
        await chats.wait_for(lambda: any("scatters" in each for each in chats.room_texts()))
    elif moment == "at the end":
        chats.ask()
        await chats.wait_for(lambda: chats.room_texts() == ["…"])
    else:
        chats.ask()
        ask, _ = await ended(ends)
        await leave_undelivered(chats.service, ask)
        _close(chats, case, can_private)
        job = asyncio.create_task(chats.service.app.chat.redelivery.redeliver_answers())
        place = await _end(chats, ends, case)
        await job
        return place
    _close(chats, case, can_private)
    gate.set()
    is_lost = moment == "between edits" and not (case.passes or can_private)
    return await (_lose(chats) if is_lost else _end(chats, ends, case))


def _close(chats: Chats, case: Case, can_private: bool) -> None:
    chats.refuse(case)
    chats.set_reachable(can=can_private)


async def _end(chats: Chats, ends: Ends, case: Case) -> str:
    if case.passes:
        await _wait_for_refusal(chats)
        chats.refuse(None)
    return (await ended(ends))[1]


async def _wait_for_refusal(chats: Chats) -> None:
    known = len(chats.list_statuses())

    def was_refused() -> bool:
        return any(status != 200 for status in chats.list_statuses()[known:])

    await chats.wait_for(was_refused)


async def _lose(chats: Chats) -> str:
    """Neither place takes the rest: nobody is told of it, so what the front does is waited for."""
    await _wait_for_front(chats)
    return ""


async def _wait_for_front(chats: Chats) -> None:
    """Until everything that was sent to the bot is worked."""
    (front,) = chats.service.app.chat.redelivery._notifiers.values()
    assert isinstance(front, TelegramAdapter | DiscordAdapter)
    async with asyncio.timeout(60):
        await asyncio.gather(*front._tasks)


async def _state(chats: Chats) -> tuple[str, bool, bool]:
    """Of the room's one ask: its state, whether it was charged, and whether it needs no more
    landing."""
    ask, usage = schema.ask, schema.usage
    rows = await chats.service.app.services.base.db.fetch(
        sa.select(ask.c.state, ask.c.landed_at, usage.c.charge)
        .select_from(ask.outerjoin(usage, usage.c.ask == ask.c.id))
        .where(ask.c.place == chats.room_code)
    )
    (row,) = rows
    return row.state, bool(row.charge), row.landed_at is not None


async def _end_lease(chats: Chats) -> None:
    """As if whoever was to show the room's answer had had its time."""
    base = chats.service.app.services.base
    rows = await base.db.fetch(
        sa.select(schema.ask.c.id).where(schema.ask.c.place == chats.room_code)
    )
    await base.ledger.record(Update(schema.ask, {"id": rows[0].id}, {"lease_until": 0}))


def test_a_sample_holds_every_refusal() -> None:
    for cases in (TELEGRAM, DISCORD):
        kinds: Iterator[Case] = (cell[0] for cell in sample(cases))
        assert {each for each in cases if not each.passes} <= set(kinds)
