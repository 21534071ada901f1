"""`creditbot init`: from nothing to a service that `creditbot run` can start.

Secrets are asked for hidden or read from files, never from the command line, and written to a
`.env` that only its owner may read. Until the last question is answered nothing is written.
"""

from __future__ import annotations

import argparse
import base64
import functools
import os
import re
import secrets
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from dotenv import dotenv_values, set_key
from dotenv.parser import parse_stream
from pydantic import SecretStr

from bots.chat.types import BotAddress, PlatformUnavailable
from bots.cli.output import CommandRefused, describe_error, print_line
from bots.cli.session import open_for_writing
from bots.cli.terminal import Terminal
from bots.config.fields import MASTER_KEY_BYTES, read_budget
from bots.config.settings import (
    PREFIX,
    DiscordConfig,
    TelegramConfig,
    load,
    name_supplier_setting,
)
from bots.services import build_roles
from bots.telegram.adapter import fetch_bot_address
from core.pool.keys import check_shape
from core.pool.suppliers import SUPPLIERS, Supplier
from core.pool.types import KeyRefused

_STOPPED: Final = "Stopped. Nothing was written."
_NO_PLATFORM: Final = (
    "The service needs Telegram, Discord or both: --telegram-token-file, --discord-token-file, or"
    " a token on standard input. Nothing was written."
)
#: The operator's own key, when it is to be added later.
_LATER: Final = "No supplier key yet. Add one later: creditbot keys add openai --budget 50"

#: A value in quotes or without, and a comment behind it.
_VALUE_AND_COMMENT: Final = re.compile(
    r"""[^=]*=[ \t]*(?:'(?:\\.|[^\\'])*'|"(?:\\.|[^\\"])*"|[^'"\n][^\n]*?|)([ \t]+\#[^\n]*)?\s*""",
    re.DOTALL,
)
#: Settings by their names without the prefix.
_Settings = dict[str, str]


async def init(arguments: argparse.Namespace) -> int:
    """Asks for what is missing, writes it, says what is next; 130 when it was interrupted."""
    file: Path = arguments.env_file
    known = {name: value for name, value in dotenv_values(file).items() if value}
    given = {**known, **{name: value for name, value in os.environ.items() if value}}
    found = {k.removeprefix(PREFIX): v for k, v in given.items() if k.startswith(PREFIX)}
    terminal = Terminal()
    try:
        made, bots = await _ask_platforms(arguments, found, terminal)
        made |= _ask_supplier(arguments, found, terminal)
        made |= _ask_contact(arguments, found, terminal)
    except (KeyboardInterrupt, EOFError):
        print_line(f"\n{_STOPPED}", error=True)
        return 130
    if "MASTER_KEYS" not in found:
        key = secrets.token_bytes(MASTER_KEY_BYTES)
        made["MASTER_KEYS"] = base64.b64encode(key).decode()
    if arguments.database_url:
        made["DATABASE_URL"] = arguments.database_url
    written = {PREFIX + name: value for name, value in made.items()}
    # What is wrong is told before anything is written.
    load({**known, **written, **os.environ}, env_file=file)
    _write(file, {name: value for name, value in written.items() if known.get(name) != value})
    code = await _create_operator_code(file)
    print_line(f"\nWritten: {file} (only you can read it).\n")
    for line in _list_next_steps(file, bots, code):
        print_line(line)
    return 0


async def _ask_platforms(
    arguments: argparse.Namespace, found: _Settings, terminal: Terminal
) -> tuple[_Settings, Mapping[str, BotAddress]]:
    """The tokens, each checked, and who the bots are, by platform: one of them at least."""
    while True:
        made: _Settings = {}
        bots: dict[str, BotAddress] = {}
        for platform, file, fetch in (
            ("Telegram", arguments.telegram_token_file, _fetch_telegram),
            ("Discord", arguments.discord_token_file, _fetch_discord),
        ):
            name = f"{platform.upper()}_TOKEN"
            known = found.get(name, "") if file is None else file.read_text().strip()
            # A pipe has a line for the first platform that is missing.
            may_ask = terminal.is_interactive or not (bots or _has_platform(arguments, found))
            token, bot = await _ask_token(
                platform, known, functools.partial(fetch, found), terminal, may_ask=may_ask
            )
            if bot is not None:
                made[name], bots[platform] = token, bot
        if bots:
            return made, bots
        if not terminal.is_interactive:
            raise CommandRefused(_NO_PLATFORM)
        print_line("The service needs Telegram, Discord or both. Ctrl-C leaves, nothing changed.")


