"""Inviting friends: `/refer`."""

from __future__ import annotations

from collections.abc import Mapping

from bots.chat.command import Command, Request, Room
from bots.chat.reply import Reply, Said, plain, say
from bots.chat.types import Deliverer
from bots.commands.text import in_credits
from core.db.database import Store
from core.earnings.contributions import INVITER_PERCENT
from core.ledger.ledger import Ledger
from core.users.referrals import Invitations, earned_by_keys
from core.users.service import lineage

_PLATFORMS = {"telegram": "Telegram", "discord": "Discord"}


class ReferCommands:
    """The command that shows people their invitation links, and what came of them."""

    def __init__(
        self,
        *,
        invitations: Invitations,
        store: Store,
        ledger: Ledger,
        percent: int,
        contributing: bool,
        deliverers: Mapping[str, Deliverer],
    ) -> None:
        """`percent` of what friends buy; `has_contributions`: keys may be contributed; `notifiers`
        by platform, as front ends start."""
        self._invitations, self._store, self._ledger = invitations, store, ledger
        self._percent, self._contributing = percent, contributing
        self._deliverers = deliverers

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "refer",
                    title=say("Invite friends"),
                    does=say("Your link for friends, and what it earned"),
                    handler=self.refer,
                ),
            )
        )

    async def refer(self, request: Request) -> Reply:
        """The ways in, and what was earned."""
        code = await self._invitations.code(request.person)
        tally = await self._invitations.tally(request.person)
        people = await lineage(self._store, request.person.id)
        by_keys = await earned_by_keys(self._store, self._ledger, people)
        return Reply(
            title=say("Invite friends"),
            lines=(
                *self._rewards(),
                *self._ways(code),
                say("It counts once for each friend, with the very first message."),
                say(
                    "Friends who came: {came}. Who topped up: {bought}. Earned: {earned}.",
                    came=tally.came,
                    bought=tally.bought,
                    earned=in_credits(tally.earned + by_keys),
                ),
            ),
            private=True,
        )

    def _rewards(self) -> list[Said]:
        lines = []
        if self._percent:
            lines.append(
                say(
                    "When a friend who came by your invitation tops up, you get {percent} % of"
                    " their Credits as a gift, on top of what they get. A refund takes its part"
                    " back.",
                    percent=self._percent,
                )
            )
        if self._contributing:
            lines.append(
                say(
                    "When they contribute a key, you get {percent} % of what it brings them, as it"
                    " is used.",
                    percent=INVITER_PERCENT,
                )
            )
        return lines

    def _ways(self, code: str) -> list[Said]:
        """A link that says it all, or where to go and what to write there."""
        lines = []
        for platform, deliverer in self._deliverers.items():
            link = deliverer.invitation(code)
            if code in link:
                lines.append(plain(f"{_PLATFORMS.get(platform, platform)}: {link}"))
            elif link:
                lines.append(
                    say(
                        "{platform}: {link}, then there: {start}",
                        platform=_PLATFORMS.get(platform, platform),
                        link=link,
                        start=f"/start code:{code}",
                    )
                )
        return lines or [say("The first message is then: {start}", start=f"/start {code}")]
