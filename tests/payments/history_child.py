"""A process that does everything at once that one does with a gateway, and is killed at one of its
steps, or at any moment.

python -m tests.payments.history_child DATABASE GATEWAY PEER AT_MS DIES_AT FUSE_US WISH
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from core.db.database import Database
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.money import NanoUsd, parse_usd
from core.pool.vault import Vault
from payments.fulfillment import Fulfillment
from payments.gateways.stripe import StripeGateway
from payments.offer import Offer
from payments.orders import Orders
from payments.services import order_tags
from payments.webhooks import WebhookInbox
from tests.payments.gateway_clients import MASTER, gateway_of
from tests.payments.order_services import OrderServices
from tests.support.databases import TestClock

#: Whoever forks this has it loaded: its library takes a second.
assert StripeGateway.name == "stripe"

#: What asks a gateway for something; a process may die before each, and once its answer is there.
CALLS = ("create_checkout", "fetch_order", "list_transactions", "parse_events", "refund_payment")


class Steps:
    """The steps of this process: phases of the ledger's writer and calls to the gateway. It dies at
    one of them."""

    def __init__(self, dies_at: int) -> None:
        self._left = dies_at

    def count(self, _: str = "") -> None:
        """One more."""
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)

    def count_calls(self, gateway: object) -> None:
        """Calls to it are steps from now on."""
        for name in CALLS:
            if real := getattr(gateway, name, None):
                setattr(gateway, name, self._counted(real))

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*given: Any) -> Any:
            self.count()
            answer = await real(*given)
            self.count()
            return answer

        return call


def burn(seconds: float) -> None:
    """The process dies that much later, wherever it is."""
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


async def main(database: str, name: str, peer: str, at_ms: int, dies_at: int, wish: str) -> None:
    clock, steps = TestClock(at_ms), Steps(dies_at)
    store = await Database.open(database, kind=None, clock=clock)
    ledger = Ledger(store, clock, on_phase=steps.count)
    await ledger.start()
    vault = await Vault.open([MASTER], store, ledger)
    gateways = {name: gateway_of(name, peer, clock=clock)}
    steps.count_calls(gateways[name])
    offer = Offer()
    tags = order_tags(vault)
    orders = Orders(ledger=ledger, offer=offer, derive_tag=tags)
    fulfillment = Fulfillment(orders=orders, ledger=ledger, offer=offer, gateways=gateways)
    inbox = WebhookInbox(gateways=gateways, fulfillment=fulfillment, ledger=ledger, vault=vault)
    services = OrderServices(gateways, orders, fulfillment, db=store, ledger=ledger, clock=clock)
    await asyncio.gather(
        work_through(inbox),
        services.reconciliation.reconcile_orders(),
        grant(services, name, at_ms, **json.loads(wish)),
    )
    await gateways[name].close()
    await ledger.stop()
    await store.close()


async def work_through(inbox: WebhookInbox) -> None:
    """Looks at all that came."""
    while await inbox.process_due():
        pass


async def grant(
    services: OrderServices, gateway: str, at_ms: int, *, cause: str, **wish: Any
) -> None:
    """Somebody buys for `cash`, or an operator gives `units` of an order back."""
    with suppress(Refusal):
        if "order" in wish:
            order = await services.orders.get(wish["order"])
            await services.refunds.refund_order(order, NanoUsd(wish["units"]), cause=cause)
            return
        await services.checkout.place_order(
            cause=cause,
            at_ms=at_ms,
            person=wish["person"],
            place="telegram:1:",
            message="5",
            gateway=gateway,
            value=parse_usd(wish["cash"]),
            description="1,000 Credits",
            language="en",
        )


if __name__ == "__main__":
    if fuse_us := int(sys.argv[6]):
        threading.Thread(target=burn, args=(fuse_us / 1e6,), daemon=True).start()
    asyncio.run(main(*sys.argv[1:4], *map(int, sys.argv[4:6]), sys.argv[7]))
