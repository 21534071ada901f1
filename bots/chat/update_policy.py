"""Which updates may be written down before they are worked: never one that holds a secret, or that
answers what asks for one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, final

from bots.chat.callbacks import parse_answer_button
from bots.chat.command import Command
from bots.chat.forms import Forms
from bots.chat.registry import CommandRegistry, split_command
from bots.chat.types import ButtonPress, IncomingMessage
from bots.chat.work_budget import WorkBudget
from bots.render.secret_scan import find_secrets


@final
class UpdatePolicy:
    """The policy decides by the commands that there are, the forms that wait, and the budgets of
    people."""

    def __init__(self, registry: CommandRegistry, forms: Forms, work_budget: WorkBudget) -> None:
        self._registry, self._forms, self._work_budget = registry, forms, work_budget

    def may_open_form(self, read: IncomingMessage | ButtonPress) -> bool:
        """Whether what its sender writes next may be the answer to a form."""
        if isinstance(read, ButtonPress):
            return parse_answer_button(read.button) is None
        command = self._find_command(read)
        if command is None and read.is_own:
            command = self._registry.find_by_title(read.text)
        return command is not None and command.opens_form

    async def may_be_stored(
        self, read: IncomingMessage | ButtonPress, content: Mapping[str, Any]
    ) -> bool:
        """Whether it may be written as it came. What its person has no budget for isn't either: it
        won't be worked. Raises a refusal where the database can't be read."""
        if isinstance(read, ButtonPress):
            return parse_answer_button(read.button) is not None or not self._is_spent(read)
        command = self._find_command(read)
        if is_free_work(command, self._find_name(read)) and self._is_spent(read):
            return False
        # Also what it quotes, and what it calls its files.
        if find_secrets("\n".join(_list_texts(content))):
            return False
        if not read.may_fill_form or command is not None:
            return True
        pending = await self._forms.find_form(read.place.code)
        return pending is None or not pending.is_answered_by(read.text, read.message)

    def _is_spent(self, read: IncomingMessage | ButtonPress) -> bool:
        return self._work_budget.is_spent(read.place.platform, read.sender.id)

    def _find_command(self, read: IncomingMessage) -> Command | None:
        name = self._find_name(read)
        return self._registry.find_command(name) if name else None

    @staticmethod
    def _find_name(read: IncomingMessage) -> str:
        if read.command or not read.is_own:
            return read.command
        return split_command(read.text.strip())[0]


def is_free_work(command: Command | None, name: str) -> bool:
    """Whether a message wants something that costs nothing; to stop an answer is always heard."""
    return bool(name) and (command is None or not (command.is_ask or command.name == "stop"))


def _list_texts(content: Any) -> Iterator[str]:
    """Every text in JSON, as deep as JSON comes; numbers hold no secrets."""
    waiting = [content]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, list | tuple):
            waiting += each
