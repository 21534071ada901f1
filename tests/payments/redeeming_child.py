"""A process that redeems a code for a person as soon as it reads a line.

python -m tests.payments.redeeming_child DATABASE AT_MS PERSON CODE
"""

from __future__ import annotations

import asyncio
import sys

from core.db.database import Database
from core.ledger.ledger import Ledger
from core.users.service import find_person
from payments.fulfillment import Fulfillment
from payments.offer import Offer
from payments.orders import Orders
from payments.promo_codes import CodeRefused
from payments.vouchers import Vouchers
from tests.support.databases import TestClock


async def main(database: str, at_ms: str, person: str, code: str) -> None:
    clock = TestClock(int(at_ms))
    store = await Database.open(database, kind=None, clock=clock)
    ledger = Ledger(store, clock)
    await ledger.start()
    offer = Offer()
    orders = Orders(ledger=ledger, offer=offer)
    crediting = Fulfillment(orders=orders, ledger=ledger, offer=offer)
    codes = Vouchers(orders=orders, fulfillment=crediting, ledger=ledger)
    who = await find_person(store, person)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    try:
        order = await codes.redeem_code(who, "telegram:1:", code)
        print(order.state)
    except CodeRefused as refused:
        print(refused.reason)
    await ledger.stop()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
