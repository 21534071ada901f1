"""`creditbot`: the operator's command line. Each command's work is in its own module."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from bots.cli import books, codes as vouchers, init as setup, operator, payments as selling
from bots.cli.errors import in_words
from bots.config.settings import SettingsWrong, load
from bots.output import tell
from bots.run import demo, run
from core.errors import Refusal

Work = Callable[[argparse.Namespace], Coroutine[Any, Any, int]]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0, or 1 with a sentence that says what to do."""
    arguments = parser().parse_args(argv)
    work: Work = arguments.work
    try:
        return _loop(work(arguments))
    except SettingsWrong as wrong:
        tell("These settings can't be used:", error=True)
        for name, what in wrong.problems.items():
            tell(f"  {name} {what}", error=True)
        return 1
    except Refusal as refusal:
        tell(in_words(refusal), error=True)
        return 1
    except BrokenPipeError:  # whoever read us has enough: `creditbot export … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as failure:
        if failure.filename is None:
            raise
        tell(f"{failure.filename}: {failure.strerror}. Nothing was done.", error=True)
        return 1
    except KeyboardInterrupt:
        return 130


def _loop(work: Coroutine[Any, Any, int]) -> int:
    try:
        import uvloop
    except ImportError:  # not on this platform
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def parser() -> argparse.ArgumentParser:
    """Every command with its flags."""
    top = argparse.ArgumentParser(
        prog="creditbot",
        description="Over forty language models on Telegram and Discord, paid in Credits.",
    )
    commands = top.add_subparsers(required=True, metavar="command")

    def command(name: str, what: str, work: Work) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=what, description=what)
        made.set_defaults(work=work)
        return made

    init = command(
        "init", "ask for tokens and keys, write .env, print the owner's link", setup.init
    )
    init.add_argument("--env-file", type=Path, default=Path(".env"))
    init.add_argument("--database-url", default="")
    init.add_argument("--telegram-token-file", type=Path, help="instead of asking")
    init.add_argument("--supplier", default="", help="instead of asking, e.g. openai")
    init.add_argument("--supplier-key-file", type=Path, help="instead of asking")
    init.add_argument("--budget", default="", help="dollars that the supplier's key may cost")
    command("run", "the service: every front end that settings name, and the HTTP app", _run)
    command("demo", "a chat in this terminal, with a sandbox supplier", _demo)
    command("migrate", "bring the database to this version", operator.migrate_database)
    command("check", "look at settings, database, keys and prices", operator.check)

    audit = command("audit", "recompute the ledger from its transfers", books.audit_ledger)
    audit.add_argument("--json", action="store_true")
    export = command("export", "the whole ledger as text", books.export)
    export.add_argument("--format", choices=("beancount", "csv"), required=True)
    export.add_argument("--out", type=Path, help="a file; standard output unless given")
    report = command("report", "both layers of the economy", books.show_report)
    report.add_argument("--json", action="store_true")
    report.add_argument("--days", default="", help="today, 7d, 30d or two dates; all unless given")

    grant = command("grant", "give a person Credits", operator.grant_credits)
    grant.add_argument("user", help="telegram:123, or an id as /report shows it")
    grant.add_argument("credits", type=int)
    grant.add_argument("--reason", required=True)
    grant.add_argument("--id", default="", help="of the cause: given twice, it is done once")
    _kind(grant)

    _acts(commands)

    backup = command("backup", "an exact copy, taken while running (SQLite)", operator.backup_to)
    backup.add_argument("file", type=Path)
    restore = command("restore", "a copy becomes the database (SQLite)", operator.restore_from)
    restore.add_argument("file", type=Path)
    return top


def _acts(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Commands of two words."""
    keys = commands.add_parser("keys", help="the operator's own supplier keys")
    acts = keys.add_subparsers(required=True, metavar="act")
    add = acts.add_parser("add", help="add a key; the key itself is read from standard input")
    add.add_argument("supplier")
    add.add_argument("--budget", required=True, help="dollars that it may cost, e.g. 50")
    add.add_argument("--account", default="", help="Cloudflare's account id")
    add.set_defaults(work=operator.add_key)
    shown = acts.add_parser("list", help="every key with its state and money")
    shown.set_defaults(work=operator.list_keys)
    rotate = acts.add_parser("rotate", help="seal everything by the first master key")
    rotate.set_defaults(work=operator.rotate_keys)
    for act in (add, shown, rotate):
        _kind(act)

    discord = commands.add_parser("discord", help="what Discord is told once")
    acts = discord.add_subparsers(required=True, metavar="act")
    sync = acts.add_parser("sync", help="publish the slash commands")
    sync.set_defaults(work=operator.publish_commands)

    codes = commands.add_parser("codes", help="codes to be sold elsewhere, for /redeem")
    acts = codes.add_subparsers(required=True, metavar="act")
    make = acts.add_parser("make", help="make codes; they are shown this once")
    make.add_argument("--cash", required=True, help="dollars that each is sold for, e.g. 10")
    make.add_argument("--count", type=int, default=1)
    make.add_argument("--expires", type=int, help="days that they are good for; for ever else")
    make.add_argument("--out", type=Path, help="a CSV file; standard output unless given")
    make.set_defaults(work=vouchers.make)
    listed = acts.add_parser("list", help="every code with what became of it")
    listed.add_argument("batch", nargs="?", default="")
    listed.set_defaults(work=vouchers.show)
    void = acts.add_parser("void", help="a code or a batch is good no more")
    void.add_argument("name", help="an id or a batch, as `codes list` shows it")
    void.set_defaults(work=vouchers.void)
    for act in (make, listed, void):
        _kind(act)

    payments = commands.add_parser("payments", help="orders and what gateways say of them")
    acts = payments.add_subparsers(required=True, metavar="act")
    again = acts.add_parser("reconcile", help="ask the gateways about every order that waits")
    again.set_defaults(work=selling.reconcile)


def _kind(command: argparse.ArgumentParser) -> None:
    command.add_argument("--demo", action="store_true", help="on the demo's database")


async def _run(_: argparse.Namespace) -> int:
    return await run(load())


async def _demo(_: argparse.Namespace) -> int:
    return await demo(load())


if __name__ == "__main__":
    sys.exit(main())
