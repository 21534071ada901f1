"""Discord's own store: each pack is a consumable SKU. Discord reports an entitlement; that is read
again, credited, and only then consumed, so that it can be bought again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, final

from core.clock import DAY_MS, Clock
from core.money import NanoUsd
from payments.gateways.base import TransactionPage, WebhookMessage
from payments.types import (
    Cash,
    Checkout,
    GatewayEvent,
    InvalidSignature,
    Movement,
    Order,
    RefundUnsupported,
    Reversal,
    StorePurchase,
)

_log = logging.getLogger(__name__)

PLATFORM: Final = "discord"
CHECKOUT_SECONDS: Final = 3_600
#: The most that one call lists (Discord, List Entitlements).
PAGE_SIZE: Final = 100
#: Kinds of SKUs and entitlements, as Discord numbers them.
CONSUMABLE_SKU: Final = 3
_PURCHASE, _TEST_PURCHASE = 1, 4
#: Somebody else paid, and the one whose entitlement it is has it from them (`USER_GIFT`).
_PAID_GIFT = 6

_DISCORD_EPOCH_MS: Final = 1_420_070_400_000
#: What was bought lately is read again: it may come into the list out of order.
_OVERLAP_MS: Final = 10 * 60_000
#: The whole list is read again so often, for what was taken back since.
_FULL_READ_INTERVAL_MS: Final = DAY_MS


@dataclass(frozen=True, slots=True)
class DiscordEntitlement:
    """An entitlement is Discord's word that somebody bought something."""

    id: str
    sku_id: str
    application_id: str
    #: Whose it is; a server's has no user.
    user_id: str
    guild_id: str
    kind: int
    deleted: bool
    consumed: bool


@dataclass(frozen=True, slots=True)
class DiscordSku:
    """A SKU is something that the app sells in Discord's store."""

    id: str
    name: str
    kind: int
    is_available: bool


class DiscordStoreApi(Protocol):
    """The API of Discord's store that the gateway needs; every method raises
    `GatewayUnavailable`."""

    async def get_application_id(self) -> str:
        """The app's own id."""
        ...

    async def list_skus(self) -> Sequence[DiscordSku]:
        """Everything that it sells."""
        ...

    async def fetch_entitlement(self, id_: str) -> DiscordEntitlement | None:
        """One; None when the app has no such."""
        ...

    async def list_entitlements(
        self, skus: Sequence[str], after: str
    ) -> Sequence[DiscordEntitlement]:
        """Those of these SKUs after an id, the oldest first, deleted ones too; at most
        `PAGE_SIZE`."""
        ...

    async def consume_entitlement(self, id_: str) -> None:
        """It was delivered."""
        ...

    async def close(self) -> None:
        """Closes its connections."""
        ...


