"""`creditbot check`: a look at everything that a service needs; it changes nothing. Each line is
green, or red with the command that mends it.
"""

from __future__ import annotations

import argparse
from typing import Final

from bots.chat.i18n import render
from bots.chat.types import TelegramUnavailable
from bots.cli.key_check import KeySurvey, check_served_models, survey_keys
from bots.cli.output import describe_error, describe_unopenable, print_line
from bots.cli.payments import Line, check_gateways, check_payouts
from bots.cli.session import database_url, open_for_looking, require_master_keys
from bots.commands.admin.economy_texts import list_economy_lines
from bots.commands.admin.model_ends import check_coming_ends
from bots.config.gateways import build_externals, build_gateways
from bots.config.settings import Config, PricingConfig, SettingsWrong, load
from bots.economy_settings import read_economy_settings
from bots.externals import Externals
from bots.services import SEALED_COLUMNS, Foundation, build_pricing, build_vault, open_vault
from bots.telegram.adapter import fetch_bot_address
from core.clock import SystemClock
from core.db.connections import parse_url
from core.db.database import Database
from core.errors import Refusal
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
        _check_contact,
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
        externals = build_externals(config, SystemClock(), sells=False)
        if _is_new(config):
            lines.append((True, "database: not there yet; `creditbot run` makes it"))
            survey = await survey_keys(externals, None, None)
            return lines + _list_key_lines(survey, externals, config)
        async with open_for_looking(config) as base:
            lines.append((True, f"database: {base.db.kind}"))
            require_master_keys(base.config)
            sealed, vault_lines = await _check_vault(build_vault(base.config), base.db)
            lines += vault_lines
            vault = await open_vault(base) if sealed else None
            if vault is not None:
                lines.append((True, "master key opens the vault"))
            survey = await survey_keys(externals, base, vault)
            lines += _list_key_lines(survey, externals, config)
            # Prices of the catalogue alone: a server's own models get theirs while it serves.
            lines += await _check_prices(
                base, build_externals(config, base.clock, sells=False), survey
            )
    except Refusal as refusal:
        what = describe_error(refusal)
        lines.append((False, what if lines else f"database: {what}"))
    return lines


def _is_new(config: Config) -> bool:
    """Whether the database is a file that isn't there yet."""
    address = parse_url(database_url(config))
    return address.dialect == "sqlite" and not address.file.exists()


def _list_key_lines(survey: KeySurvey, externals: Externals, config: Config) -> list[Line]:
    return check_served_models(survey, externals, config.models.default_model)


async def _check_economy(config: Config) -> list[Line]:
    """What of selling and of contributions loses, and what the rest comes to; nothing where there
    is neither."""
    clock = SystemClock()
    try:
        db = await Database.open(
            database_url(config), kind=None, clock=clock, migrate=False, leaves_alone=True
        )
    except Refusal:
        return []  # said already
    gateways = build_gateways(config, clock)
    try:
        economy = await read_economy_settings(config, gateways, db, clock.now_ms())
        if not (economy.channels or economy.policy.suppliers):
            return []
        lines = list_economy_lines(economy, sums=True)
        return [(is_fine, render(words, "en")) for is_fine, words in lines]
    finally:
        await db.close()
        for gateway in gateways.values():
            await gateway.close()


async def _check_vault(vault: Vault, db: Database) -> tuple[int, list[Line]]:
    """How many secrets there are, and what is to be said of them."""
    survey = await vault.survey_secrets(db, SEALED_COLUMNS)
    if survey.unopenable:
        lines = [(False, describe_unopenable(secrets)) for secrets in survey.unopenable]
        return survey.sealed_count, lines
    if not survey.sealed_count:
        return 0, [(True, "nothing is sealed yet")]
    line = f"all {survey.sealed_count} secrets can be opened"
    if survey.older_key_count:
        line += (
            f", {survey.older_key_count} of them by an older master key: `creditbot keys rotate`"
        )
    return survey.sealed_count, [(True, line)]


async def _check_prices(base: Foundation, externals: Externals, survey: KeySurvey) -> list[Line]:
    pricing = build_pricing(base, externals)
    prices, models = pricing.prices, pricing.catalogue.models
    await prices.load()
    coming = {model.id for model in prices.list_unpriced_models()}
    bare = [id_ for id_ in models if id_ not in coming and prices.find_current(id_) is None]
    if bare:
        return [(False, f"no price for {', '.join(bare)}: /setprice in chat")]
    line = f"prices of {len(models)} models"
    if coming:
        line += f", {len(coming)} of them set by the formula when the service starts"
    return [
        (True, line),
        check_lists(base.config.pricing),
        *(
            (is_fine, f"soon: {render(line, 'en')}")
            for is_fine, line in check_coming_ends(pricing.catalogue, survey.suppliers)
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
        platforms = "CREDITBOT_TELEGRAM_TOKEN or CREDITBOT_DISCORD_TOKEN"
        return [(False, f"chat platform: none is set ({platforms}). Run `creditbot init`")]
    try:
        bot = await fetch_bot_address(config.telegram)
    except TelegramUnavailable as unavailable:
        return [(False, describe_error(unavailable))]
    topics = "; topics of private chats are conversations" if bot.has_topics else ""
    return [(True, f"Telegram: {bot.name}{topics}")]


async def _check_discord(config: Config) -> list[Line]:
    if not config.discord.is_set:
        return []
    from bots.discord import client

    try:
        bot = await client.fetch_bot_address(config.discord)
    except client.DiscordUnavailable as unavailable:
        return [(False, client.describe_unavailable(unavailable))]
    return [(True, f"Discord: {bot.name}")]


async def _check_contact(config: Config) -> list[Line]:
    if config.operator.support_contact:
        return [(True, f"support contact: {config.operator.support_contact}")]
    if not build_gateways(config, SystemClock()):
        return []
    line = (
        "support contact: not set, so /paysupport names nobody; words behind it reach you in chat"
        " (CREDITBOT_SUPPORT_CONTACT)"
    )
    return [(True, line)]
