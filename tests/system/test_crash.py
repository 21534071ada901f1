"""SIGKILL at each point of an ask's road and of the writer: what was acknowledged is there, holds
end, what was recorded as shown is billed once, the same update is answered and charged once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core.db.database import Database
from tests.peers.suppliers import FakeSupplier
from tests.support.config import KEYS
from tests.support.databases import TestClock
from tests.support.size import size
from tests.system.crash_world import World
from tests.system.processes_books import Books
from tests.system.processes_driver import ForkServer, fork_server, open_services

__all__ = ["fork_server"]

POINTS = (
    *("hold begun", "hold written", "hold committed", "call"),
    *("streaming", "beat begun", "beat written", "beat committed"),
    *("settle begun", "settle written", "settle committed"),
    *("settled", "shown", "landing begun", "landing written", "landing committed"),
)
#: Small sizes: each phase once, and enough to see that the other database keeps its word too.
FEW = {
    "sqlite": (
        *("hold begun", "hold committed", "call", "streaming", "beat written"),
        *("settle begun", "settle committed", "settled", "shown", "landing committed"),
    ),
    "postgresql": ("hold committed", "streaming", "settle written", "settle committed", "settled"),
}


@pytest_asyncio.fixture
async def world(
    database_url: str, clock: TestClock, fork_server: ForkServer
) -> AsyncIterator[World]:
    store = await Database.open(database_url, kind=None, clock=clock)
    async with FakeSupplier("openai", models=["gpt-4"], strict=False) as supplier:
        supplier.allow(*KEYS)
        async with open_services(fork_server, database_url, supplier.url) as processes:
            yield World(processes, supplier, Books(store))
    await store.close()


@pytest.mark.timeout(1_800)
async def test_whatever_was_acknowledged_survives_a_kill_at_any_point(
    world: World, database_url: str
) -> None:
    few = FEW[database_url.partition(":")[0]]
    kills = size(small=len(few), full=50)
    points = few if kills == len(few) else POINTS
    child = await world.begin()
    for turn in range(kills):
        victim = await world.kill_at(child, points[turn % len(points)])
        # Each time round another order of what comes after.
        child = await world.recover(victim, turn + turn // len(points))
    await child.stopped()
    assert world.kills.total() == kills
