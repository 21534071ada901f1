"""Leaving: a person erases everything about themselves, from `/privacy`."""

from __future__ import annotations

from bots.chat.command import Request, action
from bots.chat.reply import Choice, Phrase, Reply, say
from bots.commands.text import format_credits
from core.admin.erasure import Erasure
from core.admin_log import admin_log_row
from core.clock import Clock
from core.money import Credits


class EraseCommands:
    """The actions by which a person erases themselves: two taps, the second after the losses were
    told."""

    def __init__(self, *, erasure: Erasure, clock: Clock) -> None:
        self._erasure, self._clock = erasure, clock

    @action("erase-me")
    async def erase_me(self, request: Request) -> Reply:
        """What would be lost, and once more."""
        losses = await self._erasure.get_losses(request.person, is_own_request=True)
        return Reply(
            title=say("Erase everything about me"),
            lines=(
                *list_erasure_losses(losses.credits, losses.withdrawable, losses.keys),
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

    @action("erase-me-now")
    async def erase_me_now(self, request: Request) -> Reply:
        """Gone."""
        person = request.person.id
        row = admin_log_row(
            self._clock, actor=person, act="erase", before={"person": person}, after={}
        )
        await self._erasure.erase_person(request.person, is_own_request=True, companion=row)
        return Reply(
            (say("Everything about you is erased. If you write again, you begin anew."),),
            private=True,
            replace=True,
        )


def list_erasure_losses(
    credits_lost: Credits, withdrawable: Credits, keys: int
) -> tuple[Phrase, ...]:
    """What an erasure takes."""
    lines = [
        say(
            "Erased for good: names, questions, answers, settings, addresses. Amounts stay in the"
            " books, without a name."
        )
    ]
    if credits_lost.units:
        lines.append(say("{credits} are lost with it.", credits=format_credits(credits_lost)))
    if withdrawable.units:
        lines.append(
            say("{credits} of them could be withdrawn first.", credits=format_credits(withdrawable))
        )
    if keys:
        lines.append(say("Contributed keys are erased too: {count}.", count=keys))
    return tuple(lines)
