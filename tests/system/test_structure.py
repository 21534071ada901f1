"""How the code is built and named: each service is made in one place, and names can be searched
for."""

from __future__ import annotations

import ast
import dataclasses
import functools
import typing
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bots import app, services
from payments import services as payment_services

ROOT = Path(__file__).parents[2]
PRODUCT = ("core", "payments", "bots")
#: More parameters than this say that a class does more than one thing, or lacks a type.
PARAMETERS_MAX = 7
#: Nouns of the field that end like gerunds; the glossary names them.
ING_NOUNS = {"pricing", "repricing", "streaming"}
#: Metaphors and words of this house alone, and names that say nothing: no module is called so.
BANNED_MODULES = {
    *("parts", "plan", "rooms", "room", "desk", "stage", "scene", "lookout", "standing", "rack"),
    *("purses", "tills", "shop", "road", "conclusions", "helpers", "utils", "misc", "common"),
}
#: Names of methods by which nobody finds anything.
BANNED_METHODS = {
    *("of", "look", "room", "told", "heard", "gone", "known", "moved", "late", "again", "given"),
    *("by", "all", "more", "less", "back", "whose", "elsewhere", "one", "it", "do", "first"),
}
LINES_LEAST = 60
#: Ports, types, rows and a command or two, which are short by nature.
SHORT_MODULES = {
    *("core/admin_log.py", "core/errors.py", "core/api_tokens/caps.py", "core/asks/chat_moves.py"),
    *("core/db/errors.py", "core/db/tables/base.py"),
    *("core/db/tables/admin.py", "core/db/tables/chat.py", "core/db/tables/jobs.py"),
    *("core/db/tables/pool.py", "payments/gateways/stripe_client.py"),
    *("core/ledger/day_correction.py", "core/pool/providers/transcription.py"),
    "core/process_limits.py",
    *("bots/telegram/rate_limiter.py", "bots/render/pace.py"),
}
DOCSTRING_WORDS_LEAST = 6


@functools.cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Every module of the product by its path, without the schema's history."""
    return tuple(
        (str(file.relative_to(ROOT)), ast.parse(file.read_text()))
        for room in PRODUCT
        for file in sorted((ROOT / room).rglob("*.py"))
        if "migrations" not in file.parts
    )


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """Every class with its module's path."""
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield name, node


def service_classes() -> set[str]:
    """Classes of which a running service has one object: whatever the groups of the graph hold."""
    found: set[str] = set()
    for module in (services, payment_services, app):
        for group in vars(module).values():
            if dataclasses.is_dataclass(group) and group.__module__ == module.__name__:
                for kind in typing.get_type_hints(group).values():
                    found |= {
                        one.__name__ for one in (kind, *typing.get_args(kind)) if _is_ours(one)
                    }
    # Protocols and values; and every command opens the database for itself.
    return found - {"Clock", "Gateway", "Config", "Database", "Offer"}


def _is_ours(kind: object) -> bool:
    return isinstance(kind, type) and kind.__module__.partition(".")[0] in PRODUCT


def test_each_service_class_is_constructed_in_one_module() -> None:
    kinds = service_classes()
    assert {"Ledger", "Pool", "AskService", "Refunds", "Services", "Scheduler"} <= kinds
    made: dict[str, set[str]] = defaultdict(set)
    for name, tree in modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            if isinstance(called, ast.Attribute) and called.attr in ("open", "load", "create"):
                called = called.value
            if isinstance(called, ast.Name) and called.id in kinds:
                made[called.id].add(name)
    assert {kind: sorted(places) for kind, places in made.items() if len(places) > 1} == {}


def test_constructors_are_small() -> None:
    long = [
        f"{name}: {kind.name} takes {len(taken)}: {', '.join(taken)}"
        for name, kind in classes()
        for taken in [_constructor_parameters(kind)]
        if len(taken) > PARAMETERS_MAX
    ]
    assert long == []


def test_whoever_has_the_ledger_takes_its_database_and_its_clock() -> None:
    twice = [
        f"{name}: {kind.name}"
        for name, kind in classes()
        if {"ledger"} < {"ledger", "db", "clock"} & set(_constructor_parameters(kind))
    ]
    assert twice == []


def _constructor_parameters(kind: ast.ClassDef) -> list[str]:
    for node in kind.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            given = node.args
            return [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)][1:]
    return []


def test_modules_are_called_by_nouns_of_the_field() -> None:
    wrong = []
    for name, _ in modules():
        word = Path(name).stem
        gerund = word.endswith("ing") and word not in ING_NOUNS
        if gerund or word in BANNED_MODULES:
            wrong.append(name)
    assert wrong == []


def test_public_methods_can_be_searched_for() -> None:
    wrong = [
        f"{name}: {kind.name}.{method.name}"
        for name, kind in classes()
        for method in kind.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
        and method.name in BANNED_METHODS
    ]
    assert wrong == []


def test_no_module_is_a_crumb() -> None:
    short = {
        name
        for name, _ in modules()
        if not name.endswith("__init__.py")
        and len((ROOT / name).read_text().splitlines()) < LINES_LEAST
    }
    assert short == SHORT_MODULES


def test_no_test_module_is_imported() -> None:
    """What tests share stands beside them (`*_support.py`), in `tests/support` or `tests/peers`: a
    test's file can be moved or run alone."""
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        for name in _list_imported(node)
        if any(part.startswith("test_") for part in name.split("."))
        and (ROOT / (name.replace(".", "/") + ".py")).exists()
    ]
    assert wrong == []


def _list_imported(node: ast.AST) -> list[str]:
    """The modules that an import may bring, by their whole names."""
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        return [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
    return []


def test_packages_export_nothing() -> None:
    full = [name for name, tree in modules() if name.endswith("__init__.py") and tree.body[1:]]
    assert full == []


def test_class_docstrings_say_what_a_thing_is() -> None:
    empty = [
        f"{name}: {kind.name}"
        for name, kind in classes()
        if not kind.name.startswith("_")
        and not kind.name.endswith("Arguments")
        and len((ast.get_docstring(kind) or "").split()) < DOCSTRING_WORDS_LEAST
    ]
    assert empty == []
