"""The operator's commands that write: grant, keys, check, backups. Those that read: `reading`.

They work beside a running service: through a ledger writer of their own, which the database keeps
in turn with the service's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from pydantic import SecretStr

from bots.chat.i18n import render
from bots.cli.books import database_of
from bots.cli.errors import Unusable, in_words, shut_in_words
from bots.cli.payments import check_gateways, check_payouts
from bots.commands.admin.report import list_economy_lines
from bots.commands.text import format_usd
from bots.config.settings import Configuration, Settings, SettingsWrong, load
from bots.economy import economy_of
from bots.output import tell
from bots.platforms import discord_config, telegram_config
from bots.run import demo_master_key, live_plan, suppliers_of, sync_discord
from bots.telegram.adapter import fetch_bot_name
from core import ids
from core.clock import SystemClock
from core.db.backup import back_up_database, restore_database
from core.db.database import Database
from core.db.migrate import DatabaseKind, migrate
from core.errors import Refusal
from core.jobs.scheduler import is_key_on_every_process
from core.ledger.ledger import Ledger
from core.money import Credits, parse_usd
from core.pool.pool import Pool
from core.pool.types import KeySummary
from core.pool.vault import Vault
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.prices import PriceBook
from core.pricing.source import describe_installed_data
from core.users.balances import grant_gift
from core.users.service import find_person


@dataclass(frozen=True, slots=True)
class Desk:
    """What a writing command works with."""

    configuration: Configuration
    store: Database
    ledger: Ledger


@contextlib.asynccontextmanager
async def writing(arguments: argparse.Namespace) -> AsyncIterator[Desk]:
    """The live database, or the demo's, to be written beside a running service."""
    configuration = load()
    kind: DatabaseKind = "demo" if arguments.demo else "live"
    clock = SystemClock()
    url = database_of(configuration, demo=arguments.demo)
    store = await Database.open(url, kind=kind, clock=clock, migrate=False)
    ledger = Ledger(store, clock)
    try:
        await ledger.start()
        yield Desk(configuration, store, ledger)
    finally:
        await ledger.stop()
        await store.close()


async def _vault(desk: Desk, arguments: argparse.Namespace) -> Vault:
    return await Vault.open(_master_keys(desk, arguments), desk.store, desk.ledger)


def _master_keys(desk: Desk, arguments: argparse.Namespace) -> list[bytes]:
    keys = desk.configuration.settings.master_key_bytes
    if not keys and arguments.demo:
        keys = [demo_master_key()]
    if not keys:
        raise Unusable("CREDITBOT_MASTER_KEYS is not set. `creditbot init` makes one.")
    return keys


# --- writing ------------------------------------------------------------------------------------


async def migrate_database(_: argparse.Namespace) -> int:
    """A new database is born live."""
    url = database_of(load(), demo=False)
    await migrate(url, "live", SystemClock())
    tell("The database is at this version.")
    return 0


async def grant_credits(arguments: argparse.Namespace) -> int:
    """Gives Credits, with a reason, once."""
    if not 0 < arguments.credits <= 100_000_000:
        raise Unusable("A grant is a whole number of Credits above zero.")
    if not arguments.reason.strip():
        raise Unusable("A grant needs a reason.")
    clock = SystemClock()
    async with writing(arguments) as desk:
        person = await find_person(desk.store, arguments.user)
        receipt = await grant_gift(
            desk.ledger,
            clock,
            cause=arguments.id or ids.new_id("cli", clock.now_ms()),
            person=person,
            amount=Credits(arguments.credits),
            actor="operator",
            reason=arguments.reason.strip(),
        )
    have = sum(balance.available for balance in receipt.balances.values())
    done = "Given before" if receipt.existed else "Given"
    tell(f"{done}: {arguments.credits:,} Credits to {person.id}, who has {have:,} now.")
    return 0


async def add_key(arguments: argparse.Namespace) -> int:
    """A key from standard input, never from the command line."""
    try:
        budget = parse_usd(arguments.budget)
    except ValueError:
        raise Unusable("--budget is dollars, like 50 or 12.5") from None
    secret = SecretStr(await asyncio.to_thread(_read_secret))
    if not secret.get_secret_value():
        raise Unusable("The key is read from standard input, and there was none.")
    async with writing(arguments) as desk, _pool(desk, arguments) as pool:
        card = await pool.add_own_key(arguments.supplier, secret, budget, account=arguments.account)
    tell(
        f"Added {card.supplier} …{card.tail} with {format_usd(card.budget)}. It serves within"
        " seconds."
    )
    return 0


