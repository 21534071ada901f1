"""`creditbot demo`: a chat in the terminal; suppliers, payments and people are a sandbox on
loopback, so that there is nothing to sign up for.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, Final

from pydantic import SecretStr

from bots.api_server import build_api_server, read_api_address
from bots.app import App
from bots.chat.i18n import find_nearest_language, render
from bots.chat.reply import say
from bots.cli.output import print_line
from bots.config.fields import MASTER_KEY_BYTES
from bots.config.gateways import build_externals
from bots.config.settings import Config, Section, SupplierConfig
from bots.console.console import ConsoleAdapter
from bots.console.layout import wrap_text
from bots.externals import Externals
from bots.http import HttpServer, PortInUse, ServerAddress, build_service_app, open_listener
from bots.http_connections import HttpLimits
from bots.logs import configure_logging
from bots.run import build_app
from bots.sandbox.payment_service import SandboxPaymentService
from bots.sandbox.price_list import DEFAULT_MODEL, set_owner_prices, write_price_list
from bots.sandbox.supplier import SandboxSupplier
from core.clock import SystemClock
from core.db.database import Database
from core.money import parse_usd
from core.pool.suppliers import SUPPLIERS, Supplier
from core.pricing.prices import has_prices
from payments.gateways.sandbox import SandboxGateway, SandboxPayoutProvider
from payments.webhooks import build_payment_routes

DEMO: Final = Path(".demo")
#: Where what the chat hands over is written.
FILES: Final = DEMO / "files"
#: The demo waits so long for its sandbox's list of models.
_CHECK_SECONDS_MAX: Final = 10.0
_ABOUT: Final = say(
    "A chat with creditbot: write a question, or /help. /admin is the owner's desk. Ctrl-D ends. To"
    " audit the ledger in another terminal:"
)
_ABOUT_API: Final = say("Programs ask, too: /api makes a token. With that in TOKEN:")
#: Lines that no terminal breaks, to be pasted together.
_CURL: Final = (
    "curl {url}/v1/chat/completions \\",
    '  -H "Authorization: Bearer $TOKEN" -d \'{{"model":"{model}",',
    '  "messages":[{{"role":"user","content":"Why is the sky blue?"}}]}}\'',
)
_WELCOME_CREDITS: Final = 1_000
#: Each sandbox key of the demo may "cost" this much.
_KEY_BUDGET: Final = parse_usd("50")


async def demo(config: Config) -> int:
    """Chats until the input ends."""
    configure_logging("error")
    url, clock = demo_database(config), SystemClock()
    config = _demo_config(config)
    db = await Database.open(url, kind="demo", clock=clock, migrate=True)
    async with AsyncExitStack() as stack:
        config, listener = listen_for_programs(config)
        if listener is not None:
            stack.callback(listener.close)
        secret = secrets.token_urlsafe()
        payment_service = SandboxPaymentService(secret)
        stack.push_async_callback(payment_service.stop)
        paid_at = await payment_service.start()
        gateway = SandboxGateway(url=paid_at, secret=SecretStr(secret))
        provider = SandboxPayoutProvider(url=paid_at, secret=SecretStr(secret))
        externals = replace(
            build_externals(config, clock, sells=False),
            gateways={gateway.name: gateway},
            payout_providers={"sandbox": provider},
            payout_methods=(
                "sandbox",
                *(method for method in config.earnings.payouts if method == "manual"),
            ),
        )
        if not config.suppliers:
            sandbox = SandboxSupplier(externals.catalogue, piece_delay_seconds=_piece_delay())
            stack.push_async_callback(sandbox.stop)
            externals = _with_sandbox_suppliers(externals, await sandbox.start())
        app = await _open_app(config, db, clock, externals)
        stack.push_async_callback(app.stop)
        payments = app.services.payments
        routes = build_payment_routes(payments.inbox, payments.gateways)
        server = HttpServer(
            build_service_app(app.chat.readiness, routes),
            ServerAddress("127.0.0.1", 0),
            HttpLimits(),
        )
        stack.push_async_callback(server.stop)
        await _serve_api(app, listener, stack)
        gateway.set_public_url(f"http://127.0.0.1:{await server.start()}")
        await app.services.pool.pool.wait_for_first_check(_CHECK_SECONDS_MAX)
        await app.services.pricing.prices.refresh(at_most_seconds=0)
        await _chat(app, url)
    return 0


async def _serve_api(app: App, listener: socket.socket | None, stack: AsyncExitStack) -> None:
    """Serves programs, unless the settings switch that off."""
    if app.services.base.config.api.is_on:
        server = build_api_server(app.services)
        stack.push_async_callback(server.stop)
        await server.start(listener)


async def _open_app(config: Config, db: Database, clock: SystemClock, externals: Externals) -> App:
    """Makes a service and starts it; a new one with a sandbox gets the sandbox's price list."""
    app = await build_app(config, db, clock, externals)
    services = app.services
    try:
        is_new = not await has_prices(db)
        if not (is_new and externals.is_sandbox):
            await app.start()
            return app
        owner = await services.users.users.get_or_create(
            "console", ConsoleAdapter.OWNER, language=read_language()
        )
        await asyncio.to_thread(services.pricing.costs.preload)
        await write_price_list(services, owner.id)
        await app.start()
        await set_owner_prices(services.pricing, services.repricing, owner.id)
    except BaseException:
        await app.stop()
        raise
    return app


