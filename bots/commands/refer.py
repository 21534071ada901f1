"""Inviting friends: `/refer`."""

from __future__ import annotations

from collections.abc import Mapping

from bots.chat.command import Request, command
from bots.chat.reply import Phrase, Reply, make_copy_choice, plain, say
from bots.chat.types import Notifier, Platform
from bots.commands.text import format_credits
from core.earnings.contributions import INVITER_PERCENT
from core.earnings.statistics import sum_contribution_bonuses
from core.ledger.ledger import Ledger
from core.users.referrals import Referrals
from core.users.service import list_merged_ids

_PLATFORMS = {"telegram": "Telegram", "discord": "Discord"}


class ReferCommands:
    """The command that shows people their invitation links, and what came of them."""

    def __init__(
        self,
        *,
        referrals: Referrals,
        ledger: Ledger,
        percent: int,
        has_contributions: bool,
        notifiers: Mapping[str, Notifier],
    ) -> None:
        """`percent` of what friends buy; `has_contributions`: keys may be contributed; `notifiers`
        by platform, as front ends start."""
        self._referrals, self._db, self._ledger = referrals, ledger.db, ledger
        self._percent, self._has_contributions = percent, has_contributions
        self._notifiers = notifiers

    @command(
        "refer",
        title=say("Invite friends"),
        description=say("Your link for friends, and what it earned"),
    )
    async def refer(self, request: Request) -> Reply:
        """The ways in, and what was earned."""
        code = await self._referrals.get_or_create_code(request.person)
        stats = await self._referrals.get_stats(request.person)
        person_ids = await list_merged_ids(self._db, request.person.id)
        by_keys = await sum_contribution_bonuses(self._db, self._ledger, person_ids)
        return Reply(
            title=say("Invite friends"),
            lines=(
                *self._reward_lines(),
                *self._invitation_lines(code),
                say("It counts once for each friend, with the very first message."),
                say(
                    "Friends who joined: {came}. Topped up: {bought}. You earned {earned}.",
                    came=stats.joined_count,
                    bought=stats.buyer_count,
                    earned=format_credits(stats.earned + by_keys),
                ),
            ),
            choices=((make_copy_choice(self._find_link(request.place.platform, code)),),),
            private=True,
        )

    def _reward_lines(self) -> list[Phrase]:
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
        if self._has_contributions:
            lines.append(
                say(
                    "When they contribute a key, you get {percent} % of what it brings them, as it"
                    " is used.",
                    percent=INVITER_PERCENT,
                )
            )
        return lines

    def _find_link(self, platform: Platform, code: str) -> str:
        """What to send a friend: the link of this platform, or of another one that says it all;
        else the code's first message."""
        first = sorted(self._notifiers.items(), key=lambda one: one[0] != platform)
        links = [notifier.build_invitation_link(code) for _, notifier in first]
        return next((link for link in links if code in link), f"/start {code}")

    def _invitation_lines(self, code: str) -> list[Phrase]:
        """A link that says it all, or where to go and what to write there."""
        lines = []
        for platform, deliverer in self._notifiers.items():
            link = deliverer.build_invitation_link(code)
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