def _has_platform(arguments: argparse.Namespace, found: _Settings) -> bool:
    files = (arguments.telegram_token_file, arguments.discord_token_file)
    return any(files) or not found.keys().isdisjoint({"TELEGRAM_TOKEN", "DISCORD_TOKEN"})


async def _ask_token(
    platform: str,
    known: str,
    fetch: Callable[[str], Awaitable[BotAddress]],
    terminal: Terminal,
    *,
    may_ask: bool,
) -> tuple[str, BotAddress | None]:
    """A platform's token and its bot; none when it is to be left out."""
    where = {"Telegram": "from @BotFather", "Discord": "developer portal, Bot"}[platform]
    question = f"{platform} bot token ({where}; hidden; Enter: no {platform}): "
    while True:
        token = known or (terminal.ask_secret(question) if may_ask else "")
        if not token:
            return "", None
        refused = ""
        try:
            bot = await fetch(token)
        except PlatformUnavailable as unavailable:
            why = "refuses that token" if unavailable.token_refused else "can't be reached"
            refused = f"{platform} {why}."
        else:
            print_line(f"{platform}: {bot.name}")
            return token, bot
        if not terminal.is_interactive:
            raise CommandRefused(f"{refused} Nothing was written.")
        known = ""
        print_line(f"{refused} Try again.")


async def _fetch_telegram(found: _Settings, token: str) -> BotAddress:
    given: dict[str, object] = {"token": SecretStr(token)}
    if "TELEGRAM_API_URL" in found:
        given["api_url"] = found["TELEGRAM_API_URL"]
    return await fetch_bot_address(TelegramConfig.model_validate(given))


async def _fetch_discord(found: _Settings, token: str) -> BotAddress:
    # Its library is large: whoever doesn't serve Discord doesn't load it.
    from bots.discord import client

    names = {"api_url": "DISCORD_API_URL", "gateway_url": "DISCORD_GATEWAY_URL"}
    given: dict[str, object] = {"token": SecretStr(token)}
    given |= {field: found[name] for field, name in names.items() if name in found}
    return await client.fetch_bot_address(DiscordConfig.model_validate(given))


def _ask_supplier(arguments: argparse.Namespace, found: _Settings, terminal: Terminal) -> _Settings:
    """One own key with its budget; asked for only where none is set yet."""
    if any(name.startswith("SUPPLIER_") for name in found) and not arguments.supplier:
        return {}
    may_ask = terminal.is_interactive and arguments.supplier_key_file is None
    name = arguments.supplier
    if not name and may_ask:
        print_line(f"Suppliers: {', '.join(sorted(SUPPLIERS))}")
        question = "Supplier of your first key [openai]: "
        name = terminal.ask_until(lambda: terminal.ask(question) or "openai", _find_supplier_fault)
    if not name:
        print_line(_LATER)
        return {}
    if fault := _find_supplier_fault(name):
        raise CommandRefused(f"{fault} Nothing was written.")
    url = name_supplier_setting(name, "URL").removeprefix(PREFIX)
    supplier = SUPPLIERS[name]
    if url in found:
        supplier = supplier.with_base_url(found[url])
    return _ask_key(arguments, supplier, terminal, may_ask=may_ask)


def _ask_key(
    arguments: argparse.Namespace, supplier: Supplier, terminal: Terminal, *, may_ask: bool
) -> _Settings:
    account: str = arguments.account
    if supplier.wire == "cloudflare" and not account and may_ask:
        account = terminal.ask(f"{supplier.title} account id (32 hexadecimal digits): ")
    if arguments.supplier_key_file is not None:
        key = arguments.supplier_key_file.read_text().strip()
    else:
        question = f"{supplier.title} API key (hidden; Enter: later): "
        key = terminal.ask_until(
            lambda: terminal.ask_secret(question),
            lambda key: _find_key_fault(supplier, key, account) if key else "",
        )
    if not key:
        print_line(_LATER)
        return {}
    budget: str = arguments.budget
    if not budget and may_ask:
        question = "Budget in dollars that this key may cost: "
        budget = terminal.ask_until(lambda: terminal.ask(question), _find_budget_fault)
    if fault := _find_budget_fault(budget):
        raise CommandRefused(f"{fault} It follows --budget. Nothing was written.")
    made = {"KEY": key, "QUOTA": budget, **({"ACCOUNT": account} if account else {})}
    return {
        name_supplier_setting(supplier.name, what).removeprefix(PREFIX): value
        for what, value in made.items()
    }


