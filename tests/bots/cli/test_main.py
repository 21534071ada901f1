"""The command line loads what is wanted, when it is wanted."""

from __future__ import annotations

import argparse
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pkgutil import resolve_name

import pytest

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


@pytest.mark.system
def test_help_loads_nothing_of_the_service() -> None:
    lines = (
        "import contextlib, io",
        "from bots.cli.main import main",
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):",
        "    main(['--help'])",
    )
    assert _list_loaded(*lines, among=_HEAVY) == "[]"


@pytest.mark.system
def test_a_ledger_on_sqlite_loads_no_driver_of_postgresql() -> None:
    assert _list_loaded("import core.ledger.ledger", among=("pysqlite3", "psycopg")) == (
        "['pysqlite3']"
    )


def _list_loaded(*lines: str, among: tuple[str, ...]) -> str:
    """Which modules a new process has loaded after these lines."""
    code = (*lines, f"import sys\nprint([name for name in {among!r} if name in sys.modules])")
    command = [sys.executable, "-c", "\n".join(code)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
