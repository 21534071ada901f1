"""What tests of i18n share."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import bots

ROOT = Path(bots.__file__).parent


@functools.cache
def list_texts() -> dict[str, str]:
    """The text of every `say("…")` and of constants that are said, and of every `say_count("…",
    "…")`, with that for one; empty where there is none."""
    found = {}
    for file in ROOT.rglob("*.py"):
        constants = {}
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                constants[ast.unparse(node.targets[0])] = node.value.value

        def read(text: ast.expr, known: dict[str, str] = constants) -> str:
            return text.value if isinstance(text, ast.Constant) else known[ast.unparse(text)]

        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id == "say":
                found[read(node.args[0])] = ""
            elif node.func.id == "say_count":
                found[read(node.args[1])] = read(node.args[0])
    return found
