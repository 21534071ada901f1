"""The official clients, each imported by the test that first uses it: they are 3,700 modules, and
every worker would otherwise spend two seconds of the processor on them to collect what it is not
going to run."""

from __future__ import annotations

import importlib
from typing import Any


class _LateModule:
    """A module that is imported with the first look into it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # whoever collects tests asks every name about itself
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)


anthropic = _LateModule("anthropic")
openai = _LateModule("openai")