async def _chat(app: App, url: str) -> None:
    terminal = sys.stdin.isatty()
    if terminal:
        about = render(_ABOUT, read_language())
        command = f"CREDITBOT_DATABASE_URL={url} .venv/bin/creditbot audit"
        columns = get_terminal_size().columns
        lines = [*wrap_text(about, columns), f"  {command}"]
        api = app.services.base.config.api
        if api.is_on:
            lines += wrap_text(render(_ABOUT_API, read_language()), columns)
            told = [line.format(url=api.base_url, model=DEFAULT_MODEL) for line in _CURL]
            lines += [f"  {line}" for line in told]
        for line in (*lines, ""):
            print_line(line)
    console = ConsoleAdapter(
        app.chat.dispatcher,
        input=sys.stdin,
        output=sys.stdout,
        is_terminal=terminal,
        language=read_language(),
        files=FILES,
    )
    app.chat.redelivery.register_notifier("console", console)
    await console.run()


def read_language() -> str:
    """The menus' language that the machine's locale asks for; English where there is none."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((value for name in names if (value := os.environ.get(name))), "")
    return find_nearest_language(locale.partition(".")[0].replace("_", "-"))


def demo_database(config: Config) -> str:
    """The demo's database: its own, unless the settings name one."""
    DEMO.mkdir(mode=0o700, exist_ok=True)
    if "url" in config.database.model_fields_set:
        return config.database.url.get_secret_value()
    return f"sqlite:///{DEMO / 'creditbot.db'}"


def load_demo_master_key() -> str:
    """The demo's own master key in base64, made at its first start; only its owner may read it."""
    file = DEMO / "master.key"
    if not file.exists():
        text = base64.b64encode(secrets.token_bytes(MASTER_KEY_BYTES)).decode()
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text + "\n")
    return file.read_text().strip()


def with_demo_master_key(config: Config) -> Config:
    """The same settings, sealed by the demo's own key unless they name one."""
    if config.operator.master_key_bytes:
        return config
    return _changed(config, "operator", master_keys=SecretStr(load_demo_master_key()))


def _demo_config(config: Config) -> Config:
    """The settings, with the demo's owner, gift and rules where they say nothing of those; only
    suppliers with an address of their own are asked."""
    config = with_demo_master_key(config)
    owners = (("console", ConsoleAdapter.OWNER), *config.operator.admins)
    config = _changed(config, "operator", admins=owners)
    if "welcome_credits" not in config.users.model_fields_set:
        config = _changed(config, "users", welcome_credits=_WELCOME_CREDITS)
    if "profile" not in config.earnings.model_fields_set:
        config = _changed(config, "earnings", profile="brief")
    if not (config.models.default_model or config.suppliers):
        config = _changed(config, "models", default_model=DEFAULT_MODEL)
    if not config.earnings.contributions:
        config = _changed(config, "earnings", contributions=frozenset(SUPPLIERS))
    if "api" not in config.api.model_fields_set:
        config = _changed(config, "api", api=True)
    custom = {name: given for name, given in config.suppliers.items() if given.url}
    return config.model_copy(update={"suppliers": custom})


def listen_for_programs(config: Config) -> tuple[Config, socket.socket | None]:
    """Listens for programs where the settings name no port: on the usual one, or on a free one
    where another program has that. It listens from here on, since of two demos that begin at once
    both find the usual port free."""
    if "api_port" in config.api.model_fields_set or not config.api.is_on:
        return config, None
    address = read_api_address(config.api)
    try:
        listener = open_listener(address)
    except PortInUse:
        listener = open_listener(replace(address, port=0))
    return _changed(config, "api", api_port=listener.getsockname()[1]), listener


def _changed(config: Config, section: str, **changes: Any) -> Config:
    found: Section = getattr(config, section)
    return config.model_copy(update={section: found.model_copy(update=changes)})


def _with_sandbox_suppliers(externals: Externals, base_url: str) -> Externals:
    """Every supplier is the sandbox, with a key each."""
    suppliers: Mapping[str, Supplier] = {
        name: replace(
            supplier.with_base_url(f"{base_url}/{name}/v1"),
            address_name="sandbox",  # its port is another at each start
            wire="openai",
            account_api="deepseek",
            account_url=f"{base_url}/{name}/v1/user/balance",
        )
        for name, supplier in SUPPLIERS.items()
    }
    key = SupplierConfig(key=SecretStr(SandboxSupplier.DEMO_KEY), quota=_KEY_BUDGET)
    own_keys = [(name, key) for name in SUPPLIERS]
    return replace(externals, suppliers=suppliers, own_keys=own_keys, is_sandbox=True)


def _piece_delay() -> float:
    """Seconds between the sandbox's pieces: a human pace to look at, none for a script."""
    return 0.03 if sys.stdin.isatty() else 0.0
