"""The two services: `run`, on real platforms, and `demo`, a chat in the terminal."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from bots import http
from bots.app import App, OwnKey, Plan, build
from bots.cli.errors import Unusable
from bots.commands.topup import PaymentTerms
from bots.config.gateways import disbursers_of, gateways_of
from bots.config.settings import MASTER_KEY_BYTES, Configuration, Settings
from bots.console.console import ConsoleAdapter
from bots.http import HttpServer, build_metrics_app, build_service_app
from bots.logs import configure_logging
from bots.output import tell
from bots.plan import PricePlan
from bots.platforms import discord_config, telegram_config
from bots.sandbox.payment_service import SandboxPaymentService
from bots.sandbox.supplier import SandboxSupplier
from bots.selling_settings import ways
from bots.supplier_settings import SupplierSetting
from bots.telegram.adapter import TelegramAdapter
from core.clock import Clock, SystemClock
from core.db.database import Database
from core.earnings.types import EarningPolicy
from core.errors import describe_failure
from core.money import Credits, NanoUsd, Tokens, parse_usd
from core.pool.suppliers import SUPPLIERS, Supplier
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.repricing.automatic import RepricingLimits
from core.users.limits import Allowance
from core.users.types import WelcomeGift
from payments.gateways.sandbox import SandboxGateway, SandboxPayoutProvider
from payments.webhooks import build_payment_routes

if TYPE_CHECKING:
    from bots.discord.adapter import DiscordAdapter
    from bots.discord.client import DiscordUnavailable

log = logging.getLogger(__name__)

DEMO = Path(".demo")
#: The demo waits so long for its sandbox's list of models.
_CHECK_SECONDS_MAX = 10.0
_WELCOME_RUN, _WELCOME_DEMO = 20, 1_000
#: Each sandbox key of the demo may "cost" this much.
_DEMO_BUDGET = parse_usd("50")
#: What an own key of a custom address may cost, when nothing is said: nobody charges for it, but
#: every key has a quota.
_LOCAL_BUDGET = parse_usd("1000")


async def run(configuration: Configuration) -> int:
    """Serves until SIGTERM or SIGINT, then ends cleanly."""
    settings = configuration.settings
    configure_logging(settings.log_level)
    if not settings.master_keys.get_secret_value():
        raise Unusable("CREDITBOT_MASTER_KEYS is not set. `creditbot init` makes one.")
    platforms = (settings.telegram_token, settings.discord_token)
    if not any(token.get_secret_value() for token in platforms):
        raise Unusable(
            "No chat platform is set: CREDITBOT_TELEGRAM_TOKEN or CREDITBOT_DISCORD_TOKEN. Try"
            " `creditbot init`."
        )
    clock = SystemClock()
    store = await Database.open(settings.database_url.get_secret_value(), kind="live", clock=clock)
    app = await open_app(live_plan(configuration), settings, store, clock)
    try:
        await _serve(app, settings)
    finally:
        await app.stop()
    return 0


def live_plan(configuration: Configuration) -> Plan:
    """What the real service is built of."""
    settings = configuration.settings
    return Plan(
        master_keys=settings.master_key_bytes,
        admins=settings.admin_ids,
        welcome=_welcome(settings, _WELCOME_RUN),
        suppliers=suppliers_of(configuration.suppliers),
        own_keys=_own_keys(configuration.suppliers),
        default_model=settings.default_model,
        history_tokens=Tokens(settings.history_tokens),
        usual=_usual(settings),
        gateways=gateways_of(settings),
        offer=settings.offer,
        floor_percent=settings.offer_floor_percent,
        terms=_terms(settings),
        policy=settings.policy,
        pricing=pricing_plan(settings),
        disbursers=disbursers_of(settings),
        methods=settings.payout_methods,
    )


def pricing_plan(settings: Settings) -> PricePlan:
    """How prices are worked out, as the settings say it."""
    return PricePlan(
        markup_percent=settings.markup_percent,
        pace=RepricingLimits(settings.reprice_hours, settings.reprice_day_percent),
        fetches=settings.price_updates,
        lists_url=settings.price_updates_url,
    )


def _terms(settings: Settings) -> PaymentTerms:
    return PaymentTerms(
        settings.terms,
        settings.support_contact,
        telegram_outside=settings.telegram_external_checkout,
    )


async def open_app(plan: Plan, settings: Settings, store: Database, clock: Clock) -> App:
    """Wires and starts; the store is closed when that fails."""
    app = await _built(plan, settings, store, clock)
    try:
        await app.start()
    except BaseException:
        await app.stop()
        raise
    return app


async def _built(plan: Plan, settings: Settings, store: Database, clock: Clock) -> App:
    try:
        catalogue, costs = Catalogue.load(settings.overlay), Costs.load(settings.overlay)
        return await build(plan, store=store, clock=clock, catalogue=catalogue, costs=costs)
    except BaseException:
        await store.close()
        raise


async def _serve(app: App, settings: Settings) -> None:
    telegram, discord = _telegram(app, settings), _discord(app, settings)
    servers = []
    if settings.http_port:
        routes = [] if telegram is None else telegram.build_routes()
        routes += build_payment_routes(app.shop.inbox, app.shop.gateways)
        served = build_service_app(app.store, routes)
        servers.append(HttpServer(served, settings.http_host, settings.http_port))
    if settings.metrics_port:
        measured = build_metrics_app(http.build_metrics_registry(app.asking, app.pool, app.lookout))
        servers.append(HttpServer(measured, settings.http_host, settings.metrics_port))
    stopped = _stop_signal()
    begun: list[Callable[[], Awaitable[None]]] = []
    try:
        for server in servers:
            await server.start()
            begun.append(server.stop)
        if telegram is not None:
            await telegram.start()
            begun.append(telegram.stop)
            app.landing.register_notifier("telegram", telegram)
        if discord is not None:
            await _started(discord)
            begun.append(discord.stop)
            app.landing.register_notifier("discord", discord)
        tell("creditbot runs. Stop it with Ctrl-C.")
        await stopped.wait()
        log.info("stopping: running answers may finish")
    finally:
        # The front ends wait for their answers, the asks for their grace: both at once.
        endings = [app.asking.stop(), *(stop() for stop in reversed(begun))]
        for outcome in await asyncio.gather(*endings, return_exceptions=True):
            if isinstance(outcome, BaseException):
                log.error("stopping failed: %s", describe_failure(outcome))


def _telegram(app: App, settings: Settings) -> TelegramAdapter | None:
    if not settings.telegram_token.get_secret_value():
        return None
    return TelegramAdapter(telegram_config(settings), app.front, app.clock, app.shop.stars)


def _discord(app: App, settings: Settings) -> DiscordAdapter | None:
    if not settings.discord_token.get_secret_value():
        return None
    # Its library is large: whoever doesn't serve Discord doesn't load it.
    from bots.discord.adapter import DiscordAdapter

    return DiscordAdapter(discord_config(settings), app.front, app.clock, app.shop.skus)


async def _started(discord: DiscordAdapter) -> None:
    from bots.discord.client import DiscordUnavailable

    try:
        await discord.start()
    except DiscordUnavailable as unavailable:
        raise Unusable(discord_in_words(unavailable)) from None


def discord_in_words(unavailable: DiscordUnavailable) -> str:
    """What an operator does about it."""
    if unavailable.token_refused:
        return (
            "Discord refuses CREDITBOT_DISCORD_TOKEN. The right one is in the developer portal,"
            " under Bot."
        )
    return "Discord doesn't answer. Check the network, and CREDITBOT_DISCORD_API_URL if it is set."


async def sync_discord(configuration: Configuration) -> int:
    """Publishes the slash commands; how many."""
    settings = configuration.settings
    if not settings.discord_token.get_secret_value():
        raise Unusable("CREDITBOT_DISCORD_TOKEN is not set. Nothing was published.")
    from bots.discord.client import DiscordUnavailable
    from bots.discord.commands import publish_commands

    clock = SystemClock()
    url = settings.database_url.get_secret_value()
    store = await Database.open(url, kind="live", clock=clock, migrate=False)
    app = await _built(live_plan(configuration), settings, store, clock)
    try:
        return await publish_commands(discord_config(settings), app.front)
    except DiscordUnavailable as unavailable:
        raise Unusable(discord_in_words(unavailable)) from None
    finally:
        await app.ledger.stop()
        await store.close()


def _stop_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    return stopped


async def demo(configuration: Configuration) -> int:
    """A chat in the terminal: sandbox supplier, SQLite, nothing to sign up for."""
    settings = configuration.settings
    configure_logging("error")
    url = demo_database(settings)
    clock = SystemClock()
    store = await Database.open(url, kind="demo", clock=clock)
    custom = {name: given for name, given in configuration.suppliers.items() if given.url}
    catalogue = Catalogue.load(settings.overlay)
    sandbox = None if custom else SandboxSupplier(catalogue, piece_delay_seconds=_pace())
    secret = secrets.token_urlsafe()
    checkout = SandboxPaymentService(secret)
    try:
        base = "" if sandbox is None else await sandbox.start()
        paying = await checkout.start()
        gateway = SandboxGateway(url=paying, secret=SecretStr(secret))
        plan = Plan(
            master_keys=settings.master_key_bytes or [demo_master_key()],
            admins=[("console", ConsoleAdapter.OWNER), *settings.admin_ids],
            welcome=_welcome(settings, _WELCOME_DEMO),
            suppliers=suppliers_of(custom) if custom else _sandboxed(base),
            own_keys=_own_keys(custom) if custom else _sandbox_keys(),
            default_model=settings.default_model,
            history_tokens=Tokens(settings.history_tokens),
            usual=_usual(settings),
            gateways={gateway.name: gateway},
            offer=settings.offer,
            floor_percent=settings.offer_floor_percent,
            terms=_terms(settings),
            policy=_demo_policy(settings),
            pricing=pricing_plan(settings),
            disbursers={"sandbox": SandboxPayoutProvider(url=paying, secret=SecretStr(secret))},
            methods=("sandbox", *(one for one in ways(settings.payouts) if one == "manual")),
            crowd=sandbox is not None,
        )
        app = await open_app(plan, settings, store, clock)
        served = build_service_app(
            app.store, build_payment_routes(app.shop.inbox, app.shop.gateways)
        )
        server = HttpServer(served, "127.0.0.1", 0)
        try:
            gateway.set_public_url(f"http://127.0.0.1:{await server.start()}")
            await app.pool.wait_for_first_check(_CHECK_SECONDS_MAX)
            await app.prices.refresh(at_most_seconds=0)
            await _chat(app, url)
        finally:
            await server.stop()
            await app.stop()
    finally:
        await checkout.stop()
        if sandbox is not None:
            await sandbox.stop()
    return 0


async def _chat(app: App, url: str) -> None:
    terminal = sys.stdin.isatty()
    if terminal:
        tell("A chat with creditbot: write a question, or /help. /admin is the owner's desk.")
        tell("Ctrl-D ends. To audit the ledger in another terminal:")
        tell(f"  CREDITBOT_DATABASE_URL={url} .venv/bin/creditbot audit")
        tell("")
    console = ConsoleAdapter(app.front, input=sys.stdin, output=sys.stdout, is_terminal=terminal)
    app.landing.register_notifier("console", console)
    await console.run()
    if not terminal:
        tell(f"(ledger: CREDITBOT_DATABASE_URL={url})", error=True)


def demo_database(settings: Settings) -> str:
    """The demo's database: its own, unless the settings name one."""
    DEMO.mkdir(mode=0o700, exist_ok=True)
    if "database_url" in settings.model_fields_set:
        return settings.database_url.get_secret_value()
    return f"sqlite:///{DEMO / 'creditbot.db'}"


