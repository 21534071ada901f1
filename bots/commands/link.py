"""One person on several platforms: `/link` and `/unlink`, in private only.

One side shows a code, the other types it, each sees whom it joins, and both agree: so nobody takes
over somebody else's account with a code that was sent to them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from bots.chat.callbacks import Buttons, screen_of
from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Choice, Reply, Said, plain, say
from bots.chat.types import Deliverer, Place
from core.errors import cause
from core.users.limits import Rules
from core.users.links import Links, Proposal
from core.users.service import People

log = logging.getLogger(__name__)

#: Whoever typed the code waits so long for the other side to be told.
_TELL_SECONDS: Final = 5.0

_STATED = (
    say("The two balances become one, and so do what was asked and what is owed."),
    say("If one was invited by the other, that is undone, with what it earned."),
    say("Being an admin never moves. /unlink later parts the names, not the Credits."),
)


class LinkCommands:
    """The commands that link a person's accounts on several platforms, and part them."""

    def __init__(
        self,
        *,
        links: Links,
        people: People,
        buttons: Buttons,
        deliverers: Mapping[str, Deliverer],
        rules: Rules,
    ) -> None:
        """`notifiers` by platform, as front ends start."""
        self._links, self._people, self._rules = links, people, rules
        self._buttons, self._deliverers = buttons, deliverers

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "link",
                    title=say("Link"),
                    does=say("One balance on several platforms"),
                    usage=say("/link [code]"),
                    options=(Option("code", say("The code that the other side shows")),),
                    handler=self.link,
                ),
                Command(
                    "unlink",
                    title=say("Unlink"),
                    does=say("Part this platform from your account"),
                    handler=self.unlink,
                ),
            ),
            actions=(
                Action("link-code", self.code),
                Action("link-agree", self.agree),
                Action("link-cancel", self.cancel),
                Action("unlink-now", self.unlink_now),
            ),
        )

    async def link(self, request: Request) -> Reply:
        """With a code: whom it joins. Without: the proposal that waits, or a code to type."""
        if not request.place.private:
            return Reply((say("Write that to me in private: it is about your account."),))
        # Who is blocked doesn't become somebody who isn't.
        self._rules.check_blocked(request.person.id)
        if request.text:
            proposal = await self._links.join(request.person, request.text)
            await self._tell(proposal)
            return self._proposed(proposal)
        waiting = await self._links.waiting(request.person)
        if waiting is not None and not waiting.agreed:
            return self._proposed(waiting)
        return await self.code(request)

    async def code(self, request: Request) -> Reply:
        """A fresh code; it is typed on the other side, never sent as a link."""
        self._rules.check_blocked(request.person.id)
        code = await self._links.offer(request.person)
        return Reply(
            title=say("Link"),
            lines=(
                say("On your other platform, write to me in private within ten minutes:"),
                plain(f"/link {code}"),
                say("Then I ask you here whether that is you, and both agree. (/link asks again.)"),
                say("Give this code to nobody: it leads to your Credits."),
            ),
            private=True,
        )

    async def _tell(self, proposal: Proposal) -> None:
        """Asks the other side, wherever they write from; what can't be shown now waits in /link."""
        other = proposal.other
        theirs = await self._links.proposal(proposal.id, other)
        if theirs is None or theirs.agreed:
            return
        for platform, id_ in await self._people.identities(other.id):
            deliverer = self._deliverers.get(platform)
            if deliverer is None:
                continue
            card = self._proposed(theirs)
            place = Place.of(f"{platform}:{id_}:")
            screen = await screen_of(card, self._buttons, person=other, place=place)
            try:
                async with asyncio.timeout(_TELL_SECONDS):
                    await deliverer.notify(id_, screen)
            except Exception as failure:  # noqa: BLE001 - a chat may refuse for any reason
                log.info("a link could not be told on %s: %s", platform, cause(failure))

    @staticmethod
    def _proposed(proposal: Proposal) -> Reply:
        if proposal.agreed:
            return Reply((_other_side(),), private=True)
        survivor = proposal.survivor.id == proposal.other.id
        stays = (
            say("The older account stays: theirs, with its language, settings and limits.")
            if survivor
            else say("The older account stays: this one, with its language, settings and limits.")
        )
        return Reply(
            title=say("Become one with {names}?", names=", ".join(proposal.names)),
            lines=(*_STATED, stays),
            choices=(
                (
                    Choice(say("Yes, that is me"), "link-agree", {"link": proposal.id}),
                    Choice(say("No"), "link-cancel", {"link": proposal.id}),
                ),
            ),
            private=True,
        )

    async def agree(self, request: Request) -> Reply:
        """One side's yes; the second one makes them one."""
        done = await self._links.agree(str(request.data["link"]), request.person)
        told = say("You are one now: /balance is the same on both sides.")
        return Reply((told if done else _other_side(),), private=True, replace=True)

    async def cancel(self, request: Request) -> Reply:
        """Either side's no."""
        await self._links.cancel(str(request.data["link"]), request.person)
        return Reply((say("Cancelled. Nothing was changed."),), private=True, replace=True)

    async def unlink(self, request: Request) -> Reply:
        """Asks once more, with what it means."""
        names = await self._people.identities(request.person.id)
        if len(names) < 2:
            return Reply((say("Nothing is linked to this account."),), private=True)
        return Reply(
            lines=(
                say(
                    "Part this platform from your account? Your Credits, keys and history stay"
                    " with {names}; here you begin anew with nothing.",
                    names=", ".join(
                        f"{platform}:{id_}"
                        for platform, id_ in names
                        if (platform, id_) != (request.place.platform, request.sender)
                    ),
                ),
            ),
            choices=(
                (
                    Choice(say("Yes, part"), "unlink-now", once=True),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    async def unlink_now(self, request: Request) -> Reply:
        """Parts the name."""
        parted = await self._people.part(request.place.platform, request.sender)
        if not parted:
            return Reply((say("Nothing is linked to this account."),), private=True, replace=True)
        return Reply((say("Parted. This is a new account."),), private=True, replace=True)


def _other_side() -> Said:
    return say(
        "Agreed here. The other side is asked the same: agree there too. If nothing came there,"
        " write /link there."
    )
