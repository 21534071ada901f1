"""SIGKILL while Discord's asks are served: what was asked lands once, where it can still be shown,
and is charged once; the same interaction again, before and after, changes nothing."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from bots.discord.inbound import snowflake_to_ms
from core import ids
from core.db.database import Database
from tests.peers.discord import TOKEN, FakeDiscord, plain
from tests.peers.discord_world import Interaction, Message, User
from tests.peers.suppliers import Answer as Says, FakeSupplier, Hang, Script, Used
from tests.support.config import KEYS
from tests.support.databases import NOON_MS, TestClock
from tests.support.size import size
from tests.system.crash_world import LATER_MS, MOMENT_MS, WELCOME
from tests.system.processes_books import Books
from tests.system.processes_driver import (
    Child,
    ForkServer,
    ServiceProcesses,
    fork_server,
    open_services,
)

__all__ = ["fork_server"]

FIRST = "word " * 150
WHOLE = Says(chunks=(FIRST, FIRST), usage=Used(20, 300))
#: At these points nothing came yet, or not all of it.
ANSWERS: dict[str, Script] = {
    "call": Hang(),
    "streaming": Says(chunks=(FIRST, "never"), hangs_after=1),
}
#: What is charged: for what came, the supplier's usage or our own count.
CHARGES = {"call": 0, "streaming": 1}
CHARGE = 2


@dataclass
class World:
    """One database, one Discord, and a process after the other."""

    processes: ServiceProcesses
    supplier: FakeSupplier
    books: Books
    fake: FakeDiscord
    tom: User
    #: Where the bot is, and where only its users are.
    places: dict[str, int]

    async def start_child(self, now: int) -> Child:
        child = await self.processes.start_child(now)
        urls = {"api_url": self.fake.api_url, "gateway_url": self.fake.gateway_url}
        await child.does("discord", "connected", token=TOKEN, **urls)
        return child

    def answers(self) -> list[Message]:
        """All that Tom sees with a footer, or that says that there is no answer."""
        seen = [
            each for where in self.fake.channels for each in self.fake.messages(where, self.tom)
        ]
        return [each for each in seen if "◈" in each.content or "interrupted" in each.content]


@pytest_asyncio.fixture
async def world(
    database_url: str, clock: TestClock, fork_server: ForkServer
) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        store = await Database.open(database_url, kind=None, clock=clock)
        stack.push_async_callback(store.close)
        supplier = await stack.enter_async_context(
            FakeSupplier("openai", models=["gpt-4"], strict=False)
        )
        supplier.allow(*KEYS)
        fake = FakeDiscord()
        await fake.start()
        stack.push_async_callback(fake.stop)
        tom = fake.user(7)
        abroad = fake.add_channel(fake.add_guild(bot=False))
        places = {"home": fake.text, "abroad": abroad, "alone": fake.dm(tom).id}
        made = await stack.enter_async_context(
            open_services(fork_server, database_url, supplier.url)
        )
        yield World(made, supplier, Books(store), fake, tom, places)


async def _killed_at(world: World, child: Child, point: str, place: str) -> tuple[str, Interaction]:
    """Tom asks; the process is killed when his ask has come to that point."""
    gate = world.supplier.hold()
    world.supplier.script(ANSWERS.get(point, WHOLE))
    where = world.places[place]
    asked = world.fake.slash(world.tom, "/ask", {"question": "why?"}, where)
    chat = str(world.tom.id if place == "alone" else where)
    ask = ids.derive_id("ask", snowflake_to_ms(asked.id), "discord", chat, str(asked.id))
    await world.supplier.arrived(1)
    if point == "call":
        await child.until("beat", ask=ask)
    elif point == "streaming":
        gate.set()
        await world.fake.seen(where, FIRST.strip(), world.tom)
        await child.until("beat", ask=ask, chars=len(FIRST))
    else:
        await child.does("freeze", "armed", at=point, ask=ask)
        gate.set()
        await child.until("frozen", ask=ask)
    await child.killed()
    row = await world.books.ask(ask)
    assert row is not None
    assert asked.token.encode() not in row.way_back, "it is sealed"
    return ask, asked


#: Where it is killed, where it was asked, whether the token is over by then, where it lands.
CASES = {
    "nothing came yet": ("call", "abroad", False, "abroad"),
    "mid-stream": ("streaming", "home", False, "home"),
    "mid-stream, by the token alone": ("streaming", "abroad", False, "abroad"),
    "mid-stream, in private": ("streaming", "alone", True, "alone"),
    "settled, the token is over": ("settle committed", "home", True, "home"),
    "settled, nowhere but in private": ("settle committed", "abroad", True, "alone"),
    "settled, in private": ("settle committed", "alone", False, "alone"),
    "shown, not yet recorded": ("landing begun", "abroad", False, "abroad"),
}


#: Database, case, and when the interaction comes again: before it is landed, or only after.
EVERY = list(itertools.product(("sqlite", "postgresql"), CASES, ("before", "after")))
FEW = [
    *(("sqlite", case, ("before", "after")[number % 2]) for number, case in enumerate(CASES)),
    ("postgresql", "mid-stream, by the token alone", "after"),
    ("postgresql", "settled, the token is over", "before"),
]


@pytest.mark.parametrize(
    ("database_url", "case", "again"),
    EVERY if size(small=0, full=1) else FEW,
    indirect=["database_url"],
)
async def test_what_was_asked_lands_and_is_charged_once(
    world: World, case: str, again: str
) -> None:
    point, place, over, lands = CASES[case]
    ask, asked = await _killed_at(world, await world.start_child(NOON_MS), point, place)
    fake, now = world.fake, NOON_MS + MOMENT_MS
    child = await world.start_child(now)
    assert len(world.answers()) == (1 if point == "landing begun" else 0)
    if over:
        fake.shift(900)

    async def comes_again() -> None:
        known = len(fake.called("POST /interactions"))
        fake.again(asked)
        await fake.wait_for(lambda: len(fake.called("POST /interactions")) > known)
        await child.does("quiet", "quiet")

    await comes_again()
    await child.does("clock", "clock", at_ms=now + LATER_MS)
    while await world.books.open():
        await child.does("sweep", "swept")
    await child.does("clock", "clock", at_ms=now + LATER_MS + MOMENT_MS)
    if again == "before":
        await comes_again()
    await child.does("land", "landing done")
    await fake.wait_for(lambda: len(world.answers()) == 1)
    await child.does("clock", "clock", at_ms=now + 3 * LATER_MS)
    await comes_again()
    await child.does("land", "landing done")
    await child.stopped()
    row = await world.books.ask(ask)
    assert row is not None
    assert (row.landed_at is not None, row.way_back) == (True, None)

    (answer,) = world.answers()
    assert answer.channel == world.places[lands]
    explained = "I can't write any more where you asked" in plain(answer.content)
    # Where others read, they see of a command its name alone.
    if lands == place != "alone":
        assert answer.content.startswith("**why?**")
    # Whoever hears the interaction again sees that its process is gone, and answers it.
    assert not explained
    assert not (asked.thinking and place == lands), "what was deferred is filled"
    spent = await world.books.spent()
    if point == "call":
        assert "interrupted before anything arrived" in answer.content
    else:
        assert FIRST.strip() in answer.content
        assert answer.labels[-1:] == ["🔁 Again"]
    assert spent == CHARGES.get(point, CHARGE)
    assert await world.books.credits("7", "discord") == WELCOME - spent
    assert len(world.supplier.calls) == 1
    await world.books.are_clean()
