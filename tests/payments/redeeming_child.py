"""A process that redeems a code for a person as soon as it reads a line.

python -m tests.payments.redeeming_child DATABASE AT_MS PERSON CODE
"""

from __future__ import annotations

import asyncio
import sys

from core.db.database import Store
from core.ledger.ledger import Ledger
from core.users.service import find
from payments.fulfillment import Crediting
from payments.offer import Offer
from payments.orders import Orders
from payments.promo_codes import CodeRefused
from payments.vouchers import Codes
from tests.databases import TestClock


async def main(database: str, at_ms: str, person: str, code: str) -> None:
    clock = TestClock(int(at_ms))
    store = await Store.open(database, kind=None, clock=clock)
    ledger = Ledger(store, clock)
    await ledger.start()
    offer = Offer()
    orders = Orders(store=store, ledger=ledger, clock=clock, offer=offer)
    crediting = Crediting(orders=orders, store=store, ledger=ledger, clock=clock, offer=offer)
    codes = Codes(orders=orders, crediting=crediting, store=store, ledger=ledger, clock=clock)
    who = await find(store, person)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    try:
        order = await codes.redeem(who, "telegram:1:", code)
        print(order.state)
    except CodeRefused as refused:
        print(refused.why)
    await ledger.stop()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
