"""Leaving: a person erases everything about themselves, from `/privacy`."""

from __future__ import annotations

from bots.chat.command import Action, Request, Room
from bots.chat.reply import Choice, Reply, Said, say
from bots.commands.text import in_credits
from core.admin.erasure import Erasing
from core.admin_log import logged
from core.clock import Clock
from core.money import Credits


class LeaveCommands:
    """The actions by which a person erases themselves: two taps, the second after the losses were
    told."""

    def __init__(self, *, erasing: Erasing, clock: Clock) -> None:
        self._erasing, self._clock = erasing, clock

    def room(self) -> Room:
        """Actions only."""
        return Room(actions=(Action("erase-me", self.ask), Action("erase-me-now", self.erase)))

    async def ask(self, request: Request) -> Reply:
        """What would be lost, and once more."""
        stakes = await self._erasing.stakes(request.person, theirs=True)
        return Reply(
            title=say("Erase everything about me"),
            lines=(
                *erasing_lines(stakes.credits, stakes.withdrawable, stakes.keys),
                say("This can't be undone."),
            ),
            choices=(
                (
                    Choice(say("Yes, erase everything"), "erase-me-now", once=True),
                    Choice(say("Cancel"), "settings"),
                ),
            ),
            private=True,
            replace=True,
        )

    async def erase(self, request: Request) -> Reply:
        """Gone."""
        person = request.person.id
        row = logged(self._clock, actor=person, act="erase", before={"person": person}, after={})
        await self._erasing.erase(request.person, theirs=True, also=row)
        return Reply(
            (say("Everything about you is erased. If you write again, you begin anew."),),
            private=True,
            replace=True,
        )


def erasing_lines(have: Credits, withdrawable: Credits, keys: int) -> tuple[Said, ...]:
    """What an erasure takes."""
    lines = [
        say(
            "Erased for good: names, questions, answers, settings, addresses. Amounts stay in the"
            " books, without a name."
        )
    ]
    if have.units:
        lines.append(say("{credits} are lost with it.", credits=in_credits(have)))
    if withdrawable.units:
        lines.append(
            say("{credits} of them could be withdrawn first.", credits=in_credits(withdrawable))
        )
    if keys:
        lines.append(say("Contributed keys are erased too: {count}.", count=keys))
    return tuple(lines)
