"""All commands and actions, found by what people type or press."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from bots.chat.command import Action, Command, Room
from bots.chat.i18n import LANGUAGES, render
from bots.chat.reply import Said, say

#: What was typed of a value → (value, label) of each completion, the best first.
Suggester = Callable[[str], Sequence[tuple[str, Said]]]

#: Phones with a Chinese keyboard write the full-width slash.
_COMMAND = re.compile(r"[/／]([^\s@]*)\S*\s*(.*)", re.DOTALL)


def split(text: str) -> tuple[str, str]:
    """The command's name (empty: none) and the rest: `/ask@our_bot why` → `ask`, `why`."""
    matched = _COMMAND.match(text)
    if matched is None:
        return "", text
    return matched[1].lower() or "help", matched[2].strip()


class Registry:
    """The registry holds every command once, in the order of the menus, and every action by its
    name."""

    def __init__(
        self, rooms: Iterable[Room], suggesters: Mapping[str, Suggester] | None = None
    ) -> None:
        """`suggesters` complete options, by what those complete to."""
        rooms = tuple(rooms)
        self.suggesters = dict(suggesters or {})
        self.commands = tuple(command for room in rooms for command in room.commands)
        self._words = {command.name: command for command in self.commands}
        self._actions = {action.name: action for room in rooms for action in room.actions}
        self._titles = {
            _bare(render(command.title, language)): command
            for command in self.commands
            for language in LANGUAGES
        }

    @property
    def ask(self) -> Command:
        """What a message without a command is."""
        return self._words["ask"]

    @property
    def heard(self) -> Action:
        """What a message with audio is."""
        return self._actions["write-down"]

    def by_word(self, word: str) -> Command | None:
        """The command of that name."""
        return self._words.get(word)

    def missing(self, word: str, admin: bool) -> Said:
        """What is said of a command that there isn't, or not for this person."""
        if word in self._words:
            return say("That is for the operator only. Nothing was changed.")
        names = [known.name for known in self.commands if admin or not known.admin]
        near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
        if near:
            return say(
                "There is no command /{word}. Did you mean /{near}?", word=word[:32], near=near[0]
            )
        return say("There is no command /{word}. /help lists what there is.", word=word[:32])

    def by_title(self, text: str) -> Command | None:
        """A bare word that is a command's title, or its name, in any language (余额)."""
        bare = _bare(text)
        return self._titles.get(bare) or self._words.get(bare)

    def action(self, name: str) -> Action | None:
        """The action of that name."""
        return self._actions.get(name)


def _bare(text: str) -> str:
    return text.strip().casefold().strip(" .!。！?？")
