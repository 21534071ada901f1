"""A process that pays what is approved and is killed at a point of the ledger's writer.

python -m tests.payments.payouts_child DATABASE METHOD PEER AT_MS DIES_AT
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import cast

from core.db.database import Database
from core.earnings.payouts import PayoutMethod
from core.ledger.ledger import Ledger
from core.pool.vault import Vault
from payments.payouts import Payouts
from tests.payments.gateway_clients import MASTER, disburser_of, withdrawals_on
from tests.support.databases import TestClock


async def main(database: str, method: PayoutMethod, peer: str, at_ms: int, dies_at: int) -> None:
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
    vault = await Vault.open([MASTER], store, ledger)
    addresses, withdrawals = withdrawals_on(store, ledger, vault, clock)
    disburser = disburser_of(method, peer)
    payouts = Payouts(
        withdrawals=withdrawals,
        payout_methods=addresses,
        providers={method: disburser},
        clock=clock,
    )
    await payouts.process_due_payouts()
    await disburser.close()
    await ledger.stop()
    await store.close()


if __name__ == "__main__":
    method = cast("PayoutMethod", sys.argv[2])
    asyncio.run(main(sys.argv[1], method, sys.argv[3], *map(int, sys.argv[4:6])))
