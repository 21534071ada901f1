"""The shop: payments wired together, for services that have a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bots.locale import language_for
from bots.show.screen import Deliverer
from bots.telling import Telling
from bots.tills import SkusTill, StarsTill
from core.clock import Clock
from core.ledger import Ledger
from core.people import People
from core.pool import Vault
from core.store import Store
from core.upkeep import Chore, Notices
from payments import Cashier, Crediting, Gateway, Inbox, Offer, Orders
from payments.gateways.skus import DiscordSkus
from payments.gateways.stars import TelegramStars
from payments.listing import Listing


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything about money, from a gateway's message to the words in a chat."""

    gateways: Mapping[str, Gateway]
    cashier: Cashier
    inbox: Inbox
    notices: Notices
    #: What front ends do about their platform's own payments, where those are sold by.
    stars: StarsTill | None = None
    skus: SkusTill | None = None

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
        chores = (
            Chore("tell notices", 2.0, self.notices.work, everywhere=True),
            Chore("reconcile payments", 120.0, self.cashier.reconcile, at_start=True),
            Chore("forget webhooks", 3_600.0, self.inbox.forget_old),
        )
        if self.stars is None:
            return chores
        known = Chore("know open orders", 10.0, self.stars.refresh, everywhere=True, at_start=True)
        return (*chores, known)


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

    async def who(platform: str, id_: str) -> str:
        """Whoever bought in a platform's store may never have written here."""
        return (await people.of(platform, id_, language=language_for(""))).id

    crediting = Crediting(
        orders=orders, store=store, ledger=ledger, clock=clock, offer=offer, who=who
    )
    inbox = Inbox(
        gateways=gateways,
        crediting=crediting,
        store=store,
        ledger=ledger,
        vault=vault,
        clock=clock,
    )
    stars, skus = gateways.get("stars"), gateways.get("skus")
    telling = Telling(people=people, ledger=ledger, orders=orders, deliverers=deliverers)
    return Shop(
        gateways=gateways,
        cashier=Cashier(
            gateways=gateways,
            orders=orders,
            crediting=crediting,
            store=store,
            clock=clock,
            listing=Listing(crediting=crediting, store=store, ledger=ledger),
        ),
        inbox=inbox,
        notices=Notices(store=store, ledger=ledger, clock=clock, tell=telling.tell),
        stars=StarsTill(gateway=stars, orders=orders, inbox=inbox, people=people, clock=clock)
        if isinstance(stars, TelegramStars)
        else None,
        skus=SkusTill(gateway=skus, inbox=inbox, clock=clock)
        if isinstance(skus, DiscordSkus)
        else None,
    )