def _find_supplier_fault(name: str) -> str:
    if name in SUPPLIERS:
        return ""
    return f"“{name}” is no supplier here. Suppliers: {', '.join(sorted(SUPPLIERS))}."


def _find_key_fault(supplier: Supplier, key: str, account: str) -> str:
    try:
        check_shape(supplier, SecretStr(key), account)
    except KeyRefused as refused:
        return describe_error(refused)
    return ""


def _find_budget_fault(budget: str) -> str:
    try:
        read_budget(budget)
    except ValueError:
        return "The budget is dollars above zero, like 50 or 12.5."
    return ""


def _ask_contact(arguments: argparse.Namespace, found: _Settings, terminal: Terminal) -> _Settings:
    """Whom buyers write to; platforms demand it of whoever sells there."""
    contact: str = arguments.support_contact
    if not contact and "SUPPORT_CONTACT" not in found and terminal.is_interactive:
        contact = terminal.ask(
            "Whom do people write to about a payment, like @you or help@example.org? (Enter:"
            " later): "
        )
    return {"SUPPORT_CONTACT": contact} if contact else {}


def _list_next_steps(file: Path, bots: Mapping[str, BotAddress], code: str) -> list[str]:
    program = _find_program()
    steps = [f"See that all is well:       {program} check"]
    telegram, discord = bots.get("Telegram"), bots.get("Discord")
    if discord is not None:
        steps += [
            f"Publish its slash commands: {program} discord sync",
            f"Invite it to a server:      {discord.url}",
        ]
    steps.append(f"Start the service:          {program} run")
    if telegram is not None:
        steps.append(f"Become its owner, once, within a day: {telegram.url}?start={code}")
    if discord is not None:
        become = "or on Discord" if telegram is not None else "Become its owner, once, within a day"
        steps.append(f"{become}: a direct message to the bot, /start {code}")
    return [
        f"Keep a copy of CREDITBOT_MASTER_KEYS, which stands in {file}, away from this machine,",
        "in a password manager for example: without it nobody can open the keys and conversations",
        "in the database or in its backups, not even you.",
        "",
        "What is next:",
        *(f"  {number}. {step}" for number, step in enumerate(steps, 1)),
    ]


def _find_program() -> str:
    """How whoever reads it starts this program from here."""
    if shutil.which("creditbot") or Path(sys.argv[0]).name != "creditbot":
        return "creditbot"
    return sys.argv[0]


def _write(file: Path, made: Mapping[str, str]) -> None:
    """Adds what was made to the file and leaves every other line as it is. The file is replaced as
    a whole and readable by its owner alone from its first byte."""
    file = file.resolve()
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(file.read_bytes() if file.exists() else b"")
    comments = {name: _find_comment(line) for name, line in _read_lines(fresh)}
    for name, value in made.items():
        set_key(fresh, name, value)
    lines = [
        f"{line.rstrip()}{comments[name]}\n" if name in made and comments.get(name) else line
        for name, line in _read_lines(fresh)
    ]
    fresh.write_text("".join(lines), encoding="utf-8")
    fresh.replace(file)


def _read_lines(file: Path) -> list[tuple[str, str]]:
    """Each setting of a file, and each comment (without a name), as it is written there."""
    with file.open(encoding="utf-8") as opened:
        return [(one.key or "", one.original.string) for one in parse_stream(opened)]


def _find_comment(line: str) -> str:
    """What stands behind a value, with the blanks before it; empty where nothing does."""
    matched = _VALUE_AND_COMMENT.fullmatch(line)
    return (matched[1] or "") if matched else ""


async def _create_operator_code(file: Path) -> str:
    """A code whose first sender becomes the owner."""
    async with open_for_writing(load(env_file=file), migrate=True) as base:
        return await build_roles(base).create_operator_code()
