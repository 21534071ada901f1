"""A person's account: `/balance`, `/usage`, `/export`. Credits only, never what anything cost."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from bots.commands.choosing import Choosing
from bots.commands.phrases import average_answer, in_credits
from bots.commands.types import Action, Command, Request, Room
from bots.locale import zone_of
from bots.reply import Choice, File, Reply, plain, say
from bots.show.charts import bars
from core import chart
from core.asking import Journal, Served, Turn
from core.clock import Clock, as_datetime, as_ms
from core.earning import Purses
from core.ledger import Ledger
from core.people import People, Person
from core.pricing import Catalogue, PriceBook
from core.units import Credits, total

_DAYS = 30
_RECENT = 10


class AccountCommands:
    """What people have and what they spent."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        purses: Purses,
        journal: Journal,
        people: People,
        catalogue: Catalogue,
        prices: PriceBook,
        choosing: Choosing,
        clock: Clock,
        sells: bool,
    ) -> None:
        """`sells`: Credits can be bought here."""
        self._ledger, self._journal, self._people = ledger, journal, people
        self._purses = purses
        self._catalogue, self._prices = catalogue, prices
        self._choosing, self._clock = choosing, clock
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
                Command(
                    "export",
                    title=say("Export"),
                    does=say("Everything kept about you, as a file"),
                    handler=self.export,
                ),
            ),
            actions=(
                Action("balance", self.balance),
                Action("usage", self.usage),
                Action("export", self.export),
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
        price = self._prices.current(model.id)
        if price is not None:
            lines.append(
                say(
                    "≈ {count} average answers of {model}",
                    count=max(0, have.units) // average_answer(price).units,
                    model=model.name,
                )
            )
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

    async def export(self, request: Request) -> Reply:
        """A JSON file for the person alone."""
        person = request.person
        balances = await self._ledger.balances(chart.pockets(person.id))
        told = {
            "person": person.id,
            "since": as_datetime(person.created_at).isoformat(),
            "writes_from": [
                f"{platform}:{id_}" for platform, id_ in await self._people.identities(person.id)
            ],
            "settings": {
                "language": person.language,
                "time_zone": person.zone,
                "model": person.model,
                "footer": person.footer,
                "operator_keys_only": person.own_keys_only,
            },
            "credits": {
                code.rpartition("/")[2]: balance.available for code, balance in balances.items()
            },
            "answers": [
                {
                    "at": as_datetime(turn.at).isoformat(),
                    "model": turn.model,
                    "credits": turn.charge.units,
                    "question": turn.question,
                    "answer": turn.answer,
                }
                for turn in await self._turns(person)
            ],
        }
        content = json.dumps(told, ensure_ascii=False, indent=1).encode()
        return Reply(
            lines=(say("Everything kept about you. Nobody else gets this file."),),
            file=File(f"creditbot-{person.id}.json", content),
            private=True,
        )

    async def _turns(self, person: Person) -> list[Turn]:
        """Theirs, and those of everyone who became a part of them, each under its own key."""
        turns = []
        for id_ in await self._people.lineage(person.id):
            data_key = await self._people.data_key(await self._people.find(id_))
            turns += await self._journal.turns(id_, data_key)
        return sorted(turns, key=lambda turn: turn.at)


def _by_day(served: list[Served], since: datetime, *, tz: datetime) -> list[Credits]:
    """Credits of each of the last days, the oldest first."""
    days = [Credits(0)] * _DAYS
    for one in served:
        at = as_datetime(one.at).astimezone(tz.tzinfo)
        day = min((at.date() - since.date()).days, _DAYS - 1)
        days[day] += one.charge
    return days
