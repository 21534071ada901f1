"""`/help`: what there is, in groups, a line each; and one command in full."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bots.chat.command import Arguments, Command, Request, action, argument, command, is_allowed
from bots.chat.registry import explain_missing_command
from bots.chat.reply import Choice, Phrase, Reply, plain, say

#: The groups of what everybody can do, each with its commands in their order. A test sees that
#: every command of the menu stands in one; the operator's have a group of their own.
HELP_GROUPS: Final[tuple[tuple[Phrase, tuple[str, ...]], ...]] = (
    (say("— Ask —"), ("ask", "new", "stop", "models", "model")),
    (say("— Credits —"), ("balance", "usage", "topup", "redeem", "tier", "paysupport", "terms")),
    (say("— Earn —"), ("contribute", "keys", "withdraw", "refer")),
    (
        say("— Settings —"),
        ("settings", "language", "privacy", "export", "api", "link", "unlink", "start", "help"),
    ),
)


@dataclass(frozen=True, slots=True)
class HelpArguments(Arguments):
    """What follows `/help`."""

    command: str = argument(say("A command, to read about it alone"), say("command"))


class HelpCommands:
    """The command that says which commands there are, and how one of them is written."""

    def __init__(self, *, commands: Callable[[], Sequence[Command]]) -> None:
        """`commands` gives all of them; they are known once every group of commands is built."""
        self._commands = commands

    @command(
        "help",
        title=say("Help"),
        description=say("All commands"),
        arguments=HelpArguments,
        allowed_in_groups=True,
    )
    @action("help")
    async def help(self, request: Request, given: HelpArguments = HelpArguments()) -> Reply:
        """Every command that this person can use here, or the one that they name."""
        offered = self._list_offered(request)
        wanted = given.command.strip().lstrip("/／").casefold()
        if wanted:
            found = next((one for one in offered if one.name == wanted), None)
            if found is None:
                return Reply((explain_missing_command(wanted, [one.name for one in offered]),))
            return self._explain(found)
        by_name = {one.name: one for one in offered if not one.admin_only}
        lines: list[Phrase] = []
        for heading, names in HELP_GROUPS:
            lines += _list_group(heading, [by_name[name] for name in names if name in by_name])
        lines += _list_group(
            say("— For the operator —"), [one for one in offered if one.admin_only]
        )
        return Reply(
            title=say("Commands"),
            lines=(
                *lines,
                say("A message without a command is a question to your current model."),
                say(
                    "Pictures, PDF, Word, Excel and text files go with a question; alone they are"
                    " offered with a price first."
                ),
                say(
                    "Voice messages and audio files are transcribed; a button then asks what"
                    " they say."
                ),
                say("More about one: /help ask"),
            ),
        )

    def _list_offered(self, request: Request) -> list[Command]:
        return [
            one
            for one in self._commands()
            if is_allowed(one, request.role) and (request.place.private or one.allowed_in_groups)
        ]

    @staticmethod
    def _explain(found: Command) -> Reply:
        """One command: what it does, how it is written, what each part of it means."""
        return Reply(
            title=plain(f"/{found.name}"),
            lines=(
                say("{description}.", description=found.description),
                say("How to write it: {usage}", usage=found.usage),
                *(
                    say("{name}: {description}", name=option.name, description=option.description)
                    for option in found.arguments.list_options()
                ),
                *found.details,
            ),
            choices=((Choice(say("All commands"), "help"),),),
        )


def _list_group(heading: Phrase, commands: Iterable[Command]) -> list[Phrase]:
    lines = [say("/{command} — {does}", command=one.name, does=one.description) for one in commands]
    return [heading, *lines] if lines else []
