"""A counter for gateways that platforms show themselves, over real clients and fake platforms."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import sqlalchemy as sa
from pydantic import SecretStr

from bots.config.settings import DiscordConfig, TelegramConfig
from bots.discord.store import DiscordStoreClient
from bots.telegram.payments import TelegramStarsClient
from core.clock import Clock
from core.db import schema
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.money import Credits, NanoUsd, parse_usd
from core.pool.vault import Vault
from core.users.service import Users
from core.users.types import WelcomeGift
from payments.fulfillment import Fulfillment
from payments.gateways.base import Gateway
from payments.gateways.discord_store import DiscordStoreGateway
from payments.gateways.telegram_stars import TelegramStarsGateway
from payments.offer import Offer
from payments.orders import Orders
from payments.services import order_tags
from payments.types import Order
from payments.webhooks import WebhookInbox
from tests.payments.order_services import OrderServices
from tests.peers import discord, telegram

#: What a Star brings.
STAR = parse_usd("0.013")


def stars(url: str, clock: Clock) -> TelegramStarsGateway:
    """By a client of the Bot API there."""
    config = TelegramConfig(token=SecretStr(telegram.TOKEN), api_url=url)
    return TelegramStarsGateway(api=TelegramStarsClient(config), usd_per_star=STAR, clock=clock)


def skus(
    url: str, clock: Clock, packs: dict[str, NanoUsd], *, test_purchases: bool = False
) -> DiscordStoreGateway:
    """By a client of Discord there."""
    config = DiscordConfig(token=SecretStr(discord.TOKEN), api_url=url)
    return DiscordStoreGateway(
        api=DiscordStoreClient(config),
        packs=packs,
        fee_percent=15,
        test_purchases=test_purchases,
        clock=clock,
    )


@dataclass
class Counter:
    """Orders, an inbox, and what is done with orders, over one gateway."""

    gateway: Gateway
    orders: Orders
    crediting: Fulfillment
    inbox: WebhookInbox
    services: OrderServices
    people: Users
    store: Database
    clock: Clock
    _causes: itertools.count[int] = field(default_factory=itertools.count)

    async def buys(
        self, person: str, cash: str, place: str, *, cause: str = "", message: str = "5"
    ) -> Order:
        return await self.services.checkout.place_order(
            cause=cause or f"btn_{next(self._causes)}",
            at_ms=self.clock.now_ms(),
            person=person,
            place=place,
            message=message,
            gateway=self.gateway.name,
            value=parse_usd(cash),
            description="Credits",
            language="en",
        )

    async def works(self) -> None:
        while await self.inbox.process_due():
            pass

    async def waiting(self) -> int:
        """Messages that are to be looked at again."""
        table = schema.webhook
        return len(await self.store.fetch(sa.select(table.c.id).where(table.c.due_at.is_not(None))))

    async def verdicts(self) -> dict[str, str]:
        rows = await self.store.fetch(sa.select(schema.webhook))
        return {row.id: row.verdict for row in rows}


async def counter(gateway: Gateway, store: Database, ledger: Ledger, clock: Clock) -> Counter:
    offer, gateways = Offer(), {gateway.name: gateway}
    vault = await Vault.open([bytes(32)], store, ledger)
    people = Users(ledger=ledger, vault=vault, welcome_gift=WelcomeGift(Credits(0), 0))

    async def who(platform: str, id_: str) -> str:
        return (await people.get_or_create(platform, id_, language="en")).id

    orders = Orders(ledger=ledger, offer=offer, derive_tag=order_tags(vault))
    crediting = Fulfillment(orders=orders, ledger=ledger, offer=offer, get_person_id=who)
    inbox = WebhookInbox(gateways=gateways, fulfillment=crediting, ledger=ledger, vault=vault)
    services = OrderServices(
        gateways,
        orders,
        crediting,
        db=store,
        ledger=ledger,
        clock=clock,
        get_person_id=who,
    )
    return Counter(gateway, orders, crediting, inbox, services, people, store, clock)
