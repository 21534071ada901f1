"""Slash commands: their definitions from the chat handler's menus, and the one call that publishes
them.

Publishing is an act of the operator's (`creditbot discord sync`), never a part of starting.
"""

from __future__ import annotations

import re
from typing import Any, Final

import discord

from bots.chat.types import Front, MenuItem, MenuOption
from bots.discord.client import Client, logged_in
from bots.discord.config import DiscordConfig
from bots.render.plain_text import one_line

DESCRIPTION_MAX: Final = 100
COMMANDS_MAX: Final = 100
#: What Discord takes as a name; letters and digits of any script, no capitals.
NAME: Final = re.compile(r"[-_'\w]{1,32}")
_CHAT_INPUT: Final = 1
_STRING: Final = 3
_QUESTION_MAX: Final = 6_000
#: In servers, in the bot's direct chat, in other private chats; by servers and by people.
_CONTEXTS: Final = [0, 1, 2]
_INSTALLED: Final = [0, 1]
#: A courtesy: the guard is in the core.
_NOBODY: Final = "0"


def definitions(front: Front) -> list[dict[str, Any]]:
    """Every command as Discord takes it, in all languages."""
    first, *others = front.languages()
    translated = {
        language: {item.name: item for item in front.menu(language, "admin")} for language in others
    }
    return [
        _definition(item, {language: items[item.name] for language, items in translated.items()})
        for item in front.menu(first, "admin")[:COMMANDS_MAX]
    ]


async def sync(config: DiscordConfig, front: Front) -> int:
    """Publishes them in place of those that were there; how many. Raises DiscordUnavailable."""
    client = Client(config)
    try:
        await logged_in(client, config)
        assert client.application_id is not None, "known once logged in"
        wanted: list[Any] = definitions(front)
        await client.http.bulk_upsert_global_commands(client.application_id, wanted)
    finally:
        await client.close()
    return len(wanted)


def _definition(item: MenuItem, translated: dict[str, MenuItem]) -> dict[str, Any]:
    names = {
        language: other.title.casefold()
        for language, other in translated.items()
        if NAME.fullmatch(other.title.casefold())
    }
    definition: dict[str, Any] = {
        "type": _CHAT_INPUT,
        "name": item.name,
        "name_localizations": names,
        "description": _described(item.description),
        "description_localizations": {
            language: _described(other.description) for language, other in translated.items()
        },
        "options": [
            _option(option, {language: other.options[n] for language, other in translated.items()})
            for n, option in enumerate(item.options)
        ],
        "contexts": _CONTEXTS,
        "integration_types": _INSTALLED,
    }
    if item.admin:
        definition["default_member_permissions"] = _NOBODY
    return definition


def _option(option: MenuOption, translated: dict[str, MenuOption]) -> dict[str, Any]:
    return {
        "type": _STRING,
        "name": option.name,
        "description": _described(option.description),
        "description_localizations": {
            language: _described(other.description) for language, other in translated.items()
        },
        "required": option.required,
        "autocomplete": bool(option.completes),
        "max_length": _QUESTION_MAX,
    }


def _described(text: str) -> str:
    return one_line(text)[:DESCRIPTION_MAX]


def completing(interaction: discord.Interaction, front: Front) -> tuple[str, str]:
    """What is being completed and what was typed of it; nothing when it can't be."""
    data: Any = interaction.data or {}
    menu = {item.name: item for item in front.menu(front.languages()[0], "admin")}
    item = menu.get(data.get("name", ""))
    typed = next((each for each in data.get("options", ()) if each.get("focused")), None)
    if item is None or typed is None:
        return "", ""
    option = next((each for each in item.options if each.name == typed["name"]), None)
    return (option.completes if option else ""), str(typed.get("value", ""))