def _read_secret() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Key (hidden): ").strip()
    return sys.stdin.readline().strip()


@contextlib.asynccontextmanager
async def _pool(desk: Desk, arguments: argparse.Namespace) -> AsyncIterator[Pool]:
    settings = desk.configuration.settings
    pool = Pool(
        db=desk.store,
        ledger=desk.ledger,
        vault=await _vault(desk, arguments),
        catalogue=Catalogue.load(settings.overlay),
        costs=Costs.load(settings.overlay),
        clock=SystemClock(),
        suppliers=suppliers_of(desk.configuration.suppliers),
    )
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


async def list_keys(arguments: argparse.Namespace) -> int:
    """Every key, never the key itself."""
    async with writing(arguments) as desk, _pool(desk, arguments) as pool:
        cards = await pool.list_keys()
    if not cards:
        tell("There are no keys. Add one: creditbot keys add openai --budget 50")
    for card in cards:
        tell(_card(card))
    return 0


def _card(card: KeySummary) -> str:
    reason = f" ({card.reason})" if card.reason else ""
    return (
        f"{card.id}  {card.supplier} …{card.tail}  {card.state}{reason}  used"
        f" {format_usd(card.used)} of {format_usd(card.budget)}"
    )


async def rotate_keys(arguments: argparse.Namespace) -> int:
    """Seals everything by the first master key; older ones can then leave the list."""
    async with writing(arguments) as desk:
        vault = Vault(_master_keys(desk, arguments))
        if not await is_key_on_every_process(desk.store, SystemClock(), vault.master_key_ids[0]):
            raise Unusable(
                "A process that runs doesn't have the first master key of CREDITBOT_MASTER_KEYS."
                " Nothing was changed. Restart every process with the list as it is now, then"
                " rotate. One that was killed is forgotten after a minute."
            )
        sealed = await vault.rotate_master_key(desk.store, desk.ledger)
    tell(f"{sealed} secrets are sealed by the first master key now.")
    return 0


async def publish_commands(_: argparse.Namespace) -> int:
    """Tells Discord the slash commands, in place of those it knows."""
    count = await sync_discord(load())
    tell(f"{count} commands are published. Discord may take a minute to show them.")
    return 0


# --- copies -------------------------------------------------------------------------------------


async def backup_to(arguments: argparse.Namespace) -> int:
    """A copy, while the service runs."""
    await back_up_database(database_of(load(), demo=False), arguments.file)
    tell(f"Copied to {arguments.file}. It holds sealed keys: keep the master key elsewhere.")
    return 0


async def restore_from(arguments: argparse.Namespace) -> int:
    """A copy back in place, where nothing is."""
    if not arguments.file.is_file():
        raise Unusable(f"{arguments.file} is not there. Nothing was changed.")
    await restore_database(database_of(load(), demo=False), arguments.file)
    tell("Restored. Run `creditbot audit` before you serve from it.")
    return 0


# --- looking at everything ----------------------------------------------------------------------


async def check(_: argparse.Namespace) -> int:
    """Every line green, or red with the command that mends it; 1 if any is red."""
    try:
        configuration = load()
    except SettingsWrong as wrong:
        for name, what in wrong.problems.items():
            tell(f"✗ {name} {what}")
        return 1
    tell("✓ settings")
    lines = [
        await _check_database(configuration),
        await _check_telegram(configuration),
        await _check_discord(configuration),
        await check_gateways(configuration),
        await check_payouts(configuration),
        await _check_economy(configuration),
    ]
    for fine, line in [pair for pairs in lines for pair in pairs]:
        tell(f"{'✓' if fine else '✗'} {line}")
    return 0 if all(fine for pairs in lines for fine, _ in pairs) else 1


Line = tuple[bool, str]
#: Older lists of suppliers are told as a fault.
_LISTS_DAYS_MAX = 180


async def _check_database(configuration: Configuration) -> list[Line]:
    settings = configuration.settings
    if not settings.master_keys.get_secret_value():
        return [(False, "master key: not set. Run `creditbot init`")]
    clock = SystemClock()
    url = settings.database_url.get_secret_value()
    try:
        store = await Database.open(url, kind=None, clock=clock, migrate=False)
    except Refusal as refusal:
        return [(False, f"database: {in_words(refusal)}")]
    ledger = Ledger(store, clock)
    lines = [(True, f"database: {store.kind}")]
    try:
        await ledger.start()
        desk = Desk(configuration, store, ledger)
        arguments = argparse.Namespace(demo=store.kind == "demo")
        lines += await _check_vault(Vault(_master_keys(desk, arguments)), store)
        async with _pool(desk, arguments) as pool:
            lines.append((True, "master key opens the vault"))
            await pool.check_models()
            lines += _check_keys(await pool.list_keys(), pool)
            lines += await _check_prices(desk)
    except Refusal as refusal:
        lines.append((False, in_words(refusal)))
    finally:
        await ledger.stop()
        await store.close()
    return lines


