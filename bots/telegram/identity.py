"""Who a token is: for set-up and checks, without starting anything."""

from __future__ import annotations

from telegram import Bot
from telegram.error import TelegramError
from telegram.request import HTTPXRequest

from bots.telegram.config import TelegramConfig

_SECONDS = 10.0


async def who_am_i(config: TelegramConfig) -> str | None:
    """The bot's user name; None when the token is refused or Telegram can't be reached."""
    request = HTTPXRequest(connect_timeout=_SECONDS, read_timeout=_SECONDS, pool_timeout=_SECONDS)
    bot = Bot(
        config.token.get_secret_value(),
        base_url=f"{config.api_url.rstrip('/')}/bot",
        request=request,
    )
    try:
        async with bot:
            return bot.username
    except TelegramError:
        return None
    finally:
        # A bot that could not begin does not close what it opened.
        await request.shutdown()
