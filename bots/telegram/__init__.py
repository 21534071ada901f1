"""Telegram: updates in, messages out, through the python-telegram-bot library."""

from __future__ import annotations

from bots.telegram.adapter import Telegram, TelegramUnavailable
from bots.telegram.config import WEBHOOK_PATH, TelegramConfig
from bots.telegram.identity import who_am_i
from bots.telegram.outbox import Refused

__all__ = [
    "WEBHOOK_PATH",
    "Refused",
    "Telegram",
    "TelegramConfig",
    "TelegramUnavailable",
    "who_am_i",
]
