"""A counter for gateways that platforms show themselves, over real clients and fake platforms."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import sqlalchemy as sa
from pydantic import SecretStr

from bots.discord.config import DiscordConfig
from bots.discord.store import DiscordStore
from bots.telegram.config import TelegramConfig
from bots.telegram.payments import BotStars
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.ledger.ledger import Ledger
from core.money import Credits, NanoUsd, usd
from core.pool.vault import Vault
from core.users.service import People
from core.users.types import Welcome
from payments.checkout import Cashier
from payments.fulfillment import Crediting
from payments.gateways.base import Gateway
from payments.gateways.discord_store import DiscordSkus
from payments.gateways.telegram_stars import TelegramStars
from payments.offer import Offer
from payments.orders import Orders
from payments.reconciliation import Listing
from payments.types import Order
from payments.webhooks import Inbox
from tests.fakes import discord, telegram

#: What a Star brings.
STAR = usd("0.013")


def stars(url: str, clock: Clock) -> TelegramStars:
    """By a client of the Bot API there."""
    config = TelegramConfig(SecretStr(telegram.TOKEN), api_url=url)
    return TelegramStars(api=BotStars(config), usd_per_star=STAR, clock=clock)


def skus(
    url: str, clock: Clock, packs: dict[str, NanoUsd], *, test_purchases: bool = False
) -> DiscordSkus:
    """By a client of Discord there."""
    config = DiscordConfig(SecretStr(discord.TOKEN), api_url=url)
    return DiscordSkus(
        api=DiscordStore(config),
        packs=packs,
        fee_percent=15,
        test_purchases=test_purchases,
        clock=clock,
    )


@dataclass
class Counter:
    """Orders, an inbox and a cashier over one gateway."""

    gateway: Gateway
    orders: Orders
    crediting: Crediting
    inbox: Inbox
    cashier: Cashier
    people: People
    store: Store
    clock: Clock
    _causes: itertools.count[int] = field(default_factory=itertools.count)

    async def buys(
        self, person: str, cash: str, place: str, *, cause: str = "", message: str = "5"
    ) -> Order:
        return await self.cashier.buy(
            cause=cause or f"btn_{next(self._causes)}",
            at_ms=self.clock.now_ms(),
            person=person,
            place=place,
            message=message,
            gateway=self.gateway.name,
            value=usd(cash),
            what="Credits",
            language="en",
        )

    async def works(self) -> None:
        while await self.inbox.work():
            pass

    async def waiting(self) -> int:
        """Messages that are to be looked at again."""
        table = schema.webhook
        return len(await self.store.fetch(sa.select(table.c.id).where(table.c.due_at.is_not(None))))

    async def verdicts(self) -> dict[str, str]:
        rows = await self.store.fetch(sa.select(schema.webhook))
        return {row.id: row.verdict for row in rows}


async def counter(gateway: Gateway, store: Store, ledger: Ledger, clock: Clock) -> Counter:
    offer, gateways = Offer(), {gateway.name: gateway}
    vault = await Vault.open([bytes(32)], store, ledger)
    people = People(
        store=store, ledger=ledger, vault=vault, clock=clock, welcome=Welcome(Credits(0), 0)
    )

    async def who(platform: str, id_: str) -> str:
        return (await people.of(platform, id_, language="en")).id

    orders = Orders(store=store, ledger=ledger, clock=clock, offer=offer)
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
    cashier = Cashier(
        gateways=gateways,
        orders=orders,
        crediting=crediting,
        store=store,
        clock=clock,
        listing=Listing(crediting=crediting, store=store, ledger=ledger),
    )
    return Counter(gateway, orders, crediting, inbox, cashier, people, store, clock)
