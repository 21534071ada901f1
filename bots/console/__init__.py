"""The console: a chat in the terminal, for the demo and for scripts."""

from __future__ import annotations

from bots.console.console import Console

__all__ = ["Console"]
