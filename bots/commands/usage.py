"""`/usage`: what a person's answers cost, in Credits."""

from __future__ import annotations

from datetime import datetime, timedelta

from bots.chat.command import Request, action, command
from bots.chat.i18n import get_zone
from bots.chat.reply import Choice, Reply, plain, say
from bots.commands.text import format_credits
from bots.render.charts import format_bars
from core.asks.repository import AskHistory, ChargedAnswer
from core.clock import Clock, as_datetime, as_ms
from core.money import Credits, sum_amounts
from core.pricing.catalogue import Catalogue
from core.users.service import Users

_DAYS = 30
_RECENT_SHOWN = 10


class UsageCommands:
    """The command that shows people what they spent."""

    def __init__(
        self, *, users: Users, ask_history: AskHistory, catalogue: Catalogue, clock: Clock
    ) -> None:
        self._users, self._ask_history = users, ask_history
        self._catalogue, self._clock = catalogue, clock

    @command(
        "usage",
        title=say("Usage"),
        description=say("What your latest answers cost"),
        allowed_in_groups=True,
        is_private=True,
    )
    @action("usage")
    async def usage(self, request: Request) -> Reply:
        """The latest answers, today's sum, and a month as a bar chart in text."""
        tz = get_zone(request.person.zone)
        now = as_datetime(self._clock.now_ms()).astimezone(tz)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        since = midnight - timedelta(days=_DAYS - 1)
        person_ids = await self._users.list_merged_ids(request.person.id)
        charges = await self._ask_history.list_charges_since(person_ids, as_ms(since))
        if not charges:
            return Reply(
                title=say("Recent Usage"),
                lines=(say("Nothing in the last {days} days.", days=_DAYS),),
                private=True,
            )
        days = _sum_by_day(charges, since, tz=now)
        latest = await self._ask_history.list_latest_charges(person_ids, _RECENT_SHOWN)
        return Reply(
            title=say("Recent Usage"),
            table=tuple(
                (
                    say("{at}", at=as_datetime(one.at)),
                    plain(self._catalogue.get_name(one.model)),
                    say("{charge} Cr", charge=one.charge),
                )
                for one in reversed(latest)
            ),
            lines=(
                say("Spent: {spent} today", spent=format_credits(days[-1])),
                say(
                    "{days} days: {spent}  {bars}",
                    days=_DAYS,
                    spent=format_credits(sum_amounts(Credits, days)),
                    bars=format_bars([day.units for day in days]),
                ),
            ),
            choices=((Choice(say("Balance"), "balance"),),),
            private=True,
        )


def _sum_by_day(charges: list[ChargedAnswer], since: datetime, *, tz: datetime) -> list[Credits]:
    """Credits of each of the last days, the oldest first."""
    days = [Credits(0)] * _DAYS
    for charge in charges:
        at = as_datetime(charge.at).astimezone(tz.tzinfo)
        day = min((at.date() - since.date()).days, _DAYS - 1)
        days[day] += charge.charge
    return days
