"""What the economy check reckons with, from the settings; where there is history, from that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from bots.config.settings import Config
from core.admin.abuse_check import EconomySettings, PriceReductions, SaleChannel
from core.admin.report import read_cost_percent
from core.db.database import Database
from core.money import NanoUsd, parse_usd
from core.pricing.promotions import read_largest_promotions
from core.pricing.tiers import read_largest_tier
from payments.gateways.base import Gateway
from payments.gateways.discord_store import DiscordStoreGateway
from payments.offer import Offer
from payments.payment_reader import read_gateway_fees

#: What processors list for a domestic card (parts of ten thousand, and each time), until payments
#: say what they keep. A Star is counted as what it brings, a coin costs nothing to take.
_LISTED: Final[Mapping[str, tuple[int, NanoUsd]]] = {
    "stripe": (290, parse_usd("0.30")),
    "paypal": (349, parse_usd("0.49")),
}
#: What can't be taken back by a bank.
_FINAL: Final = frozenset({"btcpay", "code"})


async def read_economy_settings(
    config: Config, gateways: Mapping[str, Gateway], db: Database, now_ms: int
) -> EconomySettings:
    """For `creditbot check` and `/report`; `gateways` are those by which Credits are sold."""
    fees, offer = await read_gateway_fees(db), config.sales.offer
    channels = [
        channel
        for name, gateway in gateways.items()
        for channel in _list_channels(gateway, name, offer, fees)
    ]
    return EconomySettings(
        policy=config.earnings.policy,
        channels=channels,
        welcome_credits=config.users.welcome.credits,
        unpaid_work_per_day=config.users.unpaid_work_per_day,
        cost_percent=await read_cost_percent(db, now_ms),
        inviter_percent=offer.inviter_percent,
        reductions=await _read_reductions(db, config.sales.offer_floor_percent, now_ms),
    )


def _list_channels(
    gateway: Gateway, name: str, offer: Offer, fees: Mapping[str, tuple[int, NanoUsd]]
) -> Iterator[SaleChannel]:
    for pack in offer.packs:
        if isinstance(gateway, DiscordStoreGateway):
            if not gateway.find_sku(pack.cash):
                continue
            fee = pack.cash.share_up(gateway.fee_percent, 100)
        else:
            parts, each = fees.get(name, _LISTED.get(name, (0, NanoUsd(0))))
            fee = pack.cash.share_up(parts, 10_000) + each
        entitlement = offer.compute_entitlement(pack.cash)
        yield SaleChannel(
            name,
            pack.name,
            pack.cash,
            fee,
            entitlement.bought,
            entitlement.bonus,
            is_disputable=name not in _FINAL,
        )


async def _read_reductions(db: Database, floor: int, now_ms: int) -> PriceReductions | None:
    tier_discount, tier_bonus = await read_largest_tier(db)
    best = await read_largest_promotions(db, now_ms)
    kept = (100 - tier_discount) * (100 - best.get("discount", 0))
    reductions = PriceReductions(
        discount_percent=100 - kept // 100,
        bonus_percent=tier_bonus + best.get("bonus", 0),
        floor_percent=floor,
    )
    return reductions if reductions.discount_percent or reductions.bonus_percent else None
