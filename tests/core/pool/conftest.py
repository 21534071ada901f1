"""The pool's world, and a client for its suppliers, as fixtures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest_asyncio

from core.db.database import Database
from core.ledger.ledger import Ledger
from core.pool.providers.http import SupplierClient
from tests.core.pool.world import World, made
from tests.support.databases import TestClock


@pytest_asyncio.fixture
async def world(store: Database, ledger: Ledger, clock: TestClock) -> AsyncIterator[World]:
    async with made(store, ledger, clock) as world:
        yield world


@pytest_asyncio.fixture
async def client() -> AsyncIterator[SupplierClient]:
    async with aclosing(SupplierClient()) as opened:
        yield opened
