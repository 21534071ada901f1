"""Discord: interactions and messages in, messages out, through the discord.py library."""

from __future__ import annotations

from bots.discord.adapter import Discord
from bots.discord.client import DiscordUnavailable, who_am_i
from bots.discord.commands import definitions, sync
from bots.discord.config import API_URL, DiscordConfig
from bots.discord.outbox import Refused

__all__ = [
    "API_URL",
    "Discord",
    "DiscordConfig",
    "DiscordUnavailable",
    "Refused",
    "definitions",
    "sync",
    "who_am_i",
]
