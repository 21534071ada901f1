"""The command line loads what is wanted, when it is wanted."""

from __future__ import annotations

import argparse
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pkgutil import resolve_name

from bots.cli.main import parser

#: What help may not wait for.
_HEAVY = ("pydantic", "sqlalchemy", "aiohttp", "telegram", "discord", "bots.run", "core.ledger")


def _list_works(command: argparse.ArgumentParser) -> Iterator[str]:
    """The function behind each command."""
    acts = [act for act in command._actions if isinstance(act, argparse._SubParsersAction)]
    if not acts:
        yield command.get_default("work")
    for act in acts:
        for below in act.choices.values():
            yield from _list_works(below)


def test_each_command_names_a_function_that_there_is() -> None:
    works = list(_list_works(parser()))
    assert len(works) > 15
    for work in works:
        assert inspect.iscoroutinefunction(resolve_name(work)), work


def test_help_loads_nothing_of_the_service() -> None:
    code = (
        "import contextlib, io, sys\n"
        "from bots.cli.main import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    main(['--help'])\n"
        f"print([name for name in {_HEAVY!r} if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
