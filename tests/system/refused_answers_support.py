"""What tests of refused answers share."""

from __future__ import annotations

import asyncio

from core.db import schema
from core.db.writes import Update
from tests.support.service import Service
from tests.system.conftest import Ends


async def ended(ends: Ends) -> tuple[str, str]:
    async with asyncio.timeout(60):
        return await ends.get()


async def leave_undelivered(service: Service, ask: str) -> None:
    """As if its process had died before the chat took anything."""
    change = {"landed_at": None, "shown_in": "", "lease_until": 0}
    await service.app.services.base.ledger.record(Update(schema.ask, {"id": ask}, change))
