"""Discord's own store: each pack is a consumable SKU. Discord reports an entitlement; that is read
again, credited, and only then consumed, so that it can be bought again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, final

from core.clock import DAY_MS, Clock
from core.money import NanoUsd
from payments.gateways.base import Message, Page
from payments.types import (
    Cash,
    Checkout,
    Forged,
    News,
    Order,
    Purchase,
    RefundRefused,
    TakenBack,
)

_log = logging.getLogger(__name__)

PLATFORM: Final = "discord"
OPEN_SECONDS: Final = 3_600
#: The most that one call lists (Discord, List Entitlements).
PAGE: Final = 100
#: Kinds of SKUs and entitlements, as Discord numbers them.
CONSUMABLE: Final = 3
_PURCHASE, _TEST_PURCHASE = 1, 4

_EPOCH_MS: Final = 1_420_070_400_000
#: What was bought lately is read again: it may come into the list out of order.
_OVERLAP_MS: Final = 10 * 60_000
#: The whole list is read again so often, for what was taken back since.
_AGAIN_MS: Final = DAY_MS


@dataclass(frozen=True, slots=True)
class Entitled:
    """An entitlement is Discord's word that somebody bought something."""

    id: str
    sku: str
    application: str
    #: Whose it is; a server's has no user.
    user: str
    guild: str
    kind: int
    deleted: bool
    consumed: bool


@dataclass(frozen=True, slots=True)
class SkuCard:
    """A SKU is something that the app sells in Discord's store."""

    id: str
    name: str
    kind: int
    available: bool


class StoreApi(Protocol):
    """The API of Discord's store that the gateway needs; every method raises
    `GatewayUnavailable`."""

    async def application(self) -> str:
        """The app's own id."""
        ...

    async def skus(self) -> Sequence[SkuCard]:
        """Everything that it sells."""
        ...

    async def entitlement(self, id_: str) -> Entitled | None:
        """One; None when the app has no such."""
        ...

    async def entitlements(self, skus: Sequence[str], after: str) -> Sequence[Entitled]:
        """Those of these SKUs after an id, the oldest first, deleted ones too; at most
        `PAGE_SIZE`."""
        ...

    async def consume(self, id_: str) -> None:
        """It was delivered."""
        ...

    async def close(self) -> None:
        """Closes its connections."""
        ...


@final
class DiscordSkus:
    """The gateway of Discord's own store: it sells packs alone, each as a SKU."""

    name = "skus"
    platform = PLATFORM
    open_seconds = OPEN_SECONDS

    def __init__(
        self,
        *,
        api: StoreApi,
        packs: Mapping[str, NanoUsd],
        fee_percent: int,
        test_purchases: bool,
        clock: Clock,
    ) -> None:
        """`packs`: the price of each SKU's pack; `fee_percent`: what Discord keeps of it;
        `test_purchases`: those that cost nothing count too."""
        self._api, self._packs, self._clock = api, dict(packs), clock
        self.fee_percent = fee_percent
        self._sold = {_PURCHASE, _TEST_PURCHASE} if test_purchases else {_PURCHASE}

    def amount(self, value: NanoUsd) -> NanoUsd | None:
        """See `Gateway`: packs alone."""
        return value if self.sku(value) else None

    def sku(self, value: NanoUsd) -> str:
        """The SKU of the pack of this price; empty if there is none."""
        return next((sku for sku, cash in self._packs.items() if cash == value), "")

    def sells(self, sku: str) -> bool:
        """Whether that is one of ours."""
        return sku in self._packs

    async def skus(self) -> Mapping[str, SkuCard]:
        """What the app sells on Discord, by id; raises `GatewayUnavailable`."""
        return {card.id: card for card in await self._api.skus()}

    async def probe(self) -> None:
        """See `Gateway`."""
        await self._api.skus()

    async def begin(self, order: Order, what: str, language: str) -> Checkout:
        """See `Gateway`: the front end shows the button, Discord all the rest."""
        del order, what, language
        return Checkout("")

    async def verify(self, headers: Mapping[str, str], body: bytes) -> Message:
        """See `Gateway`: nothing comes by a route of its own."""
        del headers, body
        raise Forged(self.name, "route")

    async def news(self, body: bytes) -> Sequence[News]:
        """See `Gateway`."""
        found = await self._api.entitlement(str(json.loads(body)["entitlement"]))
        return () if found is None else await self._told(found)

    async def look(self, order: Order) -> Sequence[News]:
        """See `Gateway`: Discord knows no orders; its list is read."""
        del order
        return ()

    async def page(self, mark: str) -> Page:
        """See `Listed`. The mark is when the list's beginning was read, and after which id to go
        on."""
        now = self._clock.now_ms()
        begun, _, after = mark.partition(":") if mark else (str(now), "", "0")
        found = await self._api.entitlements(list(self._packs), after)
        news = [news for one in found for news in await self._told(one)]
        if len(found) == PAGE:
            return Page(news, f"{begun}:{found[-1].id}", more=True)
        if now - int(begun) > _AGAIN_MS:
            return Page(news, f"{now}:0", more=False)
        lately = (now - _OVERLAP_MS - _EPOCH_MS) << 22
        read = min(int(found[-1].id), lately) if found else 0
        return Page(news, f"{begun}:{max(int(after), read)}", more=False)

    async def late(self) -> Mapping[str, Cash]:
        """See `Gateway`: the list has that too."""
        return {}

    async def refund(self, order: Order, payment: str, amount: Cash, cause: str) -> Sequence[News]:
        """See `Gateway`: Discord alone gives back, and reports it."""
        del payment, amount, cause
        raise RefundRefused(order.id, "elsewhere")

    async def consume(self, purchase: str) -> None:
        """See `SupportsConsumption`."""
        await self._api.consume(purchase)

    async def close(self) -> None:
        """See `Gateway`."""
        await self._api.close()

    async def _told(self, one: Entitled) -> Sequence[News]:
        cash = self._packs.get(one.sku)
        if cash is None or one.application != await self._api.application():
            return ()
        if one.guild or not one.user or one.kind not in self._sold:
            _log.info("an entitlement of kind %d is no sale to a person: %s", one.kind, one.id)
            return ()
        if one.deleted:
            return (TakenBack(self.name, one.id),)
        if one.consumed:
            return ()  # it was credited before it was consumed
        at_ms = (int(one.id) >> 22) + _EPOCH_MS
        fee = cash.share_up(self.fee_percent, 100)
        return (Purchase(self.name, one.id, self.platform, one.user, at_ms, cash, fee),)


def heard(entitlement: str, what: str) -> Message:
    """The message that an entitlement was created or deleted, to be stored until it is read again
    and processed."""
    return Message(f"{what}/{entitlement}", json.dumps({"entitlement": entitlement}).encode())
