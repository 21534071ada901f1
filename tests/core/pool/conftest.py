"""The pool's world as a fixture."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from core.db.database import Database
from core.ledger.ledger import Ledger
from tests.core.pool.world import World, made
from tests.databases import TestClock


@pytest_asyncio.fixture
async def world(store: Database, ledger: Ledger, clock: TestClock) -> AsyncIterator[World]:
    async with made(store, ledger, clock) as world:
        yield world
