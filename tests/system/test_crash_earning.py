"""SIGKILL at each step of contributing, of vesting, of making smaller, of taking back: the audits
are clean before anything is mended, nothing is credited twice, no key is left half open, and what
was acknowledged is there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core.db.database import Database
from tests.peers.suppliers import FakeSupplier
from tests.support.config import KEYS
from tests.support.databases import TestClock
from tests.support.size import size
from tests.system.crash_earning import POINTS, World
from tests.system.processes_driver import ForkServer, fork_server, open_services

__all__ = ["fork_server"]

#: Small sizes: what would show if a step were two, and on the other database what moves Credits.
FEW = {
    "sqlite": (
        *("probe", "offered written", "contributed written"),
        *("settle written", "closing written", "closed committed"),
    ),
    "postgresql": (
        "offered committed",
        "contributed committed",
        "lowered committed",
        "closed written",
    ),
}


@pytest_asyncio.fixture
async def world(
    database_url: str, clock: TestClock, fork_server: ForkServer
) -> AsyncIterator[World]:
    store = await Database.open(database_url, kind=None, clock=clock)
    async with FakeSupplier("openai", models=["gpt-4"], strict=False) as supplier:
        supplier.allow(*KEYS)
        earning = {"welcome": 0, "contributions": True}
        async with open_services(fork_server, database_url, supplier.url, **earning) as processes:
            yield World(processes, supplier, store)
    await store.close()


@pytest.mark.timeout(1_800)
async def test_whatever_a_contributor_was_told_survives_a_kill_at_any_point(
    world: World, database_url: str
) -> None:
    few = FEW[database_url.partition(":")[0]]
    rounds = size(small=1, full=2)
    points = few if rounds == 1 else tuple(POINTS)
    child = await world.begin()
    for turn in range(rounds):
        for number, point in enumerate(points):
            # Only for what nobody tells a line is opened.
            verified = "line" not in point and (turn + number) % 2 == 0
            child = await world.live(child, point, verified=verified)
    await child.stopped()
    assert world.kills.total() == rounds * len(points)
