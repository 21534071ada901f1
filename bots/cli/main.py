"""`creditbot`: the operator's command line. Each command's work is in its own module, which is
loaded when it is wanted: help is there at once."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, TypeAlias

Work = Callable[[argparse.Namespace], Coroutine[Any, Any, int]]
#: The library has no other name for it.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0, or 1 with a sentence that says what to do."""
    arguments = parser().parse_args(argv)
    try:
        return _perform(arguments)
    except BrokenPipeError:  # whoever read us has enough: `creditbot export … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _perform(arguments: argparse.Namespace) -> int:
    with _pause_collector():
        from bots.cli.output import describe_error, print_line
        from bots.config.settings import SettingsWrong
        from core.errors import Refusal

        work: Work = resolve_name(arguments.work)
    try:
        return _loop(work(arguments))
    except SettingsWrong as wrong:
        print_line("These settings can't be used:", error=True)
        for name, what in wrong.problems.items():
            print_line(f"  {name} {what}", error=True)
        return 1
    except Refusal as refusal:
        print_line(describe_error(refusal), error=True)
        return 1
    except OSError as failure:
        if failure.filename is None:
            raise
        print_line(f"{failure.filename}: {failure.strerror}. Nothing was done.", error=True)
        return 1


@contextlib.contextmanager
def _pause_collector() -> Iterator[None]:
    """While modules are loaded: they make many objects, and no garbage to look for among them."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


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
    _add_service(commands)
    _add_books(commands)
    _add_grant(commands)
    _add_keys(commands)
    _add_discord(commands)
    _add_codes(commands)
    _add_payments(commands)
    _add_copies(commands)
    return top


def _add(commands: Commands, name: str, what: str, work: str) -> argparse.ArgumentParser:
    """A command; `work` names its function, as `module:name`."""
    made = commands.add_parser(name, help=what, description=what)
    made.set_defaults(work=work)
    return made


def _add_acts(commands: Commands, name: str, what: str) -> Commands:
    """A command of two words."""
    return commands.add_parser(name, help=what).add_subparsers(required=True, metavar="act")


def _add_service(commands: Commands) -> None:
    what = "ask for tokens and keys, write .env, print the owner's link"
    made = _add(commands, "init", what, "bots.cli.init:init")
    made.add_argument("--env-file", type=Path, default=Path(".env"))
    made.add_argument("--database-url", default="")
    made.add_argument("--telegram-token-file", type=Path, help="instead of asking")
    made.add_argument("--discord-token-file", type=Path, help="instead of asking")
    made.add_argument("--support-contact", default="", help="whom people write to about payments")
    made.add_argument("--supplier", default="", help="instead of asking, e.g. openai")
    made.add_argument("--supplier-key-file", type=Path, help="instead of asking")
    made.add_argument("--account", default="", help="Cloudflare's account id")
    made.add_argument("--budget", default="", help="dollars that the supplier's key may cost")
    _add(
        commands,
        "run",
        "the service: every front end that settings name, and the HTTP app",
        "bots.cli.main:run_service",
    )
    _add(
        commands,
        "demo",
        "a chat in this terminal, with a sandbox supplier",
        "bots.cli.main:run_demo",
    )
    _add(
        commands,
        "migrate",
        "bring the database to this version",
        "bots.cli.operator:migrate_database",
    )
    _add(commands, "check", "look at settings, database, keys and prices", "bots.cli.check:check")


def _add_books(commands: Commands) -> None:
    audit = _add(
        commands, "audit", "recompute the ledger from its transfers", "bots.cli.books:audit_ledger"
    )
    audit.add_argument("--json", action="store_true")
    export = _add(commands, "export", "the whole ledger as text", "bots.cli.books:export")
    export.add_argument("--format", choices=("beancount", "csv"), required=True)
    export.add_argument("--out", type=Path, help="a file; standard output unless given")
    report = _add(commands, "report", "both layers of the economy", "bots.cli.books:show_report")
    report.add_argument("--json", action="store_true")
    report.add_argument("--days", default="", help="today, 7d, 30d or two dates; all unless given")
    what = "take the books back to today, after a wrong clock took them ahead"
    acts = _add_acts(commands, "day", "the day that the books count to")
    correct = acts.add_parser("correct", help=what)
    correct.add_argument("day", help="today in UTC, as YYYY-MM-DD: the clock must say so too")
    correct.set_defaults(work="bots.cli.operator:correct_day")
    _kind(correct)


def _add_grant(commands: Commands) -> None:
    grant = _add(commands, "grant", "give a person Credits", "bots.cli.operator:grant_credits")
    grant.add_argument("user", help="telegram:123, or an id as /report shows it")
    grant.add_argument("credits", type=int)
    grant.add_argument("--reason", required=True)
    grant.add_argument("--id", default="", help="of the cause: given twice, it is done once")
    _kind(grant)


def _add_keys(commands: Commands) -> None:
    acts = _add_acts(commands, "keys", "the operator's own supplier keys")
    add = acts.add_parser("add", help="add a key; the key itself is read from standard input")
    add.add_argument("supplier")
    add.add_argument("--budget", required=True, help="dollars that it may cost, e.g. 50")
    add.add_argument("--account", default="", help="Cloudflare's account id")
    add.set_defaults(work="bots.cli.operator:add_key")
    listed = acts.add_parser("list", help="every key with its state and money")
    listed.set_defaults(work="bots.cli.operator:list_keys")
    rotate = acts.add_parser("rotate", help="seal everything by the first master key")
    rotate.set_defaults(work="bots.cli.operator:rotate_keys")
    for act in (add, listed, rotate):
        _kind(act)


def _add_discord(commands: Commands) -> None:
    acts = _add_acts(commands, "discord", "what Discord is told once")
    sync = acts.add_parser("sync", help="publish the slash commands")
    sync.set_defaults(work="bots.cli.operator:publish_commands")


def _add_codes(commands: Commands) -> None:
    acts = _add_acts(commands, "codes", "codes to be sold elsewhere, for /redeem")
    make = acts.add_parser("make", help="make codes; they are shown this once")
    make.add_argument("--cash", required=True, help="dollars that each is sold for, e.g. 10")
    make.add_argument("--count", type=int, default=1)
    make.add_argument("--expires", type=int, help="days that they are good for; for ever else")
    make.add_argument("--out", type=Path, help="a CSV file; standard output unless given")
    make.set_defaults(work="bots.cli.codes:make")
    listed = acts.add_parser("list", help="every code with what became of it")
    listed.add_argument("batch", nargs="?", default="")
    listed.set_defaults(work="bots.cli.codes:show")
    void = acts.add_parser("void", help="a code or a batch is good no more")
    void.add_argument("name", help="an id or a batch, as `codes list` shows it")
    void.set_defaults(work="bots.cli.codes:void")
    for act in (make, listed, void):
        _kind(act)


def _add_payments(commands: Commands) -> None:
    acts = _add_acts(commands, "payments", "orders and what gateways say of them")
    again = acts.add_parser("reconcile", help="ask the gateways about every order that waits")
    again.add_argument(
        "--full",
        action="store_true",
        help="compare all that moved in 180 days with the books, and print the sums",
    )
    again.set_defaults(work="bots.cli.payments:reconcile")


def _add_copies(commands: Commands) -> None:
    what = "an exact copy, taken while running (SQLite)"
    made = _add(commands, "backup", what, "bots.cli.operator:backup_to")
    made.add_argument("file", type=Path)
    made = _add(
        commands,
        "restore",
        "a copy becomes the database (SQLite)",
        "bots.cli.operator:restore_from",
    )
    made.add_argument("file", type=Path)


def _kind(command: argparse.ArgumentParser) -> None:
    command.add_argument("--demo", action="store_true", help="on the demo's database")


async def run_service(_: argparse.Namespace) -> int:
    """`creditbot run`."""
    with _pause_collector():
        from bots.config.settings import load
        from bots.run import run

    return await run(load())


async def run_demo(_: argparse.Namespace) -> int:
    """`creditbot demo`."""
    with _pause_collector():
        from bots.config.settings import load
        from bots.demo import demo

    return await demo(load())


if __name__ == "__main__":
    sys.exit(main())
