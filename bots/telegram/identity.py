"""Who a token is: for set-up and checks, without starting anything."""

from __future__ import annotations

from telegram import Bot
from telegram.error import TelegramError

from bots.telegram.config import TelegramConfig


async def who_am_i(config: TelegramConfig) -> str | None:
    """The bot's user name; None when the token is refused or Telegram can't be reached."""
    bot = Bot(config.token.get_secret_value(), base_url=f"{config.api_url}/bot")
    try:
        async with bot:
            return bot.username
    except TelegramError:
        return None