def demo_master_key() -> bytes:
    """The demo's own master key, made at its first start; only its owner may read it."""
    file = DEMO / "master.key"
    if not file.exists():
        text = base64.b64encode(secrets.token_bytes(MASTER_KEY_BYTES)).decode()
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text + "\n")
    return base64.b64decode(file.read_text().strip())


def _demo_policy(settings: Settings) -> EarningPolicy:
    """Every supplier's keys, and as in the brief unless the settings say otherwise."""
    if "profile" not in settings.model_fields_set:
        settings = settings.model_copy(update={"profile": "brief"})
    policy = settings.policy
    return policy if policy.suppliers else replace(policy, suppliers=frozenset(SUPPLIERS))


def _pace() -> float:
    """Seconds between the sandbox's pieces: a human pace to look at, none for a script."""
    return 0.03 if sys.stdin.isatty() else 0.0


def _welcome(settings: Settings, default: int) -> WelcomeGift:
    amount = default if settings.welcome_credits is None else settings.welcome_credits
    return WelcomeGift(Credits(amount), settings.welcome_people_per_day)


def _usual(settings: Settings) -> Allowance:
    day = settings.credits_per_day
    return Allowance(settings.asks_per_minute, settings.asks_at_once, Credits(day) if day else None)


def _sandboxed(base: str) -> Mapping[str, Supplier]:
    return {
        name: replace(
            built_in.with_base_url(f"{base}/{name}/v1"),
            wire="openai",
            account_api="deepseek",
            account_url=f"{base}/{name}/v1/user/balance",
        )
        for name, built_in in SUPPLIERS.items()
    }


