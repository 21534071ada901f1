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

from bots.chat.types import ChatHandler
from bots.render.plain_text import to_one_line
from core.errors import describe_failure

_log = logging.getLogger(__name__)

_DESCRIPTION_MAX: Final = 256
_ABOUT_MAX: Final = 512
_SHORT_MAX: Final = 120
_COMMANDS_MAX: Final = 100

MenuKind = Literal["private", "group", "admin"]


async def update_menus(bot: Bot, chat_handler: ChatHandler) -> None:
    """Sets whatever Telegram does not show yet. A refusal is logged and passed over."""
    for number, language in enumerate(chat_handler.list_languages()):
        # Telegram knows two-letter languages; the first one is also everybody else's.
        codes = [language.partition("-")[0].lower(), *([None] if number == 0 else [])]
        for code in codes:
            for scope, kind in _list_scopes(chat_handler):
                await _try_step(_update_commands, bot, chat_handler, language, code, scope, kind)
            await _try_step(_update_descriptions, bot, chat_handler, language, code)


def _list_scopes(chat_handler: ChatHandler) -> list[tuple[BotCommandScope, MenuKind]]:
    scopes: list[tuple[BotCommandScope, MenuKind]] = [
        (BotCommandScopeAllPrivateChats(), "private"),
        (BotCommandScopeAllGroupChats(), "group"),
    ]
    admins = (int(admin) for admin in chat_handler.list_admins("telegram") if admin.isdecimal())
    return scopes + [(BotCommandScopeChat(admin), "admin") for admin in admins]


async def _try_step(step: Callable[..., Awaitable[None]], *arguments: object) -> None:
    try:
        await step(*arguments)
    except TelegramError as refused:
        # An admin who never wrote to the bot has no chat yet; the next start tries again.
        _log.info("a menu was not taken: %s", describe_failure(refused))


async def _update_commands(
    bot: Bot,
    chat_handler: ChatHandler,
    language: str,
    code: str | None,
    scope: BotCommandScope,
    kind: MenuKind,
) -> None:
    wanted = tuple(
        BotCommand(item.name, to_one_line(item.description)[:_DESCRIPTION_MAX])
        for item in chat_handler.build_menu(language, kind)[:_COMMANDS_MAX]
    )
    present = await bot.get_my_commands(scope=scope, language_code=code)
    if tuple(present) != wanted:
        await bot.set_my_commands(wanted, scope=scope, language_code=code)


async def _update_descriptions(
    bot: Bot, chat_handler: ChatHandler, language: str, code: str | None
) -> None:
    description, short = chat_handler.describe_bot(language)
    description, short = description[:_ABOUT_MAX], short[:_SHORT_MAX]
    if (await bot.get_my_description(language_code=code)).description != description:
        await bot.set_my_description(description, language_code=code)
    if (await bot.get_my_short_description(language_code=code)).short_description != short:
        await bot.set_my_short_description(short, language_code=code)
