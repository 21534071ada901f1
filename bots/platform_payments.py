"""What front ends do about payments that their platform shows itself: Telegram Stars, and Discord's
store.

Adapters bring what the platform says; the handlers here decide with what `payments` knows, and find
the words.
"""

from __future__ import annotations

import asyncio
from typing import final

from cachetools import TTLCache

from bots.chat.i18n import find_nearest_language, render
from bots.commands.errors import explain_refusal
from core.clock import Clock
from core.errors import Refusal
from core.users.service import Users
from payments.gateways.discord_store import (
    DiscordEntitlement,
    DiscordStoreGateway,
    build_entitlement_message,
)
from payments.gateways.telegram_stars import PreCheckout, StarPaymentUpdate, TelegramStarsGateway
from payments.orders import Orders
from payments.types import CheckoutRefused
from payments.webhooks import WebhookInbox

#: Open orders that every process keeps in memory.
_CACHED_ORDERS_MAX = 5_000
#: Processes' clocks may differ by so much.
_CLOCK_SKEW_MS = 60_000
#: How long a payer's own language is looked up.
_LANGUAGE_SECONDS = 1.0
#: The same entitlement is in each of its buyer's interactions until it is consumed.
_SEEN_SECONDS, _SEEN_MAX = 600.0, 5_000


@final
class StarsPayments:
    """The handler of payments in Telegram Stars: it answers pre-checkout questions and stores what
    was paid."""

    def __init__(
        self,
        *,
        gateway: TelegramStarsGateway,
        orders: Orders,
        inbox: WebhookInbox,
        users: Users,
        clock: Clock,
    ) -> None:
        self._gateway, self._orders, self._inbox, self._users = gateway, orders, inbox, users
        self._clock = clock
        #: Open orders that were made before this time (ms UTC) are in memory.
        self._refreshed_at = 0

    async def check_pre_checkout(self, pre_checkout: PreCheckout, language: str) -> str:
        """Why this may not be paid now, in its payer's words, `language` being their app's; empty
        when it may. Quick, whatever the database does."""
        try:
            await self._gateway.check_payable(pre_checkout, self._orders.get)
        except CheckoutRefused as refused:
            return render(
                explain_refusal(refused), await self._find_language(pre_checkout.payer, language)
            )
        return ""

    async def store_update(self, payment_update: StarPaymentUpdate) -> None:
        """Keeps what Telegram says: once this returns it can't be lost. Raises LedgerUnavailable
        and LedgerBusy."""
        await self._inbox.store(self._gateway.name, payment_update.to_webhook_message())

    async def refresh_open_orders(self) -> None:
        """A job: loads open orders of other processes, and of before a start, into memory."""
        now = self._clock.now_ms()
        open_orders = await self._orders.list_open(
            self._gateway.name, _CACHED_ORDERS_MAX, since_ms=self._refreshed_at - _CLOCK_SKEW_MS
        )
        self._gateway.cache_orders(*open_orders)
        self._refreshed_at = now

    async def _find_language(self, payer: str, app: str) -> str:
        try:
            async with asyncio.timeout(_LANGUAGE_SECONDS):
                return (await self._users.find(f"telegram:{payer}")).language
        except (Refusal, TimeoutError):
            return find_nearest_language(app)


@final
class StorePurchases:
    """The handler of purchases in Discord's store: it stores that one was made or reversed."""

    def __init__(self, *, gateway: DiscordStoreGateway, inbox: WebhookInbox, clock: Clock) -> None:
        self._gateway, self._inbox = gateway, inbox
        self._seen: TTLCache[str, bool] = TTLCache(
            maxsize=_SEEN_MAX, ttl=_SEEN_SECONDS, timer=clock.monotonic
        )

    async def record_purchase(self, entitlement: DiscordEntitlement) -> None:
        """Somebody bought something, or has it still: keeps that it is to be looked at. Raises
        LedgerUnavailable and LedgerBusy."""
        if (
            entitlement.consumed
            or not self._gateway.is_sold(entitlement.sku_id)
            or self._seen.get(entitlement.id)
        ):
            return
        await self._inbox.store(
            self._gateway.name, build_entitlement_message(entitlement.id, "created")
        )
        self._seen[entitlement.id] = True

    async def record_reversal(self, entitlement: DiscordEntitlement) -> None:
        """Discord gave its money back; raises as above."""
        if self._gateway.is_sold(entitlement.sku_id):
            await self._inbox.store(
                self._gateway.name, build_entitlement_message(entitlement.id, "deleted")
            )
