"""Every sentence that a user reads, in every language."""

from __future__ import annotations

from bots.locale.words import LANGUAGES, catalogue, language_for, render, zone_of

__all__ = ["LANGUAGES", "catalogue", "language_for", "render", "zone_of"]
