"""Shops that sell in chats, each with its platform: for Stars, and in Discord's store."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest_asyncio

from bots.platform_payments import StorePurchases
from core.money import Stars, parse_usd
from payments.gateways.discord_store import (
    DiscordEntitlement,
    DiscordStoreGateway,
    build_entitlement_message,
)
from payments.gateways.telegram_stars import PreCheckout, StarPaymentUpdate, TelegramStarsGateway
from payments.types import CheckoutRefused, Order
from tests.payments import inchat
from tests.payments.conftest import Shop
from tests.payments.inchat import Counter
from tests.peers.discord import FakeDiscord
from tests.peers.discord_world import User as Member
from tests.peers.telegram import FakeTelegram
from tests.peers.telegram_chats import User

#: What is sold in Discord's store, and its price.
PACKS = {"Starter": "10", "Pro": "90", "Enterprise": "800"}


@dataclass
class StarsShop:
    """A shop that sells for Stars, and the Telegram that it is on."""

    shop: Shop
    telegram: FakeTelegram
    gateway: TelegramStarsGateway
    counter: Counter

    async def buys(self, person: str, cash: str, user: User, **more: str) -> Order:
        return await self.counter.buys(person, cash, f"telegram:{user.id}:", **more)

    def receives(self, user: User, order: Order) -> StarPaymentUpdate:
        """The order is paid; what Telegram tells of it."""
        assert isinstance(order.amount, Stars)
        charge = self.telegram.stars.receives(user, order.id, order.amount.units)
        return StarPaymentUpdate(charge, str(user.id), "XTR", order.amount.units, order.id)

    async def hears(self, told: StarPaymentUpdate) -> None:
        await self.counter.inbox.store("stars", told.to_webhook_message())

    async def asked(self, order: Order, user: User, **changes: object) -> str:
        """Why an order may not be paid; empty when it may. Nothing but memory is looked at."""

        async def find(id_: str) -> Order:
            raise AssertionError(id_)

        return await self.looked(order, user, find, **changes)

    async def looked(self, order: Order, user: User, find, **changes: object) -> str:  # type: ignore[no-untyped-def]
        asked = PreCheckout(str(user.id), "XTR", order.amount.units, order.id)
        try:
            await self.gateway.check_payable(replace(asked, **changes), find)  # type: ignore[arg-type]
        except CheckoutRefused as refused:
            return refused.reason
        return ""


@pytest_asyncio.fixture
async def stars_shop(shop: Shop) -> AsyncIterator[StarsShop]:
    telegram = FakeTelegram()
    gateway = inchat.stars(await telegram.start(), shop.clock)
    yield StarsShop(
        shop,
        telegram,
        gateway,
        await inchat.counter(gateway, shop.store, shop.ledger, shop.clock),
    )
    await gateway.close()
    await telegram.stop()


def forgeries(told: StarPaymentUpdate, chance: random.Random) -> list[StarPaymentUpdate]:
    """What no payment of that order is."""
    wrong = [
        replace(told, payload="ord_of_nobody"),
        replace(told, payload="another bot's invoice"),
        replace(told, payer="99"),
        replace(told, amount=told.amount - 1),
        replace(told, amount=told.amount * 10),
        replace(told, currency="USD"),
        replace(told, currency="USD", amount=told.amount * 100),
        replace(told, refunded=True),
    ]
    return [replace(each, charge=f"forged_{chance.random()}") for each in wrong]


@dataclass
class SkusShop:
    """A shop that sells in Discord's store."""

    shop: Shop
    discord: FakeDiscord
    #: The SKU of each pack.
    skus: dict[str, int]
    gateway: DiscordStoreGateway
    counter: Counter
    till: StorePurchases
    people: dict[int, str] = field(default_factory=dict)

    async def person(self, user: Member) -> str:
        """Whoever writes from there; made if nobody did."""
        return (await self.counter.people.get_or_create("discord", str(user.id), language="en")).id

    async def buys(self, user: Member, pack: str) -> Order:
        person = await self.person(user)
        return await self.counter.buys(person, PACKS[pack], f"discord:{user.id}:")

    def entitled(self, id_: int) -> DiscordEntitlement:
        one = self.discord.store.entitlements[id_]
        return DiscordEntitlement(
            id=one["id"],
            sku_id=one["sku_id"],
            application_id=one["application_id"],
            user_id=one.get("user_id", ""),
            guild_id=one.get("guild_id", ""),
            kind=one["type"],
            deleted=one["deleted"],
            consumed=one["consumed"],
        )

    async def hears(self, id_: int, what: str = "created") -> None:
        await self.counter.inbox.store("skus", build_entitlement_message(str(id_), what))

    async def works(self) -> None:
        await self.counter.works()

    async def has(self, user: Member) -> dict[str, int]:
        return await self.shop.has(await self.person(user))

    def consumed(self, id_: int) -> bool:
        found: bool = self.discord.store.entitlements[id_]["consumed"]
        return found


async def opened(shop: Shop, discord: FakeDiscord, *, test_purchases: bool = False) -> SkusShop:
    skus = {name: discord.store.sku(name) for name in PACKS}
    packs = {str(skus[name]): parse_usd(cash) for name, cash in PACKS.items()}
    gateway = inchat.skus(discord.api_url, shop.clock, packs, test_purchases=test_purchases)
    counter = await inchat.counter(gateway, shop.store, shop.ledger, shop.clock)
    till = StorePurchases(gateway=gateway, inbox=counter.inbox, clock=shop.clock)
    return SkusShop(shop, discord, skus, gateway, counter, till)


@pytest_asyncio.fixture
async def skus_shop(shop: Shop) -> AsyncIterator[SkusShop]:
    # Ids of Discord's are times of the wall's clock, so this shop looks at it too.
    shop.clock.at_ms = int(time.time() * 1000)
    discord = FakeDiscord()
    await discord.start()
    chat_shop = await opened(shop, discord)
    yield chat_shop
    await chat_shop.gateway.close()
    await discord.stop()
