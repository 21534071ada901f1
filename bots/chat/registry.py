"""All commands and actions, found by what people type or press."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from bots.chat.command import Action, Command, list_entries
from bots.chat.i18n import LANGUAGES, render
from bots.chat.reply import Phrase, say

#: What was typed of a value → (value, label) of each completion, the best first.
SuggestFunction = Callable[[str], Sequence[tuple[str, Phrase]]]

#: Below it a command is none that was meant (`difflib`'s ratio).
_SIMILARITY_MIN: Final = 0.6
#: Phones with a Chinese keyboard write the full-width slash.
_COMMAND = re.compile(r"[/／]([^\s@]*)\S*\s*(.*)", re.DOTALL)


def split_command(text: str) -> tuple[str, str]:
    """The command's name (empty: none) and the rest: `/ask@our_bot why` → `ask`, `why`."""
    matched = _COMMAND.match(text)
    if matched is None:
        return "", text
    return matched[1].lower() or "help", matched[2].strip()


class CommandRegistry:
    """The registry holds every command once, in the order of the menus, and every action by its
    name."""

    def __init__(
        self,
        sources: Iterable[object],
        *,
        menu: Sequence[str],
        suggesters: Mapping[str, SuggestFunction] | None = None,
    ) -> None:
        """`sources` declare commands and actions; those commands are offered that `menu` names.
        `suggesters` complete arguments, by what those complete to."""
        entries = [entry for source in sources for entry in list_entries(source)]
        self.suggesters = dict(suggesters or {})
        declared = {entry.name: entry for entry in entries if isinstance(entry, Command)}
        self.commands = tuple(declared[name] for name in menu if name in declared)
        self._by_name = {command.name: command for command in self.commands}
        self._actions = {entry.name: entry for entry in entries if not isinstance(entry, Command)}
        self._titles = {
            _normalize_title(render(command.title, language)): command
            for command in self.commands
            for language in LANGUAGES
        }

    @property
    def ask_command(self) -> Command:
        """What a message without a command is."""
        return self._by_name["ask"]

    @property
    def audio_action(self) -> Action:
        """What a message with audio is."""
        return self._actions["write-down"]

    @property
    def edit_action(self) -> Action:
        """What becomes of a question that was edited."""
        return self._actions["edit-question"]

    @property
    def pasted_token_action(self) -> Action | None:
        """What a message with a token of ours in it is; None where there are no tokens."""
        return self._actions.get("api-pasted")

    def find_command(self, name: str) -> Command | None:
        """The command of that name."""
        return self._by_name.get(name)

    def explain_missing(self, name: str, is_admin: bool) -> Phrase:
        """What is said of a command that there isn't, or not for this person."""
        if name in self._by_name:
            return say("That is for the operator only. Nothing was changed.")
        names = [known.name for known in self.commands if is_admin or not known.admin_only]
        return explain_missing_command(name, names)

    def find_by_title(self, text: str) -> Command | None:
        """A bare word that is a command's title, or its name, in any language (余额)."""
        title = _normalize_title(text)
        return self._titles.get(title) or self._by_name.get(title)

    def find_action(self, name: str) -> Action | None:
        """The action of that name."""
        return self._actions.get(name)


def explain_missing_command(name: str, offered: Iterable[str]) -> Phrase:
    """What is said of a command that isn't among those offered; the nearest of them."""
    similar = difflib.get_close_matches(name[:32], offered, n=1, cutoff=_SIMILARITY_MIN)
    if similar:
        return say(
            "There is no command /{word}. Did you mean /{near}?", word=name[:32], near=similar[0]
        )
    return say("There is no command /{word}. /help lists what there is.", word=name[:32])


def _normalize_title(text: str) -> str:
    return text.strip().casefold().strip(" .!。！?？")
