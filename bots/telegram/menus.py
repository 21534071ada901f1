"""The bot's menus and descriptions, by language and scope, told to Telegram where they differ."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from telegram import (
    Bot,
    BotCommand,
    BotCommandScope,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
)
from telegram.error import TelegramError

from bots.chat.types import Front
from bots.render.plain_text import one_line
from core.errors import cause

_log = logging.getLogger(__name__)

_DESCRIPTION_MAX: Final = 256
_ABOUT_MAX: Final = 512
_SHORT_MAX: Final = 120
_COMMANDS_MAX: Final = 100

Kind = Literal["private", "group", "admin"]


async def tell(bot: Bot, front: Front) -> None:
    """Sets whatever Telegram does not show yet. A refusal is logged and passed over."""
    for number, language in enumerate(front.languages()):
        # Telegram knows two-letter languages; the first one is also everybody else's.
        codes = [language.partition("-")[0].lower(), *([None] if number == 0 else [])]
        for code in codes:
            for scope, kind in _scopes(front):
                await _tolerant(_commands, bot, front, language, code, scope, kind)
            await _tolerant(_about, bot, front, language, code)


def _scopes(front: Front) -> list[tuple[BotCommandScope, Kind]]:
    scopes: list[tuple[BotCommandScope, Kind]] = [
        (BotCommandScopeAllPrivateChats(), "private"),
        (BotCommandScopeAllGroupChats(), "group"),
    ]
    admins = (int(admin) for admin in front.admins("telegram") if admin.isdecimal())
    return scopes + [(BotCommandScopeChat(admin), "admin") for admin in admins]


async def _tolerant(step: Callable[..., Awaitable[None]], *arguments: object) -> None:
    try:
        await step(*arguments)
    except TelegramError as refused:
        # An admin who never wrote to the bot has no chat yet; the next start tries again.
        _log.info("a menu was not taken: %s", cause(refused))


async def _commands(
    bot: Bot, front: Front, language: str, code: str | None, scope: BotCommandScope, kind: Kind
) -> None:
    wanted = tuple(
        BotCommand(item.name, one_line(item.description)[:_DESCRIPTION_MAX])
        for item in front.menu(language, kind)[:_COMMANDS_MAX]
    )
    present = await bot.get_my_commands(scope=scope, language_code=code)
    if tuple(present) != wanted:
        await bot.set_my_commands(wanted, scope=scope, language_code=code)


async def _about(bot: Bot, front: Front, language: str, code: str | None) -> None:
    description, short = front.about(language)
    description, short = description[:_ABOUT_MAX], short[:_SHORT_MAX]
    if (await bot.get_my_description(language_code=code)).description != description:
        await bot.set_my_description(description, language_code=code)
    if (await bot.get_my_short_description(language_code=code)).short_description != short:
        await bot.set_my_short_description(short, language_code=code)