@final
class DiscordStoreGateway:
    """The gateway of Discord's own store: it sells packs alone, each as a SKU."""

    name = "skus"
    platform = PLATFORM
    checkout_seconds = CHECKOUT_SECONDS

    def __init__(
        self,
        *,
        api: DiscordStoreApi,
        packs: Mapping[str, NanoUsd],
        fee_percent: int,
        test_purchases: bool,
        clock: Clock,
    ) -> None:
        """`packs`: the price of each SKU's pack; `fee_percent`: what Discord keeps of it;
        `test_purchases`: those that cost nothing count too."""
        self._api, self._packs, self._clock = api, dict(packs), clock
        self.fee_percent = fee_percent
        self._counted_kinds = {_PURCHASE, _PAID_GIFT, *([_TEST_PURCHASE] if test_purchases else [])}

    def quote_amount(self, value: NanoUsd) -> NanoUsd | None:
        """See `Gateway`: packs alone."""
        return value if self.find_sku(value) else None

    def find_sku(self, value: NanoUsd) -> str:
        """The SKU of the pack of this price; empty if there is none."""
        return next((sku for sku, cash in self._packs.items() if cash == value), "")

    def is_sold(self, sku: str) -> bool:
        """Whether that is one of ours."""
        return sku in self._packs

    async def fetch_skus(self) -> Mapping[str, DiscordSku]:
        """What the app sells on Discord, by id; raises `GatewayUnavailable`."""
        return {card.id: card for card in await self._api.list_skus()}

    async def check_account(self) -> None:
        """See `Gateway`."""
        await self._api.list_skus()

    async def create_checkout(self, order: Order, description: str, language: str) -> Checkout:
        """See `Gateway`: the front end shows the button, Discord all the rest."""
        del order, description, language
        return Checkout("")

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookMessage:
        """See `Gateway`: nothing comes by a route of its own."""
        del headers, body
        raise InvalidSignature(self.name, "route")

    async def parse_events(self, body: bytes) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        entitlement = await self._api.fetch_entitlement(str(json.loads(body)["entitlement"]))
        if entitlement is None or (entitlement.consumed and not entitlement.deleted):
            return ()  # it was credited before it was consumed; else the list tells it
        return await self._events_of(entitlement)

    async def fetch_order(self, order: Order) -> Sequence[GatewayEvent]:
        """See `Gateway`: Discord knows no orders; its list is read."""
        del order
        return ()

    async def list_transactions(self, cursor: str) -> TransactionPage:
        """See `Listed`. The mark is when the list's beginning was read, and after which id to go
        on."""
        now = self._clock.now_ms()
        started_ms, _, after = cursor.partition(":") if cursor else (str(now), "", "0")
        entitlements = await self._api.list_entitlements(list(self._packs), after)
        events = [news for one in entitlements for news in await self._events_of(one)]
        movements = [moved for one in entitlements for moved in await self._movements_of(one)]
        if len(entitlements) == PAGE_SIZE:
            return TransactionPage(events, f"{started_ms}:{entitlements[-1].id}", True, movements)
        if now - int(started_ms) > _FULL_READ_INTERVAL_MS:
            return TransactionPage(events, f"{now}:0", False, movements)
        overlap_id = (now - _OVERLAP_MS - _DISCORD_EPOCH_MS) << 22
        read_until = min(int(entitlements[-1].id), overlap_id) if entitlements else 0
        return TransactionPage(
            events, f"{started_ms}:{max(int(after), read_until)}", False, movements
        )

    async def list_late_payments(self) -> Mapping[str, Cash]:
        """See `Gateway`: the list has that too."""
        return {}

    async def refund_payment(
        self, order: Order, payment: str, amount: Cash, cause: str
    ) -> Sequence[GatewayEvent]:
        """See `Gateway`: Discord alone gives back, and reports it."""
        del payment, amount, cause
        raise RefundUnsupported(order.id, "elsewhere")

    async def consume_purchase(self, purchase: str) -> None:
        """See `SupportsConsumption`."""
        await self._api.consume_entitlement(purchase)

    async def close(self) -> None:
        """See `Gateway`."""
        await self._api.close()

    async def _is_ours(self, entitlement: DiscordEntitlement) -> bool:
        is_pack = entitlement.sku_id in self._packs
        return is_pack and entitlement.application_id == await self._api.get_application_id()

    def _is_counted(self, entitlement: DiscordEntitlement) -> bool:
        """Whether a person paid for it."""
        to_person = bool(entitlement.user_id) and not entitlement.guild_id
        return to_person and entitlement.kind in self._counted_kinds

    async def _movements_of(self, entitlement: DiscordEntitlement) -> Sequence[Movement]:
        """That it was granted, consumed or not, and whether it was taken back: it may be there
        again. Discord tells no price."""
        if not await self._is_ours(entitlement) or not self._is_counted(entitlement):
            return ()
        cash, id_ = self._packs[entitlement.sku_id], entitlement.id
        granted = Movement(
            self.name, "payment", id_, id_, cash, _time_of(entitlement), is_priced=False
        )
        went_back = -cash if entitlement.deleted else NanoUsd(0)
        return (granted, replace(granted, kind="refund", amount=went_back))

    async def _events_of(self, entitlement: DiscordEntitlement) -> Sequence[GatewayEvent]:
        if not await self._is_ours(entitlement):
            return ()
        cash = self._packs[entitlement.sku_id]
        if not self._is_counted(entitlement):
            _log.info(
                "an entitlement of kind %d is no sale to a person: %s",
                entitlement.kind,
                entitlement.id,
            )
            return ()
        if entitlement.deleted:
            return (Reversal(self.name, entitlement.id),)
        at_ms = _time_of(entitlement)
        fee = cash.share_up(self.fee_percent, 100)
        return (
            StorePurchase(
                self.name,
                entitlement.id,
                self.platform,
                entitlement.user_id,
                at_ms,
                cash,
                fee,
                entitlement.consumed,
            ),
        )


def _time_of(entitlement: DiscordEntitlement) -> int:
    """When it was granted, which its id begins with (ms UTC)."""
    return (int(entitlement.id) >> 22) + _DISCORD_EPOCH_MS


def build_entitlement_message(entitlement_id: str, event_kind: str) -> WebhookMessage:
    """The message that an entitlement was created or deleted, to be stored until it is read again
    and processed."""
    return WebhookMessage(
        f"{event_kind}/{entitlement_id}", json.dumps({"entitlement": entitlement_id}).encode()
    )
