"""What the documents say is so: settings, commands, targets; and the house stays tidy."""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bots.cli.main import parser
from bots.config.settings import PREFIX, setting_names

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
#: Hard bounds; most files have 60 to 500 lines, each one idea, and most functions fit on a screen.
LINES_MAX, FUNCTION_LINES_MAX = 700, 70
#: Told as a pattern in the README, since the operator names the suppliers.
SUPPLIER = f"{PREFIX}SUPPLIER_<NAME>_"


def files() -> list[Path]:
    """Everything that is committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_the_readme_names_every_setting_and_no_other() -> None:
    table = README.partition("## Settings")[2].partition("## More")[0]
    named = {name for name in re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", table) if name != PREFIX}
    named = {name for name in named if not name.startswith(f"{PREFIX}SUPPLIER")}
    assert named == {PREFIX + name for name, _, _ in setting_names()}
    assert SUPPLIER in table


def _commands(made: argparse.ArgumentParser) -> Iterator[str]:
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices


def test_the_readme_names_every_command_and_no_other() -> None:
    table = README.partition("## On the command line")[2].partition("## Settings")[0]
    named = set(re.findall(r"`creditbot (\w+)", table))
    assert named == set(_commands(parser()))


def test_make_help_lists_every_target_that_is_one() -> None:
    made = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", made, re.MULTILINE)
    assert phony is not None
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"make (\S+)", told.stdout))
    assert listed == set(phony[1].split())


def test_lock_files_hold_names_versions_and_hashes_alone() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text, name
        assert "--index" not in text, name
        for line in text.splitlines():
            assert re.match(r"[\w.\-\[\],]+==|    --hash=sha256:|    # via", line), (name, line)


def test_nothing_names_a_registry_or_a_place_of_one_machine() -> None:
    # Spelled in pieces, so that this file isn't found by itself.
    hosts = ["python" + "hosted", "pypi" + ".org", "registry." + "npmjs", "deb." + "debian"]
    places = "|".join("/" + one + "/" for one in ("wo" + "rk", "fa" + "rm", "ro" + "ot"))
    forbidden = re.compile(rf"{'|'.join(map(re.escape, hosts))}|(?<![\w.])(?:{places})")
    for file in files():
        try:
            text = file.read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        found = forbidden.search(text)
        assert found is None, (file.relative_to(ROOT), found)


@pytest.mark.parametrize("room", ["core", "payments", "bots", "benchmarks", "tests"])
def test_files_and_functions_keep_their_bounds(room: str) -> None:
    long = []
    for file in sorted((ROOT / room).rglob("*.py")):
        text = file.read_text()
        if len(text.splitlines()) > LINES_MAX:
            long.append(f"{file.name}: {len(text.splitlines())} lines")
        if "migrations" in file.parts:  # a schema is one thing to read
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    long.append(f"{file.name}: {node.name} has {length} lines")
    assert long == []


def test_documents_name_files_and_methods_that_are_there() -> None:
    """`core/asks/service.py`, `AskService.start_ask`: of every page, as long as they aren't
    patterns."""
    code = "\n".join(file.read_text() for file in files() if file.suffix == ".py")
    missing = []
    for page in (file for file in files() if file.suffix == ".md" and file.exists()):
        for named in re.findall(r"`([\w./]+)`", page.read_text()):
            method = re.fullmatch(r"([A-Z]\w+)\.([a-z_]+)", named)
            path = re.fullmatch(r"(core|payments|bots|tests|docs|benchmarks)/[\w./]+", named)
            is_known = method is None or (
                re.search(rf"class {method[1]}\b", code) is not None and f"{method[2]}(" in code
            )
            if not is_known or (path is not None and not (ROOT / named).exists()):
                missing.append((page.name, named))
    assert missing == []
