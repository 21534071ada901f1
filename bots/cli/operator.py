"""The operator's commands that write: migrate, grant, keys, Discord's commands, backups."""

from __future__ import annotations

import argparse

from pydantic import SecretStr

from bots.cli.output import CommandRefused, print_line
from bots.cli.session import database_url, open_as_asked, open_pool, require_master_keys
from bots.cli.terminal import Terminal
from bots.config.settings import load
from bots.run import build_app
from bots.services import SEALED_COLUMNS, build_vault
from core import ids
from core.clock import SystemClock, as_utc_day
from core.db.backup import back_up_database, restore_database
from core.db.database import Database
from core.db.migrate import migrate
from core.jobs.scheduler import is_key_on_every_process
from core.ledger.planner import parse_day
from core.money import Credits, format_usd, parse_usd
from core.pool.types import KeySummary
from core.users.balances import grant_gift
from core.users.service import find_person


async def migrate_database(_: argparse.Namespace) -> int:
    """A new database is born live."""
    url = database_url(load())
    await migrate(url, "live", SystemClock())
    print_line("The database is at this version.")
    return 0


async def grant_credits(arguments: argparse.Namespace) -> int:
    """Gives Credits, with a reason, once."""
    if not 0 < arguments.credits <= 100_000_000:
        raise CommandRefused("A grant is a whole number of Credits above zero.")
    if not arguments.reason.strip():
        raise CommandRefused("A grant needs a reason.")
    async with open_as_asked(arguments) as base:
        person = await find_person(base.db, arguments.user)
        receipt = await grant_gift(
            base.ledger,
            base.clock,
            cause=arguments.id or ids.new_id("cli", base.clock.now_ms()),
            person=person,
            amount=Credits(arguments.credits),
            actor="operator",
            reason=arguments.reason.strip(),
        )
    have = sum(balance.available for balance in receipt.balances.values())
    done = "Given before" if receipt.existed else "Given"
    print_line(f"{done}: {arguments.credits:,} Credits to {person.id}, who has {have:,} now.")
    return 0


async def correct_day(arguments: argparse.Namespace) -> int:
    """Takes the books back to today, which the operator and this machine's clock agree on."""
    async with open_as_asked(arguments) as base:
        if as_utc_day(base.clock.now_ms()) != arguments.day:
            raise CommandRefused(
                f"This machine's clock says {as_utc_day(base.clock.now_ms())} (UTC). Set it right"
                " first: nothing was changed."
            )
        count = await base.ledger.correct_day(parse_day(arguments.day))
    print_line(
        f"The books count to {arguments.day} now; {count} accounts were ahead. Transfers stay as"
        " written. `creditbot audit` recomputes all of it."
    )
    return 0


async def add_key(arguments: argparse.Namespace) -> int:
    """A key from standard input, never from the command line."""
    try:
        budget = parse_usd(arguments.budget)
    except ValueError:
        raise CommandRefused("--budget is dollars, like 50 or 12.5") from None
    secret = SecretStr(Terminal().ask_secret("Key (hidden): "))
    if not secret.get_secret_value():
        raise CommandRefused("The key is read from standard input, and there was none.")
    async with open_as_asked(arguments) as base, open_pool(base) as pool:
        key = await pool.add_own_key(
            arguments.supplier, secret, budget, account_id=arguments.account
        )
    print_line(
        f"Added {key.supplier} …{key.tail} with {format_usd(key.budget)}. It serves within seconds."
    )
    return 0


async def list_keys(arguments: argparse.Namespace) -> int:
    """Every key, never the key itself."""
    async with open_as_asked(arguments) as base, open_pool(base) as pool:
        keys = await pool.list_keys()
    if not keys:
        print_line("There are no keys. Add one: creditbot keys add openai --budget 50")
    for key in keys:
        print_line(describe_key(key))
    return 0


def describe_key(key: KeySummary) -> str:
    """One line: its id, end, state and money, never the key itself."""
    reason = f" ({key.reason})" if key.reason else ""
    return (
        f"{key.id}  {key.supplier} …{key.tail}  {key.state}{reason}  used"
        f" {format_usd(key.used)} of {format_usd(key.budget)}"
    )


async def rotate_keys(arguments: argparse.Namespace) -> int:
    """Seals everything by the first master key; older ones can then leave the list."""
    async with open_as_asked(arguments) as base:
        require_master_keys(base.config)
        vault = build_vault(base.config)
        if not await is_key_on_every_process(base.db, base.clock, vault.master_key_ids[0]):
            raise CommandRefused(
                "A process that runs doesn't have the first master key of CREDITBOT_MASTER_KEYS."
                " Nothing was changed. Restart every process with the list as it is now, then"
                " rotate. One that was killed is forgotten after a minute."
            )
        sealed = await vault.rotate_master_key(base.db, base.ledger, SEALED_COLUMNS)
    print_line(f"{sealed} secrets are sealed by the first master key now.")
    return 0


async def publish_commands(_: argparse.Namespace) -> int:
    """Tells Discord the slash commands, in place of those it knows."""
    config = load()
    if not config.discord.is_set:
        raise CommandRefused("CREDITBOT_DISCORD_TOKEN is not set. Nothing was published.")
    from bots.discord import client, commands

    clock = SystemClock()
    db = await Database.open(database_url(config), kind="live", clock=clock, migrate=False)
    app = await build_app(config, db, clock)
    try:
        count = await commands.publish_commands(config.discord, app.chat.dispatcher)
    except client.DiscordUnavailable as unavailable:
        raise CommandRefused(client.describe_unavailable(unavailable)) from None
    finally:
        await app.services.base.ledger.stop()
        await db.close()
    print_line(f"{count} commands are published. Discord may take a minute to show them.")
    return 0


async def backup_to(arguments: argparse.Namespace) -> int:
    """A copy, while the service runs."""
    await back_up_database(database_url(load()), arguments.file)
    print_line(f"Copied to {arguments.file}. It holds sealed keys: keep the master key elsewhere.")
    return 0


async def restore_from(arguments: argparse.Namespace) -> int:
    """A copy back in place, where nothing is."""
    if not arguments.file.is_file():
        raise CommandRefused(f"{arguments.file} is not there. Nothing was changed.")
    await restore_database(database_url(load()), arguments.file)
    print_line("Restored. Run `creditbot audit` before you serve from it.")
    return 0
