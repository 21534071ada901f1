"""Payments and payouts on the command line: what `check` says of them, and reconciling."""

from __future__ import annotations

import argparse

from bots.cli.errors import Unusable
from bots.commands.text import format_usd
from bots.config.gateways import disbursers_of, gateways_of
from bots.config.settings import Configuration, load
from bots.output import tell
from bots.run import live_plan
from bots.shop import open_shop
from core.clock import SystemClock
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.money import format_decimal
from core.pool.vault import Vault
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.deals import Deals
from core.pricing.prices import PriceBook
from core.pricing.promotions import Promotions
from core.pricing.tiers import Tiers
from core.users.balances import Balances
from core.users.referrals import Referrals
from core.users.roles import Roles
from core.users.service import Users
from payments.gateways.base import Gateway
from payments.gateways.discord_store import CONSUMABLE_SKU, DiscordStoreGateway
from payments.gateways.telegram_stars import TelegramStarsGateway
from payments.offer import Offer
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
_UNKNOWN = "doesn't let us in. Look at its key and the network"

Line = tuple[bool, str]


async def check_gateways(configuration: Configuration) -> list[Line]:
    """A line or more for each gateway; none where nothing is sold."""
    lines: list[Line] = []
    for name, gateway in gateways_of(configuration.settings).items():
        try:
            lines += await _looked_at(name, gateway, configuration.settings.offer)
        except GatewayUnavailable as unavailable:
            lines.append((False, f"{name}: {unavailable.detail or _UNKNOWN}"))
        finally:
            await gateway.close()
    settings = configuration.settings
    if settings.paypal_client_id and "sandbox" in settings.paypal_api_url:
        lines.append((True, "paypal is the sandbox: whoever pays there pays with play money"))
    if lines and settings.telegram_token.get_secret_value():
        said = "on" if settings.telegram_external_checkout else "off"
        lines.append((True, f"checkout outside Telegram is {said} (Telegram's terms want Stars)"))
    return lines


async def check_payouts(configuration: Configuration) -> list[Line]:
    """A line for each way by which people are paid; none where nobody's key is taken."""
    settings, lines = configuration.settings, list[Line]()
    if not settings.policy.suppliers:
        return lines
    disbursers = disbursers_of(settings)
    for method in settings.payout_methods:
        if method not in disbursers:
            lines.append((True, "payouts by hand: /payouts says whom and where"))
            continue
        try:
            doubt = await disbursers[method].check_account()
            lines.append((True, f"payouts by {method}{f': {doubt}' if doubt else ''}"))
        except GatewayUnavailable as unavailable:
            lines.append((False, f"payouts by {method}: {unavailable.detail or _UNKNOWN}"))
    for disburser in disbursers.values():
        await disburser.close()
    return lines


async def _looked_at(name: str, gateway: Gateway, offer: Offer) -> list[Line]:
    """Raises `GatewayUnavailable`."""
    if isinstance(gateway, TelegramStarsGateway):
        balance, worth = await gateway.fetch_balance(), format_decimal(gateway.usd_per_star)
        return [(True, f"{name}: {balance.units:,} ⭐, each taken as ${worth}"), (True, _STARS)]
    if isinstance(gateway, DiscordStoreGateway):
        return await _skus(name, gateway, offer)
    await gateway.check_account()
    return [(True, f"{name}: lets us in")]


async def _skus(name: str, gateway: DiscordStoreGateway, offer: Offer) -> list[Line]:
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
    """Asks the gateways about every order that waits; also while the service runs."""
    del arguments
    configuration = load()
    settings, plan = configuration.settings, live_plan(configuration)
    gateways = plan.gateways
    if not gateways:
        raise Unusable(_NO_GATEWAY)
    clock = SystemClock()
    url = settings.database_url.get_secret_value()
    store = await Database.open(url, kind="live", clock=clock, migrate=False)
    ledger = Ledger(store, clock)
    try:
        await ledger.start()
        vault = await Vault.open(settings.master_key_bytes, store, ledger)
        people = Users(db=store, ledger=ledger, vault=vault, clock=clock, welcome_gift=plan.welcome)
        purses = Balances(ledger=ledger, list_lending_keys=lambda _: ())
        catalogue, costs = Catalogue.load(settings.overlay), Costs.load(settings.overlay)
        deals = Deals(
            prices=PriceBook(store, ledger.record, catalogue, costs, clock),
            catalogue=catalogue,
            costs=costs,
            tiers=Tiers(store, ledger.record, clock),
            promotions=Promotions(store, ledger.record, clock),
            clock=clock,
            floor_percent=plan.floor_percent,
        )
        await deals.load()
        shop = open_shop(
            plan,
            store=store,
            ledger=ledger,
            vault=vault,
            people=people,
            purses=purses,
            owners=Roles(db=store, ledger=ledger, clock=clock, operators=plan.admins),
            invitations=Referrals(db=store, ledger=ledger, clock=clock),
            clock=clock,
            deals=deals,
            deliverers={},
        )
        # What came in while nobody looked, then what no message told.
        worked = 0
        while seen := await shop.inbox.process_due():
            worked += seen
        changed = await shop.cashier.reconcile_orders()
    finally:
        for gateway in gateways.values():
            await gateway.close()
        await ledger.stop()
        await store.close()
    tell(f"{worked} messages worked through, {changed} orders changed.")
    return 0
