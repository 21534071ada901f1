"""`creditbot init`: from nothing to a service that `creditbot run` can start.

Secrets are asked for hidden or read from files, never from the command line, and written to a
`.env` that only its owner may read.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import getpass
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values, set_key
from pydantic import SecretStr

from bots.cli.output import CommandRefused, print_line
from bots.cli.session import open_for_writing
from bots.config.fields import MASTER_KEY_BYTES, read_budget
from bots.config.settings import PREFIX, TelegramConfig, load
from bots.services import build_roles
from bots.telegram.adapter import fetch_bot_name
from core.pool.suppliers import SUPPLIERS


async def init(arguments: argparse.Namespace) -> int:
    """Asks for what is missing, writes it, prints the one-time link of the owner."""
    file: Path = arguments.env_file
    known = {name: value for name, value in dotenv_values(file).items() if value}
    found = {**known, **{k: v for k, v in os.environ.items() if k.startswith(PREFIX) and v}}
    made: dict[str, str] = {}
    if f"{PREFIX}MASTER_KEYS" not in found:
        made[f"{PREFIX}MASTER_KEYS"] = base64.b64encode(
            secrets.token_bytes(MASTER_KEY_BYTES)
        ).decode()
    if arguments.database_url:
        made[f"{PREFIX}DATABASE_URL"] = arguments.database_url
    token, bot = await _telegram(arguments, found)
    made[f"{PREFIX}TELEGRAM_TOKEN"] = token
    made |= await _supplier(arguments, found)
    # What is wrong is told before anything is written.
    load({**known, **made, **os.environ}, env_file=file)
    _write(file, {name: value for name, value in made.items() if known.get(name) != value})
    print_line(f"Written: {file} (only you can read it).")
    code = await _create_operator_code(file)
    print_line("")
    print_line("1. Start the service:      make run   (or: creditbot run)")
    print_line(f"2. Become its owner, once: https://t.me/{bot}?start={code}")
    if f"{PREFIX}DISCORD_TOKEN" in found:
        print_line(f"   or on Discord, in a direct message to the bot: /start {code}")
    return 0


async def _telegram(arguments: argparse.Namespace, found: dict[str, str]) -> tuple[str, str]:
    """The bot's token, checked, and its name."""
    known = found.get(f"{PREFIX}TELEGRAM_TOKEN", "")
    if arguments.telegram_token_file is not None:
        known = arguments.telegram_token_file.read_text().strip()
    api = found.get(f"{PREFIX}TELEGRAM_API_URL", "")
    while True:
        token = known or await _ask("Telegram bot token (from @BotFather): ")
        config = TelegramConfig(token=SecretStr(token))
        if api:
            config = TelegramConfig(token=SecretStr(token), api_url=api)
        name = await fetch_bot_name(config)
        if name is not None:
            print_line(f"Telegram: @{name}")
            return token, name
        if known or not sys.stdin.isatty():
            raise CommandRefused(
                "Telegram refuses that token, or can't be reached. Nothing was written."
            )
        print_line("Telegram refuses that token, or can't be reached. Try again.")


async def _supplier(arguments: argparse.Namespace, found: dict[str, str]) -> dict[str, str]:
    """One own key with its budget; asked for only where none is set yet."""
    if any(name.startswith(f"{PREFIX}SUPPLIER_") for name in found) and not arguments.supplier:
        return {}
    interactive = sys.stdin.isatty() and arguments.supplier_key_file is None
    supplier = arguments.supplier
    if not supplier and interactive:
        print_line(f"Suppliers: {', '.join(sorted(SUPPLIERS))}")
        supplier = (await asyncio.to_thread(input, "Supplier [openai]: ")).strip() or "openai"
    if not supplier:
        print_line("No supplier key yet. Add one later: creditbot keys add openai --budget 50")
        return {}
    if supplier not in SUPPLIERS:
        raise CommandRefused(f"{supplier} is unknown. Known: {', '.join(sorted(SUPPLIERS))}.")
    if arguments.supplier_key_file is not None:
        key = arguments.supplier_key_file.read_text().strip()
    else:
        key = await _ask(f"{supplier} API key (hidden): ")
    budget = arguments.budget
    if not budget and interactive:
        asked = "Budget in dollars that this key may cost: "
        budget = (await asyncio.to_thread(input, asked)).strip()
    try:
        read_budget(budget)
    except ValueError:
        raise CommandRefused(
            "The budget is dollars above zero, like 50 or 12.5: --budget. Nothing was written."
        ) from None
    prefix = f"{PREFIX}SUPPLIER_{supplier.upper().replace('-', '_')}"
    return {f"{prefix}_KEY": key, f"{prefix}_QUOTA": budget}


async def _ask(prompt: str) -> str:
    if sys.stdin.isatty():
        return (await asyncio.to_thread(getpass.getpass, prompt)).strip()
    return sys.stdin.readline().strip()


def _write(file: Path, made: Mapping[str, str]) -> None:
    """Adds what was made to the file and leaves every other line as it is. The file is replaced as
    a whole and readable by its owner alone from its first byte."""
    file = file.resolve()
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(file.read_bytes() if file.exists() else b"")
    for name, value in made.items():
        set_key(fresh, name, value)
    fresh.replace(file)


async def _create_operator_code(file: Path) -> str:
    """A code whose first sender becomes the owner."""
    async with open_for_writing(load(env_file=file), migrate=True) as base:
        return await build_roles(base).create_operator_code()
