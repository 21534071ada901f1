"""What front ends do about payments that their platform shows itself: Telegram Stars, and Discord's
store.

Adapters bring what the platform says; the handlers here decide with what `payments` knows, and find
the words.
"""

from __future__ import annotations

import asyncio
from typing import final

from bots.chat.i18n import language_for, render
from bots.commands.errors import sentence
from core.clock import Clock
from core.errors import Refusal
from core.users.service import People
from core.users.ttl_cache import Recent
from payments.gateways.discord_store import DiscordSkus, Entitled, heard
from payments.gateways.telegram_stars import PreCheckout, StarsTold, TelegramStars
from payments.orders import Orders
from payments.types import CheckoutRefused
from payments.webhooks import Inbox

#: Open orders that every process keeps in memory.
_ORDERS_MAX = 5_000
#: Processes' clocks may differ by so much.
_CLOCKS_MS = 60_000
#: How long a payer's own language is looked up.
_LANGUAGE_SECONDS = 1.0
#: The same entitlement is in each of its buyer's interactions until it is consumed.
_HEARD_SECONDS, _HEARD_MAX = 600.0, 5_000


@final
class StarsTill:
    """The handler of payments in Telegram Stars: it answers pre-checkout questions and stores what
    was paid."""

    def __init__(
        self,
        *,
        gateway: TelegramStars,
        orders: Orders,
        inbox: Inbox,
        people: People,
        clock: Clock,
    ) -> None:
        self._gateway, self._orders, self._inbox, self._people = gateway, orders, inbox, people
        self._clock = clock
        #: Open orders that were made before this time (ms UTC) are in memory.
        self._refreshed = 0

    async def asked(self, asked: PreCheckout, language: str) -> str:
        """Why this may not be paid now, in its payer's words, `language` being their app's; empty
        when it may. Quick, whatever the database does."""
        try:
            await self._gateway.may_pay(asked, self._orders.get)
        except CheckoutRefused as refused:
            return render(sentence(refused), await self._language(asked.payer, language))
        return ""

    async def told(self, told: StarsTold) -> None:
        """Keeps what Telegram says: once this returns it can't be lost. Raises LedgerUnavailable
        and LedgerBusy."""
        await self._inbox.keep(self._gateway.name, told.message())

    async def refresh(self) -> None:
        """A job: loads open orders of other processes, and of before a start, into memory."""
        now = self._clock.now_ms()
        fresh = await self._orders.open(
            self._gateway.name, _ORDERS_MAX, since_ms=self._refreshed - _CLOCKS_MS
        )
        self._gateway.remember(*fresh)
        self._refreshed = now

    async def _language(self, payer: str, app: str) -> str:
        try:
            async with asyncio.timeout(_LANGUAGE_SECONDS):
                return (await self._people.find(f"telegram:{payer}")).language
        except (Refusal, TimeoutError):
            return language_for(app)


@final
class SkusTill:
    """The handler of purchases in Discord's store: it stores that one was made or reversed."""

    def __init__(self, *, gateway: DiscordSkus, inbox: Inbox, clock: Clock) -> None:
        self._gateway, self._inbox = gateway, inbox
        self._heard: Recent[str, bool] = Recent(clock, seconds=_HEARD_SECONDS, most=_HEARD_MAX)

    async def created(self, one: Entitled) -> None:
        """Somebody bought something, or has it still: keeps that it is to be looked at. Raises
        LedgerUnavailable and LedgerBusy."""
        if one.consumed or not self._gateway.sells(one.sku) or self._heard.get(one.id):
            return
        await self._inbox.keep(self._gateway.name, heard(one.id, "created"))
        self._heard.put(one.id, thing=True)

    async def taken_back(self, one: Entitled) -> None:
        """Discord gave its money back; raises as above."""
        if self._gateway.sells(one.sku):
            await self._inbox.keep(self._gateway.name, heard(one.id, "deleted"))
