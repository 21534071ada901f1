"""Four services on one PostgreSQL: together they admit what one would, and draw no key too far."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio

from core.db.database import Database
from core.money import parse_usd
from tests.peers.suppliers import Answer as Says, FakeSupplier, Used
from tests.support.config import KEYS
from tests.support.databases import NOON_MS, TestClock
from tests.support.size import size
from tests.system.processes_books import Books
from tests.system.processes_driver import (
    Child,
    ForkServer,
    ServiceProcesses,
    fork_server,
    open_services,
)

__all__ = ["fork_server"]

PROCESSES = 4
ASKS = size(small=100, full=1_000)
#: What admission holds for "why?" in the brief's world: 26 tokens, and an answer of 2,000.
HOLD = -(-(26 + 2_000) * 5 // 1_000)
#: What an answer comes to that uses 16 + 1,000 tokens: half of the hold.
CHARGE = -(-1_016 * 5 // 1_000)


@pytest_asyncio.fixture
async def supplier() -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier("openai", models=["gpt-4"], strict=False) as openai:
        openai.allow(*KEYS)
        yield openai


@pytest_asyncio.fixture
async def books(postgres_url: str, clock: TestClock) -> AsyncIterator[Books]:
    store = await Database.open(postgres_url, kind=None, clock=clock)
    yield Books(store)
    await store.close()


async def services(processes: ServiceProcesses) -> list[Child]:
    """The first makes the world, the others come to it at once."""
    first = await processes.start_child(NOON_MS)
    return [
        first,
        *await asyncio.gather(*(processes.start_child(NOON_MS) for _ in range(PROCESSES - 1))),
    ]


@dataclass(frozen=True)
class Crowd:
    """What came of many asks: the admitted's holds, and why the rest were refused."""

    admitted: list[int]
    #: (need, have, held)
    refused: list[tuple[int, int, int]]
    unserved: int


async def crowd(children: list[Child], asks: int) -> Crowd:
    """Everybody asks at once, over all processes; gives what came of it, together."""
    told = await asyncio.gather(
        *(
            child.does("crowd", "crowd", who="7", name=f"p{number}", asks=asks // len(children))
            for number, child in enumerate(children)
        )
    )
    assert [one["others"] for one in told] == [[]] * len(children)
    return Crowd(
        [hold for one in told for hold in one["admitted"]],
        [(need, have, held) for one in told for need, have, held in one["refused"]],
        sum(one["unserved"] for one in told),
    )


async def charged(children: list[Child]) -> int:
    """The sum of what all were charged, once all answers are there."""
    told = [await child.until("charged") for child in children]
    return sum(charge for one in told for charge in one["charges"])


async def test_exactly_as_many_asks_as_the_balance_holds_are_admitted_by_all_processes(
    fork_server: ForkServer, postgres_url: str, supplier: FakeSupplier, books: Books
) -> None:
    """Balance k·h + 1: k are admitted over all, the rest are told need, have and reserved."""
    most = ASKS // 4
    balance = most * HOLD + 1
    gate = asyncio.Event()
    supplier.always(Says("word " * 1_000, usage=Used(16, 1_000), before=gate))
    async with open_services(fork_server, postgres_url, supplier.url, welcome=balance) as processes:
        children = await services(processes)
        came = await crowd(children, ASKS)
        assert came.admitted == [HOLD] * most
        assert len(came.refused) == ASKS - most
        for need, have, held in came.refused:
            assert need > have
            assert have + held == balance
        await asyncio.wait_for(supplier.arrived(most), 60)
        gate.set()
        charges = await charged(children)
        assert charges == most * CHARGE == await books.spent()
        assert await books.credits("7") == balance - charges
        (key,) = await books.keys()
        assert (
            key.debits_posted
            == parse_usd("0.03048").multiply_by(most).units
            == (await books.cost()).units
        )
        for child in children:
            await child.stopped()
        await books.are_clean()


async def test_no_key_is_drawn_past_its_quota_by_all_processes(
    fork_server: ForkServer, postgres_url: str, supplier: FakeSupplier, books: Books
) -> None:
    """Two keys with room for so many asks each: no more are admitted, over all."""
    room = ASKS // 10
    # The supplier's $0.03 a thousand, on all 2,026 tokens that may be used.
    budget = parse_usd("0.06078").multiply_by(room).units + 1
    gate = asyncio.Event()
    supplier.always(Says("word " * 1_000, usage=Used(16, 1_000), before=gate))
    dollars = f"{budget // 10**9}.{budget % 10**9:09}"
    async with open_services(
        fork_server, postgres_url, supplier.url, budget=dollars, keys=2
    ) as processes:
        children = await services(processes)
        came = await crowd(children, ASKS)
        assert came.admitted == [HOLD] * 2 * room
        assert came.unserved == ASKS - 2 * room
        for key in await books.keys():
            assert key.available == 1
        gate.set()
        assert await charged(children) == 2 * room * CHARGE
        for child in children:
            await child.stopped()
        await books.are_clean()
        for key in await books.keys():
            assert key.debits_posted == parse_usd("0.03048").multiply_by(room).units


async def test_the_same_update_to_all_processes_is_answered_and_charged_once(
    fork_server: ForkServer, postgres_url: str, supplier: FakeSupplier, books: Books
) -> None:
    """A webhook that is sent again lands on another process."""
    messages = [str(number) for number in range(size(small=10, full=100))]
    supplier.always(Says("word " * 1_000, usage=Used(16, 1_000)))
    async with open_services(fork_server, postgres_url, supplier.url) as processes:
        children = await services(processes)
        for child in children:
            for message in messages:
                child.send("says", who="7", message=message, at_ms=NOON_MS, text="why?")
        for child in children:
            await child.until("handled", count=len(messages))
        answers = [event["ask"] for child in children for event in child.told("answer")]
        assert len(answers) == len(set(answers)) == len(messages) == len(supplier.calls)
        assert [child.told("screen") for child in children] == [[]] * PROCESSES
        for child in children:
            await child.stopped()
        await books.are_clean()
        assert len(await books.usage()) == len(messages)
        assert await books.credits("7") == 1_000_000 - len(messages) * CHARGE
