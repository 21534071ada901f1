"""A sandbox with the shipped catalogue, and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest_asyncio

from bots.sandbox.supplier import SandboxSupplier
from core.pool.providers import http
from core.pricing.catalogue import Catalogue


@pytest_asyncio.fixture
async def client() -> AsyncIterator[http.SupplierClient]:
    async with aclosing(http.SupplierClient()) as session:
        yield session


@pytest_asyncio.fixture
async def base() -> AsyncIterator[str]:
    sandbox = SandboxSupplier(Catalogue.load(), piece_delay_seconds=0)
    yield await sandbox.start()
    await sandbox.stop()
