"""Slash commands: their definitions from the chat handler's menus, and the one call that publishes
them.

Publishing is an act of the operator's (`creditbot discord sync`), never a part of starting.
"""

from __future__ import annotations

import re
from typing import Any, Final

import discord

from bots.chat.types import ChatHandler, MenuItem, MenuOption
from bots.config.settings import DiscordConfig
from bots.discord.client import DiscordClient, log_in
from bots.discord.message_commands import build_message_definitions
from bots.render.plain_text import to_one_line

DESCRIPTION_MAX: Final = 100
COMMANDS_MAX: Final = 100
#: What Discord takes as a name; letters and digits of any script, no capitals.
NAME_PATTERN: Final = re.compile(r"[-_'\w]{1,32}")
_CHAT_INPUT: Final = 1
_STRING: Final = 3
_ATTACHMENT: Final = 11
_QUESTION_MAX: Final = 6_000
#: In servers, in the bot's direct chat, in other private chats; by servers and by people.
_CONTEXTS: Final = [0, 1, 2]
_INSTALLED: Final = [0, 1]
#: A courtesy: the guard is in the core.
_NOBODY: Final = "0"


def build_definitions(chat_handler: ChatHandler) -> list[dict[str, Any]]:
    """Every command as Discord takes it, in all languages, and those of messages' menus."""
    first, *others = chat_handler.list_languages()
    translated = {
        language: {item.name: item for item in chat_handler.build_menu(language, "admin")}
        for language in others
    }
    return [
        _build_definition(
            item, {language: items[item.name] for language, items in translated.items()}
        )
        for item in chat_handler.build_menu(first, "admin")[:COMMANDS_MAX]
    ] + build_message_definitions()


async def publish_commands(config: DiscordConfig, chat_handler: ChatHandler) -> int:
    """Publishes them in place of those that were there; how many. Raises DiscordUnavailable."""
    client = DiscordClient(config)
    try:
        await log_in(client, config)
        assert client.application_id is not None, "known once logged in"
        wanted: list[Any] = build_definitions(chat_handler)
        await client.http.bulk_upsert_global_commands(client.application_id, wanted)
    finally:
        await client.close()
    return len(wanted)


def _build_definition(item: MenuItem, translated: dict[str, MenuItem]) -> dict[str, Any]:
    names = {
        language: other.title.casefold()
        for language, other in translated.items()
        if NAME_PATTERN.fullmatch(other.title.casefold())
    }
    definition: dict[str, Any] = {
        "type": _CHAT_INPUT,
        "name": item.name,
        "name_localizations": names,
        "description": _clip_description(item.description),
        "description_localizations": {
            language: _clip_description(other.description) for language, other in translated.items()
        },
        "options": [
            _build_option(
                option, {language: other.options[n] for language, other in translated.items()}
            )
            for n, option in enumerate(item.options)
        ],
        "contexts": _CONTEXTS,
        "integration_types": _INSTALLED,
    }
    if item.admin_only:
        definition["default_member_permissions"] = _NOBODY
    return definition


def _build_option(option: MenuOption, translated: dict[str, MenuOption]) -> dict[str, Any]:
    definition: dict[str, Any] = {
        "type": _ATTACHMENT if option.is_file else _STRING,
        "name": option.name,
        "description": _clip_description(option.description),
        "description_localizations": {
            language: _clip_description(other.description) for language, other in translated.items()
        },
        "required": option.required,
    }
    if not option.is_file:
        definition |= {"autocomplete": bool(option.completion), "max_length": _QUESTION_MAX}
    return definition


def _clip_description(text: str) -> str:
    return to_one_line(text)[:DESCRIPTION_MAX]


def read_completion(interaction: discord.Interaction, chat_handler: ChatHandler) -> tuple[str, str]:
    """What is being completed and what was typed of it; nothing when it can't be."""
    data: Any = interaction.data or {}
    menu = {
        item.name: item
        for item in chat_handler.build_menu(chat_handler.list_languages()[0], "admin")
    }
    item = menu.get(data.get("name", ""))
    typed = next((each for each in data.get("options", ()) if each.get("focused")), None)
    if item is None or typed is None:
        return "", ""
    option = next((each for each in item.options if each.name == typed["name"]), None)
    return (option.completion if option else ""), str(typed.get("value", ""))