async def _check_economy(configuration: Configuration) -> list[Line]:
    """Each way of selling and each farm, with its arithmetic; nothing where nothing is sold."""
    plan, clock = live_plan(configuration), SystemClock()
    url = configuration.settings.database_url.get_secret_value()
    try:
        store = await Database.open(url, kind=None, clock=clock, migrate=False)
    except Refusal:
        return []  # said already
    try:
        economy = await economy_of(plan, store, clock.now_ms())
        if not economy.channels:
            return []
        lines = list_economy_lines(economy, every=True)
        return [(fine, render(words, "en")) for fine, words in lines]
    finally:
        await store.close()
        for gateway in plan.gateways.values():
            await gateway.close()
        for disburser in plan.disbursers.values():
            await disburser.close()


async def _check_vault(vault: Vault, store: Database) -> list[Line]:
    surveyed = await vault.survey_secrets(store)
    if surveyed.unopenable:
        return [(False, shut_in_words(one)) for one in surveyed.unopenable]
    line = f"all {surveyed.sealed_count} secrets can be opened"
    if surveyed.older_key_count:
        line += (
            f", {surveyed.older_key_count} of them by an older master key: `creditbot keys rotate`"
        )
    return [(True, line)]


def _check_keys(cards: list[KeySummary], pool: Pool) -> list[Line]:
    if not cards:
        return [(False, "keys: none. Add one: creditbot keys add openai --budget 50")]
    lines = [(card.state == "active", f"key {_card(card)}") for card in cards]
    servable = len(pool.list_servable_models())
    return [*lines, (servable > 0, f"models that can be served now: {servable}")]


async def _check_prices(desk: Desk) -> list[Line]:
    settings = desk.configuration.settings
    catalogue, costs = Catalogue.load(settings.overlay), Costs.load(settings.overlay)
    prices = PriceBook(desk.store, desk.ledger.record, catalogue, costs, SystemClock())
    await prices.load()
    coming = {model.id for model in prices.list_unpriced_models()}
    bare = [
        model.id
        for model in catalogue.models.values()
        if model.id not in coming and prices.find_current(model.id) is None
    ]
    if bare:
        return [(False, f"no price for {', '.join(bare)}: /setprice in chat")]
    line = f"prices of {len(catalogue.models)} models"
    if coming:
        line += f", {len(coming)} of them set by the formula when the service starts"
    return [(True, line), check_lists(settings)]


def check_lists(settings: Settings, now_ms: int | None = None) -> Line:
    """How old what is known of suppliers' prices is."""
    version, days = describe_installed_data(SystemClock().now_ms() if now_ms is None else now_ms)
    fetched = ", and fetched while it runs" if settings.price_updates else ""
    if days is None:
        return True, f"suppliers' lists: genai-prices {version}{fetched}"
    line = f"suppliers' lists: genai-prices {version}, at most {days} days old{fetched}"
    if days > _LISTS_DAYS_MAX and not fetched:
        return False, f"{line}. Upgrade creditbot, or set CREDITBOT_PRICE_UPDATES=true"
    return True, line


async def _check_telegram(configuration: Configuration) -> list[Line]:
    settings = configuration.settings
    if not settings.telegram_token.get_secret_value():
        if settings.discord_token.get_secret_value():
            return []
        return [(False, "Telegram: CREDITBOT_TELEGRAM_TOKEN is not set. Run `creditbot init`")]
    name = await fetch_bot_name(telegram_config(settings))
    if name is None:
        return [(False, "Telegram: the token is refused, or the API can't be reached")]
    return [(True, f"Telegram: @{name}")]


async def _check_discord(configuration: Configuration) -> list[Line]:
    settings = configuration.settings
    if not settings.discord_token.get_secret_value():
        return []
    from bots.discord.client import fetch_bot_name as who_on_discord

    name = await who_on_discord(discord_config(settings))
    if name is None:
        return [(False, "Discord: the token is refused, or the API can't be reached")]
    return [(True, f"Discord: {name}")]
