"""What the documents say is so: settings, commands, targets; and the house stays tidy."""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bots.api import chat_requests, message_requests
from bots.cli.main import parser
from bots.config.settings import PREFIX, Config, setting_names
from core.money import NanoUsd, format_decimal

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
#: Hard bounds; most files have 60 to 500 lines, each one idea, and most functions fit on a screen.
LINES_MAX, FUNCTION_LINES_MAX = 700, 70
#: Told as a pattern, since the operator names the suppliers.
SUPPLIER = f"{PREFIX}SUPPLIER_<NAME>_"


def files() -> list[Path]:
    """Everything that is committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def _list_settings(page: str) -> dict[str, str]:
    """Each setting of a page's tables, without its prefix, and the row that is about it."""
    rows: dict[str, str] = {}
    for row in page.splitlines():
        if row.startswith("| `"):
            for name in re.findall(rf"`{PREFIX}([A-Z_]+)`", row.split("|")[1]):
                assert name not in rows, f"{name} has two rows"
                rows[name] = row
    return rows


def test_the_page_of_settings_names_each_with_what_holds_unless_it_is_set() -> None:
    rows = _list_settings(SETTINGS)
    assert set(rows) == {name for name, _, _ in setting_names()}
    assert SUPPLIER in SETTINGS
    config = Config()
    for name, section, field in setting_names():
        value = getattr(getattr(config, section), field)
        if isinstance(value, NanoUsd):
            forms = [format_decimal(value), f"{value.units // 10**9:,}"]
        elif isinstance(value, int) and not isinstance(value, bool) and value:
            forms = [str(value), f"{value:,}"]
        elif isinstance(value, str) and value:
            forms = [value]
        else:  # off, or nothing
            continue
        assert any(form in rows[name] for form in forms), (name, forms)


def test_the_readme_names_few_settings_and_only_real_ones() -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", README))
    known = {PREFIX + name for name, _, _ in setting_names()}
    assert {name for name in named if not name.startswith(f"{PREFIX}SUPPLIER")} <= known
    table = README.partition("## The settings that matter")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\| `", table, re.MULTILINE)) == 5


def _commands(made: argparse.ArgumentParser) -> Iterator[str]:
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices


def test_the_page_of_commands_names_every_one_and_no_other() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    table = page.partition("## On the command line")[2]
    named = set(re.findall(r"`creditbot (\w+)", table))
    assert named == set(_commands(parser()))


def _list_command_lines(text: str) -> Iterator[list[str]]:
    """The words behind each `creditbot` that a page writes as code, up to the next command."""
    for code in re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL):
        for found in re.finditer(
            r"(?:^|`|/bin/|bot |&& )creditbot((?: [\w\-./:…\[\]\\|]+)+)", code, re.MULTILINE
        ):
            yield found[1].split()


def test_pages_write_commands_as_they_are() -> None:
    wrong = []
    for page in (file for file in files() if file.suffix == ".md" and file.exists()):
        for words in _list_command_lines(page.read_text()):
            at: argparse.ArgumentParser = parser()
            for word in words:
                below = dict(_choices(at))
                if word.startswith(("--", "[--")):
                    if word.strip("[]") not in at._option_string_actions:
                        wrong.append((page.name, words, word))
                elif below:
                    if word not in below:
                        wrong.append((page.name, words, word))
                        break
                    at = below[word]
    assert wrong == []


def _choices(made: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


#: The demo's own.
CONSOLE_COMMANDS = {"admin", "crowd"}
#: What begins with a slash and is no command of ours: paths, accounts of the ledger, and what
#: @BotFather is told.
NO_COMMANDS = {
    *("bought", "earned"),
    *("webhooks", "healthz", "readyz", "metrics", "paid", "bot", "etc", "var", "opt", "tmp"),
    "v",  # /v1, before the API's paths
    *("newbot", "setdescription", "setabouttext", "setuserpic", "setprivacy", "setjoingroups"),
}


def test_pages_name_commands_of_the_chat_that_there_are() -> None:
    stored = (ROOT / "tests" / "system" / "stored_names.txt").read_text()
    known = set(re.findall(r"^command (\w+)$", stored, re.MULTILINE)) | CONSOLE_COMMANDS
    wrong = []
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for code in re.findall(r"`(/[^`\n]+)`", page.read_text()):
            found = re.match(r"/([a-z]+)", code)
            if found and found[1] not in known | NO_COMMANDS:
                wrong.append((page.name, code))
    assert wrong == []


def test_make_help_lists_every_target_that_is_one() -> None:
    made = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", made, re.MULTILINE)
    assert phony is not None
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"make (\S+)", told.stdout))
    assert listed == set(phony[1].split())


