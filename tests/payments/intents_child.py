"""A process that does one thing with an outside party, and is killed before or after it heard.

python -m tests.payments.intents_child DATABASE PEER_URL AT_MS KIND GATEWAY WHEN SUBJECT
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

from core.db.database import Database
from core.ledger.ledger import Ledger
from core.money import NanoUsd
from core.pool.vault import Vault
from payments.fulfillment import Fulfillment
from payments.gateways.base import Gateway
from payments.offer import Offer
from payments.orders import Orders
from payments.payouts import Payouts
from tests.payments import inchat
from tests.payments.gateway_clients import MASTER, disburser_of, gateway_of, withdrawals_on
from tests.payments.order_services import OrderServices
from tests.support.databases import TestClock

#: What each kind of intent asks of its outside party.
CALLS = {
    "order": "create_checkout",
    "capture": "_capture",
    "refund": "refund_payment",
    "acceptance": "accept_dispute",
    "payout": "send_payout",
    "consumption": "consume_purchase",
}


def kill_at(outside: object, name: str, when: str) -> None:
    """The process dies before the call reaches the outside party, or once its answer is there."""
    real: Callable[..., Awaitable[Any]] = getattr(outside, name)

    async def call(*given: Any, **named: Any) -> Any:
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await real(*given, **named)
        if when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(outside, name, call)


async def main(
    database: str, url: str, at_ms: int, kind: str, name: str, when: str, subject: str
) -> None:
    clock = TestClock(at_ms)
    store = await Database.open(database, kind=None, clock=clock)
    ledger = Ledger(store, clock)
    await ledger.start()
    vault = await Vault.open([MASTER], store, ledger)
    if kind == "payout":
        provider = disburser_of(cast("Any", name), url)
        kill_at(provider, CALLS[kind], when)
        addresses, withdrawals = withdrawals_on(store, ledger, vault, clock)
        payouts = Payouts(
            withdrawals=withdrawals,
            payout_methods=addresses,
            providers={cast("Any", name): provider},
            clock=clock,
        )
        await payouts.process_due_payouts()
        return
    if kind == "consumption":
        packs = dict(part.split("=") for part in subject.split(","))
        shop: Gateway = inchat.skus(
            url, clock, {sku: NanoUsd(int(cash)) for sku, cash in packs.items()}
        )
        kill_at(shop, CALLS[kind], when)
        counter = await inchat.counter(shop, store, ledger, clock)
        await counter.services.reconciliation.reconcile_orders()
        return
    gateway = gateway_of(name, url, clock=clock)
    kill_at(gateway, CALLS[kind], when)
    offer = Offer()
    orders = Orders(ledger=ledger, offer=offer)
    fulfillment = Fulfillment(orders=orders, ledger=ledger, offer=offer, gateways={name: gateway})
    services = OrderServices(
        {name: gateway}, orders, fulfillment, db=store, ledger=ledger, clock=clock
    )
    await act(services, kind, name, subject, at_ms)


async def act(services: OrderServices, kind: str, name: str, subject: str, at_ms: int) -> None:
    """The one thing."""
    if kind == "order":
        await services.checkout.place_order(
            cause="btn_killed",
            at_ms=at_ms,
            person=subject,
            place="telegram:1:",
            message="5",
            gateway=name,
            value=NanoUsd(10_000_000_000),
            description="1,000 Credits",
            language="en",
        )
    elif kind == "capture":
        await services.reconciliation.reconcile_orders()
    elif kind == "refund":
        order = await services.orders.get(subject)
        await services.refunds.refund_order(order, NanoUsd(4_000_000_000), cause="r1")
    else:
        await services.disputes.accept_dispute(name, subject)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:8]))
