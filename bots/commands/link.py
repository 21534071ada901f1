"""One person on several platforms: `/link` and `/unlink`, in private only.

One side shows a code, the other types it, each sees whom it joins, and both agree: so nobody takes
over somebody else's account with a code that was sent to them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bots.chat.callbacks import ButtonRepository, render_card
from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, Phrase, Reply, make_copy_choice, plain, say
from bots.chat.types import Notifier, Place
from bots.commands.text import join_names
from core.errors import describe_failure
from core.users.limits import UserLimits
from core.users.links import LinkProposal, Links
from core.users.service import Users

_log = logging.getLogger(__name__)

#: Whoever typed the code waits so long for the other side to be told.
_TELL_SECONDS: Final = 5.0

_CONSEQUENCES = (
    say("The two balances become one, along with history and debts."),
    say("If one was invited by the other, that is undone, with what it earned."),
    say("Admin rights don't move. /unlink separates the platforms later, not the Credits."),
)


@dataclass(frozen=True, slots=True)
class LinkArguments(Arguments):
    """What follows `/link`."""

    code: str = argument(say("The code that the other side shows"), say("code"))


class LinkCommands:
    """The commands that link a person's accounts on several platforms, and part them."""

    def __init__(
        self,
        *,
        links: Links,
        users: Users,
        buttons: ButtonRepository,
        notifiers: Mapping[str, Notifier],
        user_limits: UserLimits,
    ) -> None:
        """`notifiers` by platform, as front ends start."""
        self._links, self._users, self._user_limits = links, users, user_limits
        self._buttons, self._notifiers = buttons, notifiers

    @command(
        "link",
        title=say("Link"),
        description=say("One balance on several platforms"),
        arguments=LinkArguments,
    )
    async def link(self, request: Request, given: LinkArguments) -> Reply:
        """With a code: whom it joins. Without: the proposal that waits, or a code to type."""
        if not request.place.private:
            return Reply((say("Send me that in private: it's about your account."),))
        # Who is blocked doesn't become somebody who isn't.
        self._user_limits.check_not_blocked(request.person.id)
        if given.code:
            proposal = await self._links.enter_code(request.person, given.code)
            await self._notify_other_side(proposal)
            return self._proposal_card(proposal)
        waiting = await self._links.find_pending_proposal(request.person)
        if waiting is not None and not waiting.accepted:
            return self._proposal_card(waiting)
        return await self.link_code(request)

    @action("link-code")
    async def link_code(self, request: Request) -> Reply:
        """A fresh code; it is typed on the other side, never sent as a link."""
        self._user_limits.check_not_blocked(request.person.id)
        code = await self._links.create_link_code(request.person)
        return Reply(
            title=say("Link"),
            lines=(
                say("On your other platform, write to me in private within ten minutes:"),
                plain(f"/link {code}"),
                say(
                    "Then I'll ask you here whether that's you; both sides must agree. (/link"
                    " asks again.)"
                ),
                say("Share this code with nobody: it gives access to your Credits."),
            ),
            choices=((make_copy_choice(f"/link {code}"),),),
            private=True,
        )

    async def _notify_other_side(self, proposal: LinkProposal) -> None:
        """Asks the other side, wherever they write from; what can't be shown now waits in /link."""
        other = proposal.other
        other_view = await self._links.get_proposal(proposal.id, other)
        if other_view is None or other_view.accepted:
            return
        for platform, id_ in await self._users.list_identities(other.id):
            deliverer = self._notifiers.get(platform)
            if deliverer is None:
                continue
            reply = self._proposal_card(other_view)
            place = Place.from_code(f"{platform}:{id_}:")
            card = await render_card(reply, self._buttons, person=other, place=place)
            try:
                async with asyncio.timeout(_TELL_SECONDS):
                    await deliverer.notify_person(id_, card)
            except Exception as failure:  # noqa: BLE001 - a chat may refuse for any reason
                _log.info("a link could not be told on %s: %s", platform, describe_failure(failure))

    @staticmethod
    def _proposal_card(proposal: LinkProposal) -> Reply:
        if proposal.accepted:
            return Reply((_agreed_here_text(),), private=True)
        other_survives = proposal.survivor.id == proposal.other.id
        survivor_line = (
            say("The older account is kept: theirs, with its language, settings and limits.")
            if other_survives
            else say("The older account is kept: this one, with its language, settings and limits.")
        )
        return Reply(
            title=say("Link your account with {names}?", names=join_names(proposal.names)),
            lines=(*_CONSEQUENCES, survivor_line),
            choices=(
                (
                    Choice(say("Yes, that's me"), "link-agree", {"link": proposal.id}),
                    Choice(say("No"), "link-cancel", {"link": proposal.id}),
                ),
            ),
            private=True,
        )

    @action("link-agree")
    async def link_agree(self, request: Request) -> Reply:
        """One side's yes; the second one makes them one."""
        done = await self._links.accept_proposal(str(request.data["link"]), request.person)
        linked = say("Linked: /balance is now the same on both sides.")
        return Reply((linked if done else _agreed_here_text(),), private=True, replace=True)

    @action("link-cancel")
    async def link_cancel(self, request: Request) -> Reply:
        """Either side's no."""
        await self._links.cancel_proposal(str(request.data["link"]), request.person)
        return Reply((say("Cancelled. Nothing was changed."),), private=True, replace=True)

    @command(
        "unlink", title=say("Unlink"), description=say("Separate this platform from your account")
    )
    async def unlink(self, request: Request) -> Reply:
        """Asks once more, with what it means."""
        names = await self._users.list_identities(request.person.id)
        if len(names) < 2:
            return Reply((say("Nothing is linked to this account."),), private=True)
        return Reply(
            lines=(
                say(
                    "Separate this platform from your account? Your Credits, keys and history"
                    " stay with {names}; here you start from zero.",
                    names=join_names(
                        f"{platform}:{id_}"
                        for platform, id_ in names
                        if (platform, id_) != (request.place.platform, request.sender)
                    ),
                ),
            ),
            choices=(
                (
                    Choice(say("Yes, separate"), "unlink-now", once=True),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    @action("unlink-now")
    async def unlink_now(self, request: Request) -> Reply:
        """Parts the name."""
        parted = await self._users.unlink_identity(request.place.platform, request.sender)
        if not parted:
            return Reply((say("Nothing is linked to this account."),), private=True, replace=True)
        return Reply((say("Separated. This is a new account."),), private=True, replace=True)


def _agreed_here_text() -> Phrase:
    return say(
        "Agreed here. Now agree on the other side, too. If nothing came there, send /link there."
    )
