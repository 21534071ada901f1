"""What the economy check reckons with, from the settings; where there is history, from that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import sqlalchemy as sa

from bots.config.settings import Config
from core.admin.abuse_check import EconomySettings, PriceReductions, SaleChannel
from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.money import NanoUsd, parse_usd
from core.pricing.formula import MARKUP_PERCENT, PAR
from payments.gateways.base import Gateway
from payments.gateways.discord_store import DiscordStoreGateway
from payments.offer import Offer

#: What processors list for a domestic card (parts of ten thousand, and each time), until payments
#: say what they keep. A Star is counted as what it brings, a coin costs nothing to take.
_LISTED: Final[Mapping[str, tuple[int, NanoUsd]]] = {
    "stripe": (290, parse_usd("0.30")),
    "paypal": (349, parse_usd("0.49")),
}
#: What can't be taken back by a bank.
_FINAL: Final = frozenset({"btcpay", "code"})
_DAYS_MS: Final = 30 * DAY_MS
#: Answers that the usual mix is reckoned from, at least.
_ANSWERS_LEAST: Final = 20


async def read_economy_settings(
    config: Config, gateways: Mapping[str, Gateway], db: Database, now_ms: int
) -> EconomySettings:
    """For `creditbot check` and `/report`; `gateways` are those by which Credits are sold."""
    fees, offer = await _read_fees(db), config.sales.offer
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
        cost_percent=await _read_cost_percent(db, now_ms),
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


async def _read_fees(db: Database) -> Mapping[str, tuple[int, NanoUsd]]:
    """What gateways that take dollars kept of all payments so far, as parts of ten thousand."""
    table = schema.payment.c
    rows = await db.fetch(
        sa.select(
            table.gateway,
            sa.func.sum(table.amount).label("amount"),
            sa.func.sum(table.fee).label("fee"),
        )
        .where(table.unit == NanoUsd.NAME)
        .group_by(table.gateway)
    )
    return {
        row.gateway: (-(-int(row.fee) * 10_000 // int(row.amount)), NanoUsd(0))
        for row in rows
        if row.amount
    }


async def _read_reductions(db: Database, floor: int, now_ms: int) -> PriceReductions | None:
    tier, running = schema.tier.c, schema.promotion.c
    most = sa.func.coalesce
    tiers = await db.fetch(
        sa.select(
            most(sa.func.max(tier.discount), 0).label("discount"),
            most(sa.func.max(tier.bonus), 0).label("bonus"),
        )
    )
    promotions = await db.fetch(
        sa.select(running.kind, sa.func.max(running.percent).label("percent"))
        .where(
            running.ended_at.is_(None),
            running.starts_at <= now_ms,
            sa.or_(running.ends_at.is_(None), running.ends_at > now_ms),
        )
        .group_by(running.kind)
    )
    best = {row.kind: int(row.percent) for row in promotions}
    kept = (100 - int(tiers[0].discount)) * (100 - best.get("discount", 0))
    reductions = PriceReductions(
        discount_percent=100 - kept // 100,
        bonus_percent=int(tiers[0].bonus) + best.get("bonus", 0),
        floor_percent=floor,
    )
    return reductions if reductions.discount_percent or reductions.bonus_percent else None


async def _read_cost_percent(db: Database, now_ms: int) -> int:
    """Of what is charged at par, what suppliers take: lately, or by the formula's markup."""
    used = schema.usage.c
    rows = await db.fetch(
        sa.select(
            sa.func.count().label("answers"),
            sa.func.coalesce(sa.func.sum(used.charge), 0).label("charge"),
            sa.func.coalesce(sa.func.sum(used.cost), 0).label("cost"),
        ).where(used.at >= now_ms - _DAYS_MS)
    )
    if rows[0].answers < _ANSWERS_LEAST or not rows[0].charge:
        return 100 * 100 // (100 + MARKUP_PERCENT)
    return -(-int(rows[0].cost) * 100 // PAR.multiply_by(int(rows[0].charge)).units)
