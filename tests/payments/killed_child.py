"""A process that works through the inbox and is killed at a point of the ledger's writer.

python -m tests.payments.killed_child DATABASE GATEWAY PEER AT_MS DIES_AT
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from core.db.database import Database
from core.ledger.ledger import Ledger
from core.pool.vault import Vault
from payments.fulfillment import Fulfillment
from payments.offer import Offer
from payments.orders import Orders
from payments.webhooks import WebhookInbox
from tests.payments.gateway_clients import gateway_of
from tests.support.databases import TestClock


async def main(database: str, name: str, peer: str, at_ms: int, dies_at: int) -> None:
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
    vault = await Vault.open([bytes(32)], store, ledger)
    gateway = gateway_of(name, peer)
    offer = Offer()
    orders = Orders(ledger=ledger, offer=offer)
    crediting = Fulfillment(orders=orders, ledger=ledger, offer=offer)
    inbox = WebhookInbox(
        gateways={name: gateway}, fulfillment=crediting, ledger=ledger, vault=vault
    )
    while await inbox.process_due():
        pass
    await gateway.close()
    await ledger.stop()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], *map(int, sys.argv[4:6])))
