"""What tests of i18n share."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import bots

ROOT = Path(bots.__file__).parent


def parse_files_with(word: str) -> Iterator[list[ast.AST]]:
    """All nodes of each file in which the word stands."""
    for file in ROOT.rglob("*.py"):
        if word in (source := file.read_text()):
            yield list(ast.walk(ast.parse(source)))


@functools.cache
def list_texts() -> dict[str, str]:
    """The text of every `say("…")` and of constants that are said, and of every `say_count("…",
    "…")`, with that for one; empty where there is none."""
    found = {}
    for nodes in parse_files_with("say"):
        constants = {}
        for node in nodes:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                constants[ast.unparse(node.targets[0])] = node.value.value

        def read(text: ast.expr, known: dict[str, str] = constants) -> str:
            return text.value if isinstance(text, ast.Constant) else known[ast.unparse(text)]

        for node in nodes:
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id == "say":
                found[read(node.args[0])] = ""
            elif node.func.id == "say_count":
                found[read(node.args[1])] = read(node.args[0])
    return found
