"""Payments and payouts on the command line: what `check` says of them, and reconciling."""

from __future__ import annotations

import argparse

from bots.cli.output import CommandRefused, print_line
from bots.cli.session import open_for_writing
from bots.config.gateways import (
    build_externals,
    build_gateways,
    build_payout_providers,
    list_payout_methods,
)
from bots.config.settings import Config, load
from bots.externals import Externals
from bots.services import (
    Foundation,
    build_payments,
    build_pool,
    build_pricing,
    build_users,
    open_vault,
)
from core.clock import SystemClock
from core.money import format_decimal, format_usd
from payments.gateways.base import Gateway
from payments.gateways.discord_store import CONSUMABLE_SKU, DiscordStoreGateway
from payments.gateways.telegram_stars import TelegramStarsGateway
from payments.movements import GatewaySums, format_cash_units
from payments.offer import Offer
from payments.services import PaymentServices
from payments.types import GatewayUnavailable

_NO_GATEWAY = (
    "No payment gateway is set (CREDITBOT_TELEGRAM_TOKEN for Stars, CREDITBOT_DISCORD_SKUS,"
    " CREDITBOT_STRIPE_SECRET_KEY, CREDITBOT_PAYPAL_CLIENT_ID or CREDITBOT_BTCPAY_URL). Nothing to"
    " do."
)
_STARS = (
    "Telegram demands: digital goods are sold for Stars alone, and /paysupport is answered. Stars"
    " can be taken out after 21 days at most."
)
_SKUS = (
    "Discord demands: what is sold elsewhere is sold there too, and not dearer. It doesn't tell"
    " SKUs' prices: see that they are"
)
_NO_STARS = (
    "Telegram doesn't tell what the bot has. Look at CREDITBOT_TELEGRAM_TOKEN and the network"
)
_UNKNOWN = "doesn't let us in. Look at its key and the network"

Line = tuple[bool, str]


async def check_gateways(config: Config) -> list[Line]:
    """A line or more for each gateway; none where nothing is sold."""
    lines: list[Line] = []
    for name, gateway in build_gateways(config, SystemClock()).items():
        try:
            lines += await _check_gateway(name, gateway, config.sales.offer)
        except GatewayUnavailable as unavailable:
            unknown = _NO_STARS if isinstance(gateway, TelegramStarsGateway) else _UNKNOWN
            lines.append((False, f"{name}: {unavailable.detail or unknown}"))
        finally:
            await gateway.close()
    if config.paypal.client_id and "sandbox" in config.paypal.api_url:
        lines.append((True, "paypal is the sandbox: whoever pays there pays with play money"))
    if lines and config.telegram.is_set:
        state = "on" if config.telegram.external_checkout else "off"
        lines.append((True, f"checkout outside Telegram is {state} (Telegram's terms want Stars)"))
    return lines


async def check_payouts(config: Config) -> list[Line]:
    """A line for each way by which people are paid; none where nobody's key is taken."""
    lines: list[Line] = []
    if not config.earnings.contributions:
        return lines
    providers = build_payout_providers(config)
    for method in list_payout_methods(config):
        if method not in providers:
            lines.append((True, "payouts by hand: /payouts says whom and where"))
            continue
        try:
            doubt = await providers[method].check_account()
            lines.append((True, f"payouts by {method}{f': {doubt}' if doubt else ''}"))
        except GatewayUnavailable as unavailable:
            lines.append((False, f"payouts by {method}: {unavailable.detail or _UNKNOWN}"))
    for provider in providers.values():
        await provider.close()
    return lines


async def _check_gateway(name: str, gateway: Gateway, offer: Offer) -> list[Line]:
    """Raises `GatewayUnavailable`."""
    if isinstance(gateway, TelegramStarsGateway):
        balance, worth = await gateway.fetch_balance(), format_decimal(gateway.usd_per_star)
        return [(True, f"{name}: {balance.units:,} ⭐, each taken as ${worth}"), (True, _STARS)]
    if isinstance(gateway, DiscordStoreGateway):
        return await _check_skus(name, gateway, offer)
    await gateway.check_account()
    return [(True, f"{name}: lets us in")]


async def _check_skus(name: str, gateway: DiscordStoreGateway, offer: Offer) -> list[Line]:
    """Each pack beside what Discord says of its SKU."""
    cards, lines, prices = await gateway.fetch_skus(), [], []
    for pack in offer.packs:
        sku = gateway.find_sku(pack.cash)
        card = cards.get(sku)
        if not sku:
            lines.append((True, f"{name}: {pack.name} isn't sold on Discord"))
        elif card is None:
            lines.append((False, f"{name}: {pack.name}: the app has no SKU {sku}"))
        elif card.kind != CONSUMABLE_SKU:
            lines.append((False, f"{name}: {pack.name}: “{card.name}” is no consumable item"))
        elif not card.is_available:
            lines.append((False, f"{name}: {pack.name}: “{card.name}” isn't published"))
        else:
            lines.append((True, f"{name}: {pack.name} is “{card.name}”"))
            prices.append(f"{card.name} ≤ {format_usd(pack.cash)}")
    return [*lines, *([(True, f"{_SKUS} {', '.join(prices)}")] if prices else [])]


async def reconcile(arguments: argparse.Namespace) -> int:
    """Asks the gateways about every order that waits; also while the service runs. With `--full`
    compares all that moved with the books: 1 where they differ."""
    config = load()
    externals = build_externals(config, SystemClock())
    if not externals.gateways:
        raise CommandRefused(_NO_GATEWAY)
    try:
        async with open_for_writing(config) as base:
            payments = await _build_payments(base, externals)
            # What came in while nobody looked, then what no message told.
            processed = 0
            while count := await payments.inbox.process_due():
                processed += count
            changed = await payments.reconciliation.reconcile_orders()
            sums = await payments.reconciliation.reconcile_everything() if arguments.full else []
    finally:
        for gateway in externals.gateways.values():
            await gateway.close()
    print_line(f"{processed} messages worked through, {changed} orders changed.")
    for one in sums:
        for line in list_sums(one):
            print_line(line)
    return 1 if any(one.differences for one in sums) else 0


def list_sums(sums: GatewaySums) -> list[str]:
    """What moved at a gateway in 180 days beside the books, a line each."""

    def cash(units: int) -> str:
        return format_cash_units(sums.unit, units)

    left = sums.came_in - sums.went_out
    there = f"{cash(sums.came_in)} in, {cash(sums.went_out)} out, {cash(left)} left"
    lines = [f"{sums.gateway}: {sums.count} movements there, {there}; booked {cash(sums.booked)}"]
    for words, found in (
        ("on the way (less than a day old)", sums.on_the_way),
        ("DIFFERENT", sums.differences),
    ):
        for one in found:
            figures = f"there {cash(one.there.units)}, booked {cash(one.booked.units)}"
            lines.append(f"  {words}: {one.order}: {figures}")
    if sums.foreign_count:
        lines.append(f"  not ours: {sums.foreign_count} movements, {cash(sums.foreign)}")
    return lines


async def _build_payments(base: Foundation, externals: Externals) -> PaymentServices:
    vault = await open_vault(base)
    pricing = build_pricing(base, externals)
    await pricing.deals.load()
    users = build_users(base, pricing, build_pool(base, externals, pricing, vault))
    return build_payments(base, externals, pricing, vault, users)
