"""The shop: payments wired together, for services that have a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bots.show.screen import Deliverer
from bots.telling import Telling
from core.clock import Clock
from core.ledger import Ledger
from core.people import People
from core.pool import Vault
from core.store import Store
from core.upkeep import Chore, Notices
from payments import Cashier, Crediting, Gateway, Inbox, Offer, Orders


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything about money, from a gateway's message to the words in a chat."""

    gateways: Mapping[str, Gateway]
    cashier: Cashier
    inbox: Inbox
    notices: Notices

    async def start(self) -> None:
        """Begins to work through what gateways told."""
        await self.inbox.start()

    async def stop(self) -> None:
        """Ends the work and closes the gateways' connections."""
        await self.inbox.stop()
        for gateway in self.gateways.values():
            await gateway.close()

    def chores(self) -> tuple[Chore, ...]:
        """What happens without a request."""
        return (
            Chore("tell notices", 2.0, self.notices.work, everywhere=True),
            Chore("reconcile payments", 120.0, self.cashier.reconcile),
            Chore("forget webhooks", 3_600.0, self.inbox.forget_old),
        )


def open_shop(
    *,
    gateways: Mapping[str, Gateway],
    offer: Offer,
    store: Store,
    ledger: Ledger,
    vault: Vault,
    people: People,
    clock: Clock,
    deliverers: Mapping[str, Deliverer],
) -> Shop:
    """Wires it; nothing starts yet."""
    orders = Orders(store=store, ledger=ledger, clock=clock, offer=offer)
    crediting = Crediting(orders=orders, store=store, ledger=ledger, clock=clock, offer=offer)
    telling = Telling(people=people, ledger=ledger, orders=orders, deliverers=deliverers)
    return Shop(
        gateways=gateways,
        cashier=Cashier(
            gateways=gateways, orders=orders, crediting=crediting, store=store, clock=clock
        ),
        inbox=Inbox(
            gateways=gateways,
            crediting=crediting,
            store=store,
            ledger=ledger,
            vault=vault,
            clock=clock,
        ),
        notices=Notices(store=store, ledger=ledger, clock=clock, tell=telling.tell),
    )
