"""`creditbot check`: a look at everything that a service needs; it changes nothing. Each line is
green, or red with the command that mends it.
"""

from __future__ import annotations

import argparse
from typing import Final

from bots.chat.i18n import render
from bots.cli.operator import describe_key
from bots.cli.output import describe_error, describe_unopenable, print_line
from bots.cli.payments import Line, check_gateways, check_payouts
from bots.cli.session import database_url, open_for_writing, open_pool, require_master_keys
from bots.commands.admin.model_ends import check_coming_ends
from bots.commands.admin.report import list_economy_lines
from bots.config.gateways import build_externals, build_gateways
from bots.config.settings import Config, PricingConfig, SettingsWrong, load
from bots.economy_settings import read_economy_settings
from bots.services import Foundation, build_pricing, build_vault
from bots.telegram.adapter import fetch_bot_name
from core.clock import SystemClock
from core.db.database import Database
from core.errors import Refusal
from core.pool.pool import Pool
from core.pool.types import KeySummary
from core.pool.vault import Vault
from core.pricing.source import describe_installed_data

#: Older lists of suppliers are told as a fault.
_LISTS_DAYS_MAX: Final = 180


async def check(_: argparse.Namespace) -> int:
    """1 if any line is red."""
    try:
        config = load()
    except SettingsWrong as wrong:
        for name, what in wrong.problems.items():
            print_line(f"✗ {name} {what}")
        return 1
    print_line("✓ settings")
    checks = (
        _check_database,
        _check_telegram,
        _check_discord,
        check_gateways,
        check_payouts,
        _check_economy,
    )
    lines = [line for one in checks for line in await one(config)]
    for is_fine, line in lines:
        print_line(f"{'✓' if is_fine else '✗'} {line}")
    return 0 if all(is_fine for is_fine, _ in lines) else 1


async def _check_database(config: Config) -> list[Line]:
    if not config.operator.master_key_bytes:
        return [(False, "master key: not set. Run `creditbot init`")]
    lines: list[Line] = []
    try:
        async with open_for_writing(config, kind=None) as base:
            lines.append((True, f"database: {base.db.kind}"))
            require_master_keys(base.config)
            lines += await _check_vault(build_vault(base.config), base.db)
            async with open_pool(base) as pool:
                lines.append((True, "master key opens the vault"))
                await pool.check_models()
                lines += _check_keys(await pool.list_keys(), pool)
                lines += await _check_prices(base, pool)
    except Refusal as refusal:
        what = describe_error(refusal)
        lines.append((False, what if lines else f"database: {what}"))
    return lines


async def _check_economy(config: Config) -> list[Line]:
    """Each way of selling and each farm, with its arithmetic; nothing where nothing is sold."""
    clock = SystemClock()
    try:
        db = await Database.open(database_url(config), kind=None, clock=clock, migrate=False)
    except Refusal:
        return []  # said already
    gateways = build_gateways(config, clock)
    try:
        economy = await read_economy_settings(config, gateways, db, clock.now_ms())
        if not economy.channels:
            return []
        lines = list_economy_lines(economy, every=True)
        return [(is_fine, render(words, "en")) for is_fine, words in lines]
    finally:
        await db.close()
        for gateway in gateways.values():
            await gateway.close()


async def _check_vault(vault: Vault, db: Database) -> list[Line]:
    survey = await vault.survey_secrets(db)
    if survey.unopenable:
        return [(False, describe_unopenable(secrets)) for secrets in survey.unopenable]
    line = f"all {survey.sealed_count} secrets can be opened"
    if survey.older_key_count:
        line += (
            f", {survey.older_key_count} of them by an older master key: `creditbot keys rotate`"
        )
    return [(True, line)]


def _check_keys(keys: list[KeySummary], pool: Pool) -> list[Line]:
    if not keys:
        return [(False, "keys: none. Add one: creditbot keys add openai --budget 50")]
    lines = [(key.state == "active", f"key {describe_key(key)}") for key in keys]
    servable = len(pool.list_servable_models())
    return [*lines, (servable > 0, f"models that can be served now: {servable}")]


async def _check_prices(base: Foundation, pool: Pool) -> list[Line]:
    pricing = build_pricing(base, build_externals(base.config, base.clock, sells=False))
    prices, models = pricing.prices, pricing.catalogue.models
    await prices.load()
    coming = {model.id for model in prices.list_unpriced_models()}
    bare = [id_ for id_ in models if id_ not in coming and prices.find_current(id_) is None]
    if bare:
        return [(False, f"no price for {', '.join(bare)}: /setprice in chat")]
    line = f"prices of {len(models)} models"
    if coming:
        line += f", {len(coming)} of them set by the formula when the service starts"
    suppliers = {key.supplier for key in await pool.list_keys()}
    return [
        (True, line),
        check_lists(base.config.pricing),
        *(
            (is_fine, f"soon: {render(line, 'en')}")
            for is_fine, line in check_coming_ends(pricing.catalogue, suppliers)
        ),
    ]


def check_lists(pricing: PricingConfig, now_ms: int | None = None) -> Line:
    """How old what is known of suppliers' prices is."""
    version, days = describe_installed_data(SystemClock().now_ms() if now_ms is None else now_ms)
    fetched = ", and fetched while it runs" if pricing.price_updates else ""
    if days is None:
        return True, f"suppliers' lists: genai-prices {version}{fetched}"
    line = f"suppliers' lists: genai-prices {version}, at most {days} days old{fetched}"
    if days > _LISTS_DAYS_MAX and not fetched:
        return False, f"{line}. Upgrade creditbot, or set CREDITBOT_PRICE_UPDATES=true"
    return True, line


async def _check_telegram(config: Config) -> list[Line]:
    if not config.telegram.is_set:
        if config.discord.is_set:
            return []
        return [(False, "Telegram: CREDITBOT_TELEGRAM_TOKEN is not set. Run `creditbot init`")]
    name = await fetch_bot_name(config.telegram)
    if name is None:
        return [(False, "Telegram: the token is refused, or the API can't be reached")]
    return [(True, f"Telegram: @{name}")]


async def _check_discord(config: Config) -> list[Line]:
    if not config.discord.is_set:
        return []
    from bots.discord import client

    name = await client.fetch_bot_name(config.discord)
    if name is None:
        return [(False, "Discord: the token is refused, or the API can't be reached")]
    return [(True, f"Discord: {name}")]