def _sandbox_keys() -> list[OwnKey]:
    return [OwnKey(name, SecretStr(SandboxSupplier.DEMO_KEY), _DEMO_BUDGET) for name in SUPPLIERS]


def suppliers_of(given: Mapping[str, SupplierSetting]) -> Mapping[str, Supplier]:
    """Every supplier at its own address, but for those that the settings send elsewhere."""
    unknown = [name for name in given if name not in SUPPLIERS]
    if unknown:
        known = ", ".join(sorted(SUPPLIERS))
        raise Unusable(f"CREDITBOT_SUPPLIER_{unknown[0].upper()} is unknown. Known: {known}.")
    return {
        name: built_in.with_base_url(given[name].url)
        if name in given and given[name].url
        else built_in
        for name, built_in in SUPPLIERS.items()
    }


def _own_keys(given: Mapping[str, SupplierSetting]) -> list[OwnKey]:
    """Keys of the settings; a custom address without a key gets a placeholder, as local model
    servers take any."""
    keys = []
    for name, setting in given.items():
        has_key = bool(setting.key.get_secret_value())
        if not has_key and not setting.url:
            continue
        key = setting.key if has_key else SecretStr("none")
        budget = setting.quota
        if setting.url and budget == NanoUsd(0):
            budget = _LOCAL_BUDGET
        keys.append(OwnKey(name, key, budget, setting.account))
    return keys
