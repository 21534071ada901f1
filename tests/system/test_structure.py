"""How the code is built: each service made in one place, constructors small."""

from __future__ import annotations

import ast
import dataclasses
import typing
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bots import app, services

ROOT = Path(__file__).parents[2]
PRODUCT = ("core", "payments", "bots")
#: More parameters than this say that a class does more than one thing, or lacks a type.
PARAMETERS_MAX = 7


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the product by its path, without the schema's history."""
    for room in PRODUCT:
        for file in sorted((ROOT / room).rglob("*.py")):
            if "migrations" not in file.parts:
                yield str(file.relative_to(ROOT)), ast.parse(file.read_text())


def service_classes() -> set[str]:
    """Classes of which a running service has one object: whatever the groups of the graph hold."""
    found: set[str] = set()
    for module in (services, app):
        for group in vars(module).values():
            if dataclasses.is_dataclass(group) and group.__module__ == module.__name__:
                for kind in typing.get_type_hints(group).values():
                    found |= {
                        one.__name__ for one in (kind, *typing.get_args(kind)) if _is_ours(one)
                    }
    # Protocols and values; and every command opens the database for itself.
    return found - {"Clock", "Gateway", "Config", "Database"}


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
        for name, tree in modules()
        for kind in ast.walk(tree)
        if isinstance(kind, ast.ClassDef)
        for taken in [_constructor_parameters(kind)]
        if len(taken) > PARAMETERS_MAX
    ]
    assert long == []


def _constructor_parameters(kind: ast.ClassDef) -> list[str]:
    for node in kind.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            given = node.args
            return [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)][1:]
    return []
