"""`creditbot run`: the service with every front end that settings name, and the HTTP app."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bots.app import App, build
from bots.cli.output import CommandRefused, print_line
from bots.config.gateways import build_externals
from bots.config.settings import Config
from bots.externals import Externals
from bots.http import (
    HttpServer,
    ServerAddress,
    build_metrics_app,
    build_metrics_registry,
    build_service_app,
)
from bots.http_connections import HttpLimits
from bots.logs import configure_logging
from core.clock import SystemClock
from core.db.database import Database
from core.errors import describe_failure
from payments.webhooks import build_payment_routes

if TYPE_CHECKING:
    from bots.discord.adapter import DiscordAdapter
    from bots.telegram.adapter import TelegramAdapter

log = logging.getLogger(__name__)


async def run(config: Config) -> int:
    """Serves until SIGTERM or SIGINT, then ends cleanly."""
    configure_logging(config.operator.log_level)
    if not config.operator.master_key_bytes:
        raise CommandRefused("CREDITBOT_MASTER_KEYS is not set. `creditbot init` makes one.")
    if not (config.telegram.is_set or config.discord.is_set):
        raise CommandRefused(
            "No chat platform is set: CREDITBOT_TELEGRAM_TOKEN or CREDITBOT_DISCORD_TOKEN. Try"
            " `creditbot init`."
        )
    clock = SystemClock()
    db = await Database.open(config.database.url.get_secret_value(), kind="live", clock=clock)
    app = await open_app(config, db, clock)
    try:
        await _serve(app)
    finally:
        await app.stop()
    return 0


async def open_app(
    config: Config, db: Database, clock: SystemClock, externals: Externals | None = None
) -> App:
    """Makes a service and starts it; the database is closed when that fails."""
    app = await build_app(config, db, clock, externals)
    try:
        await app.start()
    except BaseException:
        await app.stop()
        raise
    return app


async def build_app(
    config: Config, db: Database, clock: SystemClock, externals: Externals | None = None
) -> App:
    """Makes a service; the database is closed when that fails."""
    try:
        world = externals or build_externals(config, clock)
        return await build(config, db=db, clock=clock, externals=world)
    except BaseException:
        await db.close()
        raise


async def _serve(app: App) -> None:
    telegram, discord = _build_telegram(app), _build_discord(app)
    servers = _build_servers(app, telegram)
    stopped = _listen_for_stop()
    stops: list[Callable[[], Awaitable[None]]] = []
    try:
        for server in servers:
            await server.start()
            stops.append(server.stop)
        if telegram is not None:
            await telegram.start()
            stops.append(telegram.stop)
            app.chat.redelivery.register_notifier("telegram", telegram)
            app.chat.readiness.platform_states.register("telegram", telegram.is_heard)
        if discord is not None:
            await _start_discord(discord)
            stops.append(discord.stop)
            app.chat.redelivery.register_notifier("discord", discord)
            app.chat.readiness.platform_states.register("discord", discord.is_heard)
        print_line("creditbot runs. Stop it with Ctrl-C.")
        await stopped.wait()
        log.info("stopping: running answers may finish")
    finally:
        # The front ends wait for their answers, the asks for their grace: both at once.
        endings = [app.services.asks.asks.stop(), *(stop() for stop in reversed(stops))]
        for outcome in await asyncio.gather(*endings, return_exceptions=True):
            if isinstance(outcome, BaseException):
                log.error("stopping failed: %s", describe_failure(outcome))


def _build_servers(app: App, telegram: TelegramAdapter | None) -> list[HttpServer]:
    services, settings = app.services, app.services.base.config.http
    limits = HttpLimits(
        connections=settings.http_connections,
        header_seconds=settings.http_header_seconds,
        body_seconds=settings.http_body_seconds,
        body_bytes=settings.http_body_kilobytes << 10,
        held_bytes=settings.http_bodies_megabytes << 20,
    )
    servers = []
    if settings.http_port:
        routes = [] if telegram is None else telegram.build_routes()
        routes += build_payment_routes(services.payments.inbox, services.payments.gateways)
        served = build_service_app(app.chat.readiness, routes)
        servers.append(
            HttpServer(served, ServerAddress(settings.http_host, settings.http_port), limits)
        )
    if services.base.config.api.is_on:
        # Whoever doesn't serve it doesn't load it.
        from bots.api_server import build_api_server

        servers.append(build_api_server(services))
    if settings.metrics_port:
        registry = build_metrics_registry(
            services.asks.asks,
            services.pool.pool,
            services.admin.monitor,
            app.chat.readiness.platform_states,
        )
        measured = build_metrics_app(registry)
        address = ServerAddress(
            settings.http_host, settings.metrics_port, port_setting="CREDITBOT_METRICS_PORT"
        )
        servers.append(HttpServer(measured, address, limits))
    return servers


def _build_telegram(app: App) -> TelegramAdapter | None:
    base = app.services.base
    if not base.config.telegram.is_set:
        return None
    # Its library is large: the demo and the command line start without it.
    from bots.telegram.adapter import TelegramAdapter

    return TelegramAdapter(
        base.config.telegram,
        app.chat.dispatcher,
        base.clock,
        app.chat.stars,
        app.chat.create_intake(),
        app.services.asks.chat_moves,
    )


def _build_discord(app: App) -> DiscordAdapter | None:
    base = app.services.base
    if not base.config.discord.is_set:
        return None
    # Its library is large: whoever doesn't serve Discord doesn't load it.
    from bots.discord.adapter import DiscordAdapter

    return DiscordAdapter(
        base.config.discord,
        app.chat.dispatcher,
        base.clock,
        app.chat.store_purchases,
        app.chat.create_intake(),
    )


async def _start_discord(discord: DiscordAdapter) -> None:
    from bots.discord.client import DiscordUnavailable, describe_unavailable

    try:
        await discord.start()
    except DiscordUnavailable as unavailable:
        raise CommandRefused(describe_unavailable(unavailable)) from None


def _listen_for_stop() -> asyncio.Event:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    return stopped
