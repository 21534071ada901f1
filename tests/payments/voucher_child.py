"""What a process does that redeems a code for a person as soon as it is told to."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection

from core.db.database import Database
from core.ledger.ledger import Ledger
from core.users.service import find_person
from payments.fulfillment import Fulfillment
from payments.offer import Offer
from payments.orders import Orders
from payments.promo_codes import CodeRefused
from payments.vouchers import Vouchers
from tests.support.databases import TestClock


def work(database: str, at_ms: int, person: str, code: str, test: Connection) -> None:
    """Tells the test that it is ready, waits for a word of it, and tells what became of it."""
    asyncio.run(_work(database, at_ms, person, code, test))


async def _work(database: str, at_ms: int, person: str, code: str, test: Connection) -> None:
    clock = TestClock(at_ms)
    store = await Database.open(database, kind=None, clock=clock)
    ledger = Ledger(store, clock)
    await ledger.start()
    offer = Offer()
    orders = Orders(ledger=ledger, offer=offer)
    crediting = Fulfillment(orders=orders, ledger=ledger, offer=offer)
    codes = Vouchers(orders=orders, fulfillment=crediting, ledger=ledger)
    who = await find_person(store, person)
    test.send("ready")
    await asyncio.to_thread(test.recv)
    try:
        order = await codes.redeem_code(who, "telegram:1:", code)
        said = order.state
    except CodeRefused as refused:
        said = refused.reason
    test.send(said)
    await ledger.stop()
    await store.close()
