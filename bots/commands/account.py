"""A person's account: `/balance`, `/usage`. Credits only, never what anything cost."""

from __future__ import annotations

from datetime import datetime, timedelta

from bots.chat.command import Action, Command, Request, Room
from bots.chat.i18n import zone_of
from bots.chat.reply import Choice, Reply, plain, say
from bots.commands.models import Choosing
from bots.commands.text import average_answer, in_credits
from bots.render.charts import bars
from core.asks.repository import Journal, Served
from core.clock import Clock, as_datetime, as_ms
from core.money import Credits, total
from core.pricing.catalogue import Catalogue
from core.pricing.deals import Deals
from core.users.balances import Purses
from core.users.service import People

_DAYS = 30
_RECENT = 10


class AccountCommands:
    """The commands that show people their Credits: what they have and what they spent."""

    def __init__(
        self,
        *,
        purses: Purses,
        journal: Journal,
        people: People,
        catalogue: Catalogue,
        choosing: Choosing,
        deals: Deals,
        clock: Clock,
        sells: bool,
    ) -> None:
        """`is_selling`: Credits can be bought here."""
        self._journal, self._people = journal, people
        self._purses = purses
        self._catalogue = catalogue
        self._choosing, self._deals, self._clock = choosing, deals, clock
        self._sells = sells

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "balance",
                    title=say("Balance"),
                    does=say("Your Credits"),
                    handler=self.balance,
                    in_groups=True,
                    private=True,
                ),
                Command(
                    "usage",
                    title=say("Usage"),
                    does=say("What your latest answers cost"),
                    handler=self.usage,
                    in_groups=True,
                    private=True,
                ),
            ),
            actions=(
                Action("balance", self.balance),
                Action("usage", self.usage),
            ),
        )

    async def balance(self, request: Request) -> Reply:
        """One balance, the sum of the pockets."""
        purse = await self._purses.of(request.person.id)
        have = purse.have
        lines = [in_credits(have)]
        if purse.held.units:
            lines.append(say("{held} more are reserved by answers being written.", held=purse.held))
        model = self._choosing.current(request.person)
        price = await self._choosing.price(request.person, model)
        if price is not None:
            lines.append(
                say(
                    "≈ {count} average answers of {model}",
                    count=max(0, have.units) // average_answer(price).units,
                    model=model.name,
                )
            )
        tier = self._deals.tier(request.person.id)
        if tier is not None:
            lines.append(say("Your tier: {tier}", tier=tier.name))
        return Reply(
            title=say("💎 My Balance"),
            lines=tuple(lines),
            choices=(
                *(((Choice(say("➕ Top up"), "topup"),),) if self._sells else ()),
                (Choice(say("Usage"), "usage"), Choice(say("Models"), "models")),
            ),
            private=True,
        )

    async def usage(self, request: Request) -> Reply:
        """The latest answers, today's sum, and a month as a bar chart in text."""
        tz = zone_of(request.person.zone)
        now = as_datetime(self._clock.now_ms()).astimezone(tz)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        since = midnight - timedelta(days=_DAYS - 1)
        people = await self._people.lineage(request.person.id)
        served = await self._journal.since(people, as_ms(since))
        if not served:
            return Reply(
                title=say("Recent Usage"),
                lines=(say("Nothing in the last {days} days.", days=_DAYS),),
                private=True,
            )
        days = _by_day(served, since, tz=now)
        recent = await self._journal.latest(people, _RECENT)
        return Reply(
            title=say("Recent Usage"),
            table=tuple(
                (
                    say("{at}", at=as_datetime(one.at)),
                    plain(self._name(one.model)),
                    say("{charge} Cr", charge=one.charge),
                )
                for one in reversed(recent)
            ),
            lines=(
                say("Spent: {spent} today", spent=in_credits(days[-1])),
                say(
                    "{days} days: {spent}  {bars}",
                    days=_DAYS,
                    spent=in_credits(total(Credits, days)),
                    bars=bars([day.units for day in days]),
                ),
            ),
            choices=((Choice(say("Balance"), "balance"),),),
            private=True,
        )

    def _name(self, model: str) -> str:
        known = self._catalogue.models.get(model)
        return known.name if known else model


def _by_day(served: list[Served], since: datetime, *, tz: datetime) -> list[Credits]:
    """Credits of each of the last days, the oldest first."""
    days = [Credits(0)] * _DAYS
    for one in served:
        at = as_datetime(one.at).astimezone(tz.tzinfo)
        day = min((at.date() - since.date()).days, _DAYS - 1)
        days[day] += one.charge
    return days
