"""Each table has one room that writes it, and rooms read what is theirs or below them.

What is found are the values of `core.db.writes` and all other uses of `schema.<table>`, by a name
that stands for one as well. What a room wants of another's table it asks of the owner: a row for
its submission by a function of the owner's, anything else by a method of a repository.
"""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "core" / "db" / "tables"
WRITES = {"Insert", "Update", "UpdateAll", "Add", "Delete"}
#: Who writes the tables of a file that isn't named after a room of core.
OWNERS: Mapping[str, tuple[str, ...]] = {
    "api": ("core/api_tokens",),
    "base": ("core/db",),
    "chat": ("bots/chat",),
    "jobs": ("core/jobs", "core/notification.py", "core/admin_log.py"),
    "payments": ("payments",),
}
#: Modules that write a table which a variable holds, and which tables those are.
VARIABLE_WRITES: Mapping[str, str] = {
    "core/pool/vault.py": "sealed columns, as their owners declare them",
    "core/users/limits.py": "its own two, which are written alike",
}
#: Modules that read tables of a room above them, and why.
UPWARD_READS: Mapping[str, tuple[str, str]] = {
    "core/api_tokens/repository.py": ("ask", "which days of tokens are still given back to"),
    "core/earnings/audit.py": ("usage", "compares everything"),
    "core/earnings/statistics.py": ("usage", "what keys were used for"),
    "core/earnings/valuation.py": ("usage", "what requests cost"),
    "core/pool/keys.py": ("contribution", "a key and its terms are read at once"),
    "core/pricing/tiers.py": ("person usage", "what a person bought and spent"),
    "core/users/referrals.py": ("ask", "whether somebody is new"),
    "core/users/statement_accounts.py": ("contribution", "which accounts are a person's"),
}
#: The floor of core's loose modules, which everybody may use.
GROUND = -100


@dataclass
class TableUses:
    """The uses of tables that were found: pairs of a module's path and a table's name."""

    reads: set[tuple[str, str]] = field(default_factory=set)
    writes: set[tuple[str, str]] = field(default_factory=set)
    #: Modules with writes of which the text doesn't say what table they are for.
    variable: set[str] = field(default_factory=set)
    #: Modules that have tables by another name than `schema.<table>`.
    renamed: set[str] = field(default_factory=set)


class TableVisitor(ast.NodeVisitor):
    """The visitor of one module finds its uses of tables."""

    def __init__(self, module: str, uses: TableUses) -> None:
        self.module, self.uses = module, uses
        #: Names that stand for a table, where the visitor is.
        self.names: dict[str, str] = {}

    def find_table(self, node: ast.AST) -> str | None:
        """The table that an expression is: `schema.order`, its columns, an alias, a name of it."""
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr="alias")):
                return self.find_table(value)
            case ast.Attribute(value=value, attr="c"):
                return self.find_table(value)
            case ast.Attribute(value=ast.Name(id="schema"), attr=name):
                return name
            case ast.Name(id=name):
                return self.names.get(name)
        return None

    def visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outside, self.names = self.names, dict(self.names)
        self.generic_visit(node)
        self.names = outside

    visit_FunctionDef = visit_AsyncFunctionDef = visit_function  # noqa: N815

    def visit_Assign(self, node: ast.Assign) -> None:
        (target, *_), value = node.targets, node.value
        pairs: list[tuple[ast.expr, ast.expr]] = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
        for name, expression in pairs:
            table = self.find_table(expression)
            if isinstance(name, ast.Name) and table is not None:
                self.names[name.id] = table
            else:
                self.visit(expression)

    def visit_Call(self, node: ast.Call) -> None:
        if not (isinstance(node.func, ast.Name) and node.func.id in WRITES):
            self.generic_visit(node)
            return
        table = self.find_table(node.args[0])
        if table is None:
            self.uses.variable.add(self.module)
        else:
            self.uses.writes.add((self.module, table))
        for argument in (*node.args[1:], *node.keywords):
            self.visit(argument)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        renamed = {alias.name for alias in node.names if alias.asname or alias.name == "writes"}
        if module.startswith(("core.db.schema", "core.db.tables")) or (
            module in {"core.db", "core.db.writes"} and renamed & {"schema", "writes", *WRITES}
        ):
            self.uses.renamed.add(self.module)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.value.id == "schema":
            self.uses.reads.add((self.module, node.attr))
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and node.id in self.names:
            self.uses.reads.add((self.module, self.names[node.id]))


def list_tables() -> dict[str, tuple[str, ...]]:
    """Each table's owners: paths in front of the modules that may write it."""
    return {
        str(node.args[0].value): OWNERS.get(file.stem, (f"core/{file.stem}",))
        for file in sorted(TABLES.glob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "sa.Table"
        if isinstance(node.args[0], ast.Constant)
    }


def list_modules() -> Iterator[tuple[str, str]]:
    """Paths and texts of all modules that may use tables: `core.db` defines and migrates them."""
    for room in ("core", "payments", "bots"):
        for file in sorted((ROOT / room).rglob("*.py")):
            if TABLES.parent not in file.parents:
                yield str(file.relative_to(ROOT)), file.read_text()


def read_floors() -> dict[str, int]:
    """How high each room stands: by the layers that imports keep (`make arrows`)."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [one["layers"] for one in contracts["contracts"] if one["type"] == "layers"]
    lines = [line for line in (*layers[0], *layers[1]) if line != "core"]
    return {
        room.replace(".", "/"): -floor
        for floor, line in enumerate(lines)
        for room in line.split(" | ")
    }


@pytest.fixture(scope="module")
def uses() -> TableUses:
    """All uses of tables in the product."""
    found = TableUses()
    for module, text in list_modules():
        if "schema" in text or "core.db.writes" in text:
            TableVisitor(module, found).visit(ast.parse(text))
    return found


def test_each_table_is_written_by_its_owner_alone(uses: TableUses) -> None:
    owners = list_tables()
    foreign = {
        (module, table) for module, table in uses.writes if not module.startswith(owners[table])
    }
    assert foreign == set()
    assert uses.variable == set(VARIABLE_WRITES)
    assert uses.renamed == set()


def test_rooms_read_what_is_theirs_or_below_them(uses: TableUses) -> None:
    owners, floors = list_tables(), read_floors()

    def get_floor(path: str) -> int:
        return next((floor for room, floor in floors.items() if path.startswith(room)), GROUND)

    upward = {
        (module, table)
        for module, table in uses.reads
        if table in owners and not module.startswith(owners[table])
        if get_floor(module) < min(get_floor(owner) for owner in owners[table])
    }
    assert upward == _pairs(UPWARD_READS)


def test_front_ends_and_commands_read_what_is_their_own(uses: TableUses) -> None:
    owners = list_tables()
    foreign = {
        (module, table)
        for module, table in uses.reads
        if module.startswith("bots/") and not module.startswith(owners[table])
    }
    assert foreign == set()


def _pairs(exceptions: Mapping[str, tuple[str, str]]) -> set[tuple[str, str]]:
    return {
        (module, table) for module, (tables, _) in exceptions.items() for table in tables.split()
    }


def test_the_page_of_architecture_says_who_writes_what() -> None:
    by_owners: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for table, owners in list_tables().items():
        by_owners[owners].append(table)
    rows = [
        f"| {', '.join(f'`{owner}`' for owner in owners)} | {', '.join(sorted(tables))} |"
        for owners, tables in sorted(by_owners.items())
    ]
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.partition("\n## Who writes which table\n")[2].partition("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("| `")] == rows