def test_lock_files_hold_names_versions_and_hashes_alone() -> None:
    clients = ROOT / "tests" / "clients" / "locks"
    for file in (*ROOT.glob("requirements*.lock"), *clients.glob("*.txt")):
        text = file.read_text()
        assert "://" not in text, file.name
        assert "--index" not in text, file.name
        for line in text.splitlines():
            assert re.match(r"[\w.\-\[\],]+==|    --hash=sha256:|    # via", line), (
                file.name,
                line,
            )
    for file in clients.glob("*.json"):
        assert "://" not in file.read_text(), file.name
        for name, package in json.loads(file.read_text())["packages"].items():
            assert not name or package["integrity"].startswith("sha512-"), (file.name, name)
            assert "resolved" not in package, (file.name, name)


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


def _list_headings(page: Path) -> list[str]:
    """A page's headings, without those in blocks of code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^#+ (.*)$", text, re.MULTILINE)


def _anchor(heading: str) -> str:
    """The name by which GitHub links to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in (file for file in files() if file.suffix == ".md" and file.exists()):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in map(_anchor, _list_headings(file))):
                broken.append((page.name, target))
    assert broken == []


def test_pages_begin_with_their_contents_and_are_all_listed() -> None:
    listed = (ROOT / "docs" / "operating.md").read_text()
    without = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text()
        assert page.name == "operating.md" or f"({page.name})" in listed, page.name
        heads = re.findall(
            r"^## (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
        )
        contents = text.partition("\n## ")[0]
        missing = [head for head in heads if f"](#{_anchor(head)})" not in contents]
        if len(heads) > 1 and missing:
            without.append((page.name, missing))
    assert without == []


def test_the_page_of_troubles_quotes_what_the_program_says() -> None:
    """What is seen is in italics, with … for what differs from time to time."""
    rooms = (file for file in files() if file.suffix == ".py" and "tests" not in file.parts)
    code = "\n".join(file.read_text() for file in rooms if file.exists())
    said = re.sub(r'"\s*\n\s*f?"', "", code).lower()
    page = (ROOT / "docs" / "trouble.md").read_text()
    seen = [row.split("|")[1] for row in page.splitlines() if row.startswith("| ")]
    quotes = [quote for cell in seen for quote in re.findall(r"\*([^*]+)\*", cell)]
    assert len(quotes) >= 20
    parts = [part.strip(" .:").lower() for quote in quotes for part in quote.split("…")]
    assert [part for part in parts if part not in said] == []


def test_the_page_of_the_api_names_each_field_and_each_code() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    table = page.partition("| fields |")[2].partition("\n\n")[0]
    rows = [row.split("|") for row in table.splitlines()[2:]]
    for column, rules in (
        (2, chat_requests.FIELD_RULES),
        (3, message_requests.FIELD_RULES),
    ):
        served, sampling, ignored, refused = (
            set(re.findall(r"`(\w+)`", row[column])) for row in rows
        )
        assert served | sampling == rules.served
        assert (ignored, refused) == (rules.ignored, set(rules.harmless))
    code = "\n".join(file.read_text() for file in (ROOT / "bots" / "api").glob("*.py"))
    codes = set(re.findall(r'code="(\w+)"', code))
    errors = page.partition("## Errors")[2].partition("\n## ")[0]
    assert len(codes) > 15
    assert codes <= set(re.findall(r"`(\w+)`", errors))
