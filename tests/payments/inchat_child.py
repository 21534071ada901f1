"""What a process does that works through the inbox and the gateway's own list, and is killed at a
point of the ledger's writer.
"""

from __future__ import annotations

import asyncio
import os
import signal

from core.db.database import Database
from core.ledger.ledger import Ledger
from core.money import NanoUsd
from payments.gateways.base import Gateway
from tests.payments import inchat
from tests.support.databases import TestClock


def work(database: str, url: str, packs: dict[str, int], at_ms: int, dies_at: int) -> None:
    """`packs`: what each SKU costs, in nano-dollars; without SKUs the gateway is that of Stars."""
    asyncio.run(_work(database, url, packs, at_ms, dies_at))


async def _work(database: str, url: str, packs: dict[str, int], at_ms: int, dies_at: int) -> None:
    clock = TestClock(at_ms)
    store = await Database.open(database, kind=None, clock=clock)
    met = 0

    def phase(_: str) -> None:
        nonlocal met
        met += 1
        if met == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)

    ledger = Ledger(store, clock, on_phase=phase)
    await ledger.start()
    prices = {sku: NanoUsd(cash) for sku, cash in packs.items()}
    gateway: Gateway = inchat.stars(url, clock)
    if prices:
        gateway = inchat.skus(url, clock, prices)
    counter = await inchat.counter(gateway, store, ledger, clock)
    await counter.works()
    await counter.services.reconciliation.reconcile_orders()
    await gateway.close()
    await ledger.stop()
    await store.close()
